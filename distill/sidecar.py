"""The sidecar, `NAME.json` beside an audio file and in its tags: everything needed to know how it was made.

docs/sidecar.md has the schema.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from distill import outputs, paths
from distill.audio.formats import OutputFormat
from distill.checkpoint import CheckpointHeader
from distill.output import Output
from distill.registry import Claim
from distill.text import clean

SCHEMA = 2
TAG = "distill"
"""The tag that holds it in an audio file."""


def beside(path: Path, made: Mapping[str, Any], timings: Mapping[str, float], picture: bool) -> dict[str, Any]:
    """The sidecar of the file at `path`; `made` says how it was made, `timings` how many seconds that took.

    `picture`: whether there is one beside it.
    """
    drawn = path.with_suffix(outputs.PICTURE).name if picture else None
    return {"file": path.name, "picture": drawn, "schema": SCHEMA, **made, "timings": dict(timings)}


def embedded(made: Mapping[str, Any]) -> str:
    """The sidecar as the file itself carries it: without its name and what differs from run to run.

    Files travel further than folders do, so the user's own folder is `~` in it.
    """
    return json.dumps(at_home({"schema": SCHEMA, **made}), separators=(",", ":"), ensure_ascii=True)


@cache
def describe_program() -> Mapping[str, Any]:
    """The versions of this program and of what its arithmetic rests on."""
    packages = ("distill", "torch", "numpy", "soundfile", "soxr")
    return {
        **{name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def describe_output(output: Output, form: OutputFormat) -> dict[str, Any]:
    """What the files are made into."""
    space = output.space
    return {
        "format": form.name,
        "bit_depth": form.bit_depth,
        "quality": form.quality,
        "compression": form.compression,
        "two_seeds": output.two_seeds,
        "space": None if space is None else asdict(space) | {"hrtf": space.hrtf and describe_file(space.hrtf)},
        "asked_tags": dict(output.tags),
    }


def describe_models(
    claim: Claim,
    distribution: str | None,
    others: Sequence[CheckpointHeader],
    describe: Callable[[CheckpointHeader], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Which checkpoints: that of `claim` and which plugin loads it, and `others` that the options draw in.

    `describe` says of each which it is; None: `describe_checkpoint`.
    """
    each = describe or describe_checkpoint
    loaded = {"loader": claim.loader.name, "plugin": claim.plugin, "distribution": distribution}
    return {"model": {**each(claim.header), **loaded}, "other_models": [each(header) for header in others]}


def describe_checkpoint(header: CheckpointHeader) -> dict[str, Any]:
    """Which checkpoint, byte for byte. Text from the file is cleaned."""
    model_id = header.metadata.get("model_id")
    return {
        "name": header.name,
        "id": clean(model_id) if isinstance(model_id, str) else None,
        **describe_file(header.path),
        "version": header.version,
        "model_type": clean(header.model_type) if header.model_type is not None else None,
    }


def describe_file(path: Path) -> dict[str, str]:
    """Which file, byte for byte."""
    return {"path": str(path.absolute()), "sha256": sha256(path)}


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_home(value: Any) -> Any:
    """`value`, plain data of an embedded sidecar, with the user's own folder for `~`."""
    if isinstance(value, dict):
        return {key: from_home(one) for key, one in value.items()}
    if isinstance(value, list):
        return [from_home(one) for one in value]
    return str(paths.expand(value)) if isinstance(value, str) and value.startswith("~/") else value


def at_home(value: Any) -> Any:
    """`value`, plain data, with `~` for the user's own folder where a text begins with that."""
    if isinstance(value, dict):
        return {key: at_home(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [at_home(one) for one in value]
    home = _home()
    return f"~{value[len(home) :]}" if home and isinstance(value, str) and value.startswith(f"{home}/") else value


def _home() -> str | None:
    """The user's own folder; None where there is none."""
    try:
        return str(Path.home())
    except RuntimeError:
        return None
