"""How far one sound is from another: what training lowers, and what its figures are."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from distill.audio.mel import Spectrogram

SAMPLE_RATE = 48000
FLOOR = 1e-5
"""Magnitudes under this are silence: the floor of the logarithms."""
FILE_SECONDS = 10
"""How much of a file its distance is of: the first ten seconds."""

RESOLUTIONS = ((512, 128, 40), (1024, 256, 80), (2048, 512, 80))
"""`n_fft`, hop in samples and mel bands of the three spectrograms, at `SAMPLE_RATE`."""


class _Resolution(NamedTuple):
    n_fft: int
    hop: int
    window: Tensor
    filters: Tensor

    def log_mel(self, wave: Tensor) -> Tensor:
        """Log10 mel magnitudes `[batch, bands, frames]` of `wave [batch, samples]`."""
        reflectable = wave.shape[-1] > self.n_fft // 2
        spectrum = torch.stft(
            wave, self.n_fft, self.hop, window=self.window, center=True,
            pad_mode="reflect" if reflectable else "constant", return_complex=True,
        )  # fmt: skip
        # The root of a sum that is never zero: at zero, a magnitude has no slope.
        magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-14).sqrt()
        return (self.filters @ magnitude).clamp(min=FLOOR).log10()


@cache
@torch.inference_mode(False)  # gradients go through them later, whoever asks first
def _resolutions(device: torch.device) -> list[_Resolution]:
    found = []
    for n_fft, hop, bands in RESOLUTIONS:
        spectrogram = Spectrogram(SAMPLE_RATE, n_fft, hop, bands, power=1.0)
        found.append(_Resolution(n_fft, hop, spectrogram.window.to(device), spectrogram.filters.to(device)))
    return found


def log_mels(wave: Tensor) -> list[Tensor]:
    """Log10 mel magnitudes of `wave [batch, samples]` at 48 kHz, `[batch, bands, frames]` at each resolution."""
    return [one.log_mel(wave) for one in _resolutions(wave.device)]


def difference(sound: list[Tensor], other: list[Tensor]) -> Tensor:
    """The distance of two sounds from their `log_mels`: a scalar that has a gradient."""
    return torch.stack([(a - b).abs().mean() for a, b in zip(sound, other, strict=True)]).mean()


def distance(sound: Tensor, other: Tensor) -> Tensor:
    """The distance of `sound [batch, samples]` from `other`, at 48 kHz, full scale 1.0.

    The mean absolute difference of log10 mel magnitudes, floor 1e-5, averaged over three resolutions: 0.1 is 2 dB.
    Magnitudes are unscaled, windows periodic Hann, frames centred, mel bands HTK's without norm.
    """
    return difference(log_mels(sound), log_mels(other))


def file_distance(sound: Tensor, other: Tensor) -> float:
    """The distance over the first ten seconds of two files `[channels, samples]` at 48 kHz, each mixed to mono."""
    samples = FILE_SECONDS * SAMPLE_RATE
    first, second = (one[:, :samples].mean(dim=0, keepdim=True) for one in (sound, other))
    with torch.inference_mode():
        return float(distance(first, second))
