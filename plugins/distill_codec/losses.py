"""What a codec lowers: how far its sounds are from the recordings, and how much too alike they are.

Source: the spectral energy distance of Gritsenko et al., A Spectral Energy Distance for Parallel Speech Synthesis
(arXiv 2008.01160). A network that lowers a distance alone gives the middle of what could be: noise becomes a
steady buzz, which is nearer to any noise than another noise is. Here two sounds that differ in their noise are made,
and are to be near the recording but not near each other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from distill_codec.distance import difference, log_mels

UNLIKE_WEIGHT = 0.6
"""What it is worth that two sounds differ, 1 being a proper score. With less, tones are steadier."""
FINE_WEIGHT = 0.3
"""Of the spectrum in equal bins, beside the distance: within a wide mel band it tells noise from a tone."""
FINE_N_FFT, FINE_HOP = 1024, 256  # samples
FINE_FLOOR = 1e-4


class _Views(NamedTuple):
    """Log10 magnitudes of sounds: mel bands at three resolutions, and equal bins."""

    mels: list[Tensor]
    fine: Tensor

    @classmethod
    def of(cls, wave: Tensor) -> _Views:
        """The views of `wave [batch, samples]`."""
        window = torch.hann_window(FINE_N_FFT, device=wave.device)
        spectrum = torch.stft(wave, FINE_N_FFT, FINE_HOP, window=window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        return cls(log_mels(wave), (power + FINE_FLOOR**2).log10() / 2)

    def far(self, other: _Views) -> Tensor:
        return difference(self.mels, other.mels) + FINE_WEIGHT * (self.fine - other.fine).abs().mean()


def energy_distance(wave: Tensor, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of `one` and `other`, two attempts at `wave [batch, samples]`; and the mean of their distances."""
    there, first, second = map(_Views.of, (wave, one, other))
    near = (first.far(there) + second.far(there)) / 2
    distance = (difference(first.mels, there.mels) + difference(second.mels, there.mels)) / 2
    return near - UNLIKE_WEIGHT / 2 * first.far(second), distance.detach()
