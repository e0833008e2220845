"""Generating with a VQ-VAE: codes from the prior, mel chunks from the decoder, joined and inverted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill import CheckpointHeader, GenerationRequest, GenerativeModel
from distill.audio.inversion import invert
from distill.audio.mel import Spectrogram
from distill.audio.stitching import crossfade
from distill.checkpoint import load_contents, section
from distill.errors import RequestError
from distill.seeding import stream
from distill_mel2d.networks import Picture
from distill_vqvae.networks import Vqvae
from distill_vqvae.prior import Prior, token_uniforms

ROWS = 8
"""How many chunks of a file are sampled together. Always this many, the rest empty: a row's last bits depend on how
many rows there are and which it is, so chunk j stands in row j % ROWS of a full block whatever the duration."""


class VqvaeModel(GenerativeModel):
    """A version 2 checkpoint, ready to generate."""

    def __init__(self, vqvae: Vqvae, prior: Prior, device: str) -> None:
        self.vqvae = vqvae.to(device)
        self.prior = prior.to(device)
        self.device = device
        self.spectrogram = vqvae.picture.spectrogram
        self.sample_rate = self.spectrogram.sample_rate

    @classmethod
    def load(cls, header: CheckpointHeader, device: str) -> VqvaeModel:
        contents = load_contents(header)
        config = section(contents, "vqvae_config")
        spectrogram = Spectrogram.from_config(contents.get("spectrogram_config"))
        picture = Picture.of_chunk(spectrogram, config)
        vqvae = Vqvae.load(section(contents, "model_state_dict"), config, picture)
        height, width = picture.grid
        prior = Prior.load(
            section(contents, "prior_state_dict"),
            section(contents, "prior_config"),
            vocabulary=vqvae.codebooks.shape[1],
            quantizers=vqvae.codebooks.shape[0],
            positions=height * width,
        )
        return cls(vqvae, prior, device)

    def count_chunks(self, request: GenerationRequest) -> int:
        frames = self.vqvae.picture.frames
        beyond = max(0, self.spectrogram.frames_for(request.samples) - frames)
        return 1 + -(-beyond // (frames - self._overlap_frames(request)))

    def generate(self, request: GenerationRequest) -> Iterator[NDArray[np.float32]]:
        joined = crossfade(self._mel_chunks(request), self._overlap_frames(request))
        return invert(joined, request.samples, self.spectrogram, stream(request.seed, "phase"), self.device)

    def _overlap_frames(self, request: GenerationRequest) -> int:
        overlap_ms: float = request.options["overlap"]
        frames = round(overlap_ms / 1000 * self.sample_rate / self.spectrogram.hop_length)
        longest = self.vqvae.picture.frames // 2
        if frames > longest:
            longest_ms = longest * self.spectrogram.hop_length / self.sample_rate * 1000
            raise RequestError(
                f"--overlap: {overlap_ms:g} ms is over half a chunk of this model ({longest_ms:.0f} ms)."
            )
        return frames

    @torch.inference_mode()
    def _mel_chunks(self, request: GenerationRequest) -> Iterator[Tensor]:
        """The mel power spectra `[n_mels, frames]` of the chunks, not joined yet."""
        temperature, top_k, top_p = (request.options[name] for name in ("temperature", "top_k", "top_p"))
        count = self.count_chunks(request)
        for first in range(0, count, ROWS):
            chunks = range(first, min(first + ROWS, count))
            streams = [stream(request.seed, "tokens", chunk) for chunk in chunks]
            uniforms = token_uniforms(streams, self.prior.length, ROWS).to(self.device)
            codes = self.prior.generate(uniforms, temperature, top_k, top_p)
            for row in range(len(chunks)):
                log_mel = self.vqvae.decode(self.vqvae.embed(codes[row : row + 1]))
                yield torch.expm1(log_mel[0, 0])
