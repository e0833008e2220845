"""Batches to train on: crops of the corpus, each varied so that few recordings go further."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import soxr
from numpy.typing import NDArray

from distill.seeding import stream
from distill_codec.corpus import Corpus, Stretch

Wave = NDArray[np.float32]

# How crops are varied: with which probability, and how far. What each is worth: docs/decisions/codec.md.
PLAYED_OTHERWISE, SEMITONES = 0.7, 12.0
MIXED, MIXED_DB = 0.6, (-12.0, 0.0)
LEVELLED, LEVELLED_DB = 0.5, (-9.0, 3.0)


class Crops:
    """Crops `[channels, samples]` of `stretches` of a corpus, by number: a number is a crop, whoever asks and when.

    A stretch is drawn by its length, a short one as if it were half as long as a crop; the crop may reach over its
    ends, into silence.
    """

    def __init__(
        self, corpus: Corpus, stretches: Sequence[Stretch], samples: int, seed: int, augmentation: bool
    ) -> None:
        self._corpus, self._stretches, self._samples = corpus, stretches, samples
        self._seed, self._augmentation = seed, augmentation
        lengths = np.array([max(one.samples, samples // 2) for one in stretches], np.float64)
        self._odds = lengths / lengths.sum()

    def batch(self, number: int, size: int, plain: float = 0.0) -> Wave:
        """The batch `number` of `size` crops, `[size, channels, samples]`; each as it is with probability `plain`."""
        return np.stack([self.crop(number * size + row, plain) for row in range(size)])

    def crop(self, number: int, plain: float = 0.0) -> Wave:
        """The crop `number`; as it is with probability `plain`, or always where there is no augmentation."""
        rng = stream(self._seed, "crop", number)
        wave = self._piece(rng, 1.0) if rng.random() < plain or not self._augmentation else self._varied(rng)
        return wave / np.float32(max(1.0, np.abs(wave).max()))

    def _varied(self, rng: np.random.Generator) -> Wave:
        """A crop that is varied."""
        wave = self._played(rng)
        if rng.random() < MIXED:
            wave = wave + _gain(rng, *MIXED_DB) * self._played(rng)
        return wave * _gain(rng, *LEVELLED_DB) if rng.random() < LEVELLED else wave

    def _played(self, rng: np.random.Generator) -> Wave:
        """A crop, at its own speed or another."""
        semitones = rng.uniform(-SEMITONES, SEMITONES) if rng.random() < PLAYED_OTHERWISE else 0.0
        return self._piece(rng, 2.0 ** (semitones / 12))

    def _piece(self, rng: np.random.Generator, speed: float) -> Wave:
        """A crop played at `speed`: 2 is an octave up, in half the time."""
        stretch = self._stretches[int(rng.choice(len(self._stretches), p=self._odds))]
        wanted = int(np.ceil(self._samples * speed))
        slack, over = stretch.samples - wanted, min(wanted // 8, stretch.samples // 2)
        start = int(rng.integers(min(0, slack) - over, max(0, slack) + over + 1))
        source = self._corpus.of(stretch, max(0, start), max(0, start + wanted))
        before = max(0, -start)
        piece = np.pad(source, ((0, 0), (before, max(0, wanted - before - source.shape[1]))))
        if speed == 1.0:
            return piece
        rate = self._corpus.sample_rate
        played = soxr.resample(piece.T, rate * speed, rate, quality="MQ").T[:, : self._samples]
        return np.pad(played, ((0, 0), (0, self._samples - played.shape[1])))


def _gain(rng: np.random.Generator, low: float, high: float) -> np.float32:
    """A factor between `low` and `high` decibels."""
    return np.float32(10 ** (rng.uniform(low, high) / 20))
