"""What a page shows and plays of an audio file: a small picture, and a preview of its sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from distill.audio import files, pictures
from distill.audio.formats import FORMATS, output_format
from distill.audio.resampling import resample
from distill.errors import DistillError
from distill.text import clean

COLUMNS, BANDS = 200, 48
"""A picture has at most so many columns, of so many bands."""
PREVIEW, PREVIEW_QUALITY = "mp3", 6.0
"""Every browser plays MP3, and it holds the usual rates. This quality is 60 to 90 kbit/s a channel: hard to tell."""
PREVIEW_BYTES = 10_000
"""A second of a channel is about so large, of noise; of all else less."""


@dataclass(frozen=True)
class Seen:
    """A file of `duration` seconds; `sample_rate` in Hz.

    `picture` is bytes: the lowest sample of each column, the highest of each, 0 to 255 for -1 to 1, then the levels of
    the lowest band in each column, and of the others; 255 is as loud as it gets, 0 is `pictures.RANGE_DB` less.
    """

    duration: float
    sample_rate: int
    channels: int
    picture: bytes


def length(audio: Path) -> float:
    """Seconds times channels of the file; 0 where it cannot be read, of which `look` tells."""
    try:
        with audio.open("rb") as raw, soundfile.SoundFile(raw) as file:
            return float(file.frames / max(1, file.samplerate) * file.channels)
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):
        return 0.0


def look(audio: Path) -> Seen:
    """What there is to see of the file. Raises `DistillError`, with its name, where it cannot be read to its end."""
    try:
        if audio.suffix.lower().removeprefix(".") not in FORMATS:
            raise DistillError(f"{clean(audio.name)} is no audio file that distill makes. Give one it made.")
        with audio.open("rb") as raw, soundfile.SoundFile(raw) as file:
            sample_rate, channels, samples = file.samplerate, file.channels, file.frames
        if not (samples and channels <= 2 and 8000 <= sample_rate <= 192000):
            raise DistillError(
                f"{clean(audio.name)} has {samples} samples in {channels} channels at {sample_rate} Hz: "
                "none that distill makes. Give one it made."
            )
        with np.errstate(all="ignore"):  # what is no number is told below
            seen = pictures.overview(audio, COLUMNS, BANDS)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DistillError(f"{clean(audio.name)} cannot be read: {clean(str(error), 120).rstrip('.')}.") from error
    if not (np.isfinite(seen.lowest).all() and np.isfinite(seen.highest).all()):
        raise DistillError(f"{clean(audio.name)} is cut short, or holds what is no number. Make it again.")
    return Seen(seen.duration, sample_rate, channels, _picture(seen))


def _picture(seen: pictures.Overview) -> bytes:
    waves = np.stack([seen.lowest.min(axis=0), seen.highest.max(axis=0)])
    top = max(float(seen.decibels.max()), pictures.FAINTEST_TOP_DBFS)
    levels = 1.0 + (seen.decibels - top) / pictures.RANGE_DB
    parts = (0.5 + 0.5 * waves, levels)
    return b"".join(np.rint(255 * np.clip(part, 0, 1)).astype(np.uint8).tobytes() for part in parts)


def write_preview(audio: Path, seen: Seen, target: Path) -> None:
    """Write the sound of the file, which was `seen`, to `target` as a page carries it; a block at a time."""
    held = FORMATS[PREVIEW]
    rate = seen.sample_rate
    if not held.holds_rate(rate):
        rate = min((one for one in held.rates if one > rate), default=max(held.rates))
    form = output_format(PREVIEW, rate, quality=PREVIEW_QUALITY)
    blocks = resample(_blocks(audio), seen.sample_rate, rate, seen.channels)
    files.write(target, (block.clip(-1, 1) for block in blocks), form, seen.channels)


def _blocks(audio: Path) -> Iterator[NDArray[np.float32]]:
    """The samples of the file in blocks `[channels, samples]`."""
    with audio.open("rb") as raw, soundfile.SoundFile(raw) as file:
        for block in file.blocks(files.BLOCK, dtype="float32", always_2d=True):
            yield block.T
