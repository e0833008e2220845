"""What of a generated sound stands verbatim in the recordings: an index of hashed n-grams of their codes.

Codes are compared at the coarsest two levels, which say what is heard; what follows below them is detail that hardly
ever repeats. The index tells whether a row of 2, 4, 8 or 16 frames stands in the recordings, and nothing more: it holds
hashes, no codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distill.checkpoint import malformed

ORDERS = (2, 4, 8, 16)
"""Lengths of the n-grams, in frames."""
COMPARED = 2
"""Levels, from the coarsest on."""
MOST_FRAMES = 2**26
"""Two weeks of recordings."""

Hashes = NDArray[np.uint32]
Numbers = NDArray[np.uint64]

_BASE = np.uint64(0x9E3779B97F4A7C15)
_POWERS = np.cumprod(np.full(ORDERS[-1], _BASE), dtype=np.uint64)  # overflow is what makes it a hash


class NoveltyIndex:
    """The n-grams of recordings. `whole[order]` are those of frames; of `coarse[order]` the last frame counts only by
    its coarsest code. Each is sorted."""

    def __init__(self, whole: Mapping[int, Hashes], coarse: Mapping[int, Hashes]) -> None:
        self.whole, self.coarse = whole, coarse

    @classmethod
    def of(cls, recordings: Iterable[NDArray[np.int64]]) -> NoveltyIndex:
        """The index of `recordings`, codes `[frames, num_quantizers]` each."""
        whole: dict[int, list[Hashes]] = {order: [] for order in ORDERS}
        coarse: dict[int, list[Hashes]] = {order: [] for order in ORDERS}
        for codes in recordings:
            frames, first = symbols(codes), _mixed(codes[:, 0])
            for order in ORDERS:
                if len(codes) < order:
                    continue
                windows = np.lib.stride_tricks.sliding_window_view(frames, order)
                moving = (windows != windows[:, :1]).any(axis=1)
                before = _joined(windows[:, :-1])
                whole[order].append(_hashed(before + windows[:, -1])[moving])
                coarse[order].append(_hashed(before + first[order - 1 :])[moving])
        return cls(*({n: np.unique(np.concatenate(found or [_NONE])) for n, found in one.items()}
                     for one in (whole, coarse)))  # fmt: skip

    def config(self) -> dict[str, Any]:
        """What a checkpoint says of the index: tensors, `int32` for want of unsigned ones."""
        return {
            name: {str(order): torch.from_numpy(hashes.view(np.int32)) for order, hashes in one.items()}
            for name, one in (("whole", self.whole), ("coarse", self.coarse))
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> NoveltyIndex:
        """The index in a checkpoint. Raises `CheckpointError` where it is none."""
        found: list[dict[int, Hashes]] = []
        for name in ("whole", "coarse"):
            one = config.get(name)
            if not isinstance(one, Mapping):
                raise malformed("The checkpoint's novelty index is damaged.")
            found.append({order: np.sort(_read(one.get(str(order)))) for order in ORDERS})
        return cls(*found)


def _read(tensor: object) -> Hashes:
    """The hashes in a checkpoint's `tensor`. Raises `CheckpointError` where it is none of hashes."""
    if (
        not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.int32 or tensor.dim() != 1
        or not tensor.is_contiguous() or len(tensor) > MOST_FRAMES
    ):  # fmt: skip
        raise malformed("The checkpoint's novelty index is damaged.")
    hashes: Hashes = tensor.numpy().view(np.uint32)
    return hashes


_NONE = np.zeros(0, np.uint32)


def symbols(codes: NDArray[np.int64]) -> Numbers:
    """A number for each of `codes [..., num_quantizers]`, the same where the compared levels are."""
    number = _mixed(codes[..., 0])
    for level in range(1, min(COMPARED, codes.shape[-1])):
        number = _mixed(number ^ _mixed(codes[..., level] + (level << 20)))
    return number


