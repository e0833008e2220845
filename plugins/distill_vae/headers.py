"""Which checkpoints are of this plugin's kind, told by their headers. Imports nothing heavy."""

from __future__ import annotations

from distill import CheckpointHeader, library
from distill.checkpoint import read_header
from distill.errors import CheckpointError, RequestError
from distill.text import clean


def is_version_1(header: CheckpointHeader) -> bool:
    """Whether the checkpoint is of the kind that this plugin loads."""
    return header.version == 1 and header.model_type in (None, "vae")


def version_1(model: str) -> CheckpointHeader:
    """The header of the version 1 checkpoint that `model`, as a user calls it, stands for.

    Raises `RequestError` where it is of another kind, `DistillError` where there is none, `CheckpointError` where it is
    damaged or no checkpoint.
    """
    path = library.resolve(model)
    header = read_header(path)
    if header is None:
        raise CheckpointError(f"{clean(str(path), 200)} is no .distill checkpoint. Give one of version 1.")
    if not is_version_1(header):
        raise RequestError(
            f"{header.name} is of another kind ({header}): only version 1 models have sliders and can be blended."
        )
    return header
