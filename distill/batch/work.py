"""What a worker does: make the files of a piece of a batch, and put each in place. It runs in a process of its own.

The same files come of it wherever it runs, and however often: what is in place by then is left as it is.
"""

from __future__ import annotations

import errno
import gc
import json
import sys
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any

from distill import devices, naming, outputs, registry, sidecar, startup
from distill.batch import matching
from distill.batch.journal import Line
from distill.batch.plan import File
from distill.batch.stores import Store, picture_name, sidecar_name
from distill.errors import CountedWarning, DistillError, DistillWarning, RequestError
from distill.jobs import Job
from distill.output import Output
from distill.plugins import Plugins, discover
from distill.registry import Claim
from distill.text import clean, describe, of_system

if TYPE_CHECKING:
    from distill.generation import GeneratedFile
    from distill.models import GenerativeModel


@dataclass(frozen=True, slots=True)
class Slot:
    """A file to make, as `plan.File` has it: its seed, its name without suffix, its row, its key."""

    seed: int
    stem: str
    line: int
    key: str
    anew: bool


def slot_of(file: File) -> Slot:
    """The slot of a planned `file`."""
    return Slot(file.seed, file.stem, file.line, file.key, file.anew)


@dataclass(frozen=True)
class Part:
    """Files that share all but their seeds: what makes a `Job`, but for the model."""

    options: Mapping[str, Any]
    duration: float
    output: Output
    precision: str
    described: Mapping[str, Any]
    slots: Sequence[Slot]


@dataclass(frozen=True)
class Task:
    """A piece of a batch: files of the checkpoint at `model`, which has that `sha256`, to be put into `store`.

    `batch` and `date` are for the journal and the tags.
    """

    store: Store
    model: Path
    sha256: str
    loader: str
    device: str
    batch_size: int | None
    parts: Sequence[Part]
    batch: str
    date: str


@dataclass(frozen=True)
class Failure:
    """What went wrong: with the file of that `key`, as it seems, or, if None, with all.

    `final`: it would go wrong again. `fatal`: so would every other file.
    """

    key: str | None
    message: str
    final: bool = False
    fatal: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a task: the files that are in place now, and what went wrong with those that are not.

    `counts`: of how many files there is the same to say, by option and what.
    """

    made: list[Line] = field(default_factory=list)
    failure: Failure | None = None
    warnings: list[str] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


_ONE_AT_A_TIME = Lock()
"""Held while a task is worked on: its threads compute with all that the process has."""


def make(task: Task) -> Outcome:
    """Make the files of `task` that are not in place. What goes wrong is in the outcome, never raised."""
    made: list[Line] = []
    with (
        _ONE_AT_A_TIME,
        redirect_stdout(sys.stderr),  # what a plugin prints is no result
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always", DistillWarning)
        failure = _work(task, made)
    told: list[str] = []
    counts: Counter[tuple[str, str]] = Counter()
    for one in caught:
        if isinstance(one.message, CountedWarning):
            counts[one.message.option, one.message.what] += one.message.count
        elif isinstance(one.message, DistillWarning) and str(one.message) not in told:
            told.append(str(one.message))
    return Outcome(made, failure, told, counts)


def _work(task: Task, made: list[Line]) -> Failure | None:
    """Add to `made` what is in place, file by file; what went wrong, if something did."""
    try:
        claim = _claim(task.model, task.sha256, task.loader)
        todo: list[tuple[Job, list[Slot]]] = []
        for part in task.parts:
            job = _job(task, part, claim)
            there = {slot.key: line for slot in part.slots if (line := _there(task, job, slot)) is not None}
            if job.has_common_level and len(there) < len(part.slots):
                there = {}
            made += there.values()
            missing = [slot for slot in part.slots if slot.key not in there]
            if missing:
                todo.append((replace(job, seeds=[slot.seed for slot in missing]), missing))
        if not todo:
            return None
        model = _model(task.model, task.sha256, task.loader, devices.choose(task.device))
    except Exception as error:  # of a loader, of the machine, of ours: others go on
        return Failure(None, _said(error), isinstance(error, RequestError), _is_fatal(error, task.store))
    waiting = [slot for _, slots in todo for slot in slots]
    try:
        with task.store.scratch() as scratch:
            jobs = [replace(job, output=replace(job.output, directory=scratch)) for job, _ in todo]
            each = [(job, slot) for job, (_, slots) in zip(jobs, todo, strict=True) for slot in slots]
            with closing(_generation().generate(jobs, lambda *_: None, model)) as files:
                for (job, slot), file in zip(each, files, strict=True):
                    made.append(_place(task, job, slot, file))
                    waiting.pop(0)
    except Exception as error:  # of the model, of the disk, of ours: what is made by then counts
        key = waiting[0].key if waiting else None
        return Failure(key, _said(error), isinstance(error, RequestError), _is_fatal(error, task.store))
    return None


@lru_cache(maxsize=1)
def _plugins() -> Plugins:
    return discover()


@lru_cache(maxsize=1)
def _claim(path: Path, sha256: str, loader: str) -> Claim:
    """Who loads the checkpoint at `path`. Raises `DistillError` where it is not the one that has that `sha256`."""
    if not path.is_file():
        raise DistillError(f"{clean(str(path), 200)} is not there. Share its folder, or --send-models.")
    _check(path, sha256)
    return registry.claim(_plugins(), registry.identify(_plugins(), path), loader)


_LOADED: dict[tuple[Path, str, str, str], GenerativeModel] = {}
"""The one model that this process has loaded."""


def _model(path: Path, sha256: str, loader: str, device: str) -> GenerativeModel:
    """The model, which stays loaded until another one is asked for."""
    key = path, sha256, loader, device
    if key not in _LOADED:
        _LOADED.clear()
        gc.collect()  # a model's parts know each other; without this two would be in memory
        claim = _claim(path, sha256, loader)
        try:
            _LOADED[key] = _generation().load(claim, device)
        except DistillError:
            _check(path, sha256)  # where the file was changed meanwhile, that is what to say
            raise
    return _LOADED[key]


def _check(path: Path, sha256: str) -> None:
    if sidecar.sha256(path) != sha256:
        raise DistillError(
            f"{clean(str(path), 200)} is not the file that it was when the batch began. "
            "Put that back, or run the batch again."
        )


@lru_cache(maxsize=1)
def _generation() -> ModuleType:
    """The module that generates, which imports torch: once, because what that makes is never collected."""
    startup.keep_idle_threads_quiet()  # a Dask worker was not started by this program
    with startup.building():
        import torch  # noqa: F401 - by what is imported next and by models

        from distill import generation

    return generation


def _job(task: Task, part: Part, claim: Claim) -> Job:
    return Job(
        claim=claim,
        options=part.options,
        duration=part.duration,
        seeds=(),
        output=replace(part.output, name=_NAME, overwrite=False),
        device=task.device,
        precision=part.precision,
        batch_size=task.batch_size,
        date=task.date,
        described=part.described,
    )


_NAME = "{index}"
"""Of a file before it is put in place; a number is added where there is one already."""


def _there(task: Task, job: Job, slot: Slot) -> Line | None:
    """The line of the file of `slot`, if it is in place already: another worker was quicker, or was lost after that."""
    name = f"{slot.stem}.{job.output.format}"
    if slot.anew or not task.store.has(name):
        return None
    said = task.store.record(name)
    is_drawn = not job.output.plot or said.get("picture") is not None
    if not is_drawn or not matching.is_of(said, job, slot.seed):
        return None
    return line_of(task.store, slot, name, said, task.batch, task.date)


def line_of(store: Store, slot: Slot, name: str, said: Mapping[str, Any], batch: str, date: str) -> Line:
    """The journal's line of the file called `name`, which is in place and whose sidecar is `said`."""
    return _line(slot, name, said, store.size(name), store.sha256(name), batch, date)