def _mixed(numbers: NDArray[Any]) -> Numbers:
    """Scattered over 64 bits (Steele et al., SplitMix64, 2014)."""
    x = numbers.astype(np.uint64) + _BASE
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _joined(frames: Numbers) -> Numbers:
    """A number for each row of `frames [..., n]`, in which the last weighs least."""
    joined: Numbers = (frames * _POWERS[: frames.shape[-1]][::-1]).sum(axis=-1, dtype=np.uint64)
    return joined


def _hashed(numbers: Numbers) -> Hashes:
    return (_mixed(numbers) >> np.uint64(32)).astype(np.uint32)


def _stands(hashes: Hashes, index: Hashes) -> NDArray[np.bool_]:
    """Which of `hashes [...]` are in `index`."""
    if not len(index):
        return np.zeros(hashes.shape, bool)
    where = np.searchsorted(index, hashes).clip(max=len(index) - 1)
    found: NDArray[np.bool_] = index[where] == hashes
    return found


class Copies:
    """How much of what is generated in each of `rows` stands in an index: `run` and `longest`, in frames.

    A run goes on while its last 2, 4, 8 or 16 frames, as many as are in it, stand in the recordings. Held sounds, whose
    codes do not change, begin none.
    """

    def __init__(self, index: NoveltyIndex, rows: int) -> None:
        self._index = index
        self._past = np.zeros((rows, ORDERS[-1] - 1), np.uint64)  # symbols, the latest last
        self._known = np.zeros(rows, np.int64)  # how many of them there are
        self.run = np.zeros(rows, np.int64)
        self.longest = np.zeros(rows, np.int64)

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """Begin anew in those `rows`, where another recording starts."""
        self._known[rows] = self.run[rows] = 0

    def add(self, frames: NDArray[np.int64], rows: NDArray[np.bool_], counted: bool = True) -> None:
        """Go on by `frames [rows, num_quantizers]`, in those `rows`; `counted` where they are generated."""
        added = symbols(frames)
        if counted:
            reached = np.zeros_like(self.run)
            for order in ORDERS:
                stands = self._stand(order, self._index.whole, added[:, None])[:, 0]
                longer = np.where(self.run + 1 >= order, self.run + 1, order)
                fits = (order <= self.run + 1) | (order == ORDERS[0])
                # The longest that fits decides; where it does not stand, what a shorter one has reached is the run.
                reached = np.where(fits, np.where(stands, longer, np.minimum(reached, order - 1)), reached)
            self.run = np.where(rows, reached, self.run)
            self.longest = np.maximum(self.longest, self.run)
        self._past[rows] = np.concatenate([self._past[rows, 1:], added[rows, None]], axis=1)
        self._known[rows] += 1

    def reach(self, level: int, codes: NDArray[np.int64], size: int) -> NDArray[np.float32]:
        """How far each code of a `level` would go on verbatim: `[rows, size]`, 0 for not, 0.25 for 2 frames, 1 for 16.

        `codes [rows, level]` are those of the levels before. Nothing is known of levels that are not compared.
        """
        rows = len(self._past)
        found = np.zeros((rows, size), np.float32)
        if level == 0:
            last, index = np.broadcast_to(_mixed(np.arange(size)), (rows, size)), self._index.coarse
        else:
            each = np.broadcast_to(codes[:, None, :], (rows, size, level))
            each = np.concatenate([each, np.broadcast_to(np.arange(size)[None, :, None], (rows, size, 1))], axis=2)
            last, index = symbols(each), self._index.whole
        for number, order in enumerate(ORDERS, start=1):
            found[self._stand(order, index, last)] = number / len(ORDERS)
        return found

    def _stand(self, order: int, index: Mapping[int, Hashes], last: Numbers) -> NDArray[np.bool_]:
        """Whether the past and each of `last [rows, any]` make an n-gram of the index."""
        before = _joined(self._past[:, len(self._past[0]) - (order - 1) :])
        return _stands(_hashed(before[:, None] + last), index[order]) & (self._known >= order - 1)[:, None]
