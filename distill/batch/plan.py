"""What a batch is to make: each file with its name and its key, known before the first is made. No work is done here.

A file's key says all that was asked of it. Names and keys follow from the table alone, in its order; so a batch that is
taken up again comes to the same names, whatever is finished by then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from distill import naming
from distill.batch import matching
from distill.jobs import Job

MOST_FILES = 1_000_000
UNIT_FILES = 32
UNIT_SECONDS = 600.0
"""What is handed to a worker at once, at most: files, and seconds of sound; always one file."""
ROWS = 8
"""Files that models like to make together: a unit holds a multiple of it, where there are as many."""
UNITS_A_WORKER = 4
"""So many units at least for each worker, so that none waits long for the last."""


@dataclass(frozen=True, eq=False, slots=True)
class Recipe:
    """What the files of a row share: a `job` without seeds, and their `name`, a template, with the `fields` in it.

    The name of the job's own output is none. `of_files` is what `matching.of_output` says of the output; `digest` says
    all that is asked for in 32 hexadecimal digits.
    """

    job: Job
    name: str
    fields: Mapping[str, object]
    of_files: str
    digest: str

    @classmethod
    def of(cls, job: Job, name: str, fields: Mapping[str, object], of_files: str) -> Recipe:
        """The recipe of `job`, whose `described` says which checkpoints it is of."""
        text = f"{matching.of_job(job, of_files)} {job.output.sample_rate} {name!r}"
        return cls(job, name, fields, of_files, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32])


@dataclass(frozen=True, eq=False, slots=True)
class Wanted:
    """A row: a file for each of `seeds` by `recipe`. `line` is where it stands, from 1."""

    recipe: Recipe
    seeds: range
    line: int


@dataclass(frozen=True, slots=True)
class File:
    """One file to make: by `recipe` from `seed`, called `stem`; `line` is that of its row.

    `anew`: what is there under its name is to be replaced: it is damaged, or not whole.
    """

    recipe: Recipe
    seed: int
    stem: str
    line: int
    anew: bool = False

    @property
    def key(self) -> str:
        """What was asked for, in letters and digits: files of one key hold the same."""
        return f"{self.recipe.digest}-{self.seed}"

    @property
    def name(self) -> str:
        """Its file name."""
        return f"{self.stem}.{self.recipe.job.output.format}"


def files(wanted: Iterable[Wanted]) -> Iterator[File]:
    """The files of all rows in order, under the names of their templates. One that is asked for twice comes once."""
    known: set[str] = set()
    for row in wanted:
        recipe = row.recipe
        for index, seed in enumerate(row.seeds):
            stem = naming.stem(recipe.name, {**recipe.fields, "row": row.line, "seed": seed, "index": index + 1})
            file = File(recipe, seed, stem, row.line)
            if file.key not in known:
                known.add(file.key)
                yield file


def identity(keys: Iterable[str]) -> str:
    """What tells a batch of files with these `keys` from others, in 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for key in sorted(keys):
        digest.update(key.encode())
    return digest.hexdigest()[:16]


def units(missing: Sequence[File], workers: int) -> list[list[File]]:
    """`missing` in pieces that a worker takes at once: of one model, alike in shape, in the order of the table.

    Files that share a level stay together.
    """
    order: dict[tuple[Any, ...], int] = {}
    for file in missing:
        order.setdefault(_shape(file.recipe.job), len(order))
    # Models in the order of the table, and of each model one shape after the other.
    models: dict[Any, int] = {}
    for shape in order:
        models.setdefault(shape[0], len(models))
    ordered = sorted(missing, key=lambda file: (models[(s := _shape(file.recipe.job))[0]], order[s]))
    most = _rounded(min(UNIT_FILES, -(-len(missing) // (workers * UNITS_A_WORKER))))
    found: list[list[File]] = []
    for _, alike in groupby(ordered, key=lambda file: (_shape(file.recipe.job)[0], _level(file))):
        found += _cut(list(alike), most)
    return found


def _shape(job: Job) -> tuple[Any, ...]:
    """What files should have in common to be made side by side; first, what they must."""
    must = job.claim.header.path, job.claim.loader.name, job.device, job.batch_size
    return must, job.precision, job.duration, job.output.sample_rate


def _level(file: File) -> object:
    return id(file.recipe) if file.recipe.job.has_common_level else None


def _cut(alike: list[File], most: int) -> Iterator[list[File]]:
    if _level(alike[0]) is not None:
        yield alike
        return
    piece: list[File] = []
    seconds = 0.0
    for file in alike:
        duration = file.recipe.job.duration
        if piece and (len(piece) == most or seconds + duration > UNIT_SECONDS):
            yield piece
            piece, seconds = [], 0.0
        piece.append(file)
        seconds += duration
    yield piece


def _rounded(count: int) -> int:
    return -(-count // ROWS) * ROWS
