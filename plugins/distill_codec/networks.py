"""The codec: waveforms to codes and back. Three parts that can be named: encoder, codebooks, decoder.

Source of the parts: Siuzdak, Vocos (arXiv 2306.00814) for ConvNeXt blocks that keep the frame rate and a head that
predicts magnitude and phase; Kumar et al., DAC (arXiv 2306.06546) for the residual quantizer. What runs beside the
blocks, a linear map from log-mel to latents and one from latents to log magnitudes, is ours (docs/decisions/codec.md).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.audio.mel import Spectrogram
from distill.checkpoint import load_weights
from distill.seeding import stream
from distill_codec.distance import FLOOR
from distill_codec.shape import Shape

LOUDEST = 7.0
"""The largest log magnitude that the decoder gives: a sine at full scale has 6.2."""
NOISE_FRAMES = 64
"""Frames of codes whose noise is drawn together."""


class Block(nn.Module):
    """A ConvNeXt block (arXiv 2201.03545) over time: `[batch, frames, width]` to the same."""

    def __init__(self, width: int, kernel: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 3 * width)
        self.contract = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.norm(self.depthwise(x.transpose(1, 2)).transpose(1, 2))
        out: Tensor = x + self.scale * self.contract(F.gelu(self.expand(mixed)))
        return out


class Across(nn.Conv1d):
    """A convolution over `[batch, frames, inward]`, which keeps the number of frames."""

    def __init__(self, inward: int, outward: int, kernel: int) -> None:
        super().__init__(inward, outward, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class Encoder(nn.Module):
    """Log-mel frames `[batch, stride * frames, channels * n_mels]` to latents `[batch, frames, latent_dim]`.

    A linear map of the frames, and what the blocks add to it.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        fine, coarse = shape.encoder_blocks
        inward = shape.channels * shape.n_mels
        self.stride = shape.stride
        self.linear = nn.Linear(shape.stride * inward, shape.latent_dim)
        self.embed = Across(inward, shape.width, shape.kernel)
        self.norm = nn.LayerNorm(shape.width)
        self.fine = _blocks(shape, fine, fine + coarse)
        self.down = nn.Linear(shape.stride * shape.width, shape.width)
        self.coarse = _blocks(shape, coarse, fine + coarse)
        self.last_norm = nn.LayerNorm(shape.width)
        self.project = nn.Linear(shape.width, shape.latent_dim)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.fine(self.norm(self.embed(frames)))
        x = self.down(_folded(x, self.stride))
        added: Tensor = self.project(self.last_norm(self.coarse(x)))
        out: Tensor = self.linear(_folded(frames, self.stride)) + added
        return out


class Spectra(NamedTuple):
    """What a decoder makes of latents, `[batch, stride * frames, channels * bins]` each.

    `magnitude`; `phase` in radians; `noisiness`, how far noise turns the phase either way, in radians up to pi.
    """

    magnitude: Tensor
    phase: Tensor
    noisiness: Tensor


