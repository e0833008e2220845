"""Writing audio files, and what waits to be written. Formats are `formats.py`'s, names and folders `outputs.py`'s."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from mutagen.ogg import OggPage
from numpy.typing import NDArray

from distill.audio.formats import OutputFormat
from distill.errors import DistillError
from distill.text import clean

BLOCK = 65536  # samples written or read at a time


@dataclass(frozen=True)
class Read:
    """What a decoder finds in a file: its largest magnitude, `peak`, and the SHA-256 of its samples.

    Those are interleaved and little-endian: int16 or, of 24 bits, int32 with 8 zero bits at the low end, where the file
    has whole numbers, else float32.
    """

    peak: float
    sha256: str


class Spool:
    """Samples on disk between the model and the file, because a level can only be set once the last is known.

    `path` is a file of its own. Used as a context while samples are added; they are read as often as wanted.
    """

    def __init__(self, path: Path, channels: int) -> None:
        self.path = path
        self._channels = channels

    def __enter__(self) -> Spool:
        self._file = self.path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, block: NDArray[np.float32]) -> None:
        """Add `block [channels, samples]`."""
        self._file.write(np.ascontiguousarray(block.T, dtype="<f4").tobytes())

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The samples from the first, in blocks `[channels, samples]`."""
        with self.path.open("rb") as file:
            while data := file.read(BLOCK * self._channels * 4):
                yield np.frombuffer(data, "<f4").reshape(-1, self._channels).T


def write(path: Path, blocks: Iterable[NDArray[np.float32]], form: OutputFormat, channels: int) -> None:
    """Write `blocks [channels, samples]` to `path`.

    Equal blocks make equal files, byte for byte, in every format. Raises `DistillError` where the samples cannot all
    be written, as on a full disk.
    """
    kind = form.kind
    subtype = kind.subtypes[form.bit_depth]
    with (
        _trouble_named(path),
        soundfile.SoundFile(
            _name(path), "w", form.sample_rate, channels, subtype=subtype, format=kind.container, **form.encoder
        ) as file,
    ):
        for block in blocks:
            for start in range(0, block.shape[1], BLOCK):
                file.write(block[:, start : start + BLOCK].T)
    with _trouble_named(path):
        _probe_room(path)
        if subtype == "FLOAT":
            _forget_peak_time(path)
        elif kind.container == "OGG":
            _set_serial(path, 1)


def read_back(
    path: Path, form: OutputFormat, hear: Callable[[NDArray[np.float32]], object] = lambda block: None
) -> Read:
    """What a decoder finds in the file at `path`; `hear` is called with every block `[channels, samples]` of it.

    Raises `DistillError` where it cannot be read, as one that did not fit on the disk.
    """
    dtype, full_scale = {"16-bit": ("int16", 2.0**15), "24-bit": ("int32", 2.0**31)}.get(
        form.bit_depth or "", ("float32", 1.0)
    )
    digest, peak = hashlib.sha256(), 0.0
    with _trouble_named(path), soundfile.SoundFile(_name(path)) as file:
        for block in file.blocks(BLOCK, dtype=dtype, always_2d=True):
            digest.update(block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes())
            with np.errstate(invalid="ignore"):  # a damaged file may hold what is no number
                samples = (block / full_scale).astype(np.float32, copy=False).T
            peak = max(peak, float(np.abs(samples).max(initial=0.0)))
            hear(samples)
    return Read(peak, digest.hexdigest())


@contextmanager
def _trouble_named(path: Path) -> Iterator[None]:
    """Have what goes wrong with the file at `path` raised as one line."""
    try:
        yield
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
