"""Whether a file that is there is the one that a batch wants, by what its sidecar or its tags say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from distill import sidecar
from distill.errors import RequestError
from distill.jobs import Job, file_format


def is_of(said: Mapping[str, Any], job: Job, seed: int) -> bool:
    """Whether a file whose record is `said` was made as `job` asks, from `seed`. Nothing in it is trusted."""
    rate = said.get("sample_rate")
    if not isinstance(rate, int) or job.output.sample_rate not in (None, rate):
        return False
    try:
        wanted = _facts(job, seed, rate)
    except RequestError:  # of a format that cannot have that rate
        return False
    level = said.get("level")
    found = {**said, **({} if not isinstance(level, Mapping) else {n: level.get(n) for n in ("normalize", "lufs")})}
    found["models"] = _models(said)
    return {name: found.get(name) for name in wanted} == wanted


def _facts(job: Job, seed: int, rate: int) -> dict[str, Any]:
    output, described = job.output, job.described
    form = file_format(output, rate)
    assert described is not None, "a batch knows its checkpoints"
    facts = {
        "seed": seed,
        "options": dict(job.options),
        "duration": job.duration,
        "precision": job.precision,
        **sidecar.describe_output(output, form),
        "normalize": output.normalize,
        "lufs": output.lufs if output.normalize == "loudness" else None,
        "models": _models(described),
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=str))
    return plain


def _models(said: Mapping[str, Any]) -> list[Any]:
    """The fingerprints of the checkpoints, MODEL's first, and the loader."""
    model, others = said.get("model"), said.get("other_models")
    each = [model, *(others if isinstance(others, list) else [])]
    loader = model.get("loader") if isinstance(model, Mapping) else None
    return [loader, *(one.get("sha256") if isinstance(one, Mapping) else None for one in each)]
