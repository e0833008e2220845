"""How loud a stream is, and how high it swings between its samples: measured block by block, nothing is changed."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PHASES = np.array(
    [
        [
            0.0017089843750, 0.0109863281250, -0.0196533203125, 0.0332031250000, -0.0594482421875, 0.1373291015625,
            0.9721679687500, -0.1022949218750, 0.0476074218750, -0.0266113281250, 0.0148925781250, -0.0083007812500,
        ],
        [
            -0.0291748046875, 0.0292968750000, -0.0517578125000, 0.0891113281250, -0.1665039062500, 0.4650878906250,
            0.7797851562500, -0.2003173828125, 0.1015625000000, -0.0582275390625, 0.0330810546875, -0.0189208984375,
        ],
    ]
)  # fmt: skip
"""The first two of the interpolator's four phases (ITU-R BS.1770-5, annex 2); the others are these, backwards."""
_EVENS, _ODDS = ((_PHASES + sign * _PHASES[:, ::-1])[:, :6].astype(np.float32) / 2 for sign in (1, -1))
"""A phase is the first half of an even part and of an odd part, to be mirrored."""
_REACH = _PHASES.shape[1] - 1
"""How many samples before a sample the values around it depend on."""
_GAIN = 1.0001 * float(np.abs(_PHASES).sum(axis=1).max())
"""No value between samples exceeds the largest of those samples by more than this factor, rounding included."""
_FRAME = 8192
"""Samples that are looked at together: few enough for a processor's cache, many enough for numpy."""

HOPS_PER_SECOND = 10
HOPS_PER_BLOCK = 4
"""A gating block is 400 ms, and begins a quarter of that after the one before."""
OFFSET_LU = -0.691
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE = 0.1
"""Blocks 10 LU under the mean of those that pass the absolute gate do not count: as a factor of power."""


