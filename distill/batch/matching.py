"""What was asked for of a file, from a job or from what a sidecar says: two of one text hold the same.

The only place that lists it. Nothing that a sidecar says is trusted to be what it should be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from distill import sidecar
from distill.audio.formats import output_format
from distill.errors import RequestError
from distill.jobs import Job
from distill.output import Output


def of_output(output: Output, rate: int) -> str:
    """What is asked of files at `rate` Hz. Raises `RequestError` where there are none of their format."""
    form = output_format(output.format, rate, output.bit_depth, output.quality, output.compression)
    space = None if output.space is None else asdict(output.space)
    if space is not None and space["hrtf"] is not None:
        space["hrtf"] = sidecar.sha256(space["hrtf"])
    asked = (
        form.name, form.bit_depth, form.quality, form.compression, output.two_seeds, _plain(space),
        output.normalize, output.lufs if output.normalize == "loudness" else None, sorted(output.tags.items()),
    )  # fmt: skip
    return repr(_plain(asked))


def of_job(job: Job, of_files: str) -> str:
    """What is asked of the files of `job`, all but their seeds; `of_files` is what `of_output` gives."""
    assert job.described is not None, "a batch knows its checkpoints"
    return _joined(
        of_files, job.described, job.options, job.duration, job.precision,
        [job.seeds[0], len(job.seeds)] if job.has_common_level and job.seeds else None,
    )  # fmt: skip


def of_record(said: Mapping[str, Any]) -> tuple[str, int, int] | None:
    """What a sidecar says was asked for, as `of_job` says it; the seed, and the sample rate in Hz.

    None where it is not what a sidecar of this program can say.
    """
    counts = [said.get(name) for name in ("seed", "sample_rate", "samples")]
    if not all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in counts) or not counts[1]:
        return None
    space = said.get("space")
    if isinstance(space, dict):
        hrtf = space.get("hrtf")
        space = space | {"hrtf": hrtf.get("sha256") if isinstance(hrtf, dict) else hrtf}
    try:
        if said["samples"] != round(said["duration"] * said["sample_rate"]):
            return None
        if not all(map(math.isfinite, said["stats"].values())):
            return None
        of_files = (
            *(said[name] for name in ("format", "bit_depth", "quality", "compression", "two_seeds")), space,
            said["level"]["normalize"], said["level"]["lufs"], sorted(said["asked_tags"].items()),
        )  # fmt: skip
        asked = _joined(
            repr(_plain(of_files)), said, said["options"], said["duration"], said["precision"], said.get("level_seeds")
        )
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError):
        return None
    return asked, said["seed"], said["sample_rate"]


def _joined(
    of_files: str, described: Mapping[str, Any], options: Mapping[str, Any], duration: float, precision: str,
    level_seeds: Sequence[int] | None,
) -> str:  # fmt: skip
    model = described["model"]
    asked = (
        model["name"], model["sha256"], model["loader"], [one["sha256"] for one in described["other_models"]],
        sorted([(name, _plain(value)) for name, value in options.items()]), float(duration), precision,
        level_seeds and list(level_seeds),
    )  # fmt: skip
    return f"{asked!r} {of_files}"


def is_of(said: Mapping[str, Any], job: Job, seed: int) -> bool:
    """Whether a file whose sidecar is `said` was made as `job` asks, from `seed`; whether it is drawn too, or not."""
    found = of_record(said)
    if found is None or found[1] != seed or job.output.sample_rate not in (None, found[2]):
        return False
    try:
        return found[0] == of_job(job, of_output(job.output, found[2]))
    except RequestError:  # of a format that cannot have that rate
        return False


def _plain(value: Any) -> Any:
    """`value` as JSON gives it back, so that both sides are written alike."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value)


_AS_THEY_ARE = {str, int, float, bool, type(None)}
