"""Which of many files are worth keeping: choices over arrays. What the arrays say of sounds is `audio/statistics.py`'s.

Files are numbered in an order of the caller's, by name, say: where figures are equal, the first goes first. Nothing
here depends on anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Choice:
    """File number `index` and the `figure` it was chosen by; `nearest`, the number of the other that this is about."""

    index: int
    figure: float
    nearest: int | None = None


def farthest_first(points: NDArray[np.float64], keep: int) -> list[Choice]:
    """`keep` of `points [files, statistics]`, in order: each is the farthest from all those before it.

    The first is the one nearest to the mean of all; its figure is the distance from that. The figure of the others is
    the distance from the nearest of those before. So every file is at most as far from one of those chosen as the last
    figure, which is at most twice the least that any choice of as many could have. The first of a longer choice are
    the shorter one. Source: Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer
    Science 38, 1985.
    """
    if not len(points):
        return []
    from_mean = distances(points, points.mean(axis=0))
    chosen = [Choice(int(from_mean.argmin()), float(from_mean.min()))]
    left = np.ones(len(points), bool)
    farness, nearest = np.full(len(points), np.inf), np.zeros(len(points), int)
    while len(chosen) < min(keep, len(points)):
        latest = chosen[-1].index
        left[latest] = False
        from_latest = distances(points, points[latest])
        nearest[from_latest < farness] = latest
        farness = np.minimum(farness, from_latest)
        farthest = int(np.where(left, farness, -1.0).argmax())
        chosen.append(Choice(farthest, float(farness[farthest]), int(nearest[farthest])))
    return chosen


def farthest_from(points: NDArray[np.float64], known: NDArray[np.float64], keep: int) -> list[Choice]:
    """`keep` of `points [files, statistics]`, the farthest from the nearest of `known [others, statistics]` first."""
    to_known = [distances(known, point) for point in points]
    order = largest_first([float(one.min()) for one in to_known], keep)
    return [Choice(one.index, one.figure, int(to_known[one.index].argmin())) for one in order]


def largest_first(figures: Sequence[float], keep: int) -> list[Choice]:
    """The `keep` largest of `figures`, the largest first."""
    order = sorted(range(len(figures)), key=lambda index: -figures[index])
    return [Choice(index, figures[index]) for index in order[:keep]]


def distances(points: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each of `points [files, statistics]` is from `point [statistics]`: the root mean square difference."""
    squares: NDArray[np.float64] = np.square(points - point).mean(axis=1)
    return np.sqrt(squares)
