"""The recordings to train on: found in a folder, decoded once to one rate, and read from the disk as they are needed.

What cannot be used is skipped by name. What is made of them, crops and augmentation, is `crops.py`'s.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.audio.recordings import Reader, UnfitError, find
from distill.errors import DistillError
from distill.seeding import stream
from distill.text import clean

SHORTEST_SECONDS = 0.02
"""Shorter than a frame of codes."""
LONGEST_SECONDS = 4 * 3600
SILENT = 1e-4
"""A recording whose largest magnitude is under this, -80 dBFS, is silent."""
LOUDEST = 8.0
"""A recording with a peak over this, 18 dB over full scale, has samples of another scale."""
LEAST_SECONDS = 2.0
"""Less audio than this in all is no corpus."""
FILES_TO_HOLD_OUT = 20
"""With fewer recordings, stretches of them are held out and not whole ones: each is too dear."""
SHORTEST_HELD_SECONDS = 0.25
HASHED = 2**20  # samples at a time
STEREO_SHARE = 0.01
"""A recording is stereo where its side has at least this share of its energy, -20 dB."""


@dataclass(frozen=True)
class Recording:
    """A recording in the corpus: its `name` below the folder, and where its samples lie."""

    name: str
    start: int
    samples: int
    is_stereo: bool


@dataclass(frozen=True)
class Skipped:
    """A file that is not used, and why: in words that go after "skipped"."""

    name: str
    reason: str


@dataclass(frozen=True)
class Stretch:
    """Samples `start` to `stop` of the corpus, which lie in the recording `name`."""

    name: str
    start: int
    stop: int

    @property
    def samples(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Corpus:
    """Recordings at `sample_rate` (Hz), one after the other in `audio [samples, channels]`, which lies on the disk."""

    recordings: Sequence[Recording]
    skipped: Sequence[Skipped]
    audio: NDArray[np.float32]
    sample_rate: int

    @property
    def channels(self) -> int:
        return int(self.audio.shape[1])

    @property
    def seconds(self) -> float:
        """How much audio there is."""
        return len(self.audio) / self.sample_rate

    @property
    def fingerprint(self) -> str:
        """What tells this corpus from another: a hash of its samples."""
        digest = hashlib.sha256(f"{self.sample_rate} {self.channels}".encode())
        for recording in self.recordings:
            digest.update(f"\n{recording.samples} ".encode() + os.fsencode(recording.name))
        for start in range(0, len(self.audio), HASHED):
            digest.update(self.audio[start : start + HASHED].tobytes())
        return digest.hexdigest()

    def of(self, part: Recording | Stretch, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """The samples of a recording or stretch, or its samples `start` to `stop`, `[channels, samples]`: a copy."""
        end = part.samples if stop is None else min(stop, part.samples)
        return self.audio[part.start + start : part.start + max(start, end)].T.copy()


@dataclass(frozen=True)
class Split:
    """What is trained on and what is held out from it; `whole_files` says whether those are whole recordings."""

    training: Sequence[Stretch]
    held_out: Sequence[Stretch]
    whole_files: bool


def read(
    folder: Path,
    sample_rate: int,
    channels: int,
    spool: Path,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Corpus:
    """The corpus in `folder` at `sample_rate` (Hz), mixed to `channels`.

    It is decoded into a file in the folder `spool` that has no name and goes with the process. `progress` is called
    with the files read and their number. Raises `DistillError` where nothing, or too little, can be used, or the disk
    is full.
    """
    paths = find(folder)
    recordings: list[Recording] = []
    skipped: list[Skipped] = []
    try:
        with tempfile.TemporaryFile(dir=spool) as file:
            for number, path in enumerate(paths):
                progress(number, len(paths))
                name = str(path.relative_to(folder))
                start = file.tell()
                try:
                    is_stereo = _decode(path, sample_rate, channels, file.write)
                except UnusableError as error:
                    file.seek(start)
                    file.truncate()
                    skipped.append(Skipped(name, str(error)))
                    continue
                samples = (file.tell() - start) // (4 * channels)
                recordings.append(Recording(name, start // (4 * channels), samples, is_stereo))
            progress(len(paths), len(paths))
            file.flush()
            total = sum(recording.samples for recording in recordings)
            _check(folder, skipped, total / sample_rate, len(recordings))
            audio = np.memmap(file, np.float32, "r", shape=(total, channels))
    except OSError as error:
        raise DistillError(
            f"{clean(str(spool), 200)} has no room to decode the recordings to: {error.strerror}. "
            f"An hour takes {3600 * sample_rate * 4 * channels / 2**30:.1f} GiB."
        ) from error
    return Corpus(recordings, skipped, audio, sample_rate)


class UnusableError(Exception):
    """A file that cannot be trained on; its words say why."""


def _decode(path: Path, sample_rate: int, channels: int, write: Callable[[bytes], object]) -> bool:
    """Give the samples of the file at `path` to `write`; whether it is stereo. Raises `UnusableError`."""
    peak = middle = side = 0.0
    samples = 0
    if not path.is_file():
        raise UnusableError("is no regular file")
    try:
        with Reader(path) as reader:
            if not SHORTEST_SECONDS <= reader.seconds <= LONGEST_SECONDS:
                raise _too_long_or_short(reader.seconds)
            read_as = 1 if channels == 1 and reader.channels > 2 else min(2, reader.channels)
            for block in reader.blocks(sample_rate, read_as):
                samples += block.shape[1]
                if not (loudest := float(np.abs(block).max(initial=0.0))) <= LOUDEST:
                    raise UnusableError(f"has a peak of {loudest:.3g}, where full scale is 1")
                mixed = block.mean(axis=0, keepdims=True)
                middle += float(np.square(mixed, dtype=np.float64).sum())
                side += float(np.square(block - mixed, dtype=np.float64).mean(axis=0).sum())
                kept = mixed if channels == 1 else np.broadcast_to(block, (channels, block.shape[1]))
                peak = max(peak, float(np.abs(kept).max(initial=0.0)))
                write(np.ascontiguousarray(kept.T, dtype=np.float32).tobytes())
                if samples > LONGEST_SECONDS * sample_rate:
                    raise _too_long_or_short(samples / sample_rate)
    except UnfitError as error:
        raise UnusableError("has samples that are no finite numbers") from error
    except DistillError as error:
        raise UnusableError("cannot be read") from error
    if samples < SHORTEST_SECONDS * sample_rate:
        raise _too_long_or_short(samples / sample_rate)
    if peak < SILENT:
        raise UnusableError("is silent" if channels > 1 or not side else "is silent when it is mixed to mono")
    return side > STEREO_SHARE * (middle + side)


def _too_long_or_short(seconds: float) -> UnusableError:
    if seconds > LONGEST_SECONDS:
        return UnusableError(f"is {seconds / 3600:.1f} hours long; at most {LONGEST_SECONDS // 3600} are read")
    return UnusableError(f"is {seconds * 1000:.0f} ms long; {SHORTEST_SECONDS * 1000:.0f} are needed")


def _check(folder: Path, skipped: Sequence[Skipped], seconds: float, used: int) -> None:
    if seconds >= LEAST_SECONDS:
        return
    reasons = Counter(one.reason for one in skipped)
    why = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
    raise DistillError(
        f"{clean(str(folder), 200)} has too little to train on: {seconds:.1f} s in {used} recordings"
        f"{f' ({len(skipped)} skipped: {why})' if skipped else ''}. At least {LEAST_SECONDS:g} s are needed, "
        "a minute or more is good."
    )


def split(corpus: Corpus, share: float, seed: int) -> Split:
    """Hold out a `share` of the corpus, chosen by `seed`: whole recordings, or of few the ends of the longer ones."""
    whole = [Stretch(one.name, one.start, one.start + one.samples) for one in corpus.recordings]
    if share <= 0:
        return Split(whole, [], whole_files=False)
    if len(whole) >= FILES_TO_HOLD_OUT:
        count = max(1, round(share * len(whole)))
        chosen = set(stream(seed, "held out").permutation(len(whole))[:count].tolist())
        return Split(
            [one for number, one in enumerate(whole) if number not in chosen],
            [one for number, one in enumerate(whole) if number in chosen],
            whole_files=True,
        )
    training, held_out = [], []
    for one in whole:
        held = round(share * one.samples)
        if held < SHORTEST_HELD_SECONDS * corpus.sample_rate:
            training.append(one)
        else:
            training.append(Stretch(one.name, one.start, one.stop - held))
            held_out.append(Stretch(one.name, one.stop - held, one.stop))
    return Split(training, held_out, whole_files=False)


def stereo(corpus: Corpus) -> int:
    """How many recordings are stereo."""
    return sum(one.is_stereo for one in corpus.recordings)


def spread(parts: Sequence[Stretch], count: int) -> list[Stretch]:
    """At most `count` of `parts`, as far apart as they are in the list."""
    numbers = np.linspace(0, len(parts) - 1, min(count, len(parts)))
    return [parts[number] for number in np.unique(numbers.round().astype(int))]
