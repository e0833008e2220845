"""How many kinds of sound are among the files that `distill pick --by diversity` keeps, against chance and other ways.

    python tests/benchmarks/picking.py [RECORDINGS [SEEDS [FIRST_SEED]]]

Makes folders of 300 files of two seconds of 30 kinds, most of them of a few kinds, as what a model generates is: kinds
number 1, 2, 3, ... have shares like 1, 1/2, 1/3, ... to the power of 1.3, and at least two files each. RECORDINGS are
by default those that Debian's sonic-pi-samples brings. A kind is

- timbre: a recording, out of 30 of them drawn by chance;
- held: noise with the spectrum of one of those;
- rhythm: one of six hits, in one of five patterns.

No two files of a kind are equal: each has another level (24 dB), pitch (0.7 semitones either way), tilt of its
spectrum (4 dB either way), place and noise (60 to 80 dB under its peak). Prints for each way of choosing, how many
kinds are among the 20 and the 30 that it keeps, means over so many SEEDS.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2

from distill.audio.recordings import Reader, find
from distill.audio.statistics import BANDS, log_mel_statistics
from distill.picking import distances, farthest_first

RATE, SECONDS = 48000, 2.0
KINDS, FILES, EVENNESS = 30, 300, 1.3
KEEP = (20, 30)
DRAWS = 200
PATTERNS = (
    [0.0],
    [0.0, 0.5, 1.0, 1.5],
    [n / 8 for n in range(16)],
    [0.0, 0.1, 0.2, 1.0, 1.1, 1.2],
    [0.0, 0.33, 0.66, 1.0, 1.33, 1.66],
)
"""When the hits come, in seconds."""
HIT_SECONDS = 0.4

Wave = NDArray[np.float32]
Points = NDArray[np.float64]
Kind = Callable[[np.random.Generator], Wave]


def read(path: Path) -> Wave:
    """The recording at `path` in mono, `[samples]`."""
    with Reader(path) as reader:
        return np.concatenate([block[0] for block in reader.blocks(RATE, 1)])


def kinds_of_timbre(recordings: list[Path], rng: np.random.Generator) -> Iterator[Kind]:
    for number in rng.permutation(len(recordings))[:KINDS]:
        wave = read(recordings[number])
        yield lambda rng, wave=wave: wave


def kinds_of_held(recordings: list[Path], rng: np.random.Generator) -> Iterator[Kind]:
    for kind in kinds_of_timbre(recordings, rng):
        yield partial(held, kind(rng))


def held(wave: Wave, rng: np.random.Generator) -> Wave:
    """Noise with the magnitudes of the spectrum of `wave`, at random phases."""
    spectrum = np.abs(np.fft.rfft(wave, round(2.5 * RATE)))
    return np.fft.irfft(spectrum * np.exp(2j * np.pi * rng.random(len(spectrum)))).astype(np.float32)


def kinds_of_rhythm(recordings: list[Path], rng: np.random.Generator) -> Iterator[Kind]:
    short = [path for path in recordings if soundfile.info(path).duration < 1.0]
    for number in rng.permutation(len(short))[: KINDS // len(PATTERNS)]:
        for pattern in PATTERNS:
            yield partial(in_pattern, read(short[number])[: round(HIT_SECONDS * RATE)], pattern)


def in_pattern(hit: Wave, pattern: list[float], rng: np.random.Generator) -> Wave:
    """The hit at the times of the pattern, up to 8 % slower or faster."""
    wave = np.zeros(round(2.5 * RATE), np.float32)
    pace = rng.uniform(0.92, 1.08)
    for time in pattern:
        start = round(time * pace * RATE)
        wave[start : start + len(hit)] += hit[: len(wave) - start]
    return wave


def varied(wave: Wave, rng: np.random.Generator) -> Wave:
    """Another file of the kind of `wave [samples]`."""
    wave = soxr.resample(wave, RATE, RATE * 2 ** (rng.uniform(-0.7, 0.7) / 12)).astype(np.float32)
    octaves = np.clip(np.log2(np.maximum(np.fft.rfftfreq(len(wave), 1 / RATE), 30) / 1000), -4, 4)
    wave = np.fft.irfft(np.fft.rfft(wave) * 10 ** (rng.uniform(-4, 4) * octaves / 80), len(wave))
    length = round(SECONDS * RATE)
    first = rng.integers(0, max(1, len(wave) - length))
    wave = wave[first : first + length]
    start = rng.integers(0, RATE // 10)
    file = np.zeros(length, np.float32)
    file[start : start + len(wave)] = wave[: length - start] / np.abs(wave).max()
    file += 10 ** (-rng.uniform(60, 80) / 20) * rng.standard_normal(length)
    return (10 ** (rng.uniform(-24, 0) / 20) * file / np.abs(file).max()).astype(np.float32)


def folder(kinds: Callable[..., Iterator[Kind]], recordings: list[Path], seed: int) -> tuple[NDArray[np.int64], Points]:
    """The kind `[files]` and the statistics `[files, statistics]` of each file of a folder."""
    rng = np.random.default_rng(seed)
    made = list(kinds(recordings, rng))
    shares = np.arange(1, KINDS + 1) ** -EVENNESS
    more = rng.choice(KINDS, FILES - 2 * KINDS, p=shares / shares.sum())
    labels = rng.permutation(np.concatenate([np.arange(KINDS), np.arange(KINDS), more]))
    points = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "file.wav")
        for label in labels:
            soundfile.write(path, varied(made[label](rng), rng), RATE, subtype="PCM_24")
            points.append(log_mel_statistics(path))
    return labels, np.array(points)


def by_chance(points: Points, keep: int) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [list(rng.permutation(len(points))[:keep]) for _ in range(DRAWS)]


def farthest(points: Points, keep: int) -> list[list[int]]:
    return [[one.index for one in farthest_first(points, keep)]]


def by_clusters(points: Points, keep: int) -> list[list[int]]:
    """The file nearest to the centre of each of as many clusters as files are kept, from five starts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of clusters that are empty
        starts = [kmeans2(points, keep, minit="++", seed=seed)[0] for seed in range(5)]
    return [[int(distances(points, centre).argmin()) for centre in centres] for centres in starts]


