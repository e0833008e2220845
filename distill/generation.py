"""Request in, finished audio out: the one path that data takes.

model chunks → same rate, exact length, faded edges → spool → level → file → name → sidecar
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import devices, outputs, sidecar
from distill.audio import files, levels, resampling
from distill.audio.files import Spool
from distill.audio.formats import OutputFormat, check_length, output_format
from distill.checkpoint import CheckpointHeader
from distill.concurrency import UnwantedError, in_order
from distill.errors import DistillWarning, NotFiniteError, RequestError
from distill.models import Generation, GenerationRequest, GenerativeModel
from distill.registry import Claim
from distill.text import clean, file_stem


@dataclass(frozen=True)
class Job:
    """What was asked for. `options` are those of the claiming plugin, by parameter name; `duration` in seconds.

    `models` are other checkpoints that the options draw in. `sample_rate` in Hz, None for the model's own; `bit_depth`
    None for the format's default; `batch_size` None for what memory allows.
    """

    claim: Claim
    options: Mapping[str, Any]
    duration: float
    seed: int
    count: int = 1
    directory: Path = Path()
    format: str = "wav"
    sample_rate: int | None = None
    bit_depth: str | None = None
    device: str = "auto"
    precision: str = "float32"
    batch_size: int | None = None
    distribution: str | None = None
    models: Sequence[CheckpointHeader] = ()


@dataclass(frozen=True)
class GeneratedFile:
    """A finished file and what `--json` says of it. `duration` in seconds, `sample_rate` in Hz.

    `stats` is what the model said of how it was made: figures by name.
    """

    file: str
    seed: int
    duration: float
    sample_rate: int
    format: str
    model: str
    loader: str
    stats: Mapping[str, float]


Progress = Callable[[int, int, int], None]
"""Called with (file index, chunks done, chunks in all) of the first file that is not finished, which may have begun
before. It may be called in any thread, but never in two at once."""


def generate(job: Job, progress: Progress) -> Iterator[GeneratedFile]:
    """Make the files of `job` in order, each given as soon as it and those before it are in place.

    Raises `DistillError` for what cannot be; files that are finished by then stay.
    """
    if job.sample_rate is not None:  # refused before anything is loaded
        output_format(job.format, job.sample_rate, job.bit_depth)
    outputs.prepare(job.directory)
    device = devices.choose(job.device)
    model = _load(job.claim, device)
    form = output_format(job.format, job.sample_rate or model.sample_rate, job.bit_depth)
    samples = round(job.duration * form.sample_rate)
    if samples < 1:
        raise RequestError(f"--duration: {job.duration:g} s is less than one sample at {form.sample_rate} Hz.")
    check_length(form, samples, model.channels)
    precision = job.precision
    if precision not in model.precisions:
        kind = job.claim.loader.kind
        message = f"--precision {precision} is not supported for {kind} models on {device}. Ignored."
        warnings.warn(message, DistillWarning, 2)
        precision = "float32"
    made_by = {
        "program": sidecar.describe_program(),
        "model": sidecar.describe_model(job.claim, job.distribution),
        "other_models": [sidecar.describe_checkpoint(header) for header in job.models],
        "device": device,
        "precision": precision,
    }
    stem, suffix = file_stem(job.claim.header.name), f".{form.name}"
    with (
        outputs.Drafts(job.directory) as drafts,
        closing(_Batch(model, job, form, samples, precision, drafts, progress).finished()) as finished,
    ):
        for seed, draft in enumerate(finished, job.seed):
            describe = partial(sidecar.describe, made_by | draft.described)
            path = drafts.publish(draft.path, f"{stem}-{seed}", suffix, describe)
            yield GeneratedFile(
                file=str(path),
                seed=seed,
                duration=samples / form.sample_rate,
                sample_rate=form.sample_rate,
                format=form.name,
                model=job.claim.header.name,
                loader=job.claim.loader.name,
                stats=draft.described["stats"],
            )


@dataclass(frozen=True)
class _Draft:
    """A file that is whole but has no name yet, and what its sidecar will say of it alone."""

    path: Path
    described: dict[str, Any]


class _Batch:
    """The files of one job in the making: several at once, in threads, where the model can."""

    def __init__(
        self, model: GenerativeModel, job: Job, form: OutputFormat, samples: int, precision: str,
        drafts: outputs.Drafts, progress: Progress,
    ) -> None:  # fmt: skip
        self._model, self._job, self._form, self._samples, self._drafts = model, job, form, samples, drafts
        self._needed = resampling.samples_needed(samples, model.sample_rate, form.sample_rate)
        self._precision = precision
        self._progress = _InTurn(progress)

    def finished(self) -> Generator[_Draft, None, None]:
        """The files in order, each as soon as it and those before it are whole."""
        with self._job.claim.breakage_named("generating with"):
            requests = map(self._request, range(self._job.count))
            generations = iter(self._model.generate_batch(requests, self._job.batch_size))
        stop = self._stopping(generations)
        tasks = self._tasks(generations)
        workers = min(self._job.count, devices.threads()) if self._model.concurrent else 1
        try:
            for draft in in_order(tasks, workers, stop) if workers > 1 else (task(Event()) for task in tasks):
                yield draft
                self._progress.pass_on()
        finally:
            stop()

    def _stopping(self, generations: Iterator[Generation]) -> Callable[[], None]:
        """What tells the model, once, that no more is wanted of its batch."""
        closes = iter([getattr(generations, "close", lambda: None)])

        def stop() -> None:
            for close in closes:
                with self._job.claim.breakage_named("generating with"):
                    close()

        return stop

    def _request(self, index: int) -> GenerationRequest:
        return GenerationRequest(self._job.seed + index, self._needed, self._job.options, self._precision)

    def _tasks(self, generations: Iterator[Generation]) -> Iterator[Callable[[Event], _Draft]]:
        claim = self._job.claim
        for index in range(self._job.count):
            with claim.breakage_named("generating with"):
                generation = next(generations, None)
            if not isinstance(generation, Generation):
                raise claim.broken("generating with", f"generate_batch gave {clean(generation)} for file {index + 1}")
            yield partial(self._make, index, generation)

    def _make(self, index: int, generation: Generation, unwanted: Event) -> _Draft:
        """The file at `index`, whole."""
        job, form, model = self._job, self._form, self._model
        with outputs.temporary(job.directory) as spooled, spooled.open("w+b") as file:
            spool = Spool(file, model.channels)
            for block in self._finished_blocks(index, generation):
                if unwanted.is_set():
                    raise UnwantedError
                spool.append(block)
            path = self._drafts.new()
            gain, peak = _write_at_level(path, spool, form, model.channels, unwanted)
        described = {
            "seed": job.seed + index,
            "options": dict(job.options),
            "duration": job.duration,
            "samples": self._samples,
            "sample_rate": form.sample_rate,
            "channels": model.channels,
            "format": form.name,
            "bit_depth": form.bit_depth,
            "level": {
                "peak_before_dbfs": levels.to_dbfs(spool.peak),
                "gain": gain,
                "peak_dbfs": levels.to_dbfs(peak),
            },
            "stats": self._stats(generation),
        }
        return _Draft(path, described)

    def _stats(self, generation: Generation) -> dict[str, float]:
        with self._job.claim.breakage_named("generating with"):
            stats = {clean(name): float(value) for name, value in generation.statistics().items()}
        if not all(map(math.isfinite, stats.values())):
            raise self._job.claim.broken("generating with", f"its statistics are {clean(stats)}")
        return stats

    def _finished_blocks(self, index: int, generation: Generation) -> Iterator[NDArray[np.float32]]:
        """The file's samples at its own rate, faded at both edges, before its level is set: `[channels, samples]`."""
        rate, own = self._form.sample_rate, self._model.sample_rate
        position = 0
        chunks = self._checked_chunks(index, generation)
        for block in resampling.resample(chunks, own, rate, self._model.channels):
            kept = block[:, : self._samples - position]
            yield levels.fade_edges(kept, position, self._samples, rate)
            position += kept.shape[1]

    def _checked_chunks(self, index: int, generation: Generation) -> Iterator[NDArray[np.float32]]:
        """The model's chunks, counted for the progress and held to what `GenerativeModel.generate` promises."""
        claim, request = self._job.claim, self._request(index)
        received = number = 0
        with claim.breakage_named("generating with"):
            total = self._model.count_chunks(request)
            if not isinstance(total, int):
                raise claim.broken("generating with", f"count_chunks gave {clean(total)}")
            chunks = iter(generation.chunks)
        self._progress.report(index, 0, total)
        while True:
            with claim.breakage_named("generating with"):
                chunk = next(chunks, None)
                if chunk is None:
                    break
                _check_chunk(chunk, self._model, claim)
            received += chunk.shape[1]
            yield chunk
            number += 1
            self._progress.report(index, number, total)
        if received != request.samples:
            raise claim.broken("generating with", f"{received} samples came where {request.samples} were asked for")


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


