"""Paths through the latent space: sliders to a point, points to a trajectory. Plain arrays, no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.checkpoint import whole_number
from distill.errors import CheckpointError

Latent = NDArray[np.float64]
"""One point of the latent space, `[latent_dim]`."""


@dataclass(frozen=True)
class Sliders:
    """A model's sliders: `components [sliders, latent_dim]`, `mean [latent_dim]`, `step_size [sliders]`."""

    components: NDArray[np.float64]
    mean: Latent
    step_size: NDArray[np.float64]

    @classmethod
    def from_analysis(cls, analysis: Mapping[str, Any], latent_dim: int) -> Sliders:
        """The sliders in a checkpoint's `latent_analysis`. Raises `CheckpointError` where its arrays do not fit.

        The first `n_active_components` components are sliders; there may be none.
        """
        components = _finite(analysis, "pca_components", (-1, latent_dim))
        step_size = _finite(analysis, "step_size", (len(components),))
        active = whole_number(analysis, "n_active_components", high=len(components), low=0)
        return cls(components[:active], _finite(analysis, "pca_mean", (latent_dim,)), step_size[:active])

    def latent(self, positions: Mapping[int, int]) -> Latent:
        """The point where slider i stands at `positions[i]`, in [-10, 10], and the others at 0."""
        offsets = np.zeros(len(self.step_size))
        for index, position in positions.items():
            offsets[index] = position
        latent: Latent = self.mean + (offsets * self.step_size) @ self.components
        return latent


def _finite(analysis: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The array `name` of a checkpoint's analysis, which must have `shape` (-1: any length) and be finite."""
    array = analysis.get(name)
    if not (
        isinstance(array, np.ndarray)
        and array.dtype.kind == "f"
        and array.ndim == len(shape)
        and all(wanted in (-1, found) for wanted, found in zip(shape, array.shape, strict=True))
        and np.isfinite(array).all()
    ):
        wanted = str(list(shape)).replace("-1", "n")
        raise CheckpointError(f"The checkpoint's latent_analysis has no finite {name} of shape {wanted}.")
    return np.asarray(array, dtype=np.float64)


def slerp(start: Latent, end: Latent, t: float) -> Latent:
    """Spherical interpolation from `start` (t = 0) to `end` (t = 1), magnitudes kept; straight where they are parallel.

    Source: Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985.
    """
    norms = np.linalg.norm(start) * np.linalg.norm(end)
    cosine = float(start @ end / norms) if norms > 0 else 1.0
    if abs(cosine) > 0.9995:
        return (1 - t) * start + t * end
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * start + math.sin(t * angle) * end) / math.sin(angle)


def trajectory(anchor: Callable[[int], Latent], anchors: int, points: int) -> Iterator[Latent]:
    """`points` evenly spaced on the way through `anchors` (at least 2), which `anchor(i)` gives one by one."""
    for position in np.linspace(0, anchors - 1, points):
        leg = min(int(position), anchors - 2)
        yield slerp(anchor(leg), anchor(leg + 1), float(position) - leg)
