"""Taking stock: which files of a batch are in place already, and under which names the others are to be made."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count

from distill.batch import matching
from distill.batch.journal import Line
from distill.batch.plan import File
from distill.batch.stores import NO_FILE, Store, picture_name, sidecar_name
from distill.batch.work import line_of, slot_of
from distill.errors import RequestError
from distill.naming import numbered

READERS = 4
"""Files whose bytes are compared at once."""


@dataclass
class Stock:
    """`kept` are in place; of them, those `found` were not in the journal. `missing` are to be made."""

    kept: list[Line] = field(default_factory=list)
    found: list[Line] = field(default_factory=list)
    missing: list[File] = field(default_factory=list)


def take(store: Store, files: Sequence[File], known: Mapping[str, Line], verify: bool, batch: str, date: str) -> Stock:
    """What is there of `files` in `store`, whose journal has the lines `known`; `verify`: compare every byte.

    A file that is there and whole is kept, in the journal or not: its sidecar says what it is. One that is damaged is
    to be made anew under the name that it has. No other file's name is used. `batch` and `date` are for new lines.
    """
    listing = store.listing()
    lines = {file.key: known[file.key] for file in files if file.key in known}
    sound = _sound(store, listing, lines.values(), verify)
    names = _Names(store, listing, [line.file for line in lines.values()])
    stock = Stock()
    shared: dict[int, list[tuple[File, Line | None]]] = {}
    for file in files:
        line = lines.get(file.key)
        if line is not None and not _is_others(store, file, line, listing, sound):
            named = replace(file, stem=_stem(line.file))
            is_kept = line.file in sound and (not file.recipe.job.output.plot or picture_name(line.file) in listing)
            found = (named if is_kept else replace(named, anew=True)), (line if is_kept else None)
        else:
            named = names.name(file)
            found = named, None
            if named.name in listing and not named.anew:
                said = store.record(named.name)
                if verify and not store.is_whole(named.name, said):
                    found = replace(named, anew=True), None
                else:
                    found = named, line_of(store, slot_of(named), named.name, said, batch, date)
        if file.recipe.job.has_common_level:
            shared.setdefault(id(file.recipe), []).append(found)
        else:
            _add(stock, *found)
    for together in shared.values():  # whose level depends on all: they are made together
        is_whole = all(line is not None for _, line in together)
        for file, line in together:
            _add(stock, file if is_whole or line is None else replace(file, anew=True), line if is_whole else None)
    stock.found += [line for line in stock.kept if line.key not in lines]
    return stock


def _add(stock: Stock, file: File, line: Line | None) -> None:
    if line is None:
        stock.missing.append(file)
    else:
        stock.kept.append(line)


def _is_others(store: Store, file: File, line: Line, listing: Mapping[str, int], sound: set[str]) -> bool:
    """Whether what is there under the name in `line` is another's now; looked at where it is not what it was."""
    if line.file in sound or (line.file not in listing and sidecar_name(line.file) not in listing):
        return False
    said = store.record(line.file) or (store.carried(line.file) if line.file in listing else {})
    if not said:  # damaged, unless it is no file at all
        return NO_FILE in (listing.get(line.file), listing.get(sidecar_name(line.file)))
    return not matching.is_of(said, file.recipe.job, file.seed)


class _Names:
    """Names for files that the journal does not know, in the order of the table.

    `used` are those of files that it knows. Where files want one name, the first free number is theirs, and what was
    there before, if it is what they ask for.
    """

    def __init__(self, store: Store, listing: Mapping[str, int], used: Iterable[str]) -> None:
        self._store, self._listing = store, listing
        self._taken = {_stem(name).casefold() for name in (*listing, *used)}
        self._used = {_stem(name).casefold() for name in used}
        self._next: dict[str, int] = {}
        self._of_outputs: dict[tuple[int, int], str] = {}  # many files share an output
        self._there: dict[str, dict[tuple[str, int], list[tuple[str, bool]]]] = {}

    def name(self, file: File) -> File:
        """`file` under a name of its own: a free one, or that of a file which is what it asks for.

        That is to be made `anew` if it has no sidecar yet, as a killed run leaves it.
        """
        wanted = file.stem.casefold()
        if wanted in self._taken and (there := self._matching(file)) is not None:
            return there
        number = self._next.get(wanted, 1)
        while numbered(wanted, number) in self._taken:
            number += 1
        self._next[wanted] = number + 1
        self._taken.add(numbered(wanted, number))
        return replace(file, stem=numbered(file.stem, number))

    def _matching(self, file: File) -> File | None:
        """`file` under the name of one that is there and is what it asks for."""
        suffix = file.recipe.job.output.format
        key = f"{file.stem}.{suffix}"
        if key not in self._there:
            self._there[key] = {}
            for asked_there, one in self._look(file.stem, suffix):
                self._there[key].setdefault(asked_there, []).append(one)
        there = self._there[key]
        job = file.recipe.job
        for rate in {rate for _, rate in there}:
            alike = there.get((f"{file.seed} {self._asked(file, rate)}", rate), [])
            if alike and job.output.sample_rate in (None, rate):
                stem, is_complete = alike.pop(0)
                undrawn = job.output.plot and picture_name(f"{stem}.{suffix}") not in self._listing
                return replace(file, stem=stem, anew=not is_complete or undrawn)
        return None

    def _asked(self, file: File, rate: int) -> str:
        """What is asked of the files like `file` at `rate` Hz; nothing where their format cannot have it."""
        key = id(file.recipe.job.output), rate
        if key not in self._of_outputs:
            try:
                self._of_outputs[key] = matching.of_output(file.recipe.job.output, rate)
            except RequestError:
                self._of_outputs[key] = ""
        of_files = self._of_outputs[key]
        return of_files and matching.of_job(file.recipe.job, of_files)

    def _look(self, stem: str, suffix: str) -> Iterator[tuple[tuple[str, int], tuple[str, bool]]]:
        """What is asked for in each file that is there under `stem` or a number after it, and whether it is whole."""
        for number in count(1):
            one = numbered(stem, number)
            if one.casefold() not in self._taken:
                return
            name = f"{one}.{suffix}"
            if self._listing.get(name, NO_FILE) == NO_FILE or one.casefold() in self._used:
                continue
            is_complete = sidecar_name(name) in self._listing
            found = matching.of_record(self._store.record(name) if is_complete else self._store.carried(name))
            if found is not None:
                asked, seed, rate = found
                yield (f"{seed} {asked}", rate), (one, is_complete)


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


def _sound(store: Store, listing: Mapping[str, int], lines: Iterable[Line], verify: bool) -> set[str]:
    """The names of those files that are there as their `lines` say."""
    there = [line for line in lines if listing.get(line.file) == line.bytes and sidecar_name(line.file) in listing]
    if not verify:
        return {line.file for line in there}
    with ThreadPoolExecutor(READERS) as pool:
        hashes = pool.map(lambda line: store.sha256(line.file), there)
        return {line.file for line, found in zip(there, hashes, strict=True) if found == line.sha256}
