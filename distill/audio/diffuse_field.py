"""Head-related responses freed of what is common to all directions: loudspeaker, microphone, ear canal.

What comes from everywhere then sounds as it is, and only what tells directions apart is left. A set of the whole sphere
that was equalised so before stays as it is.

Sources: Theile, On the standardization of the frequency response of high-quality studio headphones, JAES 34(12), 1986
(the diffuse field as reference); Oppenheim and Schafer, Discrete-Time Signal Processing, 3rd edition 2010, chapter 13
(minimum phase from the cepstrum); Xie, On the low frequency characteristics of head-related transfer function, Chinese
Journal of Acoustics 28(2), 2009 (below 400 Hz level is constant and phase linear: both can be put right from there).
"""

from __future__ import annotations

from math import pi

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SPHERE_POINTS = 2000
REACH = np.cos(np.radians(15.0))
"""What is further from any direction measured counts for nothing, such as the floor under a head."""
BAND = 2.0 ** (1 / 6)
"""Spectra are averaged from a frequency divided by this to it times this: a third of an octave."""
HIGHEST_HZ = 16000.0
"""Above, the correction stays what it is there: measurements end in noise."""
MOST = 30.0
"""At most so many dB are added anywhere."""
BASS_HZ = 400.0
CHUNK = 64
"""Directions transformed at a time."""


def unit_vectors(azimuths: Floats, elevations: Floats) -> Floats:
    """Directions `[directions, 3]` (front, left, up) of angles `[directions]` in degrees."""
    azimuths, elevations = np.radians(azimuths), np.radians(elevations)
    flat = np.cos(elevations)
    return np.stack([np.cos(azimuths) * flat, np.sin(azimuths) * flat, np.sin(elevations)], axis=-1)


def shares(directions: Floats) -> Floats:
    """How much of the sphere each of the unit vectors `directions [directions, 3]` is nearest to: sums to 1.

    Counted on a spiral of points, each for as much of the sphere as any other.
    """
    number = np.arange(SPHERE_POINTS)
    golden = 180.0 * (3.0 - np.sqrt(5.0))
    points = unit_vectors(golden * number, np.degrees(np.arcsin(1.0 - (2 * number + 1) / SPHERE_POINTS)))
    counts = np.zeros(len(directions))
    for some in np.array_split(points, 20):
        nearness = some @ directions.T
        nearest = nearness.argmax(axis=1)
        counts += np.bincount(nearest[nearness.max(axis=1) > REACH], minlength=len(directions))
    share: Floats = counts / counts.sum()
    return share


def mean_power(responses: NDArray[np.floating], directions: Floats, size: int) -> Floats:
    """The mean power spectrum `[size // 2 + 1]` of `responses [directions, 2, taps]` over the sphere and both ears."""
    weights = shares(directions)
    power = np.zeros(size // 2 + 1)
    for start in range(0, len(responses), CHUNK):
        some = slice(start, start + CHUNK)
        spectra = np.fft.rfft(responses[some], size)
        power += weights[some] @ (spectra.real**2 + spectra.imag**2).mean(axis=1)
    return power


def smooth(power: Floats) -> Floats:
    """A power spectrum `[bins]` averaged over thirds of an octave."""
    bins = np.arange(len(power))
    low, high = np.round(bins / BAND).astype(int), np.minimum(np.round(bins * BAND).astype(int) + 1, len(power))
    sums = np.concatenate([[0.0], np.cumsum(power)])
    mean: Floats = (sums[high] - sums[low]) / (high - low)
    return mean


def minimum_phase(magnitude: Floats) -> NDArray[np.complex128]:
    """The spectrum `[bins]` of that `magnitude [bins]` whose response comes as early as it can."""
    cepstrum = np.fft.irfft(np.log(magnitude))
    half = len(cepstrum) // 2
    cepstrum[1:half] *= 2.0
    cepstrum[half + 1 :] = 0.0
    return np.exp(np.fft.rfft(cepstrum))


def correction(power: Floats, sample_rate: float) -> NDArray[np.complex128]:
    """The spectrum `[bins]` that makes a mean `power [bins]` one everywhere, of minimum phase."""
    level = smooth(power)
    highest = round(min(HIGHEST_HZ, 0.4 * sample_rate) / sample_rate * 2 * (len(level) - 1))
    level[highest:] = level[highest]
    return minimum_phase(1.0 / np.sqrt(np.maximum(level, level.max() * 10.0 ** (-MOST / 10.0))))


def mend_bass(spectra: NDArray[np.complex128], onsets: Floats, sample_rate: float) -> NDArray[np.complex128]:
    """`spectra [..., bins]` of responses that begin at `onsets [...]` samples, made anew below BASS_HZ.

    Loudspeakers that heads are measured with give little there. The level goes to that of the diffuse field, where
    every response ends up, for a head is small against the waves; the phase goes straight to zero.
    """
    size = 2 * (spectra.shape[-1] - 1)
    corner = round(BASS_HZ / sample_rate * size)
    at_corner = spectra[..., corner]
    expected = -2 * pi * corner / size * onsets
    phase = expected + np.angle(at_corner * np.exp(-1j * expected))
    rising = np.arange(corner) / corner
    mended = spectra.copy()
    mended[..., :corner] = np.exp(rising * (np.log(np.abs(at_corner)) + 1j * phase)[..., None])
    return mended
