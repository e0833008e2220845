"""Head-related impulse responses from a SOFA file, as measured. Needs sofar, the extra `binaural`.

A file is hostile until it has been looked at: sizes are checked before anything is read, values after.

Source: AES69-2022, AES standard for file exchange - Spatial acoustic data file format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.errors import DistillError
from distill.text import clean, describe

Floats = NDArray[np.float64]

MOST_VALUES = 2**25
"""Samples in all of a file's responses: 256 MiB. The largest sets of heads have a fifth of that."""
MOST_TAPS = 2**16
FEWEST_TAPS = 32
RATES = (8000, 384000)
LONGEST_DELAY = 4096


@dataclass(frozen=True)
class Measurements:
    """What a file holds: `responses [directions, 2, taps]`, left ear first, at `sample_rate` in Hz.

    `azimuths [directions]` and `elevations [directions]` in degrees, positive to the left and up. `delays
    [directions, 2]` in samples come before the responses. `name` is what an error calls the file.
    """

    azimuths: Floats
    elevations: Floats
    responses: Floats
    delays: Floats
    sample_rate: int
    name: str


def read(path: Path) -> Measurements:
    """What was measured in the SOFA file at `path`. Raises `DistillError` for one that cannot be used."""
    try:
        import sofar
    except ImportError as error:
        raise DistillError("--hrtf needs sofar. Install it: pip install 'distill[binaural]'.") from error
    name = clean(path.name)
    try:
        with sofar.SofaStream(str(path)) as file:
            return _measurements(file, name)
    except DistillError:
        raise
    except Exception as error:  # whatever the library makes of bytes that anyone may have written
        raise DistillError(
            f"--hrtf: {name} cannot be read as a SOFA file ({describe(error)}). Give another."
        ) from error


def _measurements(file: Any, name: str) -> Measurements:
    responses = _responses(file, name)
    count = len(responses)
    rate = _array(file, name, "Data_SamplingRate")
    if rate.size != 1 or not RATES[0] <= rate.item() <= RATES[1] or rate.item() % 1:
        raise _bad(
            name,
            f"its sampling rate is {clean(rate.ravel()[:3].tolist())}, not a whole number of Hz from 8000 to 384000",
        )
    source, view = (_angles(file, name, of) for of in ("SourcePosition", "ListenerView"))
    for of, angles in (("source positions", source), ("listener views", view)):
        if angles.shape[1] not in (1, count):
            raise _bad(name, f"it has {angles.shape[1]} {of} for {count} measurements")
    azimuths = np.broadcast_to(source[0] - view[0], count)
    elevations = np.broadcast_to(source[1], count)
    delays = _array(file, name, "Data_Delay") if hasattr(file, "Data_Delay") else np.zeros((1, 2))
    delays = np.broadcast_to(delays, (count, 2))
    if delays.min() < 0 or delays.max() > LONGEST_DELAY:
        raise _bad(name, f"its delays go from {delays.min():g} to {delays.max():g} samples")
    if _right_ear_first(file, name):
        responses, delays = responses[:, ::-1], delays[:, ::-1]
    return Measurements(azimuths, elevations, responses, delays, int(rate.item()), name)


def _responses(file: Any, name: str) -> Floats:
    """The impulse responses `[directions, 2, taps]`, in the file's own order of ears."""
    if not hasattr(file, "Data_IR"):
        raise _bad(name, "it holds no impulse responses (Data.IR)")
    shape = tuple(file.Data_IR.shape)
    if len(shape) != 3:
        raise _bad(name, f"its impulse responses have {len(shape)} dimensions, not 3")
    if shape[1] != 2:
        raise _bad(name, f"it has {shape[1]} receivers, not two ears")
    if not (shape[0] and FEWEST_TAPS <= shape[2] <= MOST_TAPS and np.prod(shape, dtype=float) <= MOST_VALUES):
        raise _bad(name, f"it has {shape[0]} measurements of {shape[2]} samples, too few or too many")
    responses = _array(file, name, "Data_IR")
    if not np.abs(responses).max(axis=2).all():
        raise _bad(name, "a response in it is silent")
    return responses


def _array(file: Any, name: str, variable: str) -> Floats:
    """A variable of the file; it must be there and all numbers in it finite."""
    if not hasattr(file, variable):
        raise _bad(name, f"it has no {variable.replace('_', '.')}")
    stored = getattr(file, variable)
    if np.prod(stored.shape, dtype=float) > MOST_VALUES:
        raise _bad(name, f"its {variable.replace('_', '.')} has {clean(stored.shape)} values")
    values: Floats = np.ma.filled(np.ma.asarray(stored[...]).astype(np.float64), np.nan)
    if not (values.size and np.isfinite(values).all()):
        raise _bad(name, f"{variable.replace('_', '.')} has values that are no numbers")
    return values


def _angles(file: Any, name: str, variable: str) -> Floats:
    """Azimuths and elevations `[2, positions]` in degrees of a variable `[positions, 3]`, whichever its coordinates."""
    values = _array(file, name, variable).reshape(-1, 3)
    if str(getattr(file, f"{variable}_Type", "spherical")).strip().lower() == "spherical":
        return values[:, :2].T
    front, left, up = values.T
    angles: Floats = np.degrees([np.arctan2(left, front), np.arctan2(up, np.hypot(front, left))])
    return angles


def _right_ear_first(file: Any, name: str) -> bool:
    """Whether the file's first receiver is right of its second; the standard leaves their order open."""
    if not hasattr(file, "ReceiverPosition"):
        return False
    values = _array(file, name, "ReceiverPosition")
    if values.shape[:2] != (2, 3):
        return False
    if str(getattr(file, "ReceiverPosition_Type", "cartesian")).strip().lower() == "spherical":
        left = np.sin(np.radians(values[:, 0])) * values[:, 2]
    else:
        left = values[:, 1]
    return bool(left[0].flat[0] < left[1].flat[0])


def _bad(name: str, what: str) -> DistillError:
    return DistillError(f"--hrtf: {name} cannot be used: {what}. Give another SOFA file.")