class Decoder(nn.Module):
    """Latents `[batch, frames, latent_dim]` to `Spectra`, and these to waveforms.

    The log magnitudes are a linear map of the latents, and what the blocks add to it; the phases come from the blocks,
    which say as well how much of each is noise.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        coarse, fine = shape.decoder_blocks
        self.stride, self.channels = shape.stride, shape.channels
        bins = shape.channels * shape.bins
        self.linear = nn.Linear(shape.latent_dim, shape.stride * bins)
        self.embed = Across(shape.latent_dim, shape.width, shape.kernel)
        self.norm = nn.LayerNorm(shape.width)
        self.coarse = _blocks(shape, coarse, fine + coarse)
        self.up = nn.Linear(shape.width, shape.stride * shape.width)
        self.fine = _blocks(shape, fine, fine + coarse)
        self.last_norm = nn.LayerNorm(shape.width)
        self.magnitude = nn.Linear(shape.width, bins)
        self.phase = nn.Linear(shape.width, bins)
        self.noisiness = nn.Linear(shape.width, bins)
        self.inverse = InverseStft(shape.n_fft, shape.hop_length)

    def forward(self, latents: Tensor) -> Spectra:
        x = self.coarse(self.norm(self.embed(latents)))
        x = self.last_norm(self.fine(_unfolded(self.up(x), self.stride)))
        magnitude = self.magnitude(x) + _unfolded(self.linear(latents), self.stride)
        return Spectra(
            magnitude.float().clamp(max=LOUDEST).exp(), self.phase(x).float(),
            math.pi * self.noisiness(x).float().sigmoid(),
        )  # fmt: skip

    def sound(self, spectra: Spectra, noise: Tensor) -> Tensor:
        """Waveforms `[batch, channels, samples]` of `spectra`, whose phases `noise` turns: -1 to 1, of their shape."""
        turned = torch.polar(spectra.magnitude, spectra.phase + spectra.noisiness * noise)
        batch, frames, _ = turned.shape
        wave: Tensor = self.inverse(turned.view(batch, frames, self.channels, -1).transpose(1, 2))
        return from_mid_side(wave)


class InverseStft(nn.Module):
    """Spectra `[batch, channels, frames, bins]` to waveforms `[batch, channels, frames * hop_length]`.

    Frame i has its centre in the middle of hop i: so there is no sample without a frame, and no odd one out.
    """

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop_length
        with torch.device("cpu"):  # a window on meta would have torch import its compiler, which takes two seconds
            self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.window: Tensor

    def forward(self, spectrum: Tensor) -> Tensor:
        frames = torch.fft.irfft(spectrum, self.n_fft) * self.window
        batch, channels, count, _ = frames.shape
        length = (count - 1) * self.hop + self.n_fft
        summed, squares = (
            F.fold(columns.transpose(1, 2), (1, length), (1, self.n_fft), stride=(1, self.hop)).flatten(1)
            for columns in (frames.flatten(0, 1), self.window.square().expand(1, count, -1))
        )
        margin = (self.n_fft - self.hop) // 2
        kept = slice(margin, margin + count * self.hop)
        return (summed[:, kept] / squares[:, kept]).view(batch, channels, -1)


def _folded(x: Tensor, stride: int) -> Tensor:
    """`x [batch, stride * frames, width]` as `[batch, frames, stride * width]`."""
    batch, frames, width = x.shape
    return x.reshape(batch, frames // stride, stride * width)


def _unfolded(x: Tensor, stride: int) -> Tensor:
    """The inverse of `_folded`."""
    batch, frames, width = x.shape
    return x.reshape(batch, frames * stride, width // stride)


def _blocks(shape: Shape, count: int, depth: int) -> nn.Sequential:
    """`count` blocks of a stack of `depth`: each begins as a small step away from doing nothing."""
    return nn.Sequential(*(Block(shape.width, shape.kernel, 1 / depth) for _ in range(count)))


class Codec(nn.Module):
    """A residual-quantized autoencoder of waveforms `[batch, channels, samples]`, full scale 1.0.

    Codes are `int64 [batch, frames, num_quantizers]`, a frame being `shape.frame_length` samples. `codebooks` is
    `[num_quantizers, codebook_size, latent_dim]`. Of two channels, middle and side are what is encoded.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape)
        self.decoder = Decoder(shape)
        self.register_buffer("codebooks", torch.zeros(shape.num_quantizers, shape.codebook_size, shape.latent_dim))
        self.codebooks: Tensor
        spectrogram = Spectrogram(shape.sample_rate, shape.mel_n_fft, shape.mel_hop_length, shape.n_mels, power=1.0)
        with torch.device("cpu"):
            self.register_buffer("mel_window", spectrogram.window, persistent=False)
            self.register_buffer("mel_filters", spectrogram.filters, persistent=False)
        self.mel_window: Tensor
        self.mel_filters: Tensor

    @classmethod
    def load(cls, tensors: dict[str, Tensor], config: dict[str, Any]) -> Codec:
        """The network from a checkpoint's `model_state_dict` and `codec_config`, on the CPU.

        Raises `CheckpointError` naming a setting out of range, or a tensor that is missing, surplus or misshapen.
        """
        shape = Shape.from_config(config)
        with torch.device("meta"):  # so that sizes are compared with the file's before anything is allocated
            network = cls(shape)
        load_weights(network, tensors, "codec")
        return network

    def log_mel(self, wave: Tensor) -> Tensor:
        """What the encoder sees of `wave [batch, channels, samples]`: `[batch, stride * frames, channels * n_mels]`.

        `samples` must be whole frames. The log10 of the magnitudes, -5 to about 2, shifted and scaled to about ±2.
        """
        margin = (self.shape.mel_n_fft - self.shape.mel_hop_length) // 2
        padded = F.pad(to_mid_side(wave), (margin, margin))
        spectrum = torch.stft(
            padded.flatten(0, 1), self.shape.mel_n_fft, self.shape.mel_hop_length, window=self.mel_window,
            center=False, return_complex=True,
        )  # fmt: skip
        mel = (self.mel_filters @ spectrum.abs()).clamp(min=FLOOR).log10()
        by_channel = mel.view(*wave.shape[:2], *mel.shape[1:])  # [batch, channels, n_mels, frames]
        frames: Tensor = (by_channel.permute(0, 3, 1, 2).flatten(2) + 1.0) / 2.0
        return frames

    def latents(self, wave: Tensor) -> Tensor:
        """Latents `[batch, frames, latent_dim]` of `wave [batch, channels, samples]`, before they are quantized."""
        out: Tensor = self.encoder(self.log_mel(wave))
        return out

    def quantize(self, latents: Tensor) -> Tensor:
        """Codes of `latents`: at each level the entry nearest to what the levels before leave."""
        residual = latents
        codes = []
        for codebook in self.codebooks:
            codes.append(torch.cdist(residual, codebook.expand(len(residual), -1, -1)).argmin(dim=-1))
            residual = residual - codebook[codes[-1]]
        return torch.stack(codes, dim=-1)

    def encode(self, wave: Tensor) -> Tensor:
        """Codes of `wave [batch, channels, samples]`, `samples` being whole frames."""
        return self.quantize(self.latents(wave))

    def embed(self, codes: Tensor) -> Tensor:
        """Latents `[batch, frames, latent_dim]`: the sum over the levels' codebook entries."""
        levels = torch.arange(len(self.codebooks), device=codes.device)
        return self.codebooks[levels, codes].sum(dim=2)

    def decode_latents(self, latents: Tensor, first: int = 0) -> Tensor:
        """Waveforms `[batch, channels, frames * frame_length]` of `latents`, the first of which is frame `first`."""
        noise = phase_noise(self.shape, first, latents.shape[1]).to(latents.device)
        return self.decoder.sound(self.decoder(latents), noise)

    def decode(self, codes: Tensor, first: int = 0) -> Tensor:
        """Waveforms `[batch, channels, frames * frame_length]` of `codes`, the first of which is frame `first`."""
        return self.decode_latents(self.embed(codes), first)


