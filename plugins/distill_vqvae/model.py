"""Generating with a VQ-VAE: codes from the prior, mel chunks from the decoder, joined and inverted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill import CheckpointHeader, Generation, GenerationRequest, GenerativeModel, devices
from distill.audio.inversion import invert
from distill.audio.mel import Spectrogram
from distill.audio.stitching import crossfade
from distill.checkpoint import load_contents, section
from distill.devices import single_threaded
from distill.errors import RequestError
from distill.seeding import stream
from distill_mel2d.networks import Picture
from distill_vqvae.blocks import FirstCode, Settings
from distill_vqvae.dealing import Asked, Dealer
from distill_vqvae.networks import Vqvae
from distill_vqvae.prior import Prior

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What the prior can compute in; on a CPU, half precision takes fifty times as long."""


class VqvaeModel(GenerativeModel):
    """A version 2 checkpoint, ready to generate."""

    concurrent = True

    def __init__(self, vqvae: Vqvae, prior: Prior, first: FirstCode, device: str) -> None:
        self.vqvae: Vqvae = vqvae.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.prior = prior.to(device)
        self.first = first
        self.device = device
        self.precisions = [name for name in DTYPES if device != "cpu" or name != "fp16"]
        self.spectrogram = vqvae.picture.spectrogram
        self.sample_rate = self.spectrogram.sample_rate
        self._prior_in = cache(lambda precision: self.prior.to(device, DTYPES[precision]))

    @classmethod
    def load(cls, header: CheckpointHeader, device: str) -> VqvaeModel:
        contents = load_contents(header)
        config = section(contents, "vqvae_config")
        spectrogram = Spectrogram.from_config(contents.get("spectrogram_config"))
        picture = Picture.of_chunk(spectrogram, config)
        tensors = section(contents, "model_state_dict")
        vqvae = Vqvae.load(tensors, config, picture)
        height, width = picture.grid
        prior = Prior.load(
            section(contents, "prior_state_dict"),
            section(contents, "prior_config"),
            vocabulary=vqvae.codebooks.shape[1],
            quantizers=vqvae.codebooks.shape[0],
            positions=height * width,
        )
        return cls(vqvae, prior, _first_code(tensors, config, prior.vocabulary), device)

    def count_chunks(self, request: GenerationRequest) -> int:
        frames = self.vqvae.picture.frames
        beyond = max(0, self.spectrogram.frames_for(request.samples) - frames)
        return 1 + -(-beyond // (frames - self._overlap_frames(request)))

    def generate(self, request: GenerationRequest) -> Iterator[NDArray[np.float32]]:
        batch = self.generate_batch([request])
        try:
            for made in batch:
                yield from made.chunks
        finally:
            batch.close()

    def generate_batch(self, requests: Iterable[GenerationRequest], batch_size: int | None = None) -> Batch:
        return Batch(self, requests, batch_size)

    def ask(self, request: GenerationRequest) -> Asked:
        """What is asked of the prior for `request`."""
        settings = Settings(*(request.options[name] for name in Settings._fields))
        return Asked(request, self.count_chunks(request), self._prior_in(request.precision), settings)

    def render(self, request: GenerationRequest, codes: Iterator[Tensor]) -> Iterator[NDArray[np.float32]]:
        """The sound of a file from the codes of its chunks."""
        joined = crossfade(self.decoded(codes), self._overlap_frames(request))
        return invert(joined, request.samples, self.spectrogram, stream(request.seed, "phase"), self.device)

    @torch.inference_mode()
    def decoded(self, codes: Iterator[Tensor]) -> Iterator[Tensor]:
        """The mel power spectrum `[n_mels, frames]` of each chunk, not joined yet."""
        for of_chunk in codes:
            grid = of_chunk.view(1, -1, self.prior.quantizers).to(self.device)
            with single_threaded():
                log_mel = self.vqvae.decode(self.vqvae.embed(grid))
                power = torch.expm1(log_mel[0, 0])
            yield power

    def _overlap_frames(self, request: GenerationRequest) -> int:
        overlap_ms: float = request.options["overlap"]
        frames = round(overlap_ms / 1000 * self.sample_rate / self.spectrogram.hop_length)
        longest = self.vqvae.picture.frames // 2
        if frames > longest:
            longest_ms = longest * self.spectrogram.hop_length / self.sample_rate * 1000
            raise RequestError(
                f"--overlap: {overlap_ms:g} ms is over half a chunk of this model ({longest_ms:.0f} ms). Give less."
            )
        return frames


class Batch(Iterator[Generation]):
    """The files of several requests, their codes sampled together."""

    def __init__(self, model: VqvaeModel, requests: Iterable[GenerationRequest], batch_size: int | None) -> None:
        self._model = model
        threads = devices.threads() if model.device == "cpu" else 1
        self._dealer = Dealer(map(model.ask, requests), model.first, batch_size, threads)

    def __next__(self) -> Generation:
        codes = next(self._dealer)
        return Generation(self._model.render(codes.asked.request, codes), codes.statistics)

    def close(self) -> None:
        """Have what is under way end soon."""
        self._dealer.close()


def _first_code(tensors: Mapping[str, Tensor], config: Mapping[str, Any], vocabulary: int) -> FirstCode:
    """By the use of the first level's codes in training, of which a file carries a running mean; else uniform.

    Codes used no more than `threshold_ema_dead_code` are dead: training has just replaced them, and set their use to
    that. (vector-quantize-pytorch, which writes these tensors.)
    """
    uses = tensors.get("quantizer.rvq.layers.0._codebook.cluster_size")
    dead_at = config.get("threshold_ema_dead_code", 0)
    if not isinstance(uses, Tensor) or uses.shape != (1, vocabulary) or not isinstance(dead_at, int | float):
        return FirstCode.uniform(vocabulary)
    return FirstCode.as_used(uses[0].double(), float(min(dead_at, 1e300)))
