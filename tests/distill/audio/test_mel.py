"""Mel spectra follow the settings that checkpoints carry, and odd settings are named."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from distill.audio.mel import Spectrogram
from distill.errors import CheckpointError


@pytest.mark.parametrize(
    "settings",
    [
        Spectrogram(),
        Spectrogram(sample_rate=22050, n_fft=1024, hop_length=256, n_mels=80, f_min=20.0, f_max=8000.0),
    ],
    ids=["reference", "another"],
)
def test_filters_are_htk_triangles(settings: Spectrogram) -> None:
    top = settings.f_max or settings.sample_rate / 2
    mels = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (settings.f_min, top)), settings.n_mels + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    frequencies = np.fft.rfftfreq(settings.n_fft, 1 / settings.sample_rate)
    triangles = [np.interp(frequencies, edges[i : i + 3], [0, 1, 0]) for i in range(settings.n_mels)]
    np.testing.assert_allclose(settings.filters, triangles, atol=2e-4)


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 513, 48000, 48128])
def test_enough_frames_are_asked_for_and_no_more(samples: int) -> None:
    settings = Spectrogram()
    frames = settings.frames_for(samples)
    assert (frames - 2) * settings.hop_length < samples <= (frames - 1) * settings.hop_length


def test_a_second_has_94_frames() -> None:
    settings = Spectrogram()
    assert settings.frames(48000) == settings.mel(torch.zeros(48000)).shape[-1] == 94


@pytest.mark.parametrize("frequency", [110.0, 1000.0, 9000.0])
def test_a_sine_is_loudest_in_its_own_band(frequency: float) -> None:
    settings = Spectrogram()
    wave = torch.sin(2 * torch.pi * frequency * torch.arange(48000) / 48000)
    loudest = settings.log_mel(wave).mean(dim=1).argmax()
    mels = [2595 * np.log10(1 + f / 700) for f in (frequency, 24000)]
    assert abs(int(loudest) - (mels[0] / mels[1] * 129 - 1)) <= 1


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_log_mel_spectrum_is_log_1_plus_the_filtered_magnitudes_of_reflected_centred_frames(power: float) -> None:
    settings = Spectrogram(n_fft=512, hop_length=128, n_mels=40, power=power)
    wave = np.random.default_rng(0).standard_normal(2000).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, 256, mode="reflect"), 512)[::128]
    magnitudes = np.abs(np.fft.rfft(frames * np.hanning(513)[:-1])).T
    expected = np.log(1 + settings.filters.numpy() @ magnitudes**power)
    np.testing.assert_allclose(settings.log_mel(torch.from_numpy(wave)), expected, rtol=1e-4, atol=1e-4)


def test_settings_are_read_back(tmp_path: object) -> None:
    settings = Spectrogram(n_mels=80, f_max=8000.0)
    assert Spectrogram.from_config(asdict(settings) | {"more": 1}) == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate", 48000.5), ("sample_rate", 0), ("n_fft", None), ("n_fft", 10**9), ("hop_length", 0),
        ("hop_length", 1025), ("n_mels", True), ("n_mels", 10**9), ("f_min", -1.0), ("f_max", "high"),
        ("power", float("nan")), ("power", 0),
    ],
)  # fmt: skip
def test_an_odd_setting_is_named(name: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=rf"spectrogram_config has (a )?{name}"):
        Spectrogram.from_config(asdict(Spectrogram()) | {name: value})


@pytest.mark.parametrize("config", [None, [], "text"])
def test_settings_that_are_no_dictionary_are_missing(config: object) -> None:
    with pytest.raises(CheckpointError, match="has no spectrogram_config"):
        Spectrogram.from_config(config)
