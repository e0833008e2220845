"""The sidecar, `NAME.json` beside an audio file: everything needed to know how it was made."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.checkpoint import CheckpointHeader
from distill.registry import Claim
from distill.text import clean

SCHEMA = 1


def describe(made: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The sidecar of the file at `path`; `made` says how it was made."""
    return {"file": path.name, "schema": SCHEMA, **made}


def describe_program() -> dict[str, Any]:
    """The versions of this program and of what its arithmetic rests on."""
    packages = ("distill", "torch", "numpy", "soundfile", "soxr")
    return {
        **{name: importlib.metadata.version(name) for name in packages},
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def describe_model(claim: Claim, distribution: str | None) -> dict[str, Any]:
    """Which checkpoint, byte for byte, and which plugin loaded it."""
    return {
        **describe_checkpoint(claim.header),
        "loader": claim.loader.name,
        "plugin": claim.plugin,
        "distribution": distribution,
    }


def describe_checkpoint(header: CheckpointHeader) -> dict[str, Any]:
    """Which checkpoint, byte for byte. Text from the file is cleaned."""
    model_id = header.metadata.get("model_id")
    return {
        "name": header.name,
        "id": clean(model_id) if isinstance(model_id, str) else None,
        "path": str(header.path.absolute()),
        "sha256": _sha256(header.path),
        "version": header.version,
        "model_type": clean(header.model_type) if header.model_type is not None else None,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
