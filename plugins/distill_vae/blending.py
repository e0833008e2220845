"""Averages of several models, exact where they agree: of latents, of spectra, of streams of sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from distill_vae.latents import Latent

Averaged = TypeVar("Averaged", Latent, NDArray[np.float32], Tensor)


def shares(weights: Sequence[float]) -> list[float]:
    """`weights`, none of them negative, normalised to the sum 1; equal, where all are 0."""
    largest = max(weights)
    if largest == 0:
        return [1 / len(weights)] * len(weights)
    scaled = [weight / largest for weight in weights]  # so that no sum is infinite
    return [weight / sum(scaled) for weight in scaled]


def average(values: Sequence[Averaged], shares: Sequence[float]) -> Averaged:
    """The mean of `values` by their `shares`, which sum to 1.

    As the first with its share of the others' differences from it: to the bit the first where all are alike.
    """
    first = mean = values[0]
    for value, share in zip(values[1:], shares[1:], strict=True):
        mean = mean + share * (value - first)
    return mean
