"""From the samples of a file to the file: its level, its encoding, its tags, its picture; not yet its name."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill import outputs, sidecar
from distill.audio import files, levels, pictures, tags
from distill.audio.files import Read, Spool
from distill.audio.formats import OutputFormat
from distill.audio.levels import Level, Meter
from distill.concurrency import UnwantedError
from distill.output import Output


@dataclass(frozen=True)
class Spooled:
    """The samples of a file, waiting for their level; what there is to say of it alone; the seconds that it took."""

    spool: Spool
    level: Level
    described: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Draft:
    """A file that is whole but has no name yet, its picture if one is wanted, and what its sidecar says."""

    path: Path
    picture: Path | None
    described: dict[str, Any]
    timings: dict[str, float]


class Finisher:
    """Makes files of spooled samples. `made_by` is what the sidecars of all of them say; `date` is for their tags."""

    def __init__(
        self, output: Output, form: OutputFormat, channels: int, made_by: Mapping[str, Any], date: str,
        drafts: outputs.Drafts,
    ) -> None:  # fmt: skip
        self._output, self._form, self.channels = output, form, channels
        self._made_by, self._date, self._drafts = made_by, date, drafts
        self._by_loudness = output.normalize == "loudness"

    def spool(self, blocks: Iterator[NDArray[np.float32]], unwanted: Event) -> tuple[Spool, Level]:
        """Put `blocks [channels, samples]` by, and measure their level. Raises `UnwantedError` once they are."""
        meter = self._meter()
        with Spool(self._drafts.new(), self.channels) as spool:
            for block in blocks:
                if unwanted.is_set():
                    raise UnwantedError
                spool.append(block)
                meter.add(block)
        return spool, meter.level

    def gain(self, level: Level) -> float:
        """The factor that a file of `level` is multiplied by, if its level is set by its own samples alone."""
        if self._output.gain is not None:
            return self._output.gain
        if self._output.normalize == "none":
            return 1.0
        if self._by_loudness:
            return levels.gain_to_loudness(level, self._output.lufs)
        return levels.gain_to_peak(level.peak)

    def room(self, spooled: Spooled, gain: float, unwanted: Event) -> float:
        """By what factor, at most 1, `gain` must be lower for what a decoder gives back to stay under the peak."""
        path = self._drafts.new()
        lower, *_ = self._write(path, spooled, gain, unwanted)
        self._drafts.discard(path)
        return lower / gain

    def finish(self, spooled: Spooled, gain: float, unwanted: Event) -> Draft:
        """The file whose samples are `spooled`, times `gain`. Raises `UnwantedError` once it is."""
        began = time.monotonic()
        path = self._drafts.new()
        gain, clipped, after, read = self._write(path, spooled, gain, unwanted)
        self._drafts.discard(spooled.spool.path)
        described = {**self._made_by, **spooled.described}
        described["level"] = {
            "normalize": self._output.normalize,
            "lufs": self._output.lufs if self._by_loudness else None,
            "gain": gain,
            "clipped_samples": clipped,
            "before": spooled.level.described(),
            "after": after.described(),
        }
        described["tags"] = self._tags(described)
        described["audio"] = {"sha256": read.sha256}
        tags.write(path, self._form.name, described["tags"] | {sidecar.TAG: sidecar.embedded(described)})
        picture = self._drafts.new() if self._output.plot else None
        if picture is not None:
            pictures.draw(path, _title(described), picture)
        return Draft(path, picture, described, {"generate_s": spooled.seconds, "finish_s": time.monotonic() - began})

    def _write(self, path: Path, spooled: Spooled, gain: float, unwanted: Event) -> tuple[float, int, Level, Read]:
        """Write a file: the gain in the end, how many samples exceed full scale, the level then, what is read.

        What a lossy format gives back can exceed what it was given. Then it is written again, lower by the excess.
        """
        while True:
            clipped = 0

            def at_level(gain: float = gain) -> Iterator[NDArray[np.float32]]:
                nonlocal clipped
                for block in spooled.spool.blocks():
                    if unwanted.is_set():
                        raise UnwantedError
                    scaled: NDArray[np.float32] = block * np.float32(gain)
                    clipped += int(np.count_nonzero(np.abs(scaled) > 1.0))
                    yield scaled

            files.write(path, at_level(), self._form, self.channels)
            if not self._form.lossy and not clipped:  # what is in it is known, but for rounding
                read = files.read_back(path, self._form)
                return gain, 0, spooled.level.times(gain, read.peak), read
            meter = self._meter()
            read = files.read_back(path, self._form, meter.add)
            excess = (meter.level.true_peak if self._by_loudness else read.peak) / levels.PEAK
            if not self._form.lossy or self._output.normalize == "none" or excess <= 1.0:
                return gain, clipped, meter.level, read
            gain *= 0.999 / excess

    def _meter(self) -> Meter:
        return Meter(self.channels, self._form.sample_rate, self._by_loudness)

    def _tags(self, described: Mapping[str, Any]) -> dict[str, str]:
        """The tags of a file: those that every file gets, and over them those asked for."""
        model, seed, program = described["model"], described["seed"], described["program"]
        own = {
            "title": _title(described),
            "album": model["name"],
            "comment": f"Generated by distill with {model['name']}, seed {seed}.",
            "date": self._date,
            "encoder": f"distill {program['distill']}",
            "seed": str(seed),
            "model": model["name"],
            "loader": model["loader"],
        }
        return {name: value for name, value in (own | dict(self._output.tags)).items() if value}


def _title(described: Mapping[str, Any]) -> str:
    """What a file is called where nobody says otherwise."""
    return f"{described['model']['name']} {described['seed']}"


def too_quiet(described: Mapping[str, Any]) -> bool:
    """Whether a file is quieter than was asked for, because its peaks allow no more."""
    wanted, found = described["level"]["lufs"], described["level"]["after"]["loudness_lufs"]
    return wanted is not None and found is not None and found < wanted - 0.1
