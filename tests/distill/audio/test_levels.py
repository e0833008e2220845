"""A file's loudest sample is put at -1 dBFS, and its two edges do not click."""

from __future__ import annotations

import numpy as np
import pytest

from distill.audio.levels import fade_edges, gain_to_peak, to_dbfs


@pytest.mark.parametrize("peak", [1.001e-4, 0.05, 0.891, 1.0, 1.23, 500.0])
def test_a_peak_is_brought_to_minus_1_dbfs(peak: float) -> None:
    assert to_dbfs(peak * gain_to_peak(peak)) == pytest.approx(-1.0)


@pytest.mark.parametrize("peak", [0.0, 1e-9, 0.999e-4])
def test_what_is_under_minus_80_dbfs_is_left_as_it_is(peak: float) -> None:
    assert gain_to_peak(peak) == 1.0


@pytest.mark.parametrize(("peak", "level"), [(1.0, 0.0), (0.5, -6.0206), (0.1, -20.0), (0.0, None)])
def test_levels_are_decibels_below_full_scale(peak: float, level: float | None) -> None:
    assert to_dbfs(peak) == (None if level is None else pytest.approx(level, abs=1e-4))


def faded(samples: int, block: int) -> np.ndarray:
    """Two channels of ones at 48 kHz, faded in blocks of `block` samples."""
    ones = np.ones((2, samples), np.float32)
    blocks = [fade_edges(ones[:, start : start + block], start, samples, 48000) for start in range(0, samples, block)]
    return np.concatenate(blocks, axis=1)


def test_only_two_milliseconds_at_each_edge_are_faded() -> None:
    wave = faded(48000, 48000)
    assert (wave[:, 96:-96] == 1).all()
    assert (np.diff(wave[0, :97]) > 0).all()
    assert wave[0, 0] < 1e-3
    np.testing.assert_array_equal(wave, wave[:, ::-1])


@pytest.mark.parametrize("block", [1, 50, 97, 1000])
def test_a_fade_does_not_depend_on_the_cut_into_blocks(block: int) -> None:
    np.testing.assert_array_equal(faded(1000, block), faded(1000, 1000))


@pytest.mark.parametrize("samples", [1, 2, 7, 16, 100])
def test_a_short_file_keeps_its_middle(samples: int) -> None:
    wave = faded(samples, samples)
    assert wave.shape == (2, samples)
    assert (wave[:, samples // 2] == 1).all()


def test_an_empty_block_stays_empty() -> None:
    assert fade_edges(np.zeros((1, 0), np.float32), 0, 48000, 48000).shape == (1, 0)
