"""Whether a checkpoint's file is what was saved, and its weights are numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from distill import archive, checkpoint
from distill.checkpoint import CheckpointHeader
from distill.errors import CheckpointError, NotFiniteError
from distill.text import clean


def check(header: CheckpointHeader) -> None:
    """Read every byte of a `.distill` file. Does nothing with files of a plugin's own container.

    Raises `CheckpointError` where it is not what was written, or a tensor has items that are not finite.
    """
    if checkpoint.read_pickle(header.path) is None:
        return
    try:
        with header.path.open("rb") as file:
            archive.check(file)
    except archive.ArchiveError as error:
        raise CheckpointError(f"{clean(str(header.path), 200)} is damaged: {clean(str(error), 160)}.") from error
    for tensor in _tensors(checkpoint.load_contents(header)):
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise NotFiniteError("weights", header.name)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _tensors(one)
