"""Audio files: which formats there are, what each can hold, and writing one. Names and folders are `outputs.py`'s."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import soundfile
from mutagen.ogg import OggPage
from numpy.typing import NDArray

from distill.errors import DistillError, RequestError

DEFAULT_BIT_DEPTH = "24-bit"
BLOCK = 65536  # samples written or read at a time


@dataclass(frozen=True)
class Format:
    """A kind of audio file. `subtypes` by bit depth, or by None where the format has no bit depth; `rates` in Hz."""

    container: str
    subtypes: dict[str | None, str]
    rates: range | tuple[int, ...]
    encoder: dict[str, Any] = field(default_factory=dict)
    max_bytes: int | None = None


FORMATS = {
    "wav": Format(
        "WAV",
        {"16-bit": "PCM_16", "24-bit": "PCM_24", "32-bit-float": "FLOAT"},
        range(8000, 192001),
        max_bytes=2**32 - 4096,
    ),
    "flac": Format("FLAC", {"16-bit": "PCM_16", "24-bit": "PCM_24"}, range(8000, 192001)),
    "ogg": Format("OGG", {None: "VORBIS"}, range(8000, 192001), {"compression_level": 0.1}),
    "mp3": Format(
        "MP3",
        {None: "MPEG_LAYER_III"},
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        {"bitrate_mode": "VARIABLE", "compression_level": 0.0},
    ),
}
"""By the name `--format` takes, which is the suffix as well. OGG is Vorbis at quality 9, MP3 is LAME's V0."""


@dataclass(frozen=True)
class OutputFormat:
    """What a finished file holds: `name` (a key of `FORMATS`), `sample_rate` in Hz, `bit_depth`, None if lossy."""

    name: str
    sample_rate: int
    bit_depth: str | None

    @property
    def kind(self) -> Format:
        """The format's own facts."""
        return FORMATS[self.name]


def output_format(name: str, sample_rate: int, bit_depth: str | None) -> OutputFormat:
    """The format as asked for; `bit_depth` None means 24-bit where there is a choice.

    Raises `RequestError` naming what the format can hold, where it cannot hold this.
    """
    kind = FORMATS[name]
    if sample_rate not in kind.rates:
        allowed = f"{kind.rates[0]} to {kind.rates[-1]}" if isinstance(kind.rates, range) else _listed(kind.rates)
        raise RequestError(f"--sample-rate: {name} cannot hold {sample_rate} Hz; it can hold {allowed} Hz.")
    if bit_depth is None:
        return OutputFormat(name, sample_rate, None if None in kind.subtypes else DEFAULT_BIT_DEPTH)
    if bit_depth not in kind.subtypes:
        if None in kind.subtypes:
            raise RequestError(f"--bit-depth: {name} has no bit depth. Leave the option out, or use --format wav or flac.")
        raise RequestError(f"--bit-depth: {name} cannot hold {bit_depth}; it can hold {_listed(kind.subtypes)}.")
    return OutputFormat(name, sample_rate, bit_depth)


def check_length(form: OutputFormat, samples: int, channels: int) -> None:
    """Raise `RequestError` where `samples` of `channels` make a file larger than the format can be."""
    bytes_each = {"16-bit": 2, "24-bit": 3, "32-bit-float": 4}.get(form.bit_depth or "", 0)
    if form.kind.max_bytes is not None and samples * channels * bytes_each > form.kind.max_bytes:
        raise RequestError(f"--duration: {form.name} files hold at most 4 GiB, which this exceeds. Use --format flac.")


class Spool:
    """Samples on disk between the model and the file, because a level can only be set once the last is known.

    `file` is a temporary file, open for reading and writing. `peak` is the largest magnitude so far.
    """

    def __init__(self, file: IO[bytes], channels: int) -> None:
        self._file = file
        self._channels = channels
        self.samples = 0
        self.peak = 0.0

    def append(self, block: NDArray[np.float32]) -> None:
        """Add `block [channels, samples]`."""
        self._file.write(np.ascontiguousarray(block.T, dtype="<f4").tobytes())
        self.samples += block.shape[1]
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The samples again from the first, in blocks `[channels, samples]`."""
        self._file.seek(0)
        while data := self._file.read(BLOCK * self._channels * 4):
            yield np.frombuffer(data, "<f4").reshape(-1, self._channels).T


def write(path: Path, blocks: Iterable[NDArray[np.float32]], form: OutputFormat, channels: int) -> None:
    """Write `blocks [channels, samples]` to `path`. Equal samples make equal files, byte for byte, in every format.

    Raises `DistillError` where the samples cannot all be written, as on a full disk.
    """
    kind = form.kind
    subtype = kind.subtypes[form.bit_depth]
    try:
        with soundfile.SoundFile(
            path, "w", form.sample_rate, channels, subtype=subtype, format=kind.container, **kind.encoder
        ) as file:
            for block in blocks:
                for start in range(0, block.shape[1], BLOCK):
                    file.write(block[:, start : start + BLOCK].T)
    except (soundfile.LibsndfileError, AssertionError) as error:  # AssertionError: soundfile's word for a short write
        reason = f" ({error})" if str(error) else ""
        raise DistillError(f"A file in {path.parent} could not be written{reason}. Is the disk full?") from error
    if subtype == "FLOAT":
        _forget_peak_time(path)
    elif subtype == "VORBIS":
        _set_serial(path, 1)


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
                page = OggPage(file)
            except EOFError:
                return
            following = file.tell()
            page.serial = serial
            file.seek(at)
            file.write(page.write())
            file.seek(following)


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(v) for v in values)
