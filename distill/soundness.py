"""Whether a checkpoint's file is what was saved, and its weights are numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from distill import checkpoint
from distill.checkpoint import CheckpointHeader
from distill.errors import NotFiniteError

_BLOCK = 2**22
"""Items that are looked at together."""


def check(header: CheckpointHeader) -> None:
    """Read every byte of a `.distill` file. Does nothing with files of a plugin's own container.

    Raises `CheckpointError` where it is not what was written, or cannot be loaded; `NotFiniteError` where a tensor has
    items that are not finite.
    """
    if checkpoint.read_pickle(header.path) is None:
        return
    checkpoint.check_records(header.path)
    for tensor in _tensors(checkpoint.load_contents(header)):
        if tensor.is_floating_point():
            _check_finite(tensor, header.name)


def _check_finite(tensor: torch.Tensor, model: str) -> None:
    """Look at what the file has of `tensor`, which may be less than its shape says."""
    items = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
    for start in range(0, len(items), _BLOCK):
        block = items[start : start + _BLOCK]
        if not (block if block.element_size() >= 4 else block.float()).isfinite().all():
            raise NotFiniteError("weights", model)


def _tensors(contents: Any) -> Iterator[torch.Tensor]:
    """Every tensor in `contents`, whatever dictionaries and lists it is in, each of which is looked into once."""
    waiting, seen = [contents], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            waiting += value.values() if isinstance(value, Mapping) else value
