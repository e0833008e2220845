"""Which audio formats there are and what each can hold. Facts only: writing is `files.py`'s, numpy is not needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from distill.errors import RequestError

BIT_DEPTHS = ("16-bit", "24-bit", "32-bit-float")
DEFAULT_BIT_DEPTH = "24-bit"
BEST_QUALITY = 10.0
MOST_COMPRESSION = 8


@dataclass(frozen=True)
class Format:
    """A kind of audio file. `subtypes` by bit depth, or by None where the format has no bit depth; `rates` in Hz.

    Rates over `coarse_above` must be multiples of 10. `quality` is the default of a lossy format, 0 to 10;
    `compression` that of one which can be compressed without loss, 0 to 8.
    """

    container: str
    subtypes: dict[str | None, str]
    rates: range | tuple[int, ...]
    quality: float | None = None
    compression: int | None = None
    max_bytes: int | None = None
    coarse_above: int | None = None

    def holds_rate(self, sample_rate: int) -> bool:
        """Whether a file can have this sample rate (Hz)."""
        coarse = self.coarse_above is not None and sample_rate > self.coarse_above
        return sample_rate in self.rates and not (coarse and sample_rate % 10)

    @property
    def rates_in_words(self) -> str:
        """The sample rates a file can have: "8000 to 192000 Hz"."""
        if not isinstance(self.rates, range):
            return f"{_listed(self.rates)} Hz"
        coarse = f", over {self.coarse_above} Hz multiples of 10" if self.coarse_above is not None else ""
        return f"{self.rates[0]} to {self.rates[-1]} Hz{coarse}"


FORMATS = {
    "wav": Format(
        "WAV",
        {"16-bit": "PCM_16", "24-bit": "PCM_24", "32-bit-float": "FLOAT"},
        range(8000, 192001),
        max_bytes=2**32 - 2**20,  # a mebibyte for the header and the tags
    ),
    "flac": Format(
        "FLAC", {"16-bit": "PCM_16", "24-bit": "PCM_24"}, range(8000, 192001), compression=5, coarse_above=65535
    ),
    "ogg": Format("OGG", {None: "VORBIS"}, range(8000, 192001), quality=9.0),
    "opus": Format("OGG", {None: "OPUS"}, (8000, 12000, 16000, 24000, 48000), quality=6.0),
    "mp3": Format(
        "MP3",
        {None: "MPEG_LAYER_III"},
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        quality=BEST_QUALITY,
    ),
}
"""By the name `--format` takes, which is the suffix as well. OGG is Vorbis.

Quality Q is Vorbis's own scale; LAME's V(10 - Q), variable bit rate; for Opus about 6 + 25 Q kbit/s a channel.
"""


@dataclass(frozen=True)
class OutputFormat:
    """What a finished file holds: `name` (a key of `FORMATS`), `sample_rate` in Hz, `bit_depth`, None if lossy.

    `quality` 0 to 10 and `compression` 0 to 8, None where the format has none.
    """

    name: str
    sample_rate: int
    bit_depth: str | None
    quality: float | None = None
    compression: int | None = None

    @property
    def kind(self) -> Format:
        """The format's own facts."""
        return FORMATS[self.name]

    @property
    def lossy(self) -> bool:
        """Whether a decoder gives back something else than was written."""
        return self.bit_depth is None

    @property
    def encoder(self) -> dict[str, Any]:
        """What soundfile calls the settings of the encoder."""
        if self.quality is not None:
            level = 1.0 - self.quality / BEST_QUALITY
            # LAME's scale ends just before V10.
            return (
                {"compression_level": level}
                if self.name != "mp3"
                else {
                    "compression_level": 0.9999 * level,
                    "bitrate_mode": "VARIABLE",
                }
            )
        return {} if self.compression is None else {"compression_level": self.compression / MOST_COMPRESSION}


def output_format(
    name: str,
    sample_rate: int,
    bit_depth: str | None = None,
    quality: float | None = None,
    compression: int | None = None,
) -> OutputFormat:
    """The format as asked for; None is the format's own default, 24-bit for the depth where there is a choice.

    Raises `RequestError` naming what the format can hold, where it cannot hold this.
    """
    kind = FORMATS[name]
    if not kind.holds_rate(sample_rate):
        raise RequestError(f"--sample-rate: {name} cannot hold {sample_rate} Hz; it can hold {kind.rates_in_words}.")
    if quality is not None and kind.quality is None:
        raise RequestError(f"--quality: {name} loses nothing. Leave the option out, or use --format {_with_quality()}.")
    if compression is not None and kind.compression is None:
        raise RequestError(f"--compression: {name} has none. Leave the option out, or use --format flac.")
    if bit_depth is not None and bit_depth not in kind.subtypes:
        if None in kind.subtypes:
            raise RequestError(
                f"--bit-depth: {name} has no bit depth. Leave the option out, or use --format wav or flac."
            )
        raise RequestError(f"--bit-depth: {name} cannot hold {bit_depth}; it can hold {_listed(kind.subtypes)}.")
    return OutputFormat(
        name,
        sample_rate,
        bit_depth or (None if None in kind.subtypes else DEFAULT_BIT_DEPTH),
        kind.quality if quality is None else quality,
        kind.compression if compression is None else compression,
    )


def check_length(form: OutputFormat, samples: int, channels: int, option: str = "--duration") -> None:
    """Raise `RequestError`, naming the `option`, where `samples` of `channels` make too large a file for the format."""
    bytes_each = {"16-bit": 2, "24-bit": 3, "32-bit-float": 4}.get(form.bit_depth or "", 0)
    if form.kind.max_bytes is not None and samples * channels * bytes_each > form.kind.max_bytes:
        raise RequestError(f"{option}: {form.name} files hold at most 4 GiB, which this exceeds. Use flac.")


def _with_quality() -> str:
    return " or ".join(name for name, kind in FORMATS.items() if kind.quality is not None)


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(v) for v in values)
