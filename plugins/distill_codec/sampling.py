"""Codes for several files at once, frame by frame, each drawn from its own seed.

A group has always the same number of rows, whatever is asked for, and is computed by one thread: so a file's codes do
not depend on how many others are made with it. Rows that are left over are sampled for nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from distill.devices import single_threaded
from distill.sampling import columns, odds
from distill.seeding import stream
from distill_codec.novelty import COMPARED, Copies, NoveltyIndex
from distill_codec.prior import Frame, Prior, Stream

ROWS = 8
"""Fewer than four are computed by other kernels, with other bits in the same row; eight cost hardly more than one."""
PIECE = 64
"""Frames sampled at a time."""
NEUTRAL = 0.5
"""The novelty at which the prior is left as it is."""
PULL = 12.0
"""How many nats a code that goes on a run of 16 verbatim frames wins at novelty 0, and loses at 1."""


@dataclass(frozen=True)
class Settings:
    """How codes are drawn: what `distill.sampling.odds` is given, and `novelty`, 0 to 1."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.0
    min_p: float = 0.0
    novelty: float = NEUTRAL

    @property
    def variation(self) -> float:
        """How far from the recordings the prior is told to be."""
        return max(0.0, 2 * self.novelty - 1)

    @property
    def pull(self) -> float:
        """What is added to the logits of a code that goes on a long verbatim run."""
        return PULL * (1 - 2 * self.novelty)


@dataclass(eq=False)
class Row:
    """One file: its `seed`, how many `frames` it needs, drawn how, and those `sampled` that are not taken yet."""

    seed: int
    frames: int
    settings: Settings
    sampled: deque[NDArray[np.int16 | np.int32]] = field(default_factory=deque)
    count: int = 0


class Group:
    """Up to `ROWS` files sampled in step, each by its own settings, after one `prompt [frames, num_quantizers]`.

    The prompt may be empty.

    Several threads may take from it. Memory grows with what is sampled and not taken, 600 bytes a second of each file.
    """

    def __init__(self, prior: Prior, index: NoveltyIndex, rows: Sequence[Row], prompt: NDArray[np.int64]) -> None:
        self._prior, self._rows = prior, rows
        settings = [row.settings for row in rows]
        settings += [settings[0]] * (ROWS - len(settings))
        self._odds = columns([(one.temperature, one.top_k, one.top_p, one.min_p) for one in settings])
        self._pulls = torch.tensor([one.pull for one in settings])[:, None]
        self._pulled = bool(self._pulls.any())
        self._prompt = prompt
        self._stream = Stream(prior, ROWS)
        self._copies = Copies(index, ROWS)
        self._device = prior.start.device
        self._starts = torch.ones(ROWS, dtype=torch.bool, device=self._device)
        self._before = torch.zeros(ROWS, prior.quantizers, dtype=torch.int64, device=self._device)
        self._variation = torch.tensor([one.variation for one in settings], device=self._device)
        self._pieces = 0
        self._lock = Lock()

    def take(self, row: Row) -> NDArray[np.int64]:
        """The next frames `[1 or more, num_quantizers]` of `row`, which must need some.

        Raises `NotFiniteError` for a damaged prior.
        """
        with self._lock:
            while not row.sampled:
                self._sample()
            return row.sampled.popleft().astype(np.int64)

    def longest_copy(self, row: Row) -> int:
        """The longest run of frames of `row` that stands verbatim in the recordings."""
        return int(self._copies.longest[self._rows.index(row)])

    def _sample(self) -> None:
        """Sample a piece for every row."""
        with single_threaded(), torch.inference_mode():
            if not self._pieces:
                self._read_prompt()
            uniforms = np.zeros((ROWS, PIECE, self._prior.quantizers))
            for number, row in enumerate(self._rows):
                uniforms[number] = stream(row.seed, "tokens", self._pieces).random(uniforms.shape[1:])
            self._pieces += 1
            made: list[list[NDArray[np.int64]]] = [[] for _ in self._rows]
            for step in torch.from_numpy(uniforms).transpose(0, 1):
                codes, ended = self._step(step)
                for number, row in enumerate(self._rows):
                    if not ended[number] and row.count < row.frames:
                        made[number].append(codes[number])
                        row.count += 1
        small = np.int16 if self._prior.end <= 2**15 else np.int32
        for row, frames in zip(self._rows, made, strict=True):
            if frames:
                row.sampled.append(np.stack(frames).astype(small))

    def _read_prompt(self) -> None:
        """Have the prior know the prompt, as far as it can look back."""
        reach = self._prior.shape.window * self._prior.shape.layers
        heard = torch.from_numpy(self._prompt[-reach - 1 :]).to(self._device)
        for number, frame in enumerate(heard):
            if number or len(heard) == len(self._prompt):  # what came before the first may not be known
                self._frame()
            self._before, self._starts = frame.expand(ROWS, -1), torch.zeros_like(self._starts)
            self._copies.add(self._before.cpu().numpy(), np.ones(ROWS, bool), counted=False)

    def _frame(self) -> Frame:
        return self._stream.next(self._before, self._starts, self._variation)

    def _step(self, uniforms: Tensor) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """A frame `[rows, num_quantizers]` for every row, or the end of a recording in its place: which rows ended."""
        prior = self._prior
        frame = self._frame()
        codes = torch.zeros_like(self._before)
        for number in range(prior.quantizers):
            logits = frame.logits().double().cpu()
            if number == 0:
                logits[:, prior.end].masked_fill_(self._starts.cpu(), -1e9)  # nothing ends where it starts
            if self._pulled and number < COMPARED:
                reach = self._copies.reach(number, codes[:, :number].cpu().numpy(), prior.end)
                logits[:, : prior.end] += self._pulls * torch.from_numpy(reach)
            allowed = odds(logits, *self._odds)
            codes[:, number] = allowed.draw(uniforms[:, number]).to(self._device)
            frame.add(codes[:, number])
        ended = codes[:, 0] == prior.end
        frames, over = codes.cpu().numpy(), ended.cpu().numpy()
        counted = ~over
        counted[len(self._rows) :] = False
        for number, row in enumerate(self._rows):
            counted[number] &= row.count < row.frames
        self._copies.add(frames, counted)
        self._copies.forget(over)
        self._before, self._starts = codes.clamp(max=prior.end - 1), ended
        return frames, over


def padded(prior: Prior) -> Prior:
    """`prior`, the head of whose coarsest level has rows of zeros up to a multiple of 16.

    Products with other numbers of columns can have other bits in other rows.
    """
    head = prior.levels[0].head
    more = -len(head.weight) % 16
    head.weight.data = F.pad(head.weight.data, (0, 0, 0, more))
    head.bias.data = F.pad(head.bias.data, (0, more), value=-1e9)
    return prior
