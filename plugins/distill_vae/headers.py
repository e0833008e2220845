"""Which checkpoints are of this plugin's kind, told by their headers. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from distill import CheckpointHeader
from distill.checkpoint import read_header
from distill.errors import CheckpointError, RequestError
from distill.text import clean


def is_version_1(header: CheckpointHeader) -> bool:
    """Whether the checkpoint is of the kind that this plugin loads."""
    return header.version == 1 and header.model_type in (None, "vae")


def version_1(path: Path) -> CheckpointHeader:
    """The header of the version 1 checkpoint at `path`.

    Raises `RequestError` where it is of another kind, `CheckpointError` where it is damaged or no checkpoint.
    """
    header = read_header(path)
    if header is None:
        raise CheckpointError(f"{clean(str(path), 200)} is no .distill checkpoint. Give one of version 1.")
    if not is_version_1(header):
        raise RequestError(
            f"{header.name} is of another kind ({header}): only version 1 models have sliders and can be blended. "
            "Give one."
        )
    return header