def _write_at_level(
    path: Path, spool: Spool, form: OutputFormat, channels: int, unwanted: Event
) -> tuple[float, float]:
    """Write the samples waiting in `spool`, their level set; return the gain and the peak that it led to.

    What a lossy format gives back can exceed what it was given. Then it is written again, lower by the excess.
    Raises `UnwantedError` once the file is `unwanted`.
    """
    gain = levels.gain_to_peak(spool.peak)

    def at_level() -> Iterator[NDArray[np.float32]]:
        for block in spool.blocks():
            if unwanted.is_set():
                raise UnwantedError
            yield block * np.float32(gain)

    while True:
        peak = files.write(path, at_level(), form, channels)
        if form.bit_depth is not None or peak <= levels.PEAK:
            return gain, peak
        gain *= 0.999 * levels.PEAK / peak


def _load(claim: Claim, device: str) -> GenerativeModel:
    with claim.breakage_named("loading"):
        model = claim.loader.load(claim.header, device)
    if not isinstance(model, GenerativeModel):
        raise claim.broken("loading", f"load gave a {type(model).__name__}, not a GenerativeModel")
    rate, channels = getattr(model, "sample_rate", None), getattr(model, "channels", None)
    if not isinstance(rate, int) or rate < 1 or channels not in (1, 2):
        raise claim.broken("loading", f"the model has sample_rate {clean(rate)} and channels {clean(channels)}")
    precisions = model.precisions
    if not isinstance(precisions, list | tuple) or "float32" not in precisions:
        raise claim.broken("loading", f"the model has precisions {clean(precisions)}, without float32")
    return model


def _check_chunk(chunk: NDArray[np.float32], model: GenerativeModel, claim: Claim) -> None:
    if chunk.dtype != np.float32 or chunk.ndim != 2 or chunk.shape[0] != model.channels:
        raise claim.broken("generating with", f"a chunk is {chunk.dtype} {list(chunk.shape)}")
    if not np.isfinite(chunk).all():
        raise NotFiniteError("samples", claim.header.name)
