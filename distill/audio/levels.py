"""How loud a file is and is to be, and its two edges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from distill.audio.loudness import Loudness, TruePeak

PEAK = math.pow(10.0, -1.0 / 20.0)
"""What the loudest sample of a file is brought to: -1 dBFS."""
SILENCE_DBFS = -80.0
"""A file whose peak is below this is left as quiet as it is: raising it would only bring up rounding noise."""
EDGE_MS = 2.0
"""Length of the fade at each end of a file, without which a file that starts or ends in mid-wave clicks."""


@dataclass(frozen=True)
class Level:
    """How loud a sound is: `peak`, its largest magnitude, and `true_peak`, that between the samples too (full scale 1).

    `loudness` in LUFS; None where it was not measured, or is none, as that of silence.
    """

    peak: float
    true_peak: float
    loudness: float | None

    def times(self, gain: float, peak: float) -> Level:
        """The level of the sound times `gain`, if its peak then is `peak`."""
        change = to_dbfs(gain) or 0.0
        return Level(peak, self.true_peak * gain, None if self.loudness is None else self.loudness + change)

    def described(self) -> dict[str, float | None]:
        """The level in decibels, for the sidecar: to a ten thousandth of one."""
        figures = {
            "peak_dbfs": to_dbfs(self.peak),
            "true_peak_dbtp": to_dbfs(self.true_peak),
            "loudness_lufs": self.loudness,
        }
        return {name: None if value is None else round(value, 4) for name, value in figures.items()}


class Meter:
    """Measures the level of a stream of blocks `[channels, samples]`; its loudness only where that is asked for."""

    def __init__(self, channels: int, sample_rate: int, loudness: bool) -> None:
        self._peak = 0.0
        self._true_peak = TruePeak(channels)
        self._loudness = Loudness(channels, sample_rate) if loudness else None

    def add(self, block: NDArray[np.float32]) -> None:
        """Hear `block`."""
        self._peak = max(self._peak, float(np.abs(block).max(initial=0.0)))
        self._true_peak.add(block)
        if self._loudness is not None:
            self._loudness.add(block)

    @property
    def level(self) -> Level:
        """The level of all that was heard."""
        return Level(self._peak, self._true_peak.value, None if self._loudness is None else self._loudness.value)


def to_dbfs(peak: float) -> float | None:
    """`peak` (full scale 1.0) in dB, or None for silence, which has no level."""
    return 20.0 * math.log10(peak) if peak > 0.0 else None


def gain_to_peak(peak: float) -> float:
    """The factor that brings a file whose largest sample is `peak` to `PEAK`; 1.0 for one that is silent."""
    return 1.0 if _is_silent(peak) else PEAK / peak


def _is_silent(peak: float) -> bool:
    level = to_dbfs(peak)
    return level is None or level < SILENCE_DBFS


def gain_to_loudness(level: Level, lufs: float) -> float:
    """The factor that brings a file to `lufs`, or as near to it as its true peak lets, which is at most `PEAK` then.

    1.0 for one that is silent.
    """
    if level.loudness is None or _is_silent(level.peak):
        return 1.0
    return min(math.pow(10.0, (lufs - level.loudness) / 20.0), PEAK / level.true_peak)


def fade_edges(block: NDArray[np.float32], start: int, total: int, sample_rate: int) -> NDArray[np.float32]:
    """`block [channels, samples]`, which begins at sample `start` of a file of `total`, with the file's edges faded.

    The fades are halves of a raised cosine of `EDGE_MS` each, shorter in a file that is shorter than eight of them.
    """
    length = min(round(EDGE_MS / 1000.0 * sample_rate), total // 8)
    if length <= start and start + block.shape[1] <= total - length:
        return block  # away from both
    positions = np.arange(start, start + block.shape[1])
    distance = np.minimum(positions, total - 1 - positions)  # to the nearer edge
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.minimum(distance, length) + 0.5) / (length + 0.5))
    faded: NDArray[np.float32] = block * ramp.astype(np.float32)
    return faded
