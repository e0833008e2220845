"""Request in, finished audio out: the one path that data takes.

model chunks → the file's rate → space → exact length, faded edges → spool → level → file → tags → name → sidecar
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

from distill import devices, naming, outputs, sidecar
from distill.audio.formats import check_length
from distill.audio.space import Space
from distill.errors import CountedWarning, DistillError, DistillWarning, RequestError
from distill.finishing import Draft, Finisher, too_quiet
from distill.jobs import Job, file_format
from distill.making import Making, Settled
from distill.models import GenerativeModel
from distill.output import Output
from distill.registry import Claim
from distill.text import clean


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


def generate(
    jobs: Sequence[Job], progress: Progress, model: GenerativeModel | None = None
) -> Generator[GeneratedFile, None, None]:
    """Make the files of `jobs` in order, each given as soon as it and those before it are in place.

    They are all of one checkpoint and go into one folder; device and batch size are those of the first. `model` is the
    checkpoint's, loaded if None. What a file holds does not depend on the others, but where its job asks for a common
    level. Raises `DistillError` for what cannot be; files that are finished by then stay.
    """
    first, *_ = jobs
    for job in jobs:
        job.check()
    directory = first.output.directory
    outputs.prepare(directory)
    device = devices.choose(first.device)
    if model is None:
        model = load(first.claim, device)
    today = naming.today()
    count = 0
    for _, together in groupby(jobs, key=lambda job: id(job) if job.has_common_level else None):
        with outputs.Drafts(directory) as drafts:
            settled, refused = _settle(together, model, device, today, drafts)
            if settled:
                with closing(_drafts(model, settled, device, _later(progress, count))) as finished:
                    for one in settled:
                        described = []
                        for index, draft in enumerate(islice(finished, len(one.job.seeds))):
                            yield _publish(one, drafts, draft, index)
                            described.append(draft.described)
                        _tell_of_levels(one.job, described)
            if refused is not None:
                raise refused
            count += sum(len(one.job.seeds) for one in settled)


def load(claim: Claim, device: str) -> GenerativeModel:
    """The model of `claim` on `device`, as its loader gives it. Raises `PluginError` where it is none."""
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


def _settle(
    jobs: Iterable[Job], model: GenerativeModel, device: str, today: str, drafts: outputs.Drafts
) -> tuple[list[Settled], DistillError | None]:
    """`jobs` with what is settled once their `model` is there; up to one that cannot be, and why."""
    settled: list[Settled] = []
    for job in jobs:
        try:
            settled.append(_settled(job, model, device, job.date or today, drafts))
        except DistillError as error:
            return settled, error
    return settled, None


def _settled(job: Job, model: GenerativeModel, device: str, date: str, drafts: outputs.Drafts) -> Settled:
    output = job.output
    form = file_format(output, output.sample_rate or model.sample_rate)
    channels = _channels(output, model)
    samples = round(job.duration * form.sample_rate)
    if samples < 1:
        raise RequestError(
            f"--duration: {job.duration:g} s is less than one sample at {form.sample_rate} Hz. Give a longer one."
        )
    check_length(form, samples, channels)
    precision = _precision(job, model, device)
    made_by = {
        "program": sidecar.describe_program(),
        **(job.described or sidecar.describe_models(job.claim, job.distribution, job.models)),
        "device": device,
        "precision": precision,
        **sidecar.describe_output(output, form),
    }
    return Settled(job, form, samples, precision, Finisher(output, form, channels, made_by, date, drafts), date)


def _later(progress: Progress, before: int) -> Progress:
    """Tells `progress` of files that come after `before` others."""
    return lambda index, done, total: progress(before + index, done, total)


def _drafts(
    model: GenerativeModel, settled: Sequence[Settled], device: str, progress: Progress
) -> Generator[Draft, None, None]:
    """The files of jobs in order, without name yet.

    Where memory runs out, those that are left are begun anew in batches of half the size: what a file holds does not
    depend on that. Raises `DistillError` where it runs out with a batch of one.
    """
    size, given = settled[0].job.batch_size, 0
    is_smaller = is_told = False
    while True:
        making = Making(model, _after(settled, given), size, _later(progress, given))
        try:
            with closing(making.finished()) as finished:
                for draft in finished:
                    given += 1
                    if is_smaller and not is_told:
                        _warn("Memory ran out: going on with smaller batches. A smaller --batch-size begins with them.")
                        is_told = True
                    yield draft
        except MemoryError as error:
            if size == 1 or (given and settled[0].job.has_common_level):
                raise DistillError(
                    "Memory ran out, even with a --batch-size of 1. End other programs, or choose another --device."
                ) from error
        else:
            return
        size = size // 2 if size else SMALLER
        devices.free_memory(device)  # what the failure held is free by now
        is_smaller = True


SMALLER = 16
"""The batch size, in chunks, that is tried where one as large as memory seemed to allow was too large."""


def _after(settled: Sequence[Settled], given: int) -> list[Settled]:
    """What is left to do of jobs after so many files."""
    left = []
    for one in settled:
        seeds = one.job.seeds[given:]
        given = max(0, given - len(one.job.seeds))
        if seeds:
            left.append(replace(one, job=replace(one.job, seeds=seeds)))
    return left


def _publish(settled: Settled, drafts: outputs.Drafts, draft: Draft, index: int) -> GeneratedFile:
    """Give a finished file its name."""
    job, form, described = settled.job, settled.form, draft.described
    claim = job.claim
    fields = {
        "model": claim.header.name,
        "seed": described["seed"],
        "index": index + 1,
        "date": settled.date,
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


def _tell_of_levels(job: Job, described: Sequence[Mapping[str, Any]]) -> None:
    """Warn of those files of `job` that are not as loud as was asked, or have samples beyond full scale."""
    output, count = job.output, len(described)
    quiet = sum(map(too_quiet, described))
    clipped = sum(one["level"]["clipped_samples"] > 0 for one in described)
    if quiet:
        what = f"are quieter than {output.lufs:g} LUFS: their peaks allow no more."
        warnings.warn(CountedWarning("--lufs", quiet, count, what), stacklevel=2)
    if clipped:
        what = "have samples beyond full scale."
        warnings.warn(CountedWarning(f"--normalize {output.normalize}", clipped, count, what), stacklevel=2)


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


def _warn(message: str) -> None:
    warnings.warn(message, DistillWarning, 3)
