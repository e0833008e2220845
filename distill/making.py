"""Files in the making: several at once, in threads, where the model can."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event, Lock
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from distill import devices
from distill.audio import levels, resampling, spatial
from distill.audio.blocks import cut
from distill.audio.files import BLOCK
from distill.audio.formats import OutputFormat
from distill.concurrency import in_order
from distill.errors import NotFiniteError
from distill.finishing import Draft, Finisher, Spooled
from distill.jobs import Job
from distill.models import Generation, GenerationRequest, GenerativeModel
from distill.registry import Claim
from distill.seeding import stream
from distill.text import clean

if TYPE_CHECKING:
    from distill.generation import Progress

T = TypeVar("T")


@dataclass(frozen=True)
class Settled:
    """The files of `job`, with what is settled once its model is there: `samples` are each file's, at the rate of
    `form`; `finisher` finishes them, `date` is theirs."""

    job: Job
    form: OutputFormat
    samples: int
    precision: str
    finisher: Finisher
    date: str


class Making:
    """The files of `jobs`, made with `model`. One whose level is common to its files is there alone.

    `batch_size` in chunks, None for what memory allows; no more files than that are made at once.
    """

    def __init__(
        self, model: GenerativeModel, jobs: Sequence[Settled], batch_size: int | None, progress: Progress
    ) -> None:
        self._model, self._jobs, self._batch_size = model, jobs, batch_size
        self._claim = jobs[0].job.claim
        self._progress = _InTurn(progress)
        count = sum(len(settled.job.seeds) for settled in jobs)
        self._workers = min(count, devices.threads(), batch_size or count) if model.concurrent else 1

    def finished(self) -> Generator[Draft, None, None]:
        """The files in order, each as soon as it and those before it are whole."""
        first = self._jobs[0].job
        with self._claim.breakage_named("generating with"):
            generations = iter(self._model.generate_batch(self._requests(), self._batch_size))
        stop = self._stopping(generations)
        try:
            if first.has_common_level:
                yield from self._at_one_gain(generations, stop)
            else:
                for draft in self._run(self._tasks(generations, self._make), stop):
                    yield draft
                    self._progress.pass_on()
        finally:
            stop()

    def _at_one_gain(self, generations: Iterator[Generation], stop: Callable[[], None]) -> Iterator[Draft]:
        """All files at the gain that suits the loudest of them: none is finished until all are made."""
        [settled] = self._jobs
        finisher = settled.finisher
        spooled = []
        for one in self._run(self._tasks(generations, self._spool), stop):
            spooled.append(one)
            self._progress.pass_on()
        gain = levels.gain_to_peak(max(one.level.peak for one in spooled))
        if settled.form.lossy:  # what their decoders give back is known only when all are written
            while (room := min(self._run((partial(finisher.room, one, gain) for one in spooled), stop))) < 1.0:
                gain *= room
        yield from self._run((partial(finisher.finish, one, gain) for one in spooled), stop)

    def _run(self, tasks: Iterator[Callable[[Event], T]], stop: Callable[[], None]) -> Iterator[T]:
        """The results of `tasks` in order."""
        return in_order(tasks, self._workers, stop) if self._workers > 1 else (task(Event()) for task in tasks)

    def _stopping(self, generations: Iterator[Generation]) -> Callable[[], None]:
        """What tells the model, once, that no more is wanted of its batch."""
        closes = iter([getattr(generations, "close", lambda: None)])

        def stop() -> None:
            for close in closes:
                with self._claim.breakage_named("generating with"):
                    close()

        return stop

    def _files(self) -> Iterator[tuple[Settled, list[GenerationRequest]]]:
        """What is asked of the model for each file in order: one sound, or where left and right are two, both."""
        for settled in self._jobs:
            job = settled.job
            needed = resampling.samples_needed(settled.samples, self._model.sample_rate, settled.form.sample_rate)
            for seed in job.seeds:
                second = [int(stream(seed, "second sound").integers(2**63))] if job.output.two_seeds else []
                requests = [GenerationRequest(one, needed, job.options, settled.precision) for one in (seed, *second)]
                yield settled, requests

    def _requests(self) -> Iterator[GenerationRequest]:
        for _, requests in self._files():
            yield from requests

    def _tasks(
        self, generations: Iterator[Generation], make: Callable[[_Sounds, Event], T]
    ) -> Iterator[Callable[[Event], T]]:
        for index, (settled, requests) in enumerate(self._files()):
            sounds = [(request, self._next(generations, index)) for request in requests]
            yield partial(make, _Sounds(index, settled, sounds))

    def _next(self, generations: Iterator[Generation], index: int) -> Generation:
        with self._claim.breakage_named("generating with"):
            generation = next(generations, None)
        if not isinstance(generation, Generation):
            raise self._claim.broken("generating with", f"generate_batch gave {clean(generation)} for file {index + 1}")
        return generation

    def _make(self, sounds: _Sounds, unwanted: Event) -> Draft:
        finisher = sounds.settled.finisher
        spooled = self._spool(sounds, unwanted)
        return finisher.finish(spooled, finisher.gain(spooled.level), unwanted)

    def _spool(self, sounds: _Sounds, unwanted: Event) -> Spooled:
        """The samples of a file, put by until its level is known."""
        began = time.monotonic()
        settled = sounds.settled
        spool, level = settled.finisher.spool(self._finished_blocks(sounds), unwanted)
        request, generation = sounds.each[0]
        described = {
            "seed": request.seed,
            "options": dict(settled.job.options),
            "duration": settled.job.duration,
            "samples": settled.samples,
            "sample_rate": settled.form.sample_rate,
            "channels": settled.finisher.channels,
            "stats": self._stats(generation),
        }
        if settled.job.has_common_level:
            described["level_seeds"] = [settled.job.seeds[0], len(settled.job.seeds)]
        elif settled.job.output.level_seeds is not None:
            described["level_seeds"] = list(settled.job.output.level_seeds)
        return Spooled(spool, level, described, time.monotonic() - began)

    def _stats(self, generation: Generation) -> dict[str, float]:
        with self._claim.breakage_named("generating with"):
            stats = {clean(name): float(value) for name, value in generation.statistics().items()}
        if not all(map(math.isfinite, stats.values())):
            raise self._claim.broken("generating with", f"its statistics are {clean(stats)}")
        return stats

    def _finished_blocks(self, sounds: _Sounds) -> Iterator[NDArray[np.float32]]:
        """The file's samples at its own rate, in space, faded at both edges, before its level is set."""
        settled, position = sounds.settled, 0
        for block in self._in_space(sounds):
            kept = block[:, : settled.samples - position]
            yield levels.fade_edges(kept, position, settled.samples, settled.form.sample_rate)
            position += kept.shape[1]

    def _in_space(self, sounds: _Sounds) -> Iterator[NDArray[np.float32]]:
        """The file's samples at its own rate, or a few more: `[channels, samples]`."""
        settled = sounds.settled
        first = partial(self._progress.report, sounds.index)
        each = [
            self._at_rate(settled.form.sample_rate, *one, first if number == 0 else _say_nothing)
            for number, one in enumerate(sounds.each)
        ]
        if len(each) > 1:
            sides = zip(*(cut(blocks, BLOCK, settled.samples) for blocks in each), strict=True)
            return (np.concatenate(pair) for pair in sides)
        space = settled.job.output.space
        return each[0] if space is None else spatial.spatialise(each[0], settled.form.sample_rate, space)

    def _at_rate(
        self, rate: int, request: GenerationRequest, generation: Generation, report: Callable[[int, int], None]
    ) -> Iterator[NDArray[np.float32]]:
        """What the model gives for `request`, at `rate`, in Hz."""
        chunks = self._checked_chunks(request, generation, report)
        return resampling.resample(chunks, self._model.sample_rate, rate, self._model.channels)

    def _checked_chunks(
        self, request: GenerationRequest, generation: Generation, report: Callable[[int, int], None]
    ) -> Iterator[NDArray[np.float32]]:
        """The model's chunks, counted for the progress and held to what `GenerativeModel.generate` promises."""
        claim = self._claim
        received = number = 0
        with claim.breakage_named("generating with"):
            total = self._model.count_chunks(request)
            if not isinstance(total, int):
                raise claim.broken("generating with", f"count_chunks gave {clean(total)}")
            chunks = iter(generation.chunks)
        report(0, total)
        while True:
            with claim.breakage_named("generating with"):
                chunk = next(chunks, None)
                if chunk is None:
                    break
                _check_chunk(chunk, self._model, claim)
            received += chunk.shape[1]
            yield chunk
            number += 1
            report(number, total)
        if received != request.samples:
            raise claim.broken("generating with", f"{received} samples came where {request.samples} were asked for")


