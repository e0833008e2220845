"""The convolution stacks that both versions have, with their parameters named as in the files."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from distill.audio.mel import Spectrogram
from distill.checkpoint import malformed

CHANNELS = (1, 32, 64, 128, 256)
STRIDE = 2 ** (len(CHANNELS) - 1)
MOST_PIXELS = 2**22
"""Ceiling for a chunk, whose decoding takes a hundred times as many bytes. Six minutes of 128 bands are so many."""


@dataclass(frozen=True)
class Picture:
    """The log-mel spectrum of one chunk, `[batch, 1, n_mels, frames]`, and the grid it is folded into."""

    spectrogram: Spectrogram
    frames: int

    @classmethod
    def of_chunk(cls, spectrogram: Spectrogram, config: dict[str, object]) -> Picture:
        """The picture for the `chunk_duration_s` of a training configuration (one second where it has none)."""
        seconds = config.get("chunk_duration_s", 1.0)
        if not isinstance(seconds, int | float) or not 0.05 <= seconds <= 600:
            raise malformed(f"The checkpoint's chunk_duration_s is {seconds!r}; 0.05 to 600 is needed.")
        frames = spectrogram.frames(int(seconds * spectrogram.sample_rate))
        if spectrogram.n_mels * frames > MOST_PIXELS:
            raise malformed(
                f"The checkpoint's chunks are {spectrogram.n_mels} bands of {frames} frames; "
                f"at most {MOST_PIXELS} values are decoded at a time."
            )
        return cls(spectrogram, frames)

    @property
    def grid(self) -> tuple[int, int]:
        """Height (frequency) and width (time) of the encoder's output."""
        return -(-self.spectrogram.n_mels // STRIDE), -(-self.frames // STRIDE)

    def pad(self, log_mel: Tensor) -> Tensor:
        """Zeros at the end of both axes of `[..., n_mels, frames]`, so that the strides divide it."""
        height, width = self.grid
        return F.pad(log_mel, (0, width * STRIDE - self.frames, 0, height * STRIDE - self.spectrogram.n_mels))

    def crop(self, padded: Tensor) -> Tensor:
        """The inverse of `pad`."""
        return padded[..., : self.spectrogram.n_mels, : self.frames]


def encoder_convs() -> nn.Sequential:
    """`[batch, 1, height * 16, width * 16]` to `[batch, 256, height, width]`."""
    layers: list[nn.Module] = []
    for inward, outward in pairwise(CHANNELS):
        layers += [
            nn.Conv2d(inward, outward, kernel_size=3, stride=2, padding=1),
            nn.BatchNorm2d(outward),
            nn.ReLU(),
            nn.Identity(),  # dropout, in training
        ]
    return nn.Sequential(*layers)


def decoder_deconvs() -> nn.Sequential:
    """`[batch, 256, height, width]` to `[batch, 1, height * 16, width * 16]`, not negative."""
    layers: list[nn.Module] = []
    for inward, outward in pairwise(CHANNELS[::-1]):
        layers.append(nn.ConvTranspose2d(inward, outward, kernel_size=3, stride=2, padding=1, output_padding=1))
        if outward > 1:
            layers += [nn.BatchNorm2d(outward), nn.ReLU(), nn.Identity()]
    return nn.Sequential(*layers, nn.Softplus())
