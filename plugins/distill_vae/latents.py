"""Paths through the latent space: sliders to a point, points to a trajectory. Plain arrays, no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import CheckpointHeader
from distill.checkpoint import load_contents, malformed, whole_number
from distill.text import clean
from distill_vae.labels import POSITION

Latent = NDArray[np.float64]
"""One point of the latent space, `[latent_dim]`."""

Range = tuple[int, int]
"""The lowest and the highest position of a slider."""


@dataclass(frozen=True)
class Sliders:
    """A model's sliders: `components [sliders, latent_dim]`, `mean [latent_dim]`, `step_size [sliders]`.

    `safe` holds most of what the model was trained on, `warning` nearly all of it: positions, one pair a slider.
    `variance [sliders]` is the share of it that lies along each. `correlations` says how each slider goes with features
    of the sound, by name, from -1 to 1. Where the file does not say: all positions, None, nothing.
    """

    components: NDArray[np.float64]
    mean: Latent
    step_size: NDArray[np.float64]
    safe: tuple[Range, ...]
    warning: tuple[Range, ...]
    variance: NDArray[np.float64] | None
    correlations: Mapping[str, NDArray[np.float64]]

    @classmethod
    def load(cls, header: CheckpointHeader) -> Sliders | None:
        """Those of the checkpoint, without its networks; None where it has no latent analysis."""
        contents = load_contents(header)
        analysis = contents.get("latent_analysis")
        return cls.from_analysis(analysis, latent_dim(contents)) if isinstance(analysis, dict) else None

    @classmethod
    def from_analysis(cls, analysis: Mapping[str, Any], latent_dim: int) -> Sliders:
        """The sliders in a checkpoint's `latent_analysis`. Raises `CheckpointError` where its arrays do not fit.

        The first `n_active_components` components are sliders; there may be none.
        """
        components = _finite(analysis, "pca_components", (-1, latent_dim))
        count = len(components)
        active = whole_number(analysis, "n_active_components", high=count, low=0)
        step_size = _finite(analysis, "step_size", (count,))[:active]
        told = analysis.get("explained_variance_ratio") is not None
        return cls(
            components[:active],
            _finite(analysis, "pca_mean", (latent_dim,)),
            step_size,
            _ranges(analysis, "safe", step_size, count),
            _ranges(analysis, "warning", step_size, count),
            _finite(analysis, "explained_variance_ratio", (count,))[:active] if told else None,
            _correlations(analysis.get("feature_correlations"), active),
        )

    def __len__(self) -> int:
        return len(self.step_size)

    def latent(self, positions: Mapping[int, int]) -> Latent:
        """The point where slider i stands at `positions[i]`, in [-10, 10], and the others at 0."""
        offsets = np.zeros(len(self))
        for index, position in positions.items():
            offsets[index] = position
        latent: Latent = self.mean + (offsets * self.step_size) @ self.components
        return latent

    def draw(self, chance: np.random.Generator) -> dict[int, int]:
        """A position for every slider, each in its safe range as likely as another."""
        return {index: int(chance.integers(low, high + 1)) for index, (low, high) in enumerate(self.safe)}

    def beyond_safe(self, positions: Mapping[int, int]) -> dict[int, int]:
        """Those of `positions`, by index, that are outside the safe range."""
        return {i: p for i, p in positions.items() if not self.safe[i][0] <= p <= self.safe[i][1]}


def latent_dim(contents: Mapping[str, Any]) -> int:
    """The size of a checkpoint's latents."""
    return whole_number(contents, "latent_dim", 2**14)


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
        raise malformed(f"The checkpoint's latent_analysis has no finite {name} of shape {wanted}.")
    return np.asarray(array, dtype=np.float64)


def _ranges(analysis: Mapping[str, Any], zone: str, step_size: NDArray[np.float64], count: int) -> tuple[Range, ...]:
    """The positions in a zone of the analysis, "safe" or "warning", of each slider; the file has them as distances."""
    if analysis.get(f"{zone}_min") is None or analysis.get(f"{zone}_max") is None:
        return ((-POSITION, POSITION),) * len(step_size)
    low, high = (_finite(analysis, f"{zone}_{end}", (count,)) for end in ("min", "max"))
    return tuple(_positions(*one) for one in zip(low.tolist(), high.tolist(), step_size.tolist(), strict=False))


def _positions(low: float, high: float, step: float) -> Range:
    """The whole positions from `low` to `high`, distances from the mean; 0, where there are none."""
    if step == 0:
        return -POSITION, POSITION
    ends = sorted((low / step, high / step))
    tolerance = 1e-4  # the file has them in single precision: 9.9999999 steps are 10
    first = max(-POSITION, math.ceil(max(ends[0], -2 * POSITION) - tolerance))
    last = min(POSITION, math.floor(min(ends[1], 2 * POSITION) + tolerance))
    return (first, last) if first <= last else (0, 0)


def _correlations(found: object, active: int) -> dict[str, NDArray[np.float64]]:
    """The features of a checkpoint's analysis with a figure for each slider; those that have not are left out."""
    features = found if isinstance(found, dict) else {}
    read = {}
    for name, figures in features.items():
        row = figures.tolist() if isinstance(figures, np.ndarray) and figures.ndim == 1 else figures
        if isinstance(row, list) and len(row) >= active and all(_is_correlation(r) for r in row[:active]):
            read[clean(name, 40)] = np.array(row[:active], dtype=np.float64)
    return read


def _is_correlation(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1.001 <= value <= 1.001


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
