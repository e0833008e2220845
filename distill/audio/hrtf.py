"""What a head does to sound from around it: responses measured at both ears, those that come along or a file's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from threading import Lock

import numpy as np
import soxr
from numpy.typing import NDArray

from distill.audio import sofa
from distill.audio.diffuse_field import Floats, correction, mean_power, mend_bass, unit_vectors
from distill.errors import DistillError
from distill.text import clean

SHIPPED = "kemar.npz"
REACH_DEGREES = 10.0
"""How far a measured direction may be from the one that is needed."""
KEPT_MS = 6.0
"""How much of a response is kept: the head and the ear. What comes later is the room it was measured in."""
LEAD_MS = 0.3
"""What is kept before the first onset of all."""
FADE_MS = 1.5
ONSET = 0.15
"""A response begins where it first exceeds this share of its peak."""


@dataclass(frozen=True, eq=False)
class Hrtf:
    """Responses of the horizontal plane: `azimuths [directions]` in degrees from -180 to 180, positive to the left.

    `responses [directions, 2, taps]`: the left ear's and the right one's, at `sample_rate` in Hz, of directions
    no further than REACH_DEGREES from the plane. `name` is what an error calls the set.
    """

    azimuths: Floats
    responses: NDArray[np.float32]
    sample_rate: int
    name: str

    def towards(self, azimuths: Floats) -> NDArray[np.float32]:
        """The responses `[azimuths, 2, taps]` measured nearest to each of `azimuths` in degrees."""
        apart = np.abs((self.azimuths - azimuths[:, None] + 180.0) % 360.0 - 180.0)
        missing = azimuths[apart.min(axis=1) > REACH_DEGREES]
        if len(missing):
            raise DistillError(
                f"--hrtf: {self.name} has no direction on the horizontal plane within {REACH_DEGREES:g}° of azimuth "
                f"{missing[0]:g}°, which is needed. Give another SOFA file."
            )
        nearest: NDArray[np.float32] = self.responses[apart.argmin(axis=1)]
        return nearest


def load(path: Path | None) -> Hrtf:
    """The set in the SOFA file at `path`, or the one that comes along. Read once for as long as the file is the same.

    Raises `DistillError` for a file that cannot be used.
    """
    if path is None:
        return _shipped()
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise DistillError(f"--hrtf: there is no file {clean(str(path), 200)}. Give a SOFA file.") from error
    with _READING:
        return _from_file(path.resolve(), changed)


_READING = Lock()
"""Held while a SOFA file is read: HDF5, which reads it, is not thread-safe."""


@lru_cache(maxsize=1)
def _shipped() -> Hrtf:
    with (files("distill.audio") / "data" / SHIPPED).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return Hrtf(arrays["azimuths"], arrays["responses"], int(arrays["sample_rate"]), "KEMAR")


@lru_cache(maxsize=4)
def _from_file(path: Path, changed: int) -> Hrtf:
    return horizontal(sofa.read(path))


def horizontal(measured: sofa.Measurements) -> Hrtf:
    """The horizontal plane of a set: equalised by the mean of all its directions, without the delay they share."""
    rate, taps = measured.sample_rate, measured.responses.shape[2]
    directions = unit_vectors(measured.azimuths, measured.elevations)
    round_about = unit_vectors(np.arange(-179.0, 181.0), np.zeros(360))
    nearness = round_about @ directions.T
    within = nearness.max(axis=1) >= np.cos(np.radians(REACH_DEGREES))
    if not within.any():
        raise DistillError(f"--hrtf: {measured.name} has no direction on the horizontal plane. Give another SOFA file.")
    chosen = np.unique(nearness.argmax(axis=1)[within])
    azimuths = 180.0 - (180.0 - measured.azimuths[chosen]) % 360.0
    chosen, azimuths = chosen[np.argsort(azimuths)], np.sort(azimuths)
    size = 2 << (max(taps + int(np.ceil(measured.delays.max())), 4096) - 1).bit_length()
    equaliser = correction(mean_power(measured.responses, directions, size), rate)
    shift = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size * measured.delays[chosen][..., None])
    spectra = np.fft.rfft(measured.responses[chosen], size) * equaliser * shift
    onsets = _onsets(np.fft.irfft(spectra, size))
    responses = np.fft.irfft(mend_bass(spectra, onsets, rate), size)
    return Hrtf(azimuths, _trimmed(responses, rate).astype(np.float32), rate, measured.name)


def _onsets(responses: Floats) -> Floats:
    """Where each of `responses [..., taps]` begins, in samples."""
    level = np.abs(responses)
    onsets: Floats = (level > ONSET * level.max(axis=-1, keepdims=True)).argmax(axis=-1).astype(np.float64)
    return onsets


def _trimmed(responses: Floats, sample_rate: int) -> Floats:
    """`responses [..., taps]` without the delay that all of them have, KEPT_MS long, faded at both ends."""
    lead, kept, fade = (round(ms / 1000 * sample_rate) for ms in (LEAD_MS, KEPT_MS, FADE_MS))
    start = int(_onsets(responses).min()) - lead
    window = np.ones(kept)
    window[:lead] = np.sin(np.pi / 2 * (np.arange(lead) + 0.5) / lead) ** 2
    window[-fade:] = np.cos(np.pi / 2 * (np.arange(fade) + 0.5) / fade) ** 2
    return np.roll(responses, -start, axis=-1)[..., :kept] * window


def resampled(responses: NDArray[np.float32], source_rate: int, target_rate: int) -> Floats:
    """`responses [..., taps]` as filters of the same frequencies at another rate (Hz)."""
    taps = responses.shape[-1]
    flat = np.pad(responses.reshape(-1, taps).T.astype(np.float64), ((0, taps // 4), (0, 0)))
    if source_rate != target_rate:
        flat = soxr.resample(flat, source_rate, target_rate, quality="VHQ") * (source_rate / target_rate)
    return flat.T.reshape(*responses.shape[:-1], -1)
