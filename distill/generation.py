"""Request in, finished audio out: the one path that data takes.

model chunks → same rate, exact length, faded edges → spool → level → file → name → sidecar
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import devices, outputs, sidecar
from distill.audio import files, levels, resampling
from distill.audio.files import Spool
from distill.audio.formats import OutputFormat, check_length, output_format
from distill.errors import NotFiniteError, RequestError
from distill.models import GenerationRequest, GenerativeModel
from distill.registry import Claim
from distill.text import clean, file_stem


@dataclass(frozen=True)
class Job:
    """What was asked for. `options` are those of the claiming plugin, by parameter name; `duration` in seconds.

    `sample_rate` in Hz, None for the model's own; `bit_depth` None for the format's default.
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
    distribution: str | None = None


@dataclass(frozen=True)
class GeneratedFile:
    """A finished file and what `--json` says of it. `duration` in seconds, `sample_rate` in Hz."""

    file: str
    seed: int
    duration: float
    sample_rate: int
    format: str
    model: str
    loader: str


Progress = Callable[[int, int, int], None]
"""Called with (file index, chunks done, chunks in all) of the file being made, first with 0 chunks done."""


def generate(job: Job, progress: Progress) -> Iterator[GeneratedFile]:
    """Make the files of `job` one by one, each given as soon as it is in place.

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
    made_by = {
        "program": sidecar.describe_program(),
        "model": sidecar.describe_model(job.claim, job.distribution),
        "device": device,
    }
    for index in range(job.count):
        seed = job.seed + index
        path = _make_file(model, job, seed, form, samples, made_by, partial(progress, index))
        yield GeneratedFile(
            file=str(path),
            seed=seed,
            duration=samples / form.sample_rate,
            sample_rate=form.sample_rate,
            format=form.name,
            model=job.claim.header.name,
            loader=job.claim.loader.name,
        )


def _make_file(
    model: GenerativeModel,
    job: Job,
    seed: int,
    form: OutputFormat,
    samples: int,
    made_by: Mapping[str, Any],
    progress: Callable[[int, int], None],
) -> Path:
    """The path of the finished file for `seed`, its sidecar beside it."""
    with (
        outputs.temporary(job.directory) as spooled,
        spooled.open("w+b") as file,
        outputs.temporary(job.directory) as draft,
    ):
        spool = Spool(file, model.channels)
        for block in _finished_blocks(model, job, seed, form, samples, progress):
            spool.append(block)
        gain, peak = _write_at_level(draft, spool, form, model.channels)
        described = {
            "schema": sidecar.SCHEMA,
            **made_by,
            "seed": seed,
            "options": dict(job.options),
            "duration": job.duration,
            "samples": samples,
            "sample_rate": form.sample_rate,
            "channels": model.channels,
            "format": form.name,
            "bit_depth": form.bit_depth,
            "level": {
                "peak_before_dbfs": levels.to_dbfs(spool.peak),
                "gain": gain,
                "peak_dbfs": levels.to_dbfs(peak),
            },
        }
        stem = f"{file_stem(job.claim.header.name)}-{seed}"
        return outputs.publish(draft, stem, f".{form.name}", lambda path: {"file": path.name, **described})


def _write_at_level(path: Path, spool: Spool, form: OutputFormat, channels: int) -> tuple[float, float]:
    """Write the samples waiting in `spool`, their level set; return the gain and the peak that it led to.

    What a lossy format gives back can exceed what it was given. Then it is written again, lower by the excess.
    """
    gain = levels.gain_to_peak(spool.peak)
    while True:
        peak = files.write(path, (block * np.float32(gain) for block in spool.blocks()), form, channels)
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
    return model


def _finished_blocks(
    model: GenerativeModel,
    job: Job,
    seed: int,
    form: OutputFormat,
    samples: int,
    progress: Callable[[int, int], None],
) -> Iterator[NDArray[np.float32]]:
    """The file's `samples` at its own rate, faded at both edges, before its level is set: `[channels, samples]`."""
    needed = resampling.samples_needed(samples, model.sample_rate, form.sample_rate)
    request = GenerationRequest(seed=seed, samples=needed, options=job.options)
    chunks = _checked_chunks(model, request, job.claim, progress)
    position = 0
    for block in resampling.resample(chunks, model.sample_rate, form.sample_rate, model.channels):
        kept = block[:, : samples - position]
        yield levels.fade_edges(kept, position, samples, form.sample_rate)
        position += kept.shape[1]


def _checked_chunks(
    model: GenerativeModel, request: GenerationRequest, claim: Claim, progress: Callable[[int, int], None]
) -> Iterator[NDArray[np.float32]]:
    """The model's chunks, counted for `progress` and held to what `GenerativeModel.generate` promises."""
    received = number = 0
    with claim.breakage_named("generating with"):
        total = model.count_chunks(request)
        if not isinstance(total, int):
            raise claim.broken("generating with", f"count_chunks gave {clean(total)}")
        chunks = iter(model.generate(request))
    progress(0, total)
    while True:
        with claim.breakage_named("generating with"):
            chunk = next(chunks, None)
            if chunk is None:
                break
            _check_chunk(chunk, model, claim)
        received += chunk.shape[1]
        yield chunk
        number += 1
        progress(number, total)
    if received != request.samples:
        raise claim.broken("generating with", f"{received} samples came where {request.samples} were asked for")


def _check_chunk(chunk: NDArray[np.float32], model: GenerativeModel, claim: Claim) -> None:
    if chunk.dtype != np.float32 or chunk.ndim != 2 or chunk.shape[0] != model.channels:
        raise claim.broken("generating with", f"a chunk is {chunk.dtype} {list(chunk.shape)}")
    if not np.isfinite(chunk).all():
        raise NotFiniteError("samples", claim.header.name)
