"""How a codec's prior learns: rows of frames cut from recordings, and what each code costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from distill import CheckpointHeader, Passage, PriorLearner
from distill.checkpoint import load_contents, section
from distill_codec.networks import Codec
from distill_codec.novelty import NoveltyIndex
from distill_codec.prior import Prior
from distill_codec.prior_shape import PriorShape
from distill_codec.tokenizer import CodecTokenizer

DROPOUT = 0.2
SMOOTHING = 0.1
"""Of what is wanted at all levels but the coarsest, the share that is spread over all codes."""
CERTAINTIES = tuple(number / 20 for number in range(4, 21))
"""Those tried."""
ROWS, ROW_FRAMES = 8, 256
"""A batch."""
BLOCK = 512
"""Frames of a passage that are measured at once, with two windows before them."""
LONGER = 20 * 60
"""With more seconds than these to learn from, the network is twice as wide."""
SMALL_CODEC = 192
"""Codecs narrower than this are meant to be small; so is their prior."""


class Batch(NamedTuple):
    """Rows of frames: what `Prior.forward` is given, and of each level what is `wanted`, -100 where nothing is."""

    before: Tensor
    now: Tensor
    starts: Tensor
    segments: Tensor
    variation: Tensor
    wanted: Tensor


def shape_for(codec: Codec, seconds: float) -> PriorShape:
    """The sizes of a new prior of `codec` that has so many seconds to learn from."""
    width = 128 if codec.shape.width < SMALL_CODEC else 160 if seconds < LONGER else 320
    return PriorShape(width=width, heads=width // 32)


class CodecPriorLearner(PriorLearner):
    """The prior of a codec."""

    def __init__(self, codec: Codec, prior: Prior, device: str) -> None:
        self.tokenizer = CodecTokenizer(codec, device)
        self.network: Prior = prior.to(device)
        self._device = device

    @classmethod
    def load(cls, header: CheckpointHeader, device: str, seconds: float) -> CodecPriorLearner:
        """The prior of a checkpoint, or a new one for its codec."""
        contents = load_contents(header)
        codec = Codec.load(section(contents, "model_state_dict"), section(contents, "codec_config"))
        if header.fields.get("has_prior"):
            prior = Prior.load(
                section(contents, "prior_state_dict"), section(contents, "prior_config"), codec.codebooks, DROPOUT
            )
            return cls(codec, prior.requires_grad_(True), device)
        return cls(codec, Prior(shape_for(codec, seconds), codec.codebooks, DROPOUT), device)

    def batch(self, passages: Sequence[Passage], odds: NDArray[np.float64], rng: np.random.Generator) -> Batch:
        rows = [self._row(passages, odds, rng) for _ in range(ROWS)]
        return Batch(*(torch.from_numpy(np.stack(parts)) for parts in zip(*rows, strict=True)))

    def _row(
        self, passages: Sequence[Passage], odds: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[Any], ...]:
        """A row of a batch: passages one after the other, the first of them from anywhere in it."""
        parts: list[tuple[NDArray[Any], ...]] = []
        held = 0
        while held < ROW_FRAMES:
            passage = passages[int(rng.choice(len(passages), p=odds))]
            steps = len(passage.codes) + passage.ends
            first = int(rng.integers(-ROW_FRAMES // 2, max(1, steps - ROW_FRAMES // 4))) if not parts else 0
            parts.append(self._part(passage, max(0, first), min(steps, max(0, first) + ROW_FRAMES - held), len(parts)))
            held += len(parts[-1][1])
        return tuple(np.concatenate(one) for one in zip(*parts, strict=True))

    def _part(self, passage: Passage, first: int, stop: int, segment: int) -> tuple[NDArray[Any], ...]:
        """The steps `first` to `stop` of a passage, after whose frames comes its end."""
        codes = passage.codes
        steps = np.arange(first, stop)
        is_end = steps == len(codes)
        now = codes[np.minimum(steps, len(codes) - 1)]
        wanted = now.copy()
        wanted[is_end] = -100
        wanted[is_end, 0] = self.network.end
        if first == 0 and not passage.starts:
            wanted[0] = -100  # what comes before it is not known
        return (
            codes[np.maximum(steps - 1, 0)], now, (steps == 0) & passage.starts, np.full(len(steps), segment),
            np.full(len(steps), passage.variation, np.float32), wanted,
        )  # fmt: skip

    def loss(self, batch: Batch) -> Tensor:
        batch = Batch(*(tensor.to(self._device) for tensor in batch))
        logits = self.network(*batch[:-1])
        costs = [
            F.cross_entropy(
                level.flatten(0, 1),
                batch.wanted[..., number].flatten(),
                reduction="sum",
                label_smoothing=SMOOTHING if number else 0.0,
            )
            for number, level in enumerate(logits)
        ]
        return torch.stack(costs).sum() / (batch.wanted[..., 0] >= 0).sum()

    def settle(self, held_out: Sequence[Passage]) -> None:
        costs = sum(self._costs(one, CERTAINTIES).sum(dim=1) for one in held_out)
        if isinstance(costs, Tensor):  # [certainties, levels]
            best = torch.tensor(CERTAINTIES)[costs.argmin(dim=0).cpu()]
            self.network.certainty.copy_(best)

    def bits(self, passage: Passage) -> NDArray[np.float64]:
        [costs] = self._costs(passage, (None,))
        found: NDArray[np.float64] = costs.double().cpu().numpy() / math.log(2)
        return found

    def _costs(self, passage: Passage, certainties: Sequence[float | None]) -> Tensor:
        """What frames of `passage` that count cost in nats, `[certainties, frames, levels]`; None is as it is."""
        stops = range(passage.first + BLOCK, len(passage.codes) + BLOCK, BLOCK)
        return torch.cat([self._costs_of(passage, stop - BLOCK, stop, certainties) for stop in stops], dim=1)

    def _costs_of(self, passage: Passage, start: int, stop: int, certainties: Sequence[float | None]) -> Tensor:
        """The same for the frames `start` to `stop`."""
        first = max(0, start - 2 * self.network.shape.window)
        parts = self._part(passage, first, min(stop, len(passage.codes)), 0)
        *shown, wanted = (torch.from_numpy(one).to(self._device)[None] for one in parts)
        self.network.eval()
        with torch.inference_mode():
            logits = self.network(*shown)
            return torch.stack([
                torch.stack([self._cost(number, level, wanted, one) for number, level in enumerate(logits)], dim=-1)
                for one in certainties
            ])[:, start - first :]  # fmt: skip

    def _cost(self, number: int, logits: Tensor, wanted: Tensor, certainty: float | None) -> Tensor:
        """What a level's codes cost `[frames]` by logits `[1, frames, codes]`, were its certainty another."""
        scale = 1.0 if certainty is None else certainty / self.network.certainty[number]
        return F.cross_entropy(logits[0] * scale, wanted[0, :, number], reduction="none")

    def levels(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
        return codes, self.network.end

    def contents(self, recordings: Sequence[Passage], steps: int) -> Mapping[str, Any]:
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
        return {
            "prior_config": self.network.shape.config(),
            "prior_state_dict": tensors,
            "novelty_index": NoveltyIndex.of(one.codes for one in recordings).config(),
        }
