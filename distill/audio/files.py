"""Writing audio files, and what waits to be written. Formats are `formats.py`'s, names and folders `outputs.py`'s."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
from mutagen.ogg import OggPage
from numpy.typing import NDArray

from distill.audio.formats import OutputFormat
from distill.errors import DistillError
from distill.text import clean

BLOCK = 65536  # samples written or read at a time


class Spool:
    """Samples on disk between the model and the file, because a level can only be set once the last is known.

    `file` is a temporary file, open for reading and writing. `peak` is the largest magnitude so far.
    """

    def __init__(self, file: IO[bytes], channels: int) -> None:
        self._file = file
        self._channels = channels
        self.peak = 0.0

    def append(self, block: NDArray[np.float32]) -> None:
        """Add `block [channels, samples]`."""
        self._file.write(np.ascontiguousarray(block.T, dtype="<f4").tobytes())
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The samples again from the first, in blocks `[channels, samples]`."""
        self._file.seek(0)
        while data := self._file.read(BLOCK * self._channels * 4):
            yield np.frombuffer(data, "<f4").reshape(-1, self._channels).T


def write(path: Path, blocks: Iterable[NDArray[np.float32]], form: OutputFormat, channels: int) -> float:
    """Write `blocks [channels, samples]` to `path`, and read them back; return the largest magnitude a listener gets.

    Equal blocks make equal files, byte for byte, in every format. Raises `DistillError` where the samples cannot all
    be written, as on a full disk.
    """
    kind = form.kind
    subtype = kind.subtypes[form.bit_depth]
    try:
        with soundfile.SoundFile(
            _name(path), "w", form.sample_rate, channels, subtype=subtype, format=kind.container, **kind.encoder
        ) as file:
            for block in blocks:
                for start in range(0, block.shape[1], BLOCK):
                    file.write(block[:, start : start + BLOCK].T)
        _probe_room(path)
        if subtype == "FLOAT":
            _forget_peak_time(path)
        elif subtype == "VORBIS":
            _set_serial(path, 1)
        return _peak(path)
    except (soundfile.LibsndfileError, OSError, AssertionError) as error:  # AssertionError: a short write
        reason = f" ({clean(str(error), 120)})" if str(error) else ""
        raise DistillError(
            f"A file in {clean(str(path.parent), 200)} could not be written{reason}. Is the disk full?"
        ) from error


def _probe_room(path: Path) -> None:
    """Raise `OSError` where the file could not grow by a byte more.

    What an encoder holds back until the end is lost in silence when it does not fit; a last MP3 frame that is cut
    is not even missed when the file is read.
    """
    with path.open("ab") as file:
        size = file.tell()
        file.write(b"\0")
        file.flush()
        file.truncate(size)


def _peak(path: Path) -> float:
    """The largest magnitude that a decoder finds in an audio file (full scale 1.0)."""
    with soundfile.SoundFile(_name(path)) as file:
        return max((float(np.abs(block).max()) for block in file.blocks(BLOCK, dtype="float32")), default=0.0)


def _name(path: Path) -> str | bytes:
    """`path` as soundfile takes it when its name is no text: in bytes, where the system has names in bytes."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def _forget_peak_time(path: Path) -> None:
    """Zero the time of writing that libsndfile puts into a float WAV's PEAK chunk: chunk name, size, version, time."""
    with path.open("r+b") as file:
        start = file.read(4096)
        at = start.find(b"PEAK")
        if at >= 0:
            file.seek(at + 12)
            file.write(struct.pack("<I", 0))


def _set_serial(path: Path, serial: int) -> None:
    """Give every page of the Ogg stream `path` one serial number, where libsndfile draws one at random (RFC 3533)."""
    with path.open("r+b") as file:
        while True:
            at = file.tell()
            try:
                page = OggPage(file)  # type: ignore[no-untyped-call]
            except EOFError:
                return
            following = file.tell()
            page.serial = serial
            file.seek(at)
            file.write(page.write())  # type: ignore[no-untyped-call]
            file.seek(following)
