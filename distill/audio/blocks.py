"""A stream cut anew into blocks of one size, so that nothing after it depends on how it came."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray


def cut(blocks: Iterable[NDArray[np.float32]], size: int, samples: int | None = None) -> Iterator[NDArray[np.float32]]:
    """`blocks [channels, any]` cut anew: each `[channels, size]`, the last one as long as is left.

    With `samples`, as long as makes so many in all; what comes after them is left out.
    """
    waiting: list[NDArray[np.float32]] = []
    held = given = 0
    for block in blocks:
        waiting.append(block if samples is None else block[:, : samples - given - held])
        held += waiting[-1].shape[1]
        while held >= (taken := size if samples is None else min(size, samples - given)) > 0:
            joined = waiting[0] if len(waiting) == 1 else np.concatenate(waiting, axis=1)
            yield joined[:, :taken]
            waiting, held, given = [joined[:, taken:]], held - taken, given + taken
    if held:
        yield np.concatenate(waiting, axis=1)


def with_context(blocks: Iterable[NDArray[Any]], size: int, context: int) -> Iterator[tuple[NDArray[Any], int, int]]:
    """`blocks [..., any]` cut anew: each `[..., size]`, the last one as long as is left, with what is around it.

    Gives the block with up to `context` before it and after it, and how much of both there is: all that is there.
    """
    held: NDArray[Any] | None = None
    before = 0
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=-1)
        while held.shape[-1] >= before + size + context:
            yield held[..., : before + size + context], before, context
            dropped = max(0, before + size - context)
            held, before = held[..., dropped:], before + size - dropped
    while held is not None and held.shape[-1] > before:
        taken = min(size, held.shape[-1] - before)
        after = min(context, held.shape[-1] - before - taken)
        yield held[..., : before + taken + after], before, after
        dropped = max(0, before + taken - context)
        held, before = held[..., dropped:], before + taken - dropped
