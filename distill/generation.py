"""Request in, finished audio out: the one path that data takes.

model chunks → the file's rate → space → exact length, faded edges → spool → level → file → tags → name → sidecar
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from distill import devices, naming, outputs, sidecar
from distill.audio import hrtf, pictures
from distill.audio.formats import OutputFormat, check_length, output_format
from distill.audio.space import Space
from distill.checkpoint import CheckpointHeader
from distill.errors import DistillWarning, RequestError
from distill.finishing import Draft, Finisher, too_quiet
from distill.making import Making
from distill.models import GenerativeModel
from distill.output import Output
from distill.registry import Claim
from distill.text import clean


@dataclass(frozen=True)
class Job:
    """What was asked for. `options` are those of the claiming plugin, by parameter name; `duration` in seconds.

    `models` are other checkpoints that the options draw in. `batch_size` None: what memory allows. `date` is for the
    tags, None for today.
    """

    claim: Claim
    options: Mapping[str, Any]
    duration: float
    seed: int
    count: int = 1
    output: Output = field(default_factory=Output)
    device: str = "auto"
    precision: str = "float32"
    batch_size: int | None = None
    distribution: str | None = None
    models: Sequence[CheckpointHeader] = ()
    date: str | None = None


@dataclass(frozen=True)
class GeneratedFile:
    """A finished file and what `--json` says of it. `duration` in seconds, `sample_rate` in Hz.

    `stats` is what the model said of how it was made: figures by name. `sidecar` is all that is known of it.
    """

    file: str
    seed: int
    duration: float
    sample_rate: int
    format: str
    model: str
    loader: str
    stats: Mapping[str, float]
    sidecar: Mapping[str, Any]


Progress = Callable[[int, int, int], None]
"""Called with (file index, chunks done, chunks in all) of the first file that is not finished, which may have begun
before. It may be called in any thread, but never in two at once."""


def generate(job: Job, progress: Progress) -> Iterator[GeneratedFile]:
    """Make the files of `job` in order, each given as soon as it and those before it are in place.

    Raises `DistillError` for what cannot be; files that are finished by then stay.
    """
    output = job.output
    if output.sample_rate is not None:  # refused before anything is loaded
        _form(output, output.sample_rate)
    naming.check(output.name)
    if output.overwrite and job.count > 1 and not naming.tells_files_apart(output.name):
        raise RequestError(
            "--overwrite: the files of a run would overwrite each other. Put {seed} or {index} in --name."
        )
    if output.plot:
        pictures.check()
    if output.space is not None and output.space.mode == "binaural":
        hrtf.load(output.space.hrtf)
    outputs.prepare(output.directory)
    device = devices.choose(job.device)
    model = _load(job.claim, device)
    form = _form(output, output.sample_rate or model.sample_rate)
    channels = _channels(output, model)
    samples = round(job.duration * form.sample_rate)
    if samples < 1:
        raise RequestError(f"--duration: {job.duration:g} s is less than one sample at {form.sample_rate} Hz.")
    check_length(form, samples, channels)
    precision = _precision(job, model, device)
    date = job.date or naming.today()
    made_by = {
        "program": sidecar.describe_program(),
        "model": sidecar.describe_model(job.claim, job.distribution),
        "other_models": [sidecar.describe_checkpoint(header) for header in job.models],
        "device": device,
        "precision": precision,
        **sidecar.describe_output(output, form),
    }
    with outputs.Drafts(output.directory) as drafts:
        finisher = Finisher(output, form, channels, made_by, date, drafts)
        making = Making(model, job, form, samples, precision, finisher, progress)
        quiet = clipped = 0
        with closing(making.finished()) as finished:
            for index, draft in enumerate(finished):
                yield _publish(job, form, drafts, draft, index, date)
                quiet += too_quiet(draft.described)
                clipped += draft.described["level"]["clipped_samples"] > 0
    if quiet:
        _warn(f"--lufs: {quiet} of {job.count} files are quieter than {output.lufs:g} LUFS: their peaks allow no more.")
    if clipped:
        _warn(f"--normalize {output.normalize}: {clipped} of {job.count} files have samples beyond full scale.")


def _publish(
    job: Job, form: OutputFormat, drafts: outputs.Drafts, draft: Draft, index: int, date: str
) -> GeneratedFile:
    """Give a finished file its name."""
    described, claim = draft.described, job.claim
    fields = {
        "model": claim.header.name,
        "seed": described["seed"],
        "index": index + 1,
        "date": date,
        "duration": f"{job.duration:g}",
        "loader": claim.loader.name,
        "rate": form.sample_rate,
        "format": form.name,
    }
    path = drafts.publish(
        draft.path,
        naming.stem(job.output.name, fields),
        f".{form.name}",
        lambda path: sidecar.beside(path, described, draft.timings, draft.picture is not None),
        {} if draft.picture is None else {outputs.PICTURE: draft.picture},
        job.output.overwrite,
    )
    return GeneratedFile(
        file=str(path),
        seed=described["seed"],
        duration=described["samples"] / form.sample_rate,
        sample_rate=form.sample_rate,
        format=form.name,
        model=claim.header.name,
        loader=claim.loader.name,
        stats=described["stats"],
        sidecar=described,
    )


def _form(output: Output, sample_rate: int) -> OutputFormat:
    return output_format(output.format, sample_rate, output.bit_depth, output.quality, output.compression)


def _channels(output: Output, model: GenerativeModel) -> int:
    """How many channels the files have. Raises `RequestError` where a model's sound is not fit for what was asked."""
    if output.two_seeds:
        if model.channels != 1:
            raise RequestError("--stereo dual_seed: this model is stereo already. Leave the option out.")
        return 2
    space = output.space
    if space is None:
        return model.channels
    if model.channels == 2 and space.mode == "stereo" and space.depth != Space(space.mode).depth:
        _warn("--spatial-depth: this model is stereo already, to which depth does nothing. Ignored.")
    return space.channels


def _precision(job: Job, model: GenerativeModel, device: str) -> str:
    """What to compute in: as asked, where the model can."""
    if job.precision in model.precisions:
        return job.precision
    kind = job.claim.loader.kind
    _warn(f"--precision {job.precision} is not supported for {kind} models on {device}. Ignored.")
    return "float32"


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


def _warn(message: str) -> None:
    warnings.warn(message, DistillWarning, 3)
