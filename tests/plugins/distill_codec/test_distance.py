"""The distance is what its definition says, computed here anew with NumPy alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from recordings import sound

from distill_codec.distance import RESOLUTIONS, SAMPLE_RATE, distance, file_distance


def log_mel(wave: NDArray[np.float64], n_fft: int, hop: int, bands: int) -> NDArray[np.float64]:
    """Log10 mel magnitudes: periodic Hann, centred, unscaled; HTK mel scale without norm; floor 1e-5."""
    padded = np.pad(wave, n_fft // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    count = 1 + (len(padded) - n_fft) // hop
    magnitude = np.abs([np.fft.rfft(window * padded[i * hop : i * hop + n_fft]) for i in range(count)])
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 24000 / 700), bands + 2) / 2595) - 1)
    frequencies = np.arange(n_fft // 2 + 1) * SAMPLE_RATE / n_fft
    filters = [
        np.maximum(0, np.minimum((frequencies - low) / (mid - low), (high - frequencies) / (high - mid)))
        for low, mid, high in zip(edges, edges[1:], edges[2:], strict=False)
    ]
    return np.log10(np.maximum(magnitude @ np.array(filters).T, 1e-5))


@pytest.mark.parametrize("level", [1.0, 1e-6])
def test_it_is_the_mean_difference_of_log_mels_over_three_resolutions(level: float) -> None:
    """At the lower level a part of the spectrum is under the floor."""
    one, other = level * sound(0.5, pitch=300)[0], level * sound(0.5, pitch=500, seed=1)[0]
    expected = np.mean(
        [np.abs(log_mel(one.astype(float), *r) - log_mel(other.astype(float), *r)).mean() for r in RESOLUTIONS]
    )
    found = float(distance(torch.from_numpy(one)[None], torch.from_numpy(other)[None]))
    assert found == pytest.approx(expected, rel=2e-3)


def test_twice_as_loud_is_the_logarithm_of_two_away() -> None:
    wave = torch.from_numpy(sound(0.5))
    assert float(distance(wave, 2 * wave)) == pytest.approx(np.log10(2), rel=1e-4)


def test_what_is_under_the_floor_is_silence() -> None:
    silence, faint = torch.zeros(1, 24000), torch.full((1, 24000), 1e-9)
    assert float(distance(silence, faint)) == 0.0


def test_it_has_a_slope_everywhere_even_at_silence() -> None:
    made = torch.zeros(1, 24000, requires_grad=True)
    distance(made, torch.from_numpy(sound(0.5))).backward()  # type: ignore[no-untyped-call]
    assert made.grad is not None
    assert torch.isfinite(made.grad).all()


def test_of_files_the_first_ten_seconds_are_compared_in_mono() -> None:
    wave = torch.from_numpy(sound(10.5, channels=2))
    changed = wave.clone()
    changed[:, 10 * SAMPLE_RATE + 2048 :] = 0
    assert file_distance(wave, changed) == 0.0
    assert file_distance(wave, wave.flip(0)) == 0.0
    assert file_distance(wave, wave[:1]) > 0.0


@pytest.mark.parametrize("samples", [1, 100, 900])
def test_sounds_shorter_than_a_window_have_one_too(samples: int) -> None:
    assert np.isfinite(file_distance(torch.full((1, samples), 0.1), torch.zeros(1, samples)))
