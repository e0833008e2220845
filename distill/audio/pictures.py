"""A picture of a finished audio file: its waveform over its spectrogram. Needs matplotlib, the extra `plot`."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from distill.errors import DistillError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS, ROWS = 1400, 480
"""What a file of any length is drawn with in a PNG: columns of time, rows of frequency; about a pixel each."""
LOWEST_HZ, RANGE_DB = 20.0, 90.0
FAINTEST_TOP_DBFS = -60.0  # so that silence is dark
TICKS_HZ = (20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000)
FFT, SHORTEST_WINDOW = 4096, 64  # samples
BLOCK, BATCH = 65536, 64  # samples read at a time, spectra computed at a time
DPI, WIDTH_INCHES, WAVEFORM_INCHES, SPECTROGRAM_INCHES, MARGIN_INCHES = 100, 16.0, 1.6, 5.0, 1.2
PNG = {"compress_level": 3}  # a third of the time of the usual 6, for a seventh more bytes

_DRAWING = Lock()
"""Held while matplotlib is in use: its documentation says that it is not thread-safe."""


@dataclass(frozen=True)
class Overview:
    """A file of `duration` seconds in equal columns.

    `lowest` and `highest [channels, columns]` are the extreme samples of each. `decibels [rows, columns]` are levels
    in dBFS, 0 for a sine at full scale, at `frequencies [rows]` in Hz, from `LOWEST_HZ` to half the sample rate.
    """

    duration: float
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    frequencies: NDArray[np.float64]
    decibels: NDArray[np.float32]


def check() -> None:
    """Raise `DistillError` where no picture can be drawn, before anything is computed."""
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise DistillError("--plot needs matplotlib. Install it: pip install 'distill[plot]'.") from error


def draw(audio: Path, title: str, picture: Path) -> None:
    """Write a PNG of the file `audio` to `picture`, under a `title` of printable text. Equal files, equal bytes."""
    seen = overview(audio)
    with _DRAWING, picture.open("wb") as file:
        _figure(seen, title).savefig(file, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs=PNG)


def overview(audio: Path, columns: int = COLUMNS, rows: int = ROWS) -> Overview:
    """What there is to see of the file `audio` in at most so many `columns`, and `rows` of frequencies.

    It is read once from end to end; memory does not grow with its length.
    """
    with audio.open("rb") as raw, soundfile.SoundFile(raw) as file:
        extremes = _Extremes(file.channels, file.frames, columns)
        spectrum = _Spectrum(file.channels, file.frames, columns)
        while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
            extremes.add(block.T)
            spectrum.add(block.T)
        frequencies, decibels = _rows(spectrum.decibels(), file.samplerate, rows)
        return Overview(file.frames / file.samplerate, extremes.lowest, extremes.highest, frequencies, decibels)


class _Extremes:
    """The lowest and highest sample of each of at most so many `columns` of a stream of `samples`."""

    def __init__(self, channels: int, samples: int, columns: int) -> None:
        columns = min(columns, samples)
        self.lowest, self.highest = np.full((2, channels, columns), np.nan, np.float32)
        self._starts = np.arange(columns) * samples // columns
        self._position = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take in `block [channels, samples]`."""
        end = self._position + block.shape[1]
        first, last = np.searchsorted(self._starts, [self._position, end - 1], side="right") - 1
        columns = slice(first, last + 1)
        cuts = np.maximum(self._starts[columns] - self._position, 0)
        for kept, extreme in ((self.lowest, np.fmin), (self.highest, np.fmax)):
            kept[:, columns] = extreme(kept[:, columns], extreme.reduceat(block, cuts, axis=1))
        self._position = end


