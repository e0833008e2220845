"""Convolution of a stream with long filters, by overlap-save: memory does not grow with duration.

The bits that come out depend neither on how the stream was cut nor on threads: transforms are always of one size, and
each is made by one thread.

Source: Oppenheim and Schafer, Discrete-Time Signal Processing, 3rd edition 2010, section 8.7.3 (overlap-save).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from distill.audio.blocks import cut

LEAST_TRANSFORM = 8192
"""Samples of the shortest transform: shorter ones spend their time between transforms."""


class Convolver:
    """Finite impulse responses from each input channel to each output: `taps [outputs, inputs, taps]`.

    Takes blocks of `step` samples, of which only the last may be shorter.
    """

    def __init__(self, taps: NDArray[np.float64]) -> None:
        _, self.inputs, length = taps.shape
        self._size = max(LEAST_TRANSFORM, 4 << (length - 1).bit_length())  # so that most of each is sound that is new
        self._history = length - 1
        self.step = self._size - self._history
        self._spectra = np.fft.rfft(taps, self._size).astype(np.complex64)
        self._window = np.zeros((self.inputs, self._size), np.float32)

    def push(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """`block [inputs, samples]` through the filters: `[outputs, samples]`."""
        now = slice(self._history, self._history + block.shape[1])
        self._window[:, : self._history] = self._window[:, self.step :]
        self._window[:, now] = block
        self._window[:, now.stop :] = 0.0
        spectra = np.fft.rfft(self._window)
        total = self._spectra[:, 0] * spectra[0]
        for channel in range(1, self.inputs):
            total += self._spectra[:, channel] * spectra[channel]
        return np.fft.irfft(total, self._size).astype(np.float32, copy=False)[:, now]


def convolve(blocks: Iterable[NDArray[np.float32]], convolver: Convolver) -> Iterator[NDArray[np.float32]]:
    """`blocks [inputs, samples]` through a new `convolver`: `[outputs, samples]`, as many and no later, cut anew.

    What the filters would still ring after the last sample is left out.
    """
    for block in cut(blocks, convolver.step):
        yield convolver.push(block)
