"""A codec's way from sound to codes and back, as a stream: each block computed with all that it can depend on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from distill import CheckpointHeader, Tokenizer
from distill.audio.blocks import with_context
from distill.checkpoint import load_contents, section
from distill.errors import RequestError
from distill_codec.networks import Codec

FRAMES = 256
"""Frames of codes computed at a time: five seconds."""


class CodecTokenizer(Tokenizer):
    """The tokenizer of a version 3 checkpoint. Codes are `int64 [frames, num_quantizers]`.

    A block is computed with as much around it as reaches into it, so that blocks join exactly: as if all had been
    computed at once (to 1e-4: sums are added up in another order).
    """

    def __init__(self, codec: Codec, device: str) -> None:
        self.codec: Codec = codec.to(device).eval()
        self.shape = codec.shape
        self.sample_rate, self.channels = self.shape.sample_rate, self.shape.channels
        self._device = device

    @classmethod
    def load(cls, header: CheckpointHeader, device: str) -> CodecTokenizer:
        contents = load_contents(header)
        return cls(Codec.load(section(contents, "model_state_dict"), section(contents, "codec_config")), device)

    def encode(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.int64]]:
        length, context = self.shape.frame_length, self.shape.encoder_context
        for wave, before, after in with_context(blocks, FRAMES * length, context * length):
            with torch.inference_mode():
                tensor = torch.from_numpy(np.ascontiguousarray(wave, np.float32)).to(self._device)
                padded = torch.nn.functional.pad(tensor, (0, -tensor.shape[1] % length))
                codes = self.codec.encode(padded[None])[0]
            yield _inner(codes, before // length, -(-after // length)).cpu().numpy()

    def decode(self, codes: Iterable[NDArray[np.int64]], samples: int) -> Iterator[NDArray[np.float32]]:
        length, context = self.shape.frame_length, self.shape.decoder_context
        left = samples
        step, size = (self.shape.num_quantizers,), self.shape.codebook_size
        checked = (self.checked(one, step, size).T for one in codes)
        first = 0
        for window, before, after in with_context(checked, FRAMES, context):
            if left <= 0:
                return
            with torch.inference_mode():
                tensor = torch.from_numpy(np.ascontiguousarray(window.T)).to(self._device)
                wave = self.codec.decode(tensor[None], first - before)[0].T
            first += len(tensor) - before - after
            taken = _inner(wave, before * length, after * length)[:left].T.cpu().numpy()
            left -= taken.shape[1]
            yield taken
        if left > 0:
            raise RequestError(
                f"The codes are {left / self.sample_rate:.2f} s short of the {samples} samples wanted. "
                "Give all of them."
            )


def _inner(steps: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """`steps [steps, ...]` without the first `before` and the last `after`."""
    return steps[before : len(steps) - after]