WAYS: dict[str, Callable[[Points, int], list[list[int]]]] = {
    "chance, mean of 200 draws": by_chance,
    "k-means, mean of 5 starts": by_clusters,
    "farthest first, colour alone": lambda points, keep: farthest(points[:, :BANDS], keep),
    "farthest first, changes alone": lambda points, keep: farthest(points[:, BANDS:], keep),
    "farthest first, as it is": farthest,
}


def main(recordings: str = "/usr/share/sonic-pi/samples", seeds: int = 6, first: int = 100) -> None:
    paths = find(Path(recordings))
    what = {"timbre": kinds_of_timbre, "held": kinds_of_held, "rhythm": kinds_of_rhythm}
    jobs = [(name, seed) for name in what for seed in range(first, first + seeds)]
    with ProcessPoolExecutor(2) as pool:
        folders = list(pool.map(folder, [what[name] for name, _ in jobs], [paths] * len(jobs), [s for _, s in jobs]))
    titles = [f"{name}, {keep}" for name in what for keep in KEEP]
    print(f"{f'of {KINDS} kinds, among those kept':<32}" + "".join(f"{title:>12}" for title in titles))
    for way, choose in WAYS.items():
        cells = []
        for name in what:
            for keep in KEEP:
                of_kind = [made for (its, _), made in zip(jobs, folders, strict=True) if its == name]
                found = [np.mean([len({*labels[one]}) for one in choose(points, keep)]) for labels, points in of_kind]
                cells.append(f"{np.mean(found):12.1f}")
        print(f"{way:<32}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))
