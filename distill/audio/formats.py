"""Which audio formats there are and what each can hold. Facts only: writing is `files.py`'s, numpy is not needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from distill.errors import RequestError

BIT_DEPTHS = ("16-bit", "24-bit", "32-bit-float")
DEFAULT_BIT_DEPTH = "24-bit"


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
            raise RequestError(
                f"--bit-depth: {name} has no bit depth. Leave the option out, or use --format wav or flac."
            )
        raise RequestError(f"--bit-depth: {name} cannot hold {bit_depth}; it can hold {_listed(kind.subtypes)}.")
    return OutputFormat(name, sample_rate, bit_depth)


def check_length(form: OutputFormat, samples: int, channels: int) -> None:
    """Raise `RequestError` where `samples` of `channels` make a file larger than the format can be."""
    bytes_each = {"16-bit": 2, "24-bit": 3, "32-bit-float": 4}.get(form.bit_depth or "", 0)
    if form.kind.max_bytes is not None and samples * channels * bytes_each > form.kind.max_bytes:
        raise RequestError(f"--duration: {form.name} files hold at most 4 GiB, which this exceeds. Use --format flac.")


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(v) for v in values)
