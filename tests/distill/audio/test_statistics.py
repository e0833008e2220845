"""What a sound is like in figures, whatever its level, its format, and how long it goes on."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray
from recordings import sound, write

from distill.audio import statistics as module
from distill.audio.statistics import BANDS, LAGS, SIZE, is_silent, log_mel_statistics, loudness
from distill.errors import DistillError
from distill.picking import distances


def statistics(path: Path) -> NDArray[np.float64]:
    found = log_mel_statistics(path)
    assert found is not None
    return found


def distance(one: Path, other: Path) -> float:
    """In dB."""
    return float(distances(statistics(one)[None], statistics(other))[0])


def noise(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(seed).standard_normal((1, round(48000 * seconds)))).astype(np.float32)


def beats(times: list[float], seconds: float = 2.0) -> NDArray[np.float32]:
    """Short noises at some times."""
    wave = np.zeros((1, round(48000 * seconds)), np.float32)
    for time in times:
        start = round(48000 * time)
        wave[:, start : start + 2400] = noise(0.05)
    return wave


@pytest.fixture
def original(tmp_path: Path) -> Path:
    return write(tmp_path / "original.wav", sound(1.5), subtype="FLOAT")


def test_another_level_is_no_other_sound(original: Path, tmp_path: Path) -> None:
    quiet = write(tmp_path / "quiet.wav", sound(1.5) * np.float32(0.125), subtype="FLOAT")
    assert distance(original, quiet) == 0.0
    assert distance(original, write(tmp_path / "q.wav", sound(1.5) * np.float32(0.03), subtype="PCM_24")) < 0.05


def test_another_sample_rate_or_format_is_no_other_sound(original: Path, tmp_path: Path) -> None:
    higher = soxr.resample(sound(1.5)[0], 48000, 96000)[None]
    assert distance(original, write(tmp_path / "96k.wav", higher, 96000)) < 0.1
    assert distance(original, write(tmp_path / "lossy.ogg", sound(1.5))) < 1.5


def test_what_is_opposite_in_two_channels_is_heard(original: Path, tmp_path: Path) -> None:
    wave = sound(1.5)
    both = write(tmp_path / "opposite.wav", np.concatenate([wave, -wave]), subtype="FLOAT")
    assert distance(original, both) < 1e-5


def test_going_on_longer_is_no_other_sound(tmp_path: Path) -> None:
    short, long = (write(tmp_path / f"{seconds}.wav", noise(seconds)) for seconds in (2, 11))
    assert distance(short, long) < 0.5


def test_one_loud_moment_does_not_change_the_colour(tmp_path: Path) -> None:
    alone, burst = noise(2), noise(2)
    burst[:, 48000:49920] *= 4
    one, other = (statistics(write(tmp_path / f"{n}.wav", wave)) for n, wave in enumerate((alone, burst)))
    assert np.abs(one[:BANDS] - other[:BANDS]).max() < 1.0


def test_how_a_file_is_cut_into_blocks_does_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "beats.wav", beats([0.1, 0.43, 0.8, 1.37, 1.61]))
    whole = statistics(path)
    monkeypatch.setattr(module, "HOPS_PER_BLOCK", 7)
    assert statistics(path) == pytest.approx(whole, abs=1e-3)


def test_silence_after_a_sound_changes_nothing_of_its_colour(tmp_path: Path) -> None:
    alone = statistics(write(tmp_path / "alone.wav", noise(1)))
    followed = statistics(write(tmp_path / "followed.wav", np.pad(noise(1), ((0, 0), (0, 96000)))))
    assert np.abs(followed[:BANDS] - alone[:BANDS]).max() < 0.5


def test_a_sound_outside_all_bands_has_statistics_all_the_same(tmp_path: Path) -> None:
    wave = 0.5 * np.sin(2 * np.pi * 22000 * np.arange(48000) / 48000)
    assert np.isfinite(statistics(write(tmp_path / "high.wav", wave[None].astype(np.float32)))).all()


def test_colour_is_in_the_first_statistics_and_pace_in_the_others(tmp_path: Path) -> None:
    slow, fast = (write(tmp_path / f"{count}.wav", beats([n * 2 / count for n in range(count)])) for count in (2, 16))
    held, dull = (
        write(tmp_path / f"{name}.wav", wave)
        for name, wave in (("held", noise(2)), ("dull", np.cumsum(noise(2), axis=1) / 50))
    )
    assert np.abs(statistics(held)[BANDS:]).mean() < np.abs(statistics(fast)[BANDS:]).mean() / 3
    assert np.abs(statistics(held)[:BANDS] - statistics(dull)[:BANDS]).mean() > 5
    assert np.abs(statistics(slow)[BANDS:] - statistics(fast)[BANDS:]).mean() > 2


def test_of_a_step_every_lag_says_how_often_it_is_crossed(tmp_path: Path) -> None:
    """Half a second at one level, half a second 20 dB under it: the lag is as many hops as cross the step."""
    t = np.arange(48000) / 48000
    wave = np.sin(2 * np.pi * 1000 * t) * np.where(t < 0.5, 0.5, 0.05)
    found = statistics(write(tmp_path / "step.wav", wave[None].astype(np.float32)))
    changes = found[BANDS:].reshape(len(LAGS), BANDS) / np.sqrt(SIZE / 2 / (SIZE - BANDS))
    loudest = int(np.argmax(found[:BANDS]))
    hops = 51
    crossing = [min(lag, 25, hops - lag) for lag in LAGS]
    expected = [20 * np.sqrt(count / (hops - lag)) for count, lag in zip(crossing, LAGS, strict=True)]
    assert changes[:, loudest] == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("samples", [1, 100, 961, 5000])
def test_a_file_shorter_than_a_lag_has_statistics_all_the_same(tmp_path: Path, samples: int) -> None:
    found = statistics(write(tmp_path / "short.wav", noise(1)[:, :samples]))
    assert found.shape == (SIZE,)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("sample_rate", [8000, 11025, 44100, 192000])
def test_any_rate_is_measured(tmp_path: Path, sample_rate: int) -> None:
    assert np.isfinite(statistics(write(tmp_path / "rate.wav", sound(0.5), sample_rate))).all()


@pytest.mark.parametrize("wave", [np.zeros((1, 0)), np.zeros((2, 48000)), np.full((1, 4800), 1e-5)])
def test_silence_is_told(tmp_path: Path, wave: NDArray[np.float64]) -> None:
    path = write(tmp_path / "silence.wav", wave.astype(np.float32), subtype="FLOAT")
    assert is_silent(path)
    assert log_mel_statistics(path) is None
    assert loudness(path) is None


def test_a_single_click_is_not_silence(tmp_path: Path) -> None:
    wave = np.zeros((1, 48000), np.float32)
    wave[0, 7000] = 0.5
    assert not is_silent(write(tmp_path / "click.wav", wave))


def test_loudness_is_that_of_the_standard(tmp_path: Path) -> None:
    """BS.1770: a sine of 997 Hz at full scale on one channel reads -3.01 LUFS."""
    wave = np.sin(2 * np.pi * 997 * np.arange(48000 * 2) / 48000)[None]
    path = write(tmp_path / "sine.wav", wave.astype(np.float32), subtype="FLOAT")
    assert loudness(path) == pytest.approx(-3.01, abs=0.05)


def test_memory_does_not_grow_with_duration(tmp_path: Path) -> None:
    peaks = []
    for seconds in (20, 200):
        path = tmp_path / "long.wav"
        with soundfile.SoundFile(path, "w", 48000, 1) as file:
            for second in range(seconds):
                file.write(noise(1, second)[0])
        statistics(path)  # what is made once is there
        tracemalloc.start()
        statistics(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_what_is_no_audio_is_named(tmp_path: Path) -> None:
    path = tmp_path / "words.wav"
    path.write_text("no audio")
    with pytest.raises(DistillError, match=r"words\.wav cannot be read as audio"):
        log_mel_statistics(path)