def phase_noise(shape: Shape, first: int, frames: int) -> Tensor:
    """Noise from -1 to 1 for so many `frames` of codes, `[stride * frames, channels * bins]`.

    It is the same for a frame wherever a stream is cut: equal codes are equal sound.
    """
    blocks = range(first // NOISE_FRAMES, -(-(first + frames) // NOISE_FRAMES))
    size = (NOISE_FRAMES * shape.stride, shape.channels * shape.bins)
    drawn = np.concatenate([stream(0, "phase noise", block).random(size, np.float32) for block in blocks])
    start = (first - blocks[0] * NOISE_FRAMES) * shape.stride
    return torch.from_numpy(drawn[start : start + frames * shape.stride]) * 2 - 1


def to_mid_side(wave: Tensor) -> Tensor:
    """Left and right `[batch, 2, samples]` as their mean and half their difference; one channel as it is."""
    if wave.shape[1] == 1:
        return wave
    left, right = wave.unbind(dim=1)
    return torch.stack([left + right, left - right], dim=1) / 2


def from_mid_side(wave: Tensor) -> Tensor:
    """The inverse of `to_mid_side`."""
    if wave.shape[1] == 1:
        return wave
    mid, side = wave.unbind(dim=1)
    return torch.stack([mid + side, mid - side], dim=1)
