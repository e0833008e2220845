"""What stands verbatim in the recordings is found, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distill.errors import CheckpointError
from distill_codec.novelty import ORDERS, Copies, NoveltyIndex

Codes = NDArray[np.int64]


def recording(frames: int, seed: int, size: int = 40) -> Codes:
    return np.random.default_rng(seed).integers(size, size=(frames, 3))


def longest(index: NoveltyIndex, codes: Codes) -> int:
    copies = Copies(index, 1)
    for frame in codes:
        copies.add(frame[None], np.ones(1, bool))
    return int(copies.longest[0])


def longest_by_search(recordings: list[Codes], codes: Codes) -> int:
    """The longest run of two levels of `codes` in any of `recordings`, every place tried. One frame is no run."""
    best = 0
    for heard in recordings:
        same = (codes[:, None, :2] == heard[None, :, :2]).all(axis=2)
        for offset in range(-len(codes), len(heard)):
            run = 0
            for one in np.diagonal(same, offset):
                run = run + 1 if one else 0
                best = max(best, run)
    return best if best > 1 else 0


@pytest.mark.parametrize("size", [4, 40])
def test_the_longest_run_is_what_a_search_finds(size: int) -> None:
    """Sounds pasted from pieces of recordings, of all lengths around those of the n-grams."""
    recordings = [recording(200, seed, size) for seed in range(3)]
    index = NoveltyIndex.of(recordings)
    rng = np.random.default_rng(9)
    exact = 0
    for trial in range(40):
        pieces = []
        for _ in range(4):
            length = int(rng.integers(1, 30))
            heard, at = recordings[rng.integers(3)], int(rng.integers(0, 200 - length))
            pieces += [heard[at : at + length], recording(int(rng.integers(1, 4)), 100 + trial, size)]
        pasted = np.concatenate(pieces)
        wanted, found = longest_by_search(recordings, pasted), longest(index, pasted)
        # Chains of n-grams that overlap by half may be told as one run; frames that are held begin none.
        assert wanted - 3 <= found <= wanted + 8
        exact += found == wanted
    assert exact >= 30


def test_levels_that_are_not_compared_do_not_matter() -> None:
    heard = recording(60, 1)
    index = NoveltyIndex.of([heard])
    other = heard.copy()
    other[:, 2] += 1
    assert longest(index, other) == 60
    other[30, 1] += 1
    assert longest(index, other) == 30


def test_a_held_sound_is_no_copy() -> None:
    held = np.full((80, 3), 7)
    index = NoveltyIndex.of([np.concatenate([recording(20, 1), held])])
    assert longest(index, held) == 0


def test_what_is_prompted_is_heard_and_not_counted_and_a_start_forgets() -> None:
    heard = recording(60, 1)
    copies = Copies(NoveltyIndex.of([heard]), 2)
    both = np.ones(2, bool)
    for frame in heard[:20]:
        copies.add(np.stack([frame, frame]), both, counted=False)
    for frame in heard[20:25]:
        copies.add(np.stack([frame, frame]), both)
    assert copies.longest.tolist() == [6, 6]  # the first two frames stand in it with the one before
    copies.forget(np.array([True, False]))
    for frame in heard[25:30]:
        copies.add(np.stack([frame, frame]), both)
    assert copies.longest.tolist() == [6, 11]


def test_how_far_each_code_would_go_on_verbatim() -> None:
    heard = recording(60, 1)
    copies = Copies(NoveltyIndex.of([heard]), 1)
    for number, frame in enumerate(heard[:40]):
        if number in (1, 3, 7, 15, 39):
            reach = copies.reach(0, np.zeros((1, 0), np.int64), 40)[0]
            known = sum(order <= number + 1 for order in ORDERS) / len(ORDERS)
            assert reach[frame[0]] == known
            assert np.count_nonzero(reach == known) == 1
            finer = copies.reach(1, frame[None, :1], 40)[0]
            assert finer[frame[1]] == known
        copies.add(frame[None], np.ones(1, bool))


def test_an_index_comes_back_from_a_file_and_a_damaged_one_is_refused() -> None:
    heard = recording(60, 1)
    config = NoveltyIndex.of([heard]).config()
    assert longest(NoveltyIndex.from_config(config), heard) == 60
    for damage in (
        {"whole": 3},
        {"whole": {}},
        {"coarse": config["coarse"] | {"4": torch.zeros(3)}},
        {"coarse": config["coarse"] | {"4": torch.zeros(3, 3, dtype=torch.int32)}},
    ):
        with pytest.raises(CheckpointError, match="novelty index is damaged"):
            NoveltyIndex.from_config(config | damage)


def test_recordings_too_short_for_an_n_gram_are_no_trouble() -> None:
    index = NoveltyIndex.of([recording(1, 0), recording(3, 1)])
    assert longest(index, recording(3, 1)) == 3
    assert longest(NoveltyIndex.of([]), recording(3, 1)) == 0