class TruePeak:
    """The largest magnitude of a stream between its samples too, by 4 times oversampling (ITU-R BS.1770-5, annex 2).

    On recordings it reads within half a decibel of the wave that the samples stand for; less can be said of sounds
    that are strong right up to half the sample rate, where the standard's filter is short.
    """

    def __init__(self, channels: int) -> None:
        self._before = np.zeros((channels, _REACH), np.float32)
        self._largest = 0.0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take in `block [channels, samples]`."""
        joined = np.concatenate([self._before, block], axis=1)
        self._largest = _largest(joined, self._largest)
        self._before = joined[:, joined.shape[1] - _REACH :].copy()  # a view would keep all of the block

    @property
    def value(self) -> float:
        """The true peak of what was added, full scale 1.0, as if silence followed; never under the sample peak."""
        return _largest(np.pad(self._before, ((0, 0), (0, _REACH))), self._largest)


def _largest(joined: NDArray[np.float32], least: float) -> float:
    """The largest magnitude of `joined [channels, samples]` and around its samples from `_REACH` on, or `least`.

    A frame whose samples are too small to lead to more is not interpolated: nearly all of most sounds.
    """
    largest = max(least, float(np.abs(joined).max(initial=0.0)))
    for samples in joined:
        for start in range(0, len(samples) - _REACH, _FRAME):
            frame = samples[start : start + _FRAME + _REACH]
            if _GAIN * max(float(frame.max()), -float(frame.min())) > largest:
                largest = max(largest, _interpolated(frame))
    return largest


def _interpolated(frame: NDArray[np.float32]) -> float:
    """The largest magnitude of the four phases around the samples of `frame [samples]` from `_REACH` on.

    A phase gives A + B, A by the even part of its coefficients and B by the odd; the same phase backwards gives A - B.
    The larger of the two magnitudes is |A| + |B|. Sample by sample, not by convolution: the rounding must not depend
    on where a block begins.
    """
    count = len(frame) - _REACH
    ends = [(frame[i : i + count], frame[_REACH - i : _REACH - i + count]) for i in range(_EVENS.shape[1])]
    sums, differences = [a + b for a, b in ends], [a - b for a, b in ends]
    largest = 0.0
    for evens, odds in zip(_EVENS, _ODDS, strict=True):
        magnitude = np.abs(sum(s * c for s, c in zip(sums, evens, strict=True)))
        magnitude += np.abs(sum(d * c for d, c in zip(differences, odds, strict=True)))
        largest = max(largest, float(magnitude.max()))
    return largest


class Loudness:
    """The integrated loudness of a stream (ITU-R BS.1770-5, annex 1), as pyloudnorm computes it of a whole file.

    `channels` is 1 or 2, each of weight 1. A mono file is one channel, as in BS.1770, pyloudnorm and ffmpeg: it reads
    3.01 LU less than the same samples on both channels of a stereo file (ffmpeg's `dualmono=true` adds those).
    """

    def __init__(self, channels: int, sample_rate: int) -> None:
        from pyloudnorm import Meter

        stages = Meter(sample_rate)._filters.values()  # it has no public name for its coefficients
        self._sections = np.array([[*stage.b, *stage.a] for stage in stages])
        self._state = np.zeros((len(self._sections), channels, 2))
        self._sample_rate = sample_rate
        self._hop = np.zeros((channels, sample_rate // HOPS_PER_SECOND + 1))
        self._filled = 0
        self._energies = array("d")

    def add(self, block: NDArray[np.float32]) -> None:
        """Take in `block [channels, samples]`."""
        while block.shape[1]:
            piece, block = np.split(block, [self._hop_length - self._filled], axis=1)
            self._hop[:, self._filled : self._filled + piece.shape[1]] = piece
            self._filled += piece.shape[1]
            if self._filled == self._hop_length:
                energy, self._state = self._weighted()
                self._energies.append(energy)
                self._filled = 0

    @property
    def value(self) -> float | None:
        """The loudness of what was added in LUFS; None where no gating block is as loud as -70 LUFS.

        Less than 400 ms is one gating block, the rest of it silence: what a meter shows when the file is played once.
        (pyloudnorm refuses these.) A last hop of 100 ms counts where more than half of it is there, as in pyloudnorm.
        """
        energies = np.array(self._energies)
        seconds = (self._hop_start(len(energies)) + self._filled) / self._sample_rate
        hops = round((seconds - 0.4) / (0.4 * 0.25)) + HOPS_PER_BLOCK  # pyloudnorm's arithmetic decides on just half
        if self._filled and len(energies) < max(hops, HOPS_PER_BLOCK):
            energies = np.append(energies, self._weighted()[0])
        energies = np.pad(energies, (0, max(0, HOPS_PER_BLOCK - len(energies))))
        sums = np.lib.stride_tricks.sliding_window_view(energies, HOPS_PER_BLOCK).sum(axis=1)
        power = sums * HOPS_PER_SECOND / (HOPS_PER_BLOCK * self._sample_rate)
        loud = power[OFFSET_LU + 10.0 * np.log10(np.maximum(power, 1e-30)) >= ABSOLUTE_GATE_LUFS]
        if not len(loud):
            return None
        return float(OFFSET_LU + 10.0 * np.log10(loud[loud > RELATIVE_GATE * loud.mean()].mean()))

    @property
    def _hop_length(self) -> int:
        """Samples in the hop that is being filled: at some rates one more in every other hop."""
        number = len(self._energies)
        return self._hop_start(number + 1) - self._hop_start(number)

    def _hop_start(self, number: int) -> int:
        return number * self._sample_rate // HOPS_PER_SECOND

    def _weighted(self) -> tuple[float, NDArray[Any]]:
        """The energy, K-weighted, of what is in the hop, and the filter's state after it.

        A hop is filtered as a whole, so that the rounding does not depend on how the stream was cut.
        """
        from scipy.signal import sosfilt

        weighted, state = sosfilt(self._sections, self._hop[:, : self._filled], zi=self._state)
        return float(np.square(weighted).sum()), state
