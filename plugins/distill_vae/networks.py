"""A version 1 checkpoint as it is loaded: the decoder, and the sliders through its latent space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from distill import CheckpointHeader
from distill.audio.mel import Spectrogram
from distill.checkpoint import load_contents, load_weights, section
from distill.devices import single_threaded
from distill.seeding import stream
from distill_mel2d.networks import CHANNELS, Picture, decoder_deconvs
from distill_vae.latents import Latent, Sliders, latent_dim, slerp, trajectory

SECONDS_PER_ANCHOR = 1.5


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


class Vae:
    """A version 1 checkpoint, ready to decode. `sliders` is None for a model without latent analysis."""

    def __init__(self, name: str, decoder: Decoder, sliders: Sliders | None, device: str) -> None:
        self.name = name
        self.decoder = decoder.to(device)
        self.sliders = sliders
        self.device = device
        self.latent_dim = decoder.fc.in_features
        self.spectrogram = decoder.picture.spectrogram
        self.hop = decoder.picture.frames // 2
        """Frames from one point of a trajectory to the next: their pictures overlap by half."""

    @classmethod
    def load(cls, header: CheckpointHeader, device: str) -> Vae:
        """The checkpoint's. Raises `CheckpointError` where it does not hold what it should."""
        contents = load_contents(header)
        size = latent_dim(contents)
        spectrogram = Spectrogram.from_config(contents.get("spectrogram_config"))
        picture = Picture.of_chunk(spectrogram, section(contents, "training_config"))
        with torch.device("meta"):
            decoder = Decoder(picture, size)
        tensors = section(contents, "model_state_dict")
        prefix = "decoder."
        load_weights(
            decoder,
            {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)},
            "decoder",
        )
        analysis = contents.get("latent_analysis")
        sliders = Sliders.from_analysis(analysis, size) if isinstance(analysis, dict) else None
        return cls(header.name, decoder, sliders, device)

    def count_points(self, samples: int) -> int:
        """How many points of a trajectory a file of `samples` takes."""
        # One frame more: the first has no weight under its Hann window.
        beyond = max(0, self.spectrogram.frames_for(samples) + 1 - self.decoder.picture.frames)
        return 1 + -(-beyond // self.hop)

    def path(self, samples: int, seed: int, positions: Mapping[int, int] | None, evolution: float) -> Iterator[Latent]:
        """The points of a file of `samples`, one a chunk: through anchors, one about every second and a half.

        The anchors are random, or, where the sliders have `positions`, on the way from there to random ones, by
        `evolution`.
        """
        centre = None if positions is None or self.sliders is None else self.sliders.latent(positions)

        def anchor(index: int) -> Latent:
            target = stream(seed, "anchor", index).standard_normal(self.latent_dim)
            return target if centre is None else slerp(centre, target, evolution)

        anchors = max(2, 1 + round(samples / self.spectrogram.sample_rate / SECONDS_PER_ANCHOR))
        return trajectory(anchor, anchors, self.count_points(samples))

    @torch.inference_mode()
    @single_threaded()
    def decode(self, latent: Latent) -> Tensor:
        """The log-mel spectrum `[n_mels, frames]` of one point."""
        picture: Tensor = self.decoder(torch.from_numpy(latent).to(self.device, torch.float32)[None])[0, 0]
        return picture
