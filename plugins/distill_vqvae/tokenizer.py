"""A VQ-VAE's way from sound to codes and back: chunk by chunk, joined and inverted as generated ones are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from distill import CheckpointHeader, Tokenizer
from distill.audio.inversion import invert
from distill.audio.mel import Spectrogram
from distill.audio.stitching import crossfade
from distill.checkpoint import load_contents, section
from distill.errors import RequestError
from distill.seeding import stream
from distill_mel2d.networks import Picture
from distill_vqvae.networks import Vqvae

OVERLAP_MS = 50
"""How far chunks reach into each other, as in `generate` where nothing else is asked for."""


class VqvaeTokenizer(Tokenizer):
    """The tokenizer of a version 2 checkpoint. Codes are `int64 [chunks, positions, quantizers]`."""

    def __init__(self, vqvae: Vqvae, device: str) -> None:
        self.vqvae: Vqvae = vqvae.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.spectrogram = vqvae.picture.spectrogram
        self.sample_rate = self.spectrogram.sample_rate
        self._device = device
        overlap = round(OVERLAP_MS / 1000 * self.sample_rate / self.spectrogram.hop_length)
        self._overlap = min(overlap, vqvae.picture.frames // 2)

    @classmethod
    def load(cls, header: CheckpointHeader, device: str) -> VqvaeTokenizer:
        contents = load_contents(header)
        config = section(contents, "vqvae_config")
        picture = Picture.of_chunk(Spectrogram.from_config(contents.get("spectrogram_config")), config)
        return cls(Vqvae.load(section(contents, "model_state_dict"), config, picture), device)

    def encode(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.int64]]:
        frames = self.vqvae.picture.frames
        for log_mel in log_mels(blocks, self.spectrogram, frames, frames - self._overlap):
            with torch.inference_mode():
                codes = self.vqvae.encode(log_mel[None, None].to(self._device))
            yield codes.cpu().numpy()

    def decode(self, codes: Iterable[NDArray[np.int64]], samples: int) -> Iterator[NDArray[np.float32]]:
        powers = crossfade(self._powers(codes), self._overlap)
        left = samples
        for block in invert(powers, samples, self.spectrogram, stream(0, "phase"), self._device):
            left -= block.shape[1]
            yield block
            if left <= 0:
                return
        raise RequestError(f"The codes are too few for the {samples} samples wanted. Give all of them.")

    def _powers(self, codes: Iterable[NDArray[np.int64]]) -> Iterator[Tensor]:
        """The mel power spectrum `[n_mels, frames]` of each chunk."""
        height, width = self.vqvae.picture.grid
        levels, size, _ = self.vqvae.codebooks.shape
        for piece in codes:
            for chunk in self.checked(piece, (height * width, levels), size):
                with torch.inference_mode():
                    grid = torch.from_numpy(chunk)[None].to(self._device)
                    power = torch.expm1(self.vqvae.decode(self.vqvae.embed(grid))[0, 0])
                yield power


def log_mels(
    blocks: Iterable[NDArray[np.float32]], spectrogram: Spectrogram, frames: int, hop: int
) -> Iterator[Tensor]:
    """`log(1 + mel power)` of the sound in `blocks [1, any]`: pictures `[n_mels, frames]`, one every `hop` frames.

    Its frames are those of the whole sound at once, reflected at its ends; after them comes silence. There are enough
    pictures to invert the sound's whole length from.
    """
    margin = spectrogram.n_fft // 2
    wave = np.zeros(0, np.float32)  # from `margin` before the centre of the next picture's first frame
    needed = (frames - 1) * spectrogram.hop_length + spectrogram.n_fft
    samples = 0
    pictures = 0

    def picture() -> Tensor:
        nonlocal wave, pictures
        piece = torch.from_numpy(wave[:needed].copy())
        padded = F.pad(piece, (0, needed - len(piece)))
        spectrum = torch.stft(
            padded, spectrogram.n_fft, spectrogram.hop_length, window=spectrogram.window, center=False,
            return_complex=True,
        )  # fmt: skip
        wave = wave[hop * spectrogram.hop_length :]
        pictures += 1
        return torch.log1p(spectrogram.filters @ spectrum.abs().pow(spectrogram.power))

    started = False
    for block in blocks:
        wave = np.concatenate([wave, block[0]])
        samples += block.shape[1]
        if not started and len(wave) > margin:
            wave = np.concatenate([wave[margin:0:-1], wave])
            started = True
        while started and len(wave) >= needed + margin:  # the end is reflected, so keep enough of it
            yield picture()
    if not started:
        wave = np.concatenate([np.zeros(margin, np.float32), wave])
    wave = np.concatenate([wave, wave[-2 : -margin - 2 : -1]])
    while not pictures or (pictures - 1) * hop + frames < spectrogram.frames_for(samples):
        yield picture()