@dataclass(frozen=True)
class _Sounds:
    """The sounds of the file at `index`, one of `settled`: what was asked of the model, and what it gives for it."""

    index: int
    settled: Settled
    each: list[tuple[GenerationRequest, Generation]]


class _InTurn:
    """Shows the progress of one file at a time, the first that is not finished, though several are being made."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = Lock()
        self._turn = 0
        self._latest: dict[int, tuple[int, int]] = {}

    def report(self, index: int, done: int, total: int) -> None:
        """Tell that the file at `index` has `done` of `total` chunks."""
        with self._lock:
            if index == self._turn:
                self._progress(index, done, total)
            else:
                self._latest[index] = done, total

    def pass_on(self) -> None:
        """Show the next file from now on."""
        with self._lock:
            self._turn += 1
            if self._turn in self._latest:
                self._progress(self._turn, *self._latest.pop(self._turn))


def _say_nothing(_done: int, _total: int) -> None:
    pass


def _check_chunk(chunk: NDArray[np.float32], model: GenerativeModel, claim: Claim) -> None:
    if chunk.dtype != np.float32 or chunk.ndim != 2 or chunk.shape[0] != model.channels:
        raise claim.broken("generating with", f"a chunk is {chunk.dtype} {list(chunk.shape)}")
    if not np.isfinite(chunk).all():
        raise NotFiniteError("samples", claim.header.name)
