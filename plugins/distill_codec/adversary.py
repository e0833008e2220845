"""The adversarial loss, an option where a GPU pays for it: discriminators that look at complex spectrograms.

Source: the multi-resolution discriminator of Jang et al., UnivNet (arXiv 2106.07889), on complex STFTs as in DAC
(arXiv 2306.06546), with hinge and feature-matching losses as in Vocos (arXiv 2306.00814).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128))
"""FFT size and hop, in samples."""
CHANNELS = 32
FEATURES_WEIGHT, HINGE_WEIGHT = 2 / 15, 1 / 15
"""Beside a mel loss that weighs 1 (DAC's are 2, 1 and 15)."""


class Discriminator(nn.Module):
    """Scores `wave [batch, samples]` at one resolution; gives every layer's output, the score last."""

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.window: Tensor
        norm = nn.utils.parametrizations.weight_norm
        self.layers = nn.ModuleList(
            [norm(nn.Conv2d(2, CHANNELS, (3, 9), padding=(1, 4)))]
            + [norm(nn.Conv2d(CHANNELS, CHANNELS, (3, 9), stride=(1, 2), padding=(1, 4))) for _ in range(3)]
            + [norm(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)), norm(nn.Conv2d(CHANNELS, 1, 3, padding=1))]
        )

    def forward(self, wave: Tensor) -> list[Tensor]:
        spectrum = torch.stft(wave, self.n_fft, self.hop, window=self.window, return_complex=True)
        x = torch.stack([spectrum.real, spectrum.imag], dim=1).transpose(2, 3)  # [batch, 2, frames, bins]
        outputs = []
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number < len(self.layers) - 1:
                x = F.leaky_relu(x, 0.1)
            outputs.append(x)
        return outputs


class Adversary(nn.Module):
    """Discriminators at several resolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(Discriminator(*resolution) for resolution in RESOLUTIONS)

    def forward(self, wave: Tensor) -> list[list[Tensor]]:
        """Every layer's output of each discriminator for `wave [batch, channels, samples]`."""
        return [discriminator(wave.flatten(0, 1)) for discriminator in self.discriminators]


def adversary_loss(real: list[list[Tensor]], made: list[list[Tensor]]) -> Tensor:
    """What the discriminators lower: hinges at a score of 1 for what is real, -1 for what is made."""
    pairs = zip(real, made, strict=True)
    return torch.stack([F.relu(1 - r[-1]).mean() + F.relu(1 + m[-1]).mean() for r, m in pairs]).mean()


def codec_loss(real: list[list[Tensor]], made: list[list[Tensor]]) -> Tensor:
    """What the codec lowers beside its distance: the hinge of its score, and how far features are from real ones."""
    hinge = torch.stack([F.relu(1 - m[-1]).mean() for m in made]).mean()
    features = torch.stack(
        [
            (one - other.detach()).abs().mean() / other.detach().abs().mean().clamp(min=1e-6)
            for r, m in zip(real, made, strict=True)
            for other, one in zip(r[:-1], m[:-1], strict=True)
        ]
    ).mean()
    return HINGE_WEIGHT * hinge + FEATURES_WEIGHT * features
