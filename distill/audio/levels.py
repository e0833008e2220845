"""How loud a file is, and its two edges."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

PEAK = math.pow(10.0, -1.0 / 20.0)
"""What the loudest sample of a file is brought to: -1 dBFS."""
SILENCE_DBFS = -80.0
"""A file whose peak is below this is left as quiet as it is: raising it would only bring up rounding noise."""
EDGE_MS = 2.0
"""Length of the fade at each end of a file, without which a file that starts or ends in mid-wave clicks."""


def to_dbfs(peak: float) -> float | None:
    """`peak` (full scale 1.0) in dB, or None for silence, which has no level."""
    return 20.0 * math.log10(peak) if peak > 0.0 else None


def gain_to_peak(peak: float) -> float:
    """The factor that brings a file whose largest sample is `peak` to `PEAK`; 1.0 for one that is silent."""
    level = to_dbfs(peak)
    if level is None or level < SILENCE_DBFS:
        return 1.0
    return PEAK / peak


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
