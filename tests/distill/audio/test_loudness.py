"""How loud a stream is, is what other meters say of the whole of it, however the stream was cut."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from distill.audio.levels import to_dbfs
from distill.audio.loudness import _PHASES, Loudness, TruePeak

Meter = Loudness | TruePeak

METERS: list[Callable[[int], Meter]] = [lambda channels: Loudness(channels, 48000), TruePeak]
meters = pytest.mark.parametrize("meter", METERS, ids=["loudness", "true peak"])
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not there to compare with")


def measured(meter: Meter, wave: NDArray[np.float32], block: int = 48000) -> float | None:
    """What `meter` says of `wave [channels, samples]`, given in blocks."""
    for start in range(0, wave.shape[1], block):
        meter.add(wave[:, start : start + block])
    return meter.value


def loudness(wave: NDArray[np.float32], rate: int = 48000) -> float:
    value = measured(Loudness(len(wave), rate), wave)
    assert value is not None
    return value


def peak_db(wave: NDArray[np.float32]) -> float:
    level = to_dbfs(measured(TruePeak(len(wave)), wave) or 0.0)
    assert level is not None
    return level


def sine(frequency: float, rate: int = 48000, seconds: float = 2.0, phase: float = 0.0) -> NDArray[np.float32]:
    """`[1, samples]` at full scale, with its first and last 10 ms faded."""
    k = np.arange(round(seconds * rate))
    fade = np.minimum(1.0, np.minimum(k, k[::-1]) / (0.01 * rate))
    return (np.sin(2 * np.pi * frequency / rate * k + phase) * fade).astype(np.float32)[None]


def tune(rate: int, channels: int, seconds: float) -> NDArray[np.float32]:
    """Notes that die away, far apart in level, over a little noise; each channel of its own: `[channels, samples]`."""
    rng = np.random.default_rng(3)
    wave = 0.001 * rng.standard_normal((channels, round(seconds * rate)))
    for start in np.arange(0.0, seconds, 0.37):
        at = round(start * rate)
        t = np.arange(wave.shape[1] - at) / rate
        note = np.sin(2 * np.pi * rng.uniform(60, 6000) * t) * np.exp(-t / rng.uniform(0.05, 1.0))
        wave[:, at:] += rng.uniform(0, 1, (channels, 1)) ** 4 * note
    return (wave / np.abs(wave).max()).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [11025, 22050, 44100, 48000, 88200, 96000])
def test_the_loudness_of_a_tune_is_pyloudnorms(rate: int, channels: int) -> None:
    wave = tune(rate, channels, 7.03)
    expected = pyloudnorm.Meter(rate).integrated_loudness(wave.T.astype(np.float64))
    assert loudness(wave, rate) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seconds", [0.4, 0.44, 0.45, 0.46, 0.5, 1.25, 1.75, 2.33, 3.15])
def test_the_last_tenth_of_a_second_counts_where_it_does_in_pyloudnorm(seconds: float) -> None:
    wave = tune(48000, 1, seconds)
    expected = pyloudnorm.Meter(48000).integrated_loudness(wave.T.astype(np.float64))
    assert loudness(wave) == pytest.approx(expected, abs=1e-6)


def test_a_stereo_sine_at_minus_23_dbfs_is_minus_23_lufs() -> None:
    """EBU Tech 3341, test signal 1."""
    wave = np.tile(sine(1000, seconds=20) * np.float32(10 ** (-23 / 20)), (2, 1))
    assert loudness(wave) == pytest.approx(-23.0, abs=0.1)


def test_a_mono_file_reads_3_lu_less_than_its_samples_on_two_channels() -> None:
    wave = tune(48000, 1, 3.0)
    assert loudness(np.tile(wave, (2, 1))) - loudness(wave) == pytest.approx(3.0103, abs=1e-3)


@pytest.mark.parametrize("quiet", [0.0, 1e-5, 0.05])
def test_what_is_much_quieter_than_the_rest_does_not_count(quiet: float) -> None:
    wave = sine(1000, seconds=10)
    followed = np.concatenate([wave, np.float32(quiet) * sine(1000, seconds=60)], axis=1)
    assert loudness(followed) == pytest.approx(loudness(wave), abs=0.15)


@pytest.mark.parametrize("level", [0.0, 1e-4])
@pytest.mark.parametrize("samples", [0, 1, 4800, 100_000])
def test_silence_has_no_loudness(samples: int, level: float) -> None:
    assert measured(Loudness(1, 48000), np.float32(level) * sine(1000)[:, :samples]) is None


@pytest.mark.parametrize("samples", [100, 4800, 12345, 19199])
def test_less_than_400_ms_is_as_loud_as_with_silence_up_to_400_ms(samples: int) -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, (1, samples)).astype(np.float32)
    padded = np.pad(wave, ((0, 0), (0, 19200 - samples)))
    assert loudness(wave) == pytest.approx(loudness(padded), abs=0.1)


@needs_ffmpeg
@pytest.mark.parametrize("channels", [1, 2])
def test_ffmpegs_meter_agrees(tmp_path: Path, channels: int) -> None:
    wave = tune(48000, channels, 12.0)
    soundfile.write(tmp_path / "tune.wav", wave.T, 48000, subtype="FLOAT")
    said = subprocess.run(
        ["ffmpeg", "-nostats", "-i", tmp_path / "tune.wav", "-af", "ebur128=peak=true", "-f", "null", "-"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    ffmpegs = {name: float(re.findall(rf"\b{name}:\s+(\S+) ", said)[-1]) for name in ("I", "Peak")}
    assert ffmpegs["I"] == pytest.approx(loudness(wave), abs=0.15)
    assert ffmpegs["Peak"] == pytest.approx(peak_db(wave), abs=0.3)


def test_the_interpolators_table_has_no_slip() -> None:
    """The standard's are fractions of 2**13, and these are their sums."""
    whole = _PHASES * 2**13
    assert (whole == whole.round()).all()
    assert whole.sum(axis=1).tolist() == [8205, 7971]
    assert (whole @ np.arange(12)).tolist() == [47809, 45385]


