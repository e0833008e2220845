"""What streaming costs an inversion: error and time of the stream against the whole file at once with 128 iterations.

    python tests/benchmarks/inversion.py RECORDING...

Prints a row a recording (its first six seconds, mono, 48 kHz), a pair of sines and noise: the mean log-mel error of
each side in dB, and the ratio of their times, both taken in this one run.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import soundfile
import soxr
import torch

from distill.audio.inversion import MelInverter
from distill.audio.mel import Spectrogram

SPECTROGRAM = Spectrogram()
RATE = SPECTROGRAM.sample_rate
FLOOR = 1e-6  # of mel power, so that silence is not compared with silence


def recording(path: str) -> torch.Tensor:
    """The first six seconds of a file, mono, `float32 [samples]`."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), rate, RATE)[: 6 * RATE]
    return torch.from_numpy(np.ascontiguousarray(mono))


def synthetic() -> dict[str, torch.Tensor]:
    """Three seconds each of two sines, and of noise."""
    t = np.arange(3 * RATE) / RATE
    sines = 0.3 * np.sin(2 * np.pi * 440 * t) + 0.2 * np.sin(2 * np.pi * 1234 * t)
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE)
    return {name: torch.from_numpy(x.astype(np.float32)) for name, x in {"sines": sines, "noise": noise}.items()}


def inverted(mel: torch.Tensor, iterations: int, segment_frames: int) -> tuple[torch.Tensor, float]:
    """The waveform of `mel`, pushed a second at a time, and the seconds it took."""
    start = time.perf_counter()
    inverter = MelInverter(SPECTROGRAM, np.random.default_rng(1), iterations=iterations, segment_frames=segment_frames)
    blocks = [inverter.push(mel[:, i : i + 94]) for i in range(0, mel.shape[1], 94)]
    wave = torch.cat([*blocks, inverter.finish()])
    return wave, time.perf_counter() - start


def error(wanted: torch.Tensor, wave: torch.Tensor) -> float:
    """Mean log-mel error in dB."""
    found = SPECTROGRAM.mel(wave)[:, : wanted.shape[1]]
    ratio = (found + FLOOR) / (wanted[:, : found.shape[1]] + FLOOR)
    return float(10 * ratio.log10().abs().mean())


def main() -> None:
    """Print the table."""
    print(f"{'sound':24} {'whole, 128':>12} {'stream, 32':>12} {'times faster':>13}")
    sounds = {path.rpartition("/")[2]: recording(path) for path in sys.argv[1:]} | synthetic()
    for name, wave in sounds.items():
        mel = SPECTROGRAM.mel(wave)
        whole, slow = inverted(mel, 128, 10**9)
        stream, fast = inverted(mel, 32, 188)
        print(f"{name:24} {error(mel, whole):9.2f} dB {error(mel, stream):9.2f} dB {slow / fast:12.1f}x")


main()
