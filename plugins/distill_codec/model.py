"""Generating with a codec: codes from the prior, frame after frame for as long as is wanted, decoded as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import CheckpointHeader, Generation, GenerationRequest, GenerativeModel
from distill.audio.recordings import Reader
from distill.checkpoint import load_contents, section
from distill.devices import single_threaded
from distill.errors import RequestError
from distill.text import clean
from distill_codec import prompts
from distill_codec.networks import Codec
from distill_codec.novelty import NoveltyIndex
from distill_codec.prior import Prior
from distill_codec.prompts import PROMPT_SECONDS
from distill_codec.sampling import ROWS, Group, Row, Settings, padded
from distill_codec.tokenizer import FRAMES, CodecTokenizer


class CodecModel(GenerativeModel):
    """A codec with its prior."""

    concurrent = True

    def __init__(self, codec: Codec, prior: Prior, index: NoveltyIndex, device: str) -> None:
        self._tokenizer = CodecTokenizer(codec, device)
        self._prior = padded(prior).to(device).eval()
        self._index = index
        self.sample_rate, self.channels = codec.shape.sample_rate, codec.shape.channels
        self._frame_length = codec.shape.frame_length
        self._prompt = cache(self._read_prompt)

    @classmethod
    def load(cls, header: CheckpointHeader, device: str) -> CodecModel:
        """The model in a checkpoint. Raises `CheckpointError` where it does not hold what it should."""
        contents = load_contents(header)
        codec = Codec.load(section(contents, "model_state_dict"), section(contents, "codec_config"))
        prior = Prior.load(section(contents, "prior_state_dict"), section(contents, "prior_config"), codec.codebooks)
        return cls(codec, prior, NoveltyIndex.from_config(section(contents, "novelty_index")), device)

    def count_chunks(self, request: GenerationRequest) -> int:
        return -(-self._frames(request) // FRAMES)

    def generate(self, request: GenerationRequest) -> Iterator[NDArray[np.float32]]:
        [generation] = self.generate_batch([request])
        yield from generation.chunks

    def generate_batch(
        self, requests: Iterable[GenerationRequest], batch_size: int | None = None
    ) -> Iterator[Generation]:
        waiting = iter(requests)
        held: list[GenerationRequest] = []
        while held := held or list(islice(waiting, 1)):
            first = held[0]
            held += islice(waiting, min(ROWS, batch_size or ROWS) - len(held))
            # Files that go on from one prompt are sampled together, and all in order.
            alike = list(takewhile(lambda one: _prompt(one) == _prompt(first), held))  # noqa: B023 - used at once
            held = held[len(alike) :]
            yield from self._generations(alike)

    def _generations(self, requests: list[GenerationRequest]) -> Iterator[Generation]:
        """The files for `requests`, which have the same prompt."""
        options = requests[0].options
        with single_threaded():
            prompt = self._prompt(options.get("prompt"), options.get("prompt_sha256"))
        kept = prompt[max(0, len(prompt) - self._kept(options)) :]
        longer = list(takewhile(lambda one: self._frames(one) > len(kept), requests))
        if longer:
            rows = [Row(one.seed, self._frames(one) - len(kept), _settings(one.options)) for one in longer]
            group = Group(self._prior, self._index, rows, prompt)
            for request, row in zip(longer, rows, strict=True):
                statistics = partial(self._statistics, group, row, len(kept))
                yield Generation(self._chunks(request, group, row, kept), statistics)
        if len(longer) < len(requests):
            seconds = len(kept) * self._frame_length / self.sample_rate
            raise RequestError(
                f"--duration: the file would hold nothing but the prompt, {seconds:.1f} s of it. Give a longer "
                "--duration or fewer --prompt-seconds."
            )

    def _frames(self, request: GenerationRequest) -> int:
        return -(-request.samples // self._frame_length)

    def _kept(self, options: Mapping[str, Any]) -> int:
        """How many frames of the prompt the file begins with."""
        seconds = options.get("prompt_seconds")
        seconds = PROMPT_SECONDS if seconds is None else float(seconds)
        return round(seconds * self.sample_rate / self._frame_length)

    def _chunks(
        self, request: GenerationRequest, group: Group, row: Row, kept: NDArray[np.int64]
    ) -> Iterator[NDArray[np.float32]]:
        def codes() -> Iterator[NDArray[np.int64]]:
            if len(kept):
                yield kept
            taken = 0
            while taken < row.frames:
                frames = group.take(row)
                taken += len(frames)
                yield frames

        blocks = self._tokenizer.decode(codes(), request.samples)
        while True:
            with single_threaded():
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def _statistics(self, group: Group, row: Row, kept: int) -> Mapping[str, float]:
        longest = min(group.longest_copy(row), row.frames)  # a run may have begun in the prompt
        return {
            "longest_copy_seconds": longest * self._frame_length / self.sample_rate,
            "longest_copy_share": longest / (kept + row.frames),
        }

    def _read_prompt(self, path: str | None, fingerprint: str | None) -> NDArray[np.int64]:
        """The codes of the recording at `path`, none where there is no path."""
        nothing = np.zeros((0, self._prior.quantizers), np.int64)
        if path is None:
            return nothing
        if fingerprint is not None and prompts.fingerprint(path) != fingerprint:
            raise RequestError(f"--prompt: {clean(path, 200)} is not the recording it was. Put that back.")
        with Reader(Path(path)) as reader:
            codes = list(self._tokenizer.encode(reader.blocks(self.sample_rate, self.channels)))
        if not codes:
            raise RequestError(f"--prompt: {clean(path, 200)} is empty. Give one with sound.")
        return np.concatenate(codes)


def _prompt(request: GenerationRequest) -> tuple[Any, ...]:
    """What the options say of the prompt."""
    return tuple(request.options.get(name) for name in ("prompt", "prompt_sha256", "prompt_seconds"))


def _settings(options: Mapping[str, Any]) -> Settings:
    named = ("temperature", "top_k", "top_p", "min_p", "novelty")
    return Settings(**{name: options[name] for name in named if name in options})
