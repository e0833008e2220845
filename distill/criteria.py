"""What generated files are chosen by: from what was measured of each to those that are kept, and why."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import picking
from distill.errors import DistillError, DistillWarning
from distill.record import Record, shown
from distill.text import clean

LONGEST_COPY = "longest_copy_seconds"
"""The statistic of a sidecar that says how much of a file stands verbatim in what its model was trained on.

docs/plugins.md promises to read it.
"""
MOST_NAMED = 3
SAME_DB = 0.05
"""Sounds that are no further apart than this are told as equal: it is 0.0 dB as figures are shown."""


Points = Sequence[NDArray[np.float64]]
"""Log-mel statistics of each of some files, in dB."""


@dataclass(frozen=True)
class Pick:
    """A chosen file; why, for people; the same in `figures`, by name."""

    path: Path
    reason: str
    figures: Mapping[str, Any]


def by_diversity(paths: Sequence[Path], points: Points, keep: int) -> list[Pick]:
    """`keep` of the files at `paths`, in order: each is farthest from those before it."""
    picks: list[Pick] = []
    for choice in picking.farthest_first(np.array(points), keep):
        figure = f"{choice.figure:.1f} dB"
        other = None if choice.nearest is None else paths[choice.nearest].name
        if other is None:
            reason = f"nearest to the mean of all: {figure} from it"
        elif choice.figure < SAME_DB:
            reason = f"all that is left sounds like one before: {figure} from {clean(other)}"
        else:
            reason = f"farthest from those before: {figure} from {clean(other)}"
        figures = {"distance_db": round(choice.figure, 4), "nearest": other}
        picks.append(Pick(paths[choice.index], reason, figures))
    return picks


def by_distance(
    paths: Sequence[Path], points: Points, keep: int, recordings: Sequence[Path], known: Points
) -> list[Pick]:
    """The `keep` files that are farthest from the nearest of the `recordings`, whose statistics are `known`."""
    picks: list[Pick] = []
    for choice in picking.farthest_from(np.array(points), np.array(known), keep):
        nearest = recordings[choice.nearest or 0]
        reason = f"{_most(picks)} unlike the recordings: {choice.figure:.1f} dB from {clean(nearest.name)}"
        figures = {"distance_db": round(choice.figure, 4), "nearest": str(nearest)}
        picks.append(Pick(paths[choice.index], reason, figures))
    return picks


def by_copies(paths: Sequence[Path], seconds: Sequence[float], keep: int) -> list[Pick]:
    """The `keep` files whose longest verbatim run, in `seconds`, is the shortest. Warns where chance has a say."""
    picks: list[Pick] = []
    for choice in picking.largest_first([-one for one in seconds], keep):
        figure = seconds[choice.index]
        reason = f"{_most(picks)} unlike the recordings: longest verbatim run {figure:.2f} s"
        picks.append(Pick(paths[choice.index], reason, {LONGEST_COPY: round(figure, 4)}))
    if picks and seconds.count(figure) > (kept := sum(one.figures[LONGEST_COPY] == round(figure, 4) for one in picks)):
        warnings.warn(
            f"{seconds.count(figure)} files have a longest verbatim run of {figure:.2f} s, of which the first {kept} "
            "by name are kept. --against, with the folder of the recordings, tells them apart.",
            DistillWarning,
            2,
        )
    return picks


def by_loudness(paths: Sequence[Path], lufs: Sequence[float], keep: int) -> list[Pick]:
    """The `keep` loudest files; `lufs` is their integrated loudness."""
    picks: list[Pick] = []
    for choice in picking.largest_first(lufs, keep):
        reason = f"{'next loudest' if picks else 'loudest'}: {choice.figure:.1f} LUFS"
        picks.append(Pick(paths[choice.index], reason, {"loudness_lufs": round(choice.figure, 4)}))
    return picks


def silent(paths: Sequence[Path]) -> list[Pick]:
    """Files that nothing can be said of, for when there are no others."""
    return [Pick(path, "silent, so after all that are not", {}) for path in paths]


def copied_seconds(records: Sequence[Record]) -> list[float]:
    """How long the longest verbatim run of each file is. Raises `DistillError` where one does not say."""
    found, lacking = [], []
    for record in records:
        try:
            found.append(float(record.number("stats", LONGEST_COPY, low=0.0, high=1e9)))
        except DistillError:
            lacking.append(record)
    if lacking:
        say = f"{len(lacking)} of {len(records)} files do not" if len(lacking) > 1 else "A file does not"
        raise DistillError(
            f"{say} say how much of it stands in what its model was trained on ({LONGEST_COPY}): "
            f"{_named(lacking)}. Give the recordings with --against, or choose by diversity."
        )
    return found


def _most(picks: Sequence[Pick]) -> str:
    return "next most" if picks else "most"


def _named(records: Sequence[Record]) -> str:
    named = ", ".join(shown(record.audio or record.path) for record in records[:MOST_NAMED])
    more = len(records) - MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named
