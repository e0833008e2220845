"""From the model's sample rate to the one asked for, as a stream, by soxr at its best quality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr
from numpy.typing import NDArray


def samples_needed(samples: int, source_rate: int, target_rate: int) -> int:
    """How many samples at `source_rate` make `samples` at `target_rate` (both in Hz).

    None to spare: a model asked for more could make another sound. The filter's ringing at the end is under the
    fade of the file's edge.
    """
    return -(-samples * source_rate // target_rate)


def resample(
    chunks: Iterable[NDArray[np.float32]], source_rate: int, target_rate: int, channels: int
) -> Iterator[NDArray[np.float32]]:
    """`chunks [channels, samples]` at another rate (Hz), cut up anew; unchanged where the rates agree."""
    if source_rate == target_rate:
        yield from chunks
        return
    stream = soxr.ResampleStream(source_rate, target_rate, channels, dtype="float32", quality="VHQ")
    for chunk in chunks:
        yield stream.resample_chunk(np.ascontiguousarray(chunk.T)).reshape(-1, channels).T
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).reshape(-1, channels).T
