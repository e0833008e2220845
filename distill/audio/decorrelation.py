"""A filter that keeps every frequency's level and changes its phase: what two channels made of one differ by.

A cascade of all-pass sections, so that it colours nothing: Schroeder's, a delay fed back and fed forward, spread
transients; sections of second order, evenly spaced in pitch, turn the phase of low frequencies, for which those delays
are short. The phase then turns several times within each octave, so where one frequency is louder on the left another
is on the right. A high-pass keeps the bass in the middle. All of it is causal: nothing sounds before its cause.

Sources: Schroeder, Natural sounding artificial reverberation, JAES 10(3), 1962 (the sections; coprime delays);
Lauridsen, Nogle forsøg med forskellige former rum akustik gengivelse, Ingeniøren 47, 1954 (complementary channels);
Orban, A rational technique for synthesizing pseudo-stereo from monophonic sources, JAES 18(2), 1970 (all-pass phases).
"""

from __future__ import annotations

from functools import lru_cache
from math import pi

import numpy as np
from numpy.typing import NDArray

SHORT_MS = np.array([0.239, 0.251, 0.268, 0.301, 0.66, 1.071])
"""Delays of Schroeder's sections at depth 0. With LONG_MS found by a random search for equal octaves in both channels
at every depth (docs/decisions/space.md)."""
LONG_MS = np.array([3.87, 2.37, 1.92, 5.25, 6.39, 11.06])
"""Delays of Schroeder's sections at depth 1."""
FEEDBACK = 0.6
LEAD_MS = 0.7
"""Delay before the first of it: without one, a part of the sound would be the middle's again, and stand on one side."""
TURNS_HZ = 63.0 * 2.0 ** (np.arange(20) / 4)
"""Centres of the sections of second order: four an octave, up to 1.7 kHz."""
TURNS_Q = 2.5
BASS_HZ = 120.0
"""What is below stays in the middle: the corner of a Butterworth high-pass of second order."""
FLOOR = 1e-4
"""The response ends where nothing of it exceeds its peak by this factor any more: -80 dB."""


@lru_cache(maxsize=8)
def decorrelator(sample_rate: int, depth: float) -> NDArray[np.float64]:
    """The impulse response `[taps]` at `sample_rate` in Hz. Nowhere is its magnitude over 1, above the bass it is 1.

    Above 500 Hz, a thousandth of its energy is left after 13 ms at depth 0, 34 ms at 0.5, 104 ms at 1.
    """
    size = 1 << (sample_rate - 1).bit_length()  # a second or more: its end is far under the floor
    turn = np.exp(-2j * pi * np.arange(size // 2 + 1) / size)  # one sample's delay
    response = _turning(size, sample_rate) * turn ** round(LEAD_MS / 1000 * sample_rate)
    for delay_ms in SHORT_MS ** (1 - depth) * LONG_MS**depth:
        delayed = turn ** max(1, round(delay_ms / 1000 * sample_rate))
        response *= (delayed - FEEDBACK) / (1 - FEEDBACK * delayed)
    taps = np.fft.irfft(response, size)
    audible = np.flatnonzero(np.abs(taps) > FLOOR * np.abs(taps).max())
    taps = taps[: audible[-1] + 1]
    response = np.fft.rfft(taps, size)
    limited: NDArray[np.float64] = taps / max(1.0, np.abs(response).max())
    return limited


def _turning(size: int, sample_rate: int) -> NDArray[np.complex128]:
    """The spectrum `[bins]` of the high-pass and the sections of second order, by the bilinear transform."""
    frequency = np.tan(np.minimum(pi * np.arange(size // 2 + 1) / size, pi / 2 - 1e-9))
    bass = 1j * frequency / np.tan(pi * BASS_HZ / sample_rate)
    response: NDArray[np.complex128] = bass**2 / (bass**2 + np.sqrt(2) * bass + 1)
    for centre in TURNS_HZ:
        at = frequency / np.tan(pi * centre / sample_rate)
        response *= (1 - at**2 - 1j * at / TURNS_Q) / (1 - at**2 + 1j * at / TURNS_Q)
    return response
