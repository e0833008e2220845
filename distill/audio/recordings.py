"""Recordings: found in a folder, and read as a stream at the rate and with the channels that are wanted.

Writing is `files.py`'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from distill.audio.resampling import resample
from distill.errors import DistillError
from distill.text import clean

SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc")
BLOCK = 65536  # samples read at a time
UNKNOWN = 2**62
"""What libsndfile says of the length of a stream that was written without one is more than this."""


class UnfitError(DistillError):
    """A recording can be read, and holds what is no sound."""


class Reader:
    """An audio file of any format that libsndfile reads, any rate and any number of channels. A context.

    Raises `DistillError` where the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = soundfile.SoundFile(str(path) if os.name == "nt" else os.fsencode(path))
        except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
            raise self._unreadable(error) from error
        if self._file.frames > UNKNOWN:
            self._file.close()
            raise DistillError(
                f"{clean(str(path), 200)} does not say how long it is. Write it anew with an audio editor."
            )

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return int(self._file.samplerate)

    @property
    def channels(self) -> int:
        return int(self._file.channels)

    @property
    def samples(self) -> int:
        """The length at the file's own rate."""
        return int(self._file.frames)

    @property
    def seconds(self) -> float:
        """The length."""
        return self.samples / self.sample_rate

    def blocks(self, sample_rate: int, channels: int) -> Iterator[NDArray[np.float32]]:
        """The samples at `sample_rate` (Hz), in blocks `[channels, any]`.

        For one channel the mean of all; for two, the first two, or the only one twice. Raises `DistillError` where they
        cannot be decoded, or are no finite numbers.
        """
        return resample(self._mixed(channels), self.sample_rate, sample_rate, channels)

    def _mixed(self, channels: int) -> Iterator[NDArray[np.float32]]:
        while True:
            try:
                block = self._file.read(BLOCK, dtype="float32", always_2d=True).T
            except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
                raise self._unreadable(error) from error
            if not block.shape[1]:
                return
            if not np.isfinite(block).all():
                raise UnfitError(
                    f"{clean(str(self._path), 200)} has samples that are no finite numbers. "
                    "Write it anew with an audio editor."
                )
            if channels == 1:
                yield block.mean(axis=0, keepdims=True)
            else:
                yield block[:2] if len(block) > 1 else np.repeat(block, 2, axis=0)

    def _unreadable(self, error: Exception) -> DistillError:
        why = clean(str(error).rpartition(": ")[2] or type(error).__name__, 120).rstrip(".")
        return DistillError(
            f"{clean(str(self._path), 200)} cannot be read as audio: {why}. Write it anew with an audio editor."
        )


def find(folder: Path) -> list[Path]:
    """The audio files in `folder` and its subfolders, in order of their names. Hidden ones are left out.

    Raises `DistillError` where it is no folder, or there are none.
    """
    shown = clean(str(folder), 200)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DistillError(f"{shown} {what}. Give a folder of recordings.")
    found: list[Path] = []
    for directory, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(directory, name)
            for name in sorted(names)
            if not name.startswith(".") and name.lower().endswith(SUFFIXES)
        ]
    if not found:
        kinds = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise DistillError(f"{shown} has no recordings: {kinds} are read, in subfolders too. Give another.")
    return found


def _raise(error: OSError) -> None:
    raise error