def _line(slot: Slot, name: str, said: Mapping[str, Any], size: int, sha256: str, batch: str, date: str) -> Line:
    return Line(
        file=name,
        key=slot.key,
        sha256=sha256,
        bytes=size,
        row=slot.line,
        batch=batch,
        date=date,
        seed=slot.seed,
        duration=said["samples"] / said["sample_rate"],
        sample_rate=said["sample_rate"],
        model=said["model"]["name"],
        loader=said["model"]["loader"],
        stats=said["stats"],
    )


def _place(task: Task, job: Job, slot: Slot, file: GeneratedFile) -> Line:
    """Put a finished file in place under its name, then its picture, then its sidecar.

    Where the name is in use by a file that was made alike, by a worker that was thought lost, that one is taken for it,
    or made whole. By another, which has come since the batch was planned, a number is added.
    """
    store, audio = task.store, Path(file.file)
    size, sha256 = audio.stat().st_size, sidecar.sha256(audio)
    number = 1
    while True:
        name = f"{naming.numbered(slot.stem, number)}{audio.suffix}"
        replaces = slot.anew and number == 1
        if not replaces and any(map(store.has, (name, sidecar_name(name), picture_name(name)))):
            if matching.is_of(said := store.record(name), job, slot.seed) and store.has(name):
                return line_of(store, slot, name, said, task.batch, task.date)
            replaces = store.has(name) and matching.is_of(store.carried(name), job, slot.seed)
            if not replaces:
                number += 1
                continue
        described = audio.with_suffix(outputs.SIDECAR)
        said = json.loads(described.read_bytes()) | {"file": name}
        picture = audio.with_suffix(outputs.PICTURE)
        if said["picture"] is not None:
            said["picture"] = picture_name(name)
        described.write_bytes(outputs.to_json(said))
        outputs.sync(described)
        if store.put(audio, name, replaces):
            if said["picture"] is not None:
                store.put(picture, said["picture"], replace=True)
            store.put(described, sidecar_name(name), replace=True)
            for left in (audio, picture, described):
                left.unlink(missing_ok=True)
            return _line(slot, name, said, size, sha256, task.batch, task.date)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def _is_fatal(error: Exception, store: Store) -> bool:
    """Whether nothing more can be written, whatever it is."""
    return (isinstance(error, OSError) and error.errno in _FULL) or store.is_full()


def _said(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, DistillError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Not enough memory."
    if isinstance(error, OSError):
        return of_system(error)
    return f"{describe(error)}."
