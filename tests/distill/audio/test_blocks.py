"""Streams cut anew."""

from __future__ import annotations

import numpy as np
import pytest

from distill.audio.blocks import cut

CUTS = ([1000], [1, 999], [300, 0, 650, 50], [10] * 100)


@pytest.mark.parametrize("sizes", CUTS, ids=len)
@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_are_cut_anew_and_lose_no_sample(sizes: list[int], channels: int) -> None:
    samples = np.arange(1000 * channels, dtype=np.float32).reshape(channels, 1000)
    blocks = np.split(samples, np.cumsum(sizes)[:-1], axis=1)
    for wanted, last in ((990, [94]), (1000, [104]), (None, [104])):
        anew = list(cut(blocks, 128, wanted))
        assert [block.shape[1] for block in anew] == [128] * 7 + last
        np.testing.assert_array_equal(np.concatenate(anew, axis=1), samples[:, :wanted])


def test_a_block_comes_as_soon_as_it_is_whole() -> None:
    source = iter([np.zeros((1, 60), np.float32)] * 5)
    assert next(cut(source, 100)).shape == (1, 100)
    assert len(list(source)) == 3


def test_no_sound_is_no_block() -> None:
    assert list(cut([], 128)) == list(cut([np.zeros((1, 0), np.float32)], 128)) == []
