"""What a sound is like in figures: its spectrum and how that moves, its loudness. Which to keep is `picking.py`'s.

Files are read block by block, so that memory does not grow with their length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from distill.audio.blocks import cut
from distill.audio.levels import SILENCE_DBFS
from distill.audio.loudness import Loudness
from distill.audio.recordings import Reader

BANDS = 64
LOWEST_HZ, HIGHEST_HZ = 30.0, 16000.0
"""The mel bands: of HTK's scale, from here to there at any sample rate."""
HOPS_PER_SECOND = 50
HOPS_PER_WINDOW = 2
LAGS = (2, 8, 32)
"""Over how many hops changes are measured: 40, 160 and 640 ms."""
FLOOR_DB = 70.0
"""What lies further than this under the loudest hop of a file is as silence: it is not heard, and is often noise."""
GAP_DB = 50.0
"""Hops that lie further than this under the loudest are gaps, which have no colour."""
HOPS_PER_BLOCK = 256
"""Hops whose spectra are computed together."""
SIZE = BANDS * (1 + len(LAGS))
"""How many statistics there are of a file."""

_COLOUR, _CHANGE = (math.sqrt(SIZE / 2 / count) for count in (BANDS, SIZE - BANDS))
SILENCE = math.pow(10.0, SILENCE_DBFS / 10.0)
"""A file whose loudest hop has less power (mean square) than this is silent."""


def log_mel_statistics(path: Path, check: Callable[[], object] = lambda: None) -> NDArray[np.float64] | None:
    """What the sound of a file is like, `[SIZE]` in dB, whatever its level and length; None where it is silent.

    Of the log-mel spectrum: the mean over time of each band, without gaps, less the mean of all bands; then for each
    lag, the root mean square by which each band changes over it (0 in a file that is shorter). The first is how the
    sound is coloured, the others how fast and how far it moves: a drone, a beat and a rattle of one colour differ in
    them. They are weighed so that the root mean square difference of two files counts colour half, and movement half.
    `check` is called with every block, and may raise.
    """
    loudest = _loudest(path, check)
    if loudest < SILENCE:
        return None
    total, hops = np.zeros(BANDS), 0
    squares, pairs = np.zeros((len(LAGS), BANDS)), np.zeros(len(LAGS))
    before = np.zeros((0, BANDS))
    for powers in _mel_powers(path):
        check()
        decibels = 10.0 * np.log10(np.maximum(powers / loudest, math.pow(10.0, -FLOOR_DB / 10.0)))
        heard = powers.sum(axis=1) >= loudest * math.pow(10.0, -GAP_DB / 10.0)
        total += decibels[heard].sum(axis=0)
        hops += int(heard.sum())
        joined = np.concatenate([before, decibels])
        for number, lag in enumerate(LAGS):
            first = min(max(len(before), lag), len(joined))
            changes = joined[first:] - joined[max(0, first - lag) : max(0, len(joined) - lag)]
            squares[number] += np.square(changes).sum(axis=0)
            pairs[number] += len(changes)
        before = joined[-max(LAGS) :]
    colour = total / max(hops, 1)
    changes = np.sqrt(squares / np.maximum(pairs, 1)[:, None])
    return np.concatenate([_COLOUR * (colour - colour.mean()), _CHANGE * changes.ravel()])


def loudness(path: Path, check: Callable[[], object] = lambda: None) -> float | None:
    """The integrated loudness of a file in LUFS (ITU-R BS.1770-5); None where it is silent.

    Of its first two channels, where it has more. `check` is called with every block, and may raise.
    """
    with Reader(path) as reader:
        channels = min(2, reader.channels)
        meter = Loudness(channels, reader.sample_rate)
        for block in reader.blocks(reader.sample_rate, channels):
            check()
            meter.add(block)
    return meter.value


def is_silent(path: Path, check: Callable[[], object] = lambda: None) -> bool:
    """Whether a file has no 20 ms as loud as -80 dBFS (RMS). `check` is called with every block, and may raise."""
    return _loudest(path, check) < SILENCE


def _loudest(path: Path, check: Callable[[], object]) -> float:
    """The largest power (mean square, full scale 1) of the hops of a file."""
    with Reader(path) as reader:
        hop = _hop(reader.sample_rate)
        largest = 0.0
        for block in cut(_blocks(reader), HOPS_PER_BLOCK * hop):
            check()
            power = np.square(block).mean(axis=0)
            hops = np.add.reduceat(power, np.arange(0, len(power), hop), dtype=np.float64)
            largest = max(largest, float(hops.max()) / hop)
        return largest


def _mel_powers(path: Path) -> Iterator[NDArray[np.float64]]:
    """The powers `[hops, BANDS]` of the bands of a file, some hops at a time; windows are centred on the hops' starts.

    Of the mean of the channels' power, so that what is in one the other's opposite is heard. The window is a periodic
    Hann window of two hops, in which the powers of all bins sum to that of the samples.
    """
    with Reader(path) as reader:
        hop = _hop(reader.sample_rate)
        length = HOPS_PER_WINDOW * hop
        window = np.hanning(length + 1)[:-1].astype(np.float32)
        filters = _filters(reader.sample_rate) * np.float32(2.0 / (length * np.square(window).sum()))
        channels = min(2, reader.channels)
        waiting = np.zeros((channels, length // 2), np.float32)
        ends = np.zeros((channels, length // 2), np.float32)
        for block in cut(chain(_blocks(reader), [ends]), HOPS_PER_BLOCK * hop):
            samples = np.concatenate([waiting, block], axis=1)
            if samples.shape[1] >= length:
                frames = np.lib.stride_tricks.sliding_window_view(samples, length, axis=1)[:, ::hop]
                powers = np.square(np.abs(np.fft.rfft(frames * window))).mean(axis=0)
                yield (filters @ powers.T).T.astype(np.float64)
            waiting = samples[:, samples.shape[1] // hop * hop - (length - hop) :]


def _blocks(reader: Reader) -> Iterator[NDArray[np.float32]]:
    """The samples of a file at its own rate, of two channels at most."""
    return reader.blocks(reader.sample_rate, min(2, reader.channels))


def _hop(sample_rate: int) -> int:
    return max(1, round(sample_rate / HOPS_PER_SECOND))


@cache
def _filters(sample_rate: int) -> csr_array:
    """The filter bank, float32 `[BANDS, bins]`: triangles on the HTK scale, peaks at 1. Nearly all of it is zero.

    Source: Young et al., The HTK Book, 2006, section 5.4. A sparse product has one order of additions, whatever the
    number of threads.
    """
    low, high = (2595.0 * np.log10(1.0 + f / 700.0) for f in (LOWEST_HZ, HIGHEST_HZ))
    centres = 700.0 * (10.0 ** (np.linspace(low, high, BANDS + 2) / 2595.0) - 1.0)
    length = HOPS_PER_WINDOW * _hop(sample_rate)
    frequencies = np.arange(length // 2 + 1) * sample_rate / length
    widths = np.diff(centres)[:, None]
    rising = (frequencies - centres[:-2, None]) / widths[:-1]
    falling = (centres[2:, None] - frequencies) / widths[1:]
    return csr_array(np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32))
