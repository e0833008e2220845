"""Codebooks settle on the recordings: nearer to them, more codes in use, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from checkpoints import SMALL_CODEC, codec
from torch import Tensor

from distill_codec.networks import Codec
from distill_codec.settling import USED, settle


def frames(count: int, seed: int, spread: float = 1.0) -> Tensor:
    """Latents around a few centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((5, SMALL_CODEC.latent_dim)) * 2
    around = spread * rng.standard_normal((count, SMALL_CODEC.latent_dim))
    return torch.from_numpy((centres[rng.integers(5, size=count)] + around).astype(np.float32))


def error(network: Codec, latents: Tensor) -> float:
    return float((network.embed(network.quantize(latents[None]))[0] - latents).square().mean())


def used(network: Codec, latents: Tensor) -> list[int]:
    return [len(level.unique()) for level in network.quantize(latents[None])[0].T]


@pytest.fixture
def network() -> Codec:
    """A codec whose codebooks have collapsed to a corner."""
    made = codec()
    made.codebooks.mul_(0.01).add_(1.0)
    return made


def test_codebooks_come_nearer_and_are_used(network: Codec) -> None:
    recordings, varied, other = frames(600, 1), frames(900, 2, spread=2.0), frames(600, 3)
    before, before_other = error(network, recordings), error(network, other)
    settle(network, recordings, varied, seed=0)
    assert error(network, recordings) < 0.3 * before
    assert error(network, other) < 0.4 * before_other
    assert min(used(network, recordings)) >= USED * SMALL_CODEC.codebook_size - 1


def test_it_is_the_same_every_time_and_depends_on_the_seed(network: Codec) -> None:
    start = network.codebooks.clone()
    found = []
    for seed in (0, 0, 1):
        network.codebooks = start.clone()
        settle(network, frames(300, 1), frames(300, 2), seed)
        found.append(network.codebooks.clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("count", [1, 3, 16])
def test_fewer_frames_than_codes_are_enough(network: Codec, count: int) -> None:
    recordings = frames(count, 1)
    settle(network, recordings, frames(0, 2), seed=0)
    assert torch.isfinite(network.codebooks).all()
    assert error(network, recordings) < 1e-3


def test_equal_frames_are_enough(network: Codec) -> None:
    recordings = torch.ones(50, SMALL_CODEC.latent_dim)
    settle(network, recordings, recordings, seed=0)
    assert torch.isfinite(network.codebooks).all()
    assert error(network, recordings) < 1e-6
