"""Generating with one VAE or a blend of several: a trajectory through latent space, decoded, overlapped, inverted."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distill import CheckpointHeader, Generation, GenerationRequest, GenerativeModel
from distill.audio import resampling
from distill.audio.blocks import cut
from distill.audio.inversion import invert
from distill.audio.stitching import overlap_add
from distill.errors import CheckpointError, DistillWarning
from distill.seeding import stream
from distill.text import clean
from distill_vae.blending import average, shares
from distill_vae.headers import version_1
from distill_vae.networks import Vae


@dataclass(frozen=True)
class Part:
    """One model of a blend, its share of it, and where its sliders stand; None for random latents."""

    vae: Vae
    share: float
    positions: Mapping[int, int] | None


class VaeModel(GenerativeModel):
    """A version 1 checkpoint, ready to generate, alone or blended with others that the options name."""

    concurrent = True

    def __init__(self, vae: Vae) -> None:
        self.vae = vae
        self.sample_rate = vae.spectrogram.sample_rate
        self._others: dict[str, Vae] = {}
        self._loading = Lock()

    @classmethod
    def load(cls, header: CheckpointHeader, device: str) -> VaeModel:
        return cls(Vae.load(header, device))

    def count_chunks(self, request: GenerationRequest) -> int:
        groups = self._groups(request)
        if self._is_one_sound(groups):
            return groups[0][0].vae.count_points(request.samples)
        return -(-request.samples // self.sample_rate)

    def generate(self, request: GenerationRequest) -> Iterator[NDArray[np.float32]]:
        groups = self._groups(request)
        return _sound(groups[0], request) if self._is_one_sound(groups) else self._averaged(groups, request)

    def generate_batch(
        self, requests: Iterable[GenerationRequest], batch_size: int | None = None
    ) -> Iterator[Generation]:
        for number, request in enumerate(requests):
            if number == 0:
                _warn_of_unsafe(self.parts(request))
            yield Generation(self.generate(request), partial(self._statistics, request))

    def parts(self, request: GenerationRequest) -> list[Part]:
        """The models that have a share in the file, MODEL first if it has one."""
        options = request.options
        named = [(self.vae, options["weight"], options["slider"])]
        named += [(self._other(path), weight, stands) for path, weight, stands in options["blend"]]
        each = shares([weight for _, weight, _ in named])
        return [
            Part(vae, share, _positions(vae, dict(stands), request))
            for (vae, _, stands), share in zip(named, each, strict=True)
            if share > 0
        ]

    def _other(self, path: str) -> Vae:
        """The checkpoint at `path`, loaded once."""
        with self._loading:
            if path not in self._others:
                try:
                    self._others[path] = Vae.load(version_1(Path(path)), self.vae.device)
                except CheckpointError as error:
                    raise CheckpointError(f"--blend: {clean(Path(path).name)}: {error}") from error
            return self._others[path]

    def _groups(self, request: GenerationRequest) -> list[list[Part]]:
        """The parts of the file by the sound that they make: one of them all, or, in sound, one of each."""
        parts = self.parts(request)
        return [[part] for part in parts] if request.options["blend_mode"] == "audio" else [parts]

    def _is_one_sound(self, groups: Sequence[Sequence[Part]]) -> bool:
        """Whether there is one sound, at this model's own rate."""
        return len(groups) == 1 and groups[0][0].vae.spectrogram.sample_rate == self.sample_rate

    def _averaged(self, groups: Sequence[Sequence[Part]], request: GenerationRequest) -> Iterator[NDArray[np.float32]]:
        """The mean of the sounds of `groups`, a second at a time."""
        each = [cut(self._at_own_rate(group, request), self.sample_rate, request.samples) for group in groups]
        for blocks in zip(*each, strict=True):
            yield average(blocks, [sum(part.share for part in group) for group in groups])

    def _at_own_rate(self, group: Sequence[Part], request: GenerationRequest) -> Iterator[NDArray[np.float32]]:
        """The sound of one group, at this model's sample rate."""
        rate = group[0].vae.spectrogram.sample_rate
        needed = resampling.samples_needed(request.samples, rate, self.sample_rate)
        return resampling.resample(_sound(group, replace(request, samples=needed)), rate, self.sample_rate, 1)

    def _statistics(self, request: GenerationRequest) -> dict[str, float]:
        """Where sliders stood: this model's, and those of others in a blend by name."""
        stood: dict[str, float] = {}
        for part in self.parts(request):
            whose = "" if part.vae is self.vae else f" of {part.vae.name}"
            stood |= {f"slider {index}{whose}": float(at) for index, at in sorted((part.positions or {}).items())}
        return stood


def _positions(vae: Vae, given: dict[int, int], request: GenerationRequest) -> dict[int, int] | None:
    """Where the sliders of `vae` stand: as `given`, the others at 0, or as they are drawn; None for random latents."""
    if vae.sliders is None or not len(vae.sliders):
        return None
    if request.options["randomize_sliders"]:
        return vae.sliders.draw(stream(request.seed, "sliders")) | given
    return given or None


def _sound(parts: Sequence[Part], request: GenerationRequest) -> Iterator[NDArray[Any]]:
    """The file of `parts` that share one size of latents and one spectrogram: one path, decoded by each."""
    vaes, each = [part.vae for part in parts], [part.share for part in parts]
    paths = [
        part.vae.path(request.samples, request.seed, part.positions, request.options["evolution"]) for part in parts
    ]
    points = (average(latents, each) for latents in zip(*paths, strict=True))
    pictures = (average([vae.decode(point) for vae in vaes], each) for point in points)
    blocks = overlap_add(pictures, vaes[0].hop)
    first = next(blocks)[:, 1:]
    powers = (torch.expm1(block) for block in chain([first], blocks))
    phases = stream(request.seed, "phase")
    return invert(powers, request.samples, vaes[0].spectrogram, phases, vaes[0].device)


def _warn_of_unsafe(parts: Sequence[Part]) -> None:
    """One warning of all sliders that stand outside their safe ranges."""
    found = []
    for part in parts:
        sliders = part.vae.sliders
        for index, position in (
            sorted(sliders.beyond_safe(part.positions).items()) if sliders and part.positions else ()
        ):
            low, high = sliders.safe[index] if sliders else (0, 0)
            found.append(f"slider {index} of {part.vae.name} at {position} (safe: {low} to {high})")
    if found:
        warnings.warn(f"Beyond what most of the recordings span: {', '.join(found)}.", DistillWarning, 2)
