"""Another rate is the same sound: pitch, level and channels stay, and enough samples come."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from distill.audio.resampling import resample, samples_needed

RATES = [(48000, 44100), (44100, 48000), (48000, 96000), (48000, 8000), (22050, 192000), (16000, 44101)]


def resampled(wave: NDArray[np.float32], source: int, target: int, chunk: int) -> NDArray[np.float32]:
    """`wave [channels, samples]` at another rate, given in chunks."""
    chunks = (wave[:, i : i + chunk] for i in range(0, wave.shape[1], chunk))
    return np.concatenate(list(resample(chunks, source, target, len(wave))), axis=1)


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("samples", [1, 2, 99, 441, 4411, 100_003])
def test_the_samples_needed_make_the_samples_asked_for(source: int, target: int, samples: int) -> None:
    needed = samples_needed(samples, source, target)
    assert needed == math.ceil(samples * source / target)
    assert resampled(np.zeros((1, needed), np.float32), source, target, 1000).shape[1] >= samples


def test_the_same_rate_passes_chunks_on_untouched() -> None:
    chunk = np.ones((1, 10), np.float32)
    assert [c is chunk for c in resample([chunk], 48000, 48000, 1)] == [True]


@pytest.mark.parametrize(("source", "target"), RATES)
def test_a_tone_keeps_its_pitch_and_level_and_gains_nothing(source: int, target: int) -> None:
    t = np.arange(2 * source) / source
    wave = resampled(np.sin(2 * np.pi * 1000 * t, dtype=np.float64).astype(np.float32)[None], source, target, 4800)
    inner = wave[0, target // 4 : target // 4 + target]  # one second: bins of 1 Hz
    spectrum = np.abs(np.fft.rfft(inner * np.hanning(target))) / (target / 4)
    assert spectrum.argmax() == 1000
    assert spectrum[1000] == pytest.approx(1.0, abs=1e-3)
    spectrum[995:1006] = 0
    assert 20 * np.log10(spectrum.max()) < -100


def test_what_the_new_rate_cannot_hold_is_gone_and_not_folded_back() -> None:
    t = np.arange(48000) / 48000
    wave = resampled(np.sin(2 * np.pi * 22500 * t).astype(np.float32)[None], 48000, 44100, 4800)
    assert np.abs(wave[0, 1000:-1000]).max() < 1e-6


@pytest.mark.parametrize(("source", "target"), [(48000, 44100), (44100, 48000)])
def test_what_can_be_heard_at_the_top_keeps_its_level(source: int, target: int) -> None:
    t = np.arange(source) / source
    wave = resampled(np.sin(2 * np.pi * 20000 * t).astype(np.float32)[None], source, target, 4800)
    assert 10 * np.log10(2 * np.square(wave[0, 1000:-1000]).mean()) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("chunk", [1, 100, 12345])
def test_the_cut_into_chunks_does_not_show(chunk: int) -> None:
    wave = np.random.default_rng(0).standard_normal((1, 20000)).astype(np.float32)
    np.testing.assert_allclose(resampled(wave, 48000, 44100, chunk), resampled(wave, 48000, 44100, 20000), atol=1e-6)


def test_channels_do_not_mix() -> None:
    wave = np.random.default_rng(0).standard_normal((2, 5000)).astype(np.float32)
    both = resampled(wave, 48000, 44100, 1000)
    for channel in (0, 1):
        alone = resampled(wave[channel : channel + 1], 48000, 44100, 1000)
        np.testing.assert_array_equal(both[channel], alone[0])
