"""Taking stock: which files of a batch are in place already, and under which names the others are to be made."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count

from distill import outputs
from distill.batch import matching
from distill.batch.journal import Line
from distill.batch.plan import File
from distill.batch.stores import Store, sidecar_name
from distill.batch.work import line_of, slot_of

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
    taken = {posixpath.splitext(name)[0].casefold() for name in listing}
    taken |= {posixpath.splitext(line.file)[0].casefold() for line in lines.values()}
    stock = Stock()
    shared: dict[int, list[tuple[File, Line | None]]] = {}
    for file in files:
        line = lines.get(file.key)
        if line is not None:
            named = replace(file, stem=posixpath.splitext(line.file)[0])
            is_kept = line.file in sound and (not file.recipe.job.output.plot or _picture(line.file) in listing)
            found = (named if is_kept else replace(named, anew=True)), (line if is_kept else None)
        else:
            found = _look(store, file, listing, taken, batch, date)
            if found[1] is not None:
                stock.found.append(found[1])
        if file.recipe.job.has_common_level:
            shared.setdefault(id(file.recipe), []).append(found)
        else:
            _add(stock, *found)
    for together in shared.values():  # whose level depends on all: they are made together
        is_whole = all(line is not None for _, line in together)
        for file, line in together:
            _add(stock, file if is_whole or line is None else replace(file, anew=True), line if is_whole else None)
    return stock


def _add(stock: Stock, file: File, line: Line | None) -> None:
    if line is None:
        stock.missing.append(file)
    else:
        stock.kept.append(line)


def _look(
    store: Store, file: File, listing: Mapping[str, int], taken: set[str], batch: str, date: str
) -> tuple[File, Line | None]:
    """`file`, which the journal does not know, under a name of its own, and its line if it is there all the same."""
    for number in count(1):
        stem = file.stem if number == 1 else f"{file.stem}-{number}"
        named = replace(file, stem=stem)
        if stem.casefold() not in taken:
            taken.add(stem.casefold())
            return named, None
        if named.name in listing:
            job = file.recipe.job
            said = store.record(named.name)
            if matching.is_of(said, job, file.seed):
                slot = slot_of(named)
                return named, line_of(store, slot, named.name, said, batch, date)
            if sidecar_name(named.name) not in listing and matching.is_of(store.carried(named.name), job, file.seed):
                return replace(named, anew=True), None  # what a killed run had no time to finish
    raise AssertionError("count() does not end")


def _sound(store: Store, listing: Mapping[str, int], lines: Iterable[Line], verify: bool) -> set[str]:
    """The names of those files that are there as their `lines` say."""
    there = [line for line in lines if listing.get(line.file) == line.bytes and sidecar_name(line.file) in listing]
    if not verify:
        return {line.file for line in there}
    with ThreadPoolExecutor(READERS) as pool:
        hashes = pool.map(lambda line: store.sha256(line.file), there)
        return {line.file for line, found in zip(there, hashes, strict=True) if found == line.sha256}


def _picture(name: str) -> str:
    return posixpath.splitext(name)[0] + outputs.PICTURE