class _Spectrum:
    """The power spectrum of each of at most so many `columns` of a stream of `samples`.

    That is the mean of the channels and of the frames in it.

    Of powers, not of samples, so that what is in one channel the other's opposite is seen. Frames are of `FFT` samples
    under a Hann window, shorter in a file of less than eight of them; at least one lies in each column.
    """

    def __init__(self, channels: int, samples: int, columns: int) -> None:
        columns = min(columns, samples)
        length = min(FFT, max(SHORTEST_WINDOW, 1 << (samples // 8).bit_length()))
        self._window = np.hanning(length + 1)[:-1].astype(np.float32)
        self._hop = max(1, min(samples // columns, length // 2))
        self._columns = np.arange(0, samples, self._hop) * columns // samples  # of each frame's middle
        self._power = np.zeros((columns, FFT // 2 + 1), np.float32)
        self._waiting = np.zeros((channels, length // 2), np.float32)
        self._frames = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take in `block [channels, samples]`."""
        length = len(self._window)
        samples = np.concatenate([self._waiting, block], axis=1)
        count = max(0, (samples.shape[1] - length) // self._hop + 1)
        if count:
            frames = np.lib.stride_tricks.sliding_window_view(samples, length, axis=1)[:, :: self._hop]
            for start in range(0, count, BATCH):
                self._add_frames(frames[:, start : start + BATCH])
        self._waiting = samples[:, count * self._hop :].copy()

    def _add_frames(self, frames: NDArray[np.float32]) -> None:
        for power in np.square(np.abs(np.fft.rfft(frames * self._window, FFT))).mean(axis=0):
            self._power[self._columns[self._frames]] += power
            self._frames += 1

    def decibels(self) -> NDArray[np.float32]:
        """The levels `[columns, bins]` in dBFS of the stream, which ends here."""
        self.add(np.zeros((len(self._waiting), len(self._window) // 2 - 1), np.float32))
        scale = np.bincount(self._columns)[:, None] * np.square(self._window.sum() / 2)
        decibels: NDArray[np.float32] = 10.0 * np.log10(np.maximum(self._power / scale, 1e-20)).astype(np.float32)
        return decibels


def _rows(
    decibels: NDArray[np.float32], sample_rate: int, rows: int
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Levels `[columns, bins]` as `rows` frequencies (Hz), each as far from the next to the ear, and `[rows, columns]`.

    A row takes the largest of its bins, or lies between two where bins are further apart than rows.
    """
    width = sample_rate / 2 / (decibels.shape[1] - 1)  # of a bin, in Hz
    edges = np.geomspace(LOWEST_HZ, sample_rate / 2, rows + 1)
    middles = np.sqrt(edges[:-1] * edges[1:])
    below = np.floor(middles / width).astype(int)
    part = (middles / width - below).astype(np.float32)
    between = decibels[:, below] * (1 - part) + decibels[:, below + 1] * part
    first = np.ceil(edges / width).astype(int)
    largest = np.maximum.reduceat(decibels, first[:-1], axis=1)
    return middles, np.where(first[1:] > first[:-1], largest, between).T


def _figure(seen: Overview, title: str) -> Figure:
    from matplotlib.figure import Figure

    channels = len(seen.lowest)
    heights = [WAVEFORM_INCHES] * channels + [SPECTROGRAM_INCHES]
    height = sum(heights) + MARGIN_INCHES
    figure = Figure(figsize=(WIDTH_INCHES, height))
    figure.suptitle(_drawable(title), y=1 - 0.15 / height, va="top", parse_math=False)
    *waves, spectrogram = figure.subplots(channels + 1, 1, sharex=True, height_ratios=heights)
    figure.subplots_adjust(left=0.05, right=0.935, bottom=0.55 / height, top=1 - 0.5 / height, hspace=0.06)
    names = ["amplitude"] if channels == 1 else [f"amplitude, {side}" for side in ("left", "right")]
    for axes, name, lowest, highest in zip(waves, names, seen.lowest, seen.highest, strict=True):
        _draw_waveform(axes, seen.duration, lowest, highest)
        axes.set_ylabel(name)
    _draw_spectrogram(spectrogram, seen)
    return figure


def _drawable(text: str) -> str:
    """`text` with a box for what matplotlib's font cannot draw, of which it would warn."""
    from matplotlib import font_manager

    known = font_manager.get_font(font_manager.findfont(font_manager.FontProperties())).get_charmap()
    return "".join(c if ord(c) in known else "\N{WHITE SQUARE}" for c in text)


def _draw_waveform(axes: Axes, duration: float, lowest: NDArray[np.float32], highest: NDArray[np.float32]) -> None:
    times = np.linspace(0.0, duration, len(lowest) + 1)
    low, high = (np.append(values, values[-1]) for values in (lowest, highest))
    axes.fill_between(times, low, high, step="post", linewidth=0.8, color="C0")
    axes.set(xlim=(0.0, duration), ylim=(-1.0, 1.0))
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3)


def _draw_spectrogram(axes: Axes, seen: Overview) -> None:
    top = max(FAINTEST_TOP_DBFS, 10.0 * math.ceil(float(seen.decibels.max()) / 10.0))
    nyquist = seen.frequencies[-1] * seen.frequencies[0] / LOWEST_HZ  # half a row beyond the middle of the last
    extent = (0.0, seen.duration, math.log10(LOWEST_HZ), math.log10(nyquist))
    look: dict[str, Any] = {"cmap": "magma", "origin": "lower", "aspect": "auto", "extent": extent}
    shown = axes.imshow(seen.decibels, vmin=top - RANGE_DB, vmax=top, **look)
    ticks = [tick for tick in TICKS_HZ if tick <= nyquist]
    axes.set_yticks(np.log10(ticks), [f"{tick // 1000}k" if tick >= 1000 else f"{tick}" for tick in ticks])
    axes.set(xlabel="time (s)", ylabel="frequency (Hz)")
    axes.figure.colorbar(shown, cax=axes.inset_axes((1.01, 0.0, 0.015, 1.0)), label="level (dBFS)")
