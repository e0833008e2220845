"""Choices over arrays: far apart, of one order, and the same whatever the order of the files."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from distill.picking import distances, farthest_first, farthest_from, largest_first

Points = NDArray[np.float64]
POINTS = st.integers(1, 8).flatmap(lambda n: arrays(np.float64, (n, 2), elements=st.integers(-20, 20).map(float)))


def radius(points: Points, centres: list[int]) -> float:
    """How far the farthest of the points is from the nearest of some of them."""
    return float(min_distances(points, centres).max())


def min_distances(points: Points, centres: list[int]) -> Points:
    return np.min([distances(points, points[centre]) for centre in centres], axis=0)


@given(POINTS, st.integers(1, 8))
def test_no_file_is_twice_as_far_from_those_chosen_as_the_best_choice_could_have_it(points: Points, keep: int) -> None:
    chosen = [one.index for one in farthest_first(points, keep)]
    best = min(radius(points, list(some)) for some in combinations(range(len(points)), len(chosen)))
    assert radius(points, chosen) <= 2 * best + 1e-9


@given(POINTS)
def test_each_is_the_farthest_from_those_before_and_its_figure_says_how_far(points: Points) -> None:
    choices = farthest_first(points, len(points))
    for count in range(1, len(choices)):
        farness = min_distances(points, [one.index for one in choices[:count]])
        choice = choices[count]
        assert choice.figure == farness[choice.index] == farness.max()
        assert choice.nearest is not None
        assert distances(points, points[choice.nearest])[choice.index] == choice.figure
        assert choice.nearest in [one.index for one in choices[:count]]


@given(POINTS, st.integers(1, 10))
def test_every_file_is_chosen_once_and_a_shorter_choice_is_the_beginning_of_a_longer(points: Points, keep: int) -> None:
    whole = farthest_first(points, len(points) + 5)
    assert sorted(one.index for one in whole) == list(range(len(points)))
    assert farthest_first(points, keep) == whole[:keep]


@given(st.permutations(range(6)))
def test_the_order_of_the_files_changes_nothing(order: list[int]) -> None:
    points = np.random.default_rng(7).normal(size=(6, 3))
    chosen = [one.index for one in farthest_first(points, 4)]
    assert [order[one.index] for one in farthest_first(points[order], 4)] == chosen


def test_the_first_is_the_nearest_to_the_mean() -> None:
    first, *_ = farthest_first(np.array([[0.0], [4.0], [5.0], [10.0]]), 1)
    assert (first.index, first.figure, first.nearest) == (2, pytest.approx(0.25), None)


def test_of_equal_files_the_first_is_chosen_and_the_others_last() -> None:
    points = np.array([[0.0], [9.0], [9.0], [0.0], [4.0], [9.0]])
    choices = farthest_first(points, 6)
    assert [(one.index, one.figure, one.nearest) for one in choices] == [
        (4, pytest.approx(7 / 6), None), (1, 5.0, 4), (0, 4.0, 4), (2, 0.0, 1), (3, 0.0, 0), (5, 0.0, 1),
    ]  # fmt: skip


def test_far_from_what_is_known_is_far_from_the_nearest_of_it() -> None:
    points, known = np.array([[1.0], [5.0], [21.0]]), np.array([[0.0], [20.0]])
    assert [(one.index, one.figure, one.nearest) for one in farthest_from(points, known, 2)] == [(1, 5.0, 0), (0, 1, 0)]


def test_the_largest_come_first_and_of_equal_ones_the_first() -> None:
    assert [one.index for one in largest_first([1.0, 3.0, 2.0, 3.0], 3)] == [1, 3, 2]


def test_of_no_files_none_are_chosen() -> None:
    none = np.array([])
    assert farthest_first(none, 3) == farthest_from(none, np.zeros((1, 2)), 3) == largest_first([], 3) == []
