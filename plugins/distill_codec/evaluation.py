"""What a codec is worth in figures: distances from recordings, and how its codes are used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distill_codec.corpus import Corpus, Stretch, spread
from distill_codec.distance import FILE_SECONDS, file_distance
from distill_codec.networks import Codec
from distill_codec.tokenizer import CodecTokenizer

FEW = 0.5
"""A level that uses no more than this share of its codes is warned of."""
FAR_BEHIND = 1.6
"""Held-out material this many times further away than what was trained on is warned of."""
NOT_LEARNT = 0.5
"""Distances over this (10 dB) are warned of."""
MEASURED = 100
"""Of more recordings than this, so many are measured, from the first to the last."""


@dataclass(frozen=True)
class Figures:
    """What a codec is worth.

    `distance` is the mean over the files trained on, `held_out` over those, or the stretches, that were held out, None
    where nothing was; both of at most a hundred files, and ten seconds of each. By level: how many codes are `used`,
    out of `codebook_size`, and the `perplexity` of their use. `warnings` are in plain words.
    """

    distance: float
    held_out: float | None
    used: Sequence[int]
    perplexity: Sequence[float]
    codebook_size: int
    warnings: Sequence[str] = field(default_factory=list)

    def config(self) -> dict[str, Any]:
        """What a checkpoint says of these figures: plain values."""
        return asdict(self)


def reconstruct(codec: Codec, sound: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """What `codec` makes of `sound [channels, samples]`, and the codes `[frames, num_quantizers]` in between."""
    tokenizer = CodecTokenizer(codec, str(codec.codebooks.device))
    codes = np.concatenate(list(tokenizer.encode([sound])))
    blocks = list(tokenizer.decode([codes], sound.shape[1]))
    return np.concatenate(blocks, axis=1), codes


def distances(codec: Codec, corpus: Corpus, stretches: Iterable[Stretch], uses: NDArray[np.int64]) -> list[float]:
    """The distance of each of `stretches`, at most ten seconds of it, from what `codec` makes of it.

    The codes are counted in `uses [num_quantizers, codebook_size]`.
    """
    found = []
    for stretch in stretches:
        sound = corpus.of(stretch, 0, FILE_SECONDS * corpus.sample_rate)
        made, codes = reconstruct(codec, sound)
        for level, row in enumerate(uses):
            row += np.bincount(codes[:, level], minlength=len(row))
        found.append(file_distance(torch.from_numpy(sound), torch.from_numpy(made)))
    return found


def evaluate(codec: Codec, corpus: Corpus, training: Sequence[Stretch], held_out: Sequence[Stretch]) -> Figures:
    """The figures of `codec` for what it was trained on and what was held out. `training` holds something."""
    uses = np.zeros((codec.shape.num_quantizers, codec.shape.codebook_size), np.int64)
    near = float(np.mean(distances(codec, corpus, spread(training, MEASURED), uses)))
    far = distances(codec, corpus, spread(held_out, MEASURED), np.zeros_like(uses))
    held = float(np.mean(far)) if far else None
    used = [int(np.count_nonzero(row)) for row in uses]
    figures = Figures(near, held, used, [_perplexity(row) for row in uses], codec.shape.codebook_size)
    return Figures(**{**asdict(figures), "warnings": _warnings(figures)})


def _perplexity(uses: NDArray[np.int64]) -> float:
    odds = uses[uses > 0] / uses.sum()
    return float(math.exp(-np.sum(odds * np.log(odds))))


def _warnings(figures: Figures) -> list[str]:
    found = [
        f"Level {level} uses {used} of {figures.codebook_size} codes: more audio, or a longer training, would use more."
        for level, used in enumerate(figures.used, start=1)
        if used <= FEW * figures.codebook_size
    ]
    if figures.distance > NOT_LEARNT:
        found.append(
            f"The distance is {figures.distance:.2f}, {20 * figures.distance:.0f} dB: it has not learnt these sounds "
            "yet. Train longer."
        )
    if figures.held_out is not None and figures.held_out > FAR_BEHIND * figures.distance:
        found.append(
            f"Sounds it was not trained on come out {figures.held_out / figures.distance:.1f} times further away: "
            "it knows these recordings by heart, and little beside them."
        )
    return found
