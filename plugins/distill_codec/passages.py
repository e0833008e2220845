"""What a prior learns from: the codes of recordings as they are, and of many varied copies of them.

A minute of sound is three thousand frames: a network knows them by heart in a minute, and what it has then learnt of
sounds that are not among them is nothing. Copies that are shifted, transposed and mixed are other codes each time.
What each kind is worth: docs/decisions/prior.md.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import soxr
from numpy.typing import NDArray

from distill import Passage, Tokenizer, devices
from distill.concurrency import in_order
from distill.devices import single_threaded
from distill.seeding import stream
from distill_codec.corpus import Corpus, Split, Stretch, spread

Wave = NDArray[np.float32]

PIECE_SECONDS = 40
"""Longer recordings are varied in pieces."""
NEAR_SECONDS, NEAR_MOST = 1500, 30
FAR_SECONDS, FAR_MOST = 3500, 60
"""So much varied sound is encoded, or each recording so many times, whichever is less; but at least once."""
NEAR_SEMITONES, NEAR_DB = 0.5, 6.0
FAR_SEMITONES, FAR_DB = 12.0, 6.0
MIXED, MIXED_DB = 0.3, (-18.0, 0.0)
"""How many of the far copies have another sound in them, and how loud."""
PLAIN_SHARE, NEAR_SHARE = 0.1, 0.3
"""Of what is trained on: recordings as they are, and copies that differ little. The rest are far."""
HELD_OUT, HELD_OUT_SECONDS = 60, 120
"""So many held-out sounds are measured, and so much of them in all."""
SHIFTS = 4
"""They are measured as they are and shifted by parts of a frame, for a steadier figure."""
HELD_OUT_VARIATION = 1.0
"""To a prior, what is held out is as a recording that was varied a good deal: it knows none like it."""
CONTEXT_SECONDS = 20
"""What comes before the end of a recording that is held out, to tell it by."""


@dataclass(frozen=True)
class Material:
    """What to train on, `training` with its `odds`; the `recordings` among it, as they are; and what is `held_out`.

    Of each sound that is held out, the same several times, a little shifted.
    """

    training: Sequence[Passage]
    odds: NDArray[np.float64]
    recordings: Sequence[Passage]
    held_out: Sequence[Sequence[Passage]]


@dataclass(frozen=True)
class _Copy:
    """A stretch to be encoded: copy `number` of it; 0 is as it is. `is_near` says how it is varied."""

    stretch: Stretch
    number: int
    is_near: bool


def encode(
    tokenizer: Tokenizer, corpus: Corpus, split: Split, seed: int, augmentation: bool,
    progress: Callable[[int, int], object] = lambda done, total: None,
    check: Callable[[], object] = lambda: None,
) -> Material:  # fmt: skip
    """The codes of `corpus` that `tokenizer` gives, varied by `seed` if there is `augmentation`.

    `check` is called between recordings; what it raises ends the encoding.
    """
    pieces = [piece for one in split.training for piece in _pieces(one, corpus.sample_rate)]
    seconds = sum(one.samples for one in pieces) / corpus.sample_rate
    near, far = (
        max(1, min(most, round(wanted / seconds))) if augmentation else 0
        for wanted, most in ((NEAR_SECONDS, NEAR_MOST), (FAR_SECONDS, FAR_MOST))
    )
    copies = [_Copy(piece, number, number <= near) for number in range(1 + near + far) for piece in pieces]
    ends = {one.start + one.samples for one in corpus.recordings}
    starts = {one.start for one in corpus.recordings}
    passages: list[Passage] = []

    def work(copy: _Copy, unwanted: threading.Event) -> Passage:
        with single_threaded():
            wave, variation = _varied(corpus, pieces, copy, seed)
            codes = _codes(tokenizer, wave)
        return Passage(codes, copy.stretch.start in starts, copy.stretch.stop in ends, variation)

    with closing(in_order((partial(work, copy) for copy in copies), devices.threads())) as made:
        for passage in made:
            check()
            passages.append(passage)
            progress(len(passages), len(copies))
    return Material(
        passages,
        _odds(passages, len(pieces), near),
        passages[: len(pieces)],
        list(_held_out(tokenizer, corpus, split.held_out)),
    )


def _odds(passages: Sequence[Passage], pieces: int, near: int) -> NDArray[np.float64]:
    """How often each of `passages` is drawn: by its length within its kind, which has its share."""
    odds = np.array([len(one.codes) for one in passages], np.float64)
    kinds = np.split(odds, [pieces, pieces * (1 + near)])  # views
    shares = (PLAIN_SHARE, NEAR_SHARE, 1 - PLAIN_SHARE - NEAR_SHARE)
    for kind, share in zip(kinds, shares, strict=True):
        if len(kind):
            kind *= share / kind.sum()
    odds /= odds.sum()
    return odds


def _pieces(stretch: Stretch, sample_rate: int) -> Iterator[Stretch]:
    """`stretch` in pieces of about equal length."""
    count = -(-stretch.samples // (PIECE_SECONDS * sample_rate))
    bounds = np.linspace(stretch.start, stretch.stop, count + 1).round().astype(int).tolist()
    for start, stop in itertools.pairwise(bounds):
        yield Stretch(stretch.name, start, stop)


def _varied(corpus: Corpus, pieces: Sequence[Stretch], copy: _Copy, seed: int) -> tuple[Wave, float]:
    """A copy `[channels, samples]`, and how much it is varied, 0 to 1."""
    wave = corpus.of(copy.stretch)
    if copy.number == 0:
        return wave, 0.0
    rng = stream(seed, f"passage {copy.stretch.start}", copy.number)
    most = NEAR_SEMITONES if copy.is_near else FAR_SEMITONES
    wave, semitones = _played(wave, corpus.sample_rate, most, rng)
    variation = abs(semitones) / FAR_SEMITONES
    if not copy.is_near and rng.random() < MIXED:
        other, _ = _played(corpus.of(pieces[int(rng.integers(len(pieces)))]), corpus.sample_rate, most, rng)
        length = min(wave.shape[1], other.shape[1])
        at = int(rng.integers(wave.shape[1] - length + 1))
        wave[:, at : at + length] += _gain(rng, *MIXED_DB) * other[:, :length]
        variation = 1.0
    wave = np.pad(wave, ((0, 0), (int(rng.integers(corpus.sample_rate // 40)), 0)))
    level = NEAR_DB if copy.is_near else FAR_DB
    wave *= _gain(rng, -level, level)
    return wave / np.float32(max(1.0, np.abs(wave).max())), variation


def _played(wave: Wave, sample_rate: int, most: float, rng: np.random.Generator) -> tuple[Wave, float]:
    """`wave [channels, samples]` at another speed, and how many semitones higher it is."""
    semitones = rng.uniform(-most, most)
    rate = sample_rate * 2 ** (semitones / 12)
    return np.ascontiguousarray(soxr.resample(wave.T, rate, sample_rate, quality="MQ").T), semitones


def _gain(rng: np.random.Generator, low: float, high: float) -> np.float32:
    """A factor between `low` and `high` decibels."""
    return np.float32(10 ** (rng.uniform(low, high) / 20))


def _held_out(tokenizer: Tokenizer, corpus: Corpus, stretches: Sequence[Stretch]) -> Iterator[list[Passage]]:
    """Each of `stretches`, several times, after what is before it in its recording: that much is known."""
    some = spread(stretches, HELD_OUT)
    for one in some:
        [recording] = [each for each in corpus.recordings if each.start <= one.start < each.start + each.samples]
        stop = min(one.stop, one.start + HELD_OUT_SECONDS * corpus.sample_rate // len(some))
        start = max(recording.start, one.start - CONTEXT_SECONDS * corpus.sample_rate)
        wave = corpus.of(Stretch(one.name, start, stop))
        step = wave.shape[1] // len(_codes(tokenizer, wave))
        passages = []
        for number in range(SHIFTS):
            shifted = np.pad(wave, ((0, 0), (number * step // SHIFTS, 0)))
            known = shifted.shape[1] - (stop - one.start) if one.start > start else 0
            first = len(_codes(tokenizer, shifted[:, :known])) if known else 0
            codes = _codes(tokenizer, shifted)
            if first < len(codes):
                ends = stop == recording.start + recording.samples
                passages.append(Passage(codes, start == recording.start, ends, HELD_OUT_VARIATION, first))
        if passages:
            yield passages


def _codes(tokenizer: Tokenizer, wave: Wave) -> NDArray[np.int64]:
    return np.concatenate(list(tokenizer.encode([np.ascontiguousarray(wave)])))