def test_a_peak_that_lies_between_samples_is_found() -> None:
    wave = sine(12000, phase=np.pi / 4)
    assert to_dbfs(float(np.abs(wave).max())) == pytest.approx(-3.01, abs=0.01)
    assert peak_db(wave) == pytest.approx(0.0, abs=0.25)


def test_a_peak_between_samples_is_found_after_a_sample_that_is_larger_than_those_around_it() -> None:
    larger = np.full((1, 20000), 0.75, np.float32)  # alone it leads to no more than itself
    wave = np.concatenate([larger, sine(12000, phase=np.pi / 4), larger], axis=1)
    assert peak_db(wave) == pytest.approx(0.0, abs=0.25)


@pytest.mark.parametrize("frequency", [50, 997, 4800, 9600, 15000, 19997, 23000])
@pytest.mark.parametrize("phase", [0.0, 0.5, 1.0])
def test_the_true_peak_of_a_sine_is_its_amplitude(frequency: float, phase: float) -> None:
    assert peak_db(sine(frequency, phase=phase)) == pytest.approx(0.0, abs=0.25)


@pytest.mark.parametrize("seed", range(3))
def test_upsampling_finds_the_same_peak(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wave = soxr.resample(rng.standard_normal(40000) * 0.1, 40000, 48000).astype(np.float32)  # nothing near 24 kHz
    upsampled = soxr.resample(wave, 1, 4, quality="VHQ")
    assert peak_db(wave[None]) == pytest.approx(20 * np.log10(np.abs(upsampled).max()), abs=0.3)


@pytest.mark.parametrize("seed", range(3))
def test_the_true_peak_is_never_under_the_sample_peak(seed: int) -> None:
    wave = np.random.default_rng(seed).laplace(size=(1, 3)).astype(np.float32)
    assert (measured(TruePeak(1), wave) or 0.0) >= np.abs(wave).max()


def test_one_sample_is_its_own_true_peak() -> None:
    assert measured(TruePeak(1), np.full((1, 1), -0.5, np.float32)) == 0.5


def test_silence_and_nothing_have_a_true_peak_of_0() -> None:
    assert TruePeak(1).value == 0.0
    assert measured(TruePeak(2), np.zeros((2, 5000), np.float32)) == 0.0


def test_a_peak_after_the_last_sample_counts() -> None:
    wave = sine(12000, phase=np.pi / 4)[:, 5000:6000]
    wave[:, :-2] *= 0.1
    ended, followed = measured(TruePeak(1), wave), measured(TruePeak(1), np.pad(wave, ((0, 0), (0, 100))))
    assert ended == followed
    assert ended is not None
    assert ended > 1.1 * np.abs(wave).max()


@meters
@pytest.mark.parametrize("block", [1, 7, 4799, 4800, 30001])
def test_the_cut_into_blocks_does_not_show_in_a_single_bit(meter: Callable[[int], Meter], block: int) -> None:
    wave = tune(48000, 2, 0.73)
    assert measured(meter(2), wave, block) == measured(meter(2), wave, wave.shape[1])


@meters
def test_reading_a_value_changes_nothing(meter: Callable[[int], Meter]) -> None:
    wave = tune(48000, 1, 2.0)
    read = meter(1)
    for start in range(0, wave.shape[1], 5000):
        read.add(wave[:, start : start + 5000])
        assert read.value == read.value
    assert read.value == measured(meter(1), wave)


@meters
def test_the_louder_channel_counts_whichever_it_is(meter: Callable[[int], Meter]) -> None:
    wave = tune(48000, 1, 2.0)
    wide = np.concatenate([wave, np.zeros_like(wave)])
    assert measured(meter(2), wide) == measured(meter(2), wide[::-1]) == measured(meter(1), wave)


@meters
def test_memory_hardly_grows_with_the_stream(meter: Callable[[int], Any]) -> None:
    block = tune(48000, 1, 1.0)
    held = meter(1)
    sizes = []
    tracemalloc.start()
    for _ in range(2):
        for _ in range(100):
            held.add(block)
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 16 * 1000  # bytes for 1000 hops of 100 ms


@meters
def test_a_block_is_not_held(meter: Callable[[int], Meter]) -> None:
    block = np.zeros((1, 60 * 48000), np.float32)
    held = meter(1)
    tracemalloc.start()
    held.add(block)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < 100_000  # bytes; the block has 11.5 million


def test_scipy_is_not_imported_until_a_loudness_is_wanted() -> None:
    imports = "import sys, distill.audio.loudness; sys.exit('scipy' in sys.modules or 'pyloudnorm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", imports], check=False).returncode == 0
