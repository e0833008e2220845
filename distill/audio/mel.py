"""Mel spectra of waveforms, and the filter bank. Inverting them is `inversion.py`'s."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from distill.checkpoint import malformed
from distill.text import clean

MOST_FILTER_WEIGHTS = 2**23
"""Ceiling for bands times bins: 32 MB, where a small file could ask for any. 128 bands of 1025 bins are usual."""


@dataclass(frozen=True)
class Spectrogram:
    """The settings of a mel spectrogram, as checkpoints carry them.

    `sample_rate`, `f_min` and `f_max` in Hz (`f_max` None: the Nyquist frequency), `n_fft` and `hop_length` in
    samples. The window is a periodic Hann window of `n_fft`; frames are centred, the signal reflected at its ends.
    """

    sample_rate: int = 48000
    n_fft: int = 2048
    hop_length: int = 512
    n_mels: int = 128
    f_min: float = 0.0
    f_max: float | None = None
    power: float = 2.0

    @classmethod
    def from_config(cls, config: object) -> Spectrogram:
        """The settings in a checkpoint's dictionary. Raises `CheckpointError` naming the one that is missing or odd."""
        if not isinstance(config, Mapping):
            raise malformed("The checkpoint has no spectrogram_config.")
        values: dict[str, Any] = {}
        ranges: dict[str, tuple[float, float]] = {
            "sample_rate": (1000, 768000), "n_fft": (16, 65536), "hop_length": (1, 65536),
            "n_mels": (1, 4096), "f_min": (0, 384000), "f_max": (0, 384000), "power": (0.1, 10),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = config.get(name)
            if value is None and name == "f_max":
                continue
            kind = int if isinstance(getattr(cls, name), int) else int | float
            if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= high:
                raise malformed(f"The checkpoint's spectrogram_config has {name} {clean(value, 40)}.")
            values[name] = value
        if values["hop_length"] > values["n_fft"] // 2:
            raise malformed("The checkpoint's spectrogram_config has a hop_length over half of n_fft.")
        made = cls(**values)
        if made.n_mels * made.bins > MOST_FILTER_WEIGHTS:
            raise malformed(
                f"The checkpoint's spectrogram_config has {made.n_mels} bands of {made.bins} bins; "
                f"at most {MOST_FILTER_WEIGHTS} weights of filters are made."
            )
        return made

    @property
    def bins(self) -> int:
        """Frequency bins of the linear spectrum."""
        return self.n_fft // 2 + 1

    def frames(self, samples: int) -> int:
        """How many centred frames a signal of `samples` has."""
        return samples // self.hop_length + 1

    def frames_for(self, samples: int) -> int:
        """How many frames an inversion needs to give `samples`: enough that the last has its centre past the end."""
        return -(-samples // self.hop_length) + 1

    @cached_property
    def window(self) -> Tensor:
        """The analysis window, `float32 [n_fft]`."""
        return torch.hann_window(self.n_fft)

    @cached_property
    def filters(self) -> Tensor:
        """The mel filter bank, `float32 [n_mels, bins]`: triangles on the HTK scale, peaks at 1, no norm.

        Source: Young et al., The HTK Book, 2006, section 5.4.
        """
        top = self.f_max if self.f_max is not None else self.sample_rate // 2
        low, high = (2595.0 * math.log10(1.0 + f / 700.0) for f in (self.f_min, top))
        centres = 700.0 * (10.0 ** (torch.linspace(low, high, self.n_mels + 2) / 2595.0) - 1.0)
        frequencies = torch.linspace(0, self.sample_rate // 2, self.bins)
        slopes = centres[:, None] - frequencies[None, :]  # [n_mels + 2, bins]
        widths = centres.diff()[:, None]
        rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
        return torch.minimum(rising, falling).clamp(min=0.0)

    def bank(self, device: str | torch.device = "cpu") -> FilterBank:
        """The filter bank on `device`, made once."""
        if (name := str(device)) not in self._banks:
            self._banks[name] = FilterBank(self.filters.to(device))
        return self._banks[name]

    @cached_property
    def _banks(self) -> dict[str, FilterBank]:
        return {}

    def mel(self, wave: Tensor) -> Tensor:
        """The mel spectrum `[..., n_mels, frames]` of `wave [..., samples]`: magnitudes to the power of `power`."""
        spectrum = torch.stft(
            wave,
            self.n_fft,
            self.hop_length,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        return self.filters @ spectrum.abs().pow(self.power)

    def log_mel(self, wave: Tensor) -> Tensor:
        """`log(1 + mel)` of `wave [..., samples]`, `[..., n_mels, frames]`."""
        return torch.log1p(self.mel(wave))


class FilterBank:
    """Products with `filters [n_mels, bins]` and their transpose, for many frames, over and over.

    A filter is zero but for a few bins, and the next one's are further up. So the filters are cut into `GROUPS`, and
    only the bins that a group touches are multiplied: an eighth of the work, in matrices large enough to be fast.
    (A sparse product is faster still, but wants the frames along the last axis, where the Fourier transform does not.)
    """

    GROUPS = 8

    def __init__(self, filters: Tensor) -> None:
        n_mels, bins = filters.shape
        size = -(-n_mels // self.GROUPS)
        groups = torch.split(filters, size)
        touched = [_span((group != 0).any(dim=0)) for group in groups]
        self._down = [
            (start, stop, group[:, start:stop].T.contiguous())
            for (start, stop), group in zip(touched, groups, strict=True)
        ]
        # The bins cut where the groups begin, each piece with the bands that reach into it.
        edges = [0, *(start for start, _ in touched[1:]), bins]
        edges = [max(edges[: i + 1]) for i in range(len(edges))]
        self._up = [
            (first, last, filters[first:last, start:stop].contiguous())
            for start, stop in pairwise(edges)
            for first, last in [_span((filters[:, start:stop] != 0).any(dim=1))]
        ]
        self.widths = filters.sum(dim=1).clamp(min=1e-12)
        """The sum of each filter, `[n_mels]`."""

    def mel(self, power: Tensor) -> Tensor:
        """The mel spectrum `[frames, n_mels]` of `power [frames, bins]`."""
        return torch.cat([power[:, start:stop] @ filters for start, stop, filters in self._down], dim=1)

    def spread(self, bands: Tensor, out: Tensor | None = None) -> Tensor:
        """`bands [frames, n_mels]` over the bins, `[frames, bins]`: each bin the mean of its bands, as they share it.

        Bins outside all filters get zero.
        """
        pieces = [bands[:, first:last] @ filters for first, last, filters in self._up]
        return torch.cat(pieces, dim=1, out=out)


def _span(mask: Tensor) -> tuple[int, int]:
    """From the first to past the last that is true in `mask [n]`; 0, 0 where none is."""
    found = mask.nonzero()
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 0)
