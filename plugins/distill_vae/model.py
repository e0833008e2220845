"""Generating with a VAE: a trajectory through its latent space, decoded point by point and overlapped."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from distill import CheckpointHeader, GenerationRequest, GenerativeModel
from distill.audio.inversion import invert
from distill.audio.mel import Spectrogram
from distill.audio.stitching import overlap_add
from distill.checkpoint import load_contents, load_weights, section, whole_number
from distill.devices import single_threaded
from distill.seeding import stream
from distill_mel2d.networks import CHANNELS, Picture, decoder_deconvs
from distill_vae.latents import Latent, Sliders, slerp, trajectory

SECONDS_PER_ANCHOR = 1.5
EVOLUTION = 0.5
"""How far each anchor drifts from the sliders' position towards a random one, 0 to 1."""


class Decoder(nn.Module):
    """Latents `[batch, latent_dim]` to log-mel pictures `[batch, 1, n_mels, frames]`."""

    def __init__(self, picture: Picture, latent_dim: int) -> None:
        super().__init__()
        self.picture = picture
        height, width = picture.grid
        self.fc = nn.Linear(latent_dim, CHANNELS[-1] * height * width)
        self.deconvs = decoder_deconvs()

    def forward(self, latents: Tensor) -> Tensor:
        folded = self.fc(latents).unflatten(1, (CHANNELS[-1], *self.picture.grid))
        return self.picture.crop(self.deconvs(folded))


class VaeModel(GenerativeModel):
    """A version 1 checkpoint, ready to generate. `sliders` is None for a model without latent analysis."""

    concurrent = True

    def __init__(self, decoder: Decoder, sliders: Sliders | None, device: str) -> None:
        self.decoder = decoder.to(device)
        self.sliders = sliders
        self.device = device
        self.spectrogram = decoder.picture.spectrogram
        self.sample_rate = self.spectrogram.sample_rate
        self.hop = decoder.picture.frames // 2

    @classmethod
    def load(cls, header: CheckpointHeader, device: str) -> VaeModel:
        contents = load_contents(header)
        latent_dim = whole_number(contents, "latent_dim", 2**14)
        spectrogram = Spectrogram.from_config(contents.get("spectrogram_config"))
        picture = Picture.of_chunk(spectrogram, section(contents, "training_config"))
        with torch.device("meta"):
            decoder = Decoder(picture, latent_dim)
        tensors = section(contents, "model_state_dict")
        prefix = "decoder."
        load_weights(
            decoder,
            {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)},
            "decoder",
        )
        analysis = contents.get("latent_analysis")
        sliders = Sliders.from_analysis(analysis, latent_dim) if isinstance(analysis, dict) else None
        return cls(decoder, sliders, device)

    def count_chunks(self, request: GenerationRequest) -> int:
        # One frame more: the first has no weight under its Hann window.
        beyond = max(0, self.spectrogram.frames_for(request.samples) + 1 - self.decoder.picture.frames)
        return 1 + -(-beyond // self.hop)

    def generate(self, request: GenerationRequest) -> Iterator[NDArray[Any]]:
        blocks = self.mel(self.latents(request))
        first = next(blocks)[:, 1:]
        powers = (torch.expm1(block) for block in chain([first], blocks))
        return invert(powers, request.samples, self.spectrogram, stream(request.seed, "phase"), self.device)

    def latents(self, request: GenerationRequest) -> Iterator[Latent]:
        """The points of the file, one a chunk: anchors that are random, or drift from the sliders' position."""
        centre = None
        if self.sliders is not None and len(self.sliders.step_size) and request.options["slider"]:
            centre = self.sliders.latent(dict(request.options["slider"]))

        def anchor(index: int) -> Latent:
            target = stream(request.seed, "anchor", index).standard_normal(self.decoder.fc.in_features)
            return target if centre is None else slerp(centre, target, EVOLUTION)

        anchors = max(2, 1 + round(request.samples / self.sample_rate / SECONDS_PER_ANCHOR))
        return trajectory(anchor, anchors, self.count_chunks(request))

    @torch.inference_mode()
    def mel(self, latents: Iterator[Latent]) -> Iterator[Tensor]:
        """The log-mel spectrum along `latents` in blocks `[n_mels, frames]`, one a point, overlapped by half."""
        yield from overlap_add(map(self._decoded, latents), self.hop)

    @single_threaded()
    def _decoded(self, latent: Latent) -> Tensor:
        """The log-mel spectrum `[n_mels, frames]` of one point."""
        picture: Tensor = self.decoder(torch.from_numpy(latent).to(self.device, torch.float32)[None])[0, 0]
        return picture
