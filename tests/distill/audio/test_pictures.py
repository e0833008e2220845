"""A picture of a file shows what is in it where it is, whatever the file's length."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from numpy.typing import NDArray
from PIL import Image

from distill.audio.pictures import COLUMNS, ROWS, check, draw, overview
from distill.errors import DistillError

RATE = 48000


def saved(folder: Path, wave: NDArray[Any], name: str = "made.wav", rate: int = RATE) -> Path:
    """A file of `wave [samples]` or `[samples, channels]`."""
    path = folder / name
    with path.open("wb") as file:
        soundfile.write(file, wave, rate, subtype="FLOAT", format="WAV")
    return path


def sine(frequency: float, seconds: float = 2.0) -> NDArray[np.float64]:
    wave: NDArray[np.float64] = np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)
    return wave


def drawn(folder: Path, wave: NDArray[Any], title: str = "title") -> NDArray[np.float32]:
    """The picture of `wave`, `[height, width, red green blue]` from 0 to 1."""
    draw(saved(folder, wave), title, folder / "made.png")
    picture: NDArray[np.float32] = imread(folder / "made.png")[..., :3]
    return picture


def spectrogram(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The inner part of the spectrogram in a picture."""
    return picture[-500:-80, 100:-120]


@pytest.mark.parametrize("seconds", [0.1, 2.0, 40.0])
@pytest.mark.parametrize("frequency", [200, 440, 5000, 15000])
def test_the_ridge_of_a_sine_is_at_its_frequency(tmp_path: Path, frequency: float, seconds: float) -> None:
    seen = overview(saved(tmp_path, sine(frequency, seconds)))
    inner = seen.decibels[:, COLUMNS // 4 : -COLUMNS // 4]
    np.testing.assert_allclose(seen.frequencies[inner.argmax(axis=0)], frequency, rtol=0.03)


def test_a_sine_at_full_scale_is_at_0_dbfs_and_its_surroundings_are_dark(tmp_path: Path) -> None:
    seen = overview(saved(tmp_path, sine(3000)))  # in the middle of a bin
    inner = seen.decibels[:, COLUMNS // 4 : -COLUMNS // 4]
    np.testing.assert_allclose(inner.max(axis=0), 0.0, atol=0.05)
    away = (seen.frequencies < 2000) | (seen.frequencies > 4500)
    assert inner[away].max() < -90


def test_the_frequencies_are_a_scale_to_the_ear_from_20_hz_to_half_the_rate(tmp_path: Path) -> None:
    frequencies = overview(saved(tmp_path, sine(440))).frequencies
    assert len(frequencies) == ROWS
    np.testing.assert_allclose(np.diff(np.log(frequencies)), np.log(24000 / 20) / ROWS)
    assert (frequencies[0], frequencies[-1]) == (pytest.approx(20, rel=0.01), pytest.approx(24000, rel=0.01))


def test_a_column_is_the_extremes_of_its_samples(tmp_path: Path) -> None:
    wave = np.random.default_rng(0).uniform(-1, 1, (COLUMNS * 70, 2)).astype(np.float32)  # more than one block
    seen = overview(saved(tmp_path, wave))
    columns = wave.T.reshape(2, COLUMNS, 70)
    np.testing.assert_array_equal(seen.lowest, columns.min(axis=2))
    np.testing.assert_array_equal(seen.highest, columns.max(axis=2))


def test_columns_of_unequal_samples_leave_none_out(tmp_path: Path) -> None:
    for at in (0, 1, 65535, 65536, 99_999, 100_000):
        wave = np.zeros(100_001)
        wave[at] = -0.5
        seen = overview(saved(tmp_path, wave))
        assert np.flatnonzero(seen.lowest[0] == -0.5).tolist() == [((at + 1) * COLUMNS - 1) // 100_001]


@pytest.mark.parametrize("seconds", [0.5, 10.0, 100.0])
def test_a_click_is_in_its_column_of_the_spectrogram(tmp_path: Path, seconds: float) -> None:
    wave = np.zeros(round(seconds * RATE))
    wave[len(wave) // 4] = 1.0
    levels = overview(saved(tmp_path, wave)).decibels[ROWS // 2]
    assert np.average(np.arange(COLUMNS), weights=10 ** (levels / 10)) == pytest.approx(COLUMNS / 4, abs=2)


def test_what_one_channel_has_opposite_to_the_other_is_seen(tmp_path: Path) -> None:
    wave = sine(440)
    opposite = overview(saved(tmp_path, np.stack([wave, -wave], axis=1)))
    np.testing.assert_array_equal(opposite.decibels, overview(saved(tmp_path, wave)).decibels)


@pytest.mark.parametrize("samples", [1, 2, 48, 240, 1399, 1400, 1401, 3001])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_short_file_has_a_column_a_sample(tmp_path: Path, samples: int, channels: int) -> None:
    seen = overview(saved(tmp_path, np.full((samples, channels), 0.5)))
    columns = min(samples, COLUMNS)
    assert (seen.lowest.shape, seen.decibels.shape) == ((channels, columns), (ROWS, columns))
    assert np.isfinite(seen.decibels).all()
    assert (seen.lowest == 0.5).all()


@pytest.mark.parametrize("form", ["flac", "ogg", "mp3"])
def test_every_format_can_be_seen(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"made.{form}"
    soundfile.write(path, 0.5 * sine(1000), RATE)
    seen = overview(path)
    assert seen.duration == 2.0
    assert seen.highest[0, 100:-100].max() == pytest.approx(0.5, abs=0.05)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    minute = np.random.default_rng(0).uniform(-1, 1, 60 * RATE).astype(np.float32)
    peaks = []
    for minutes in (1, 4):
        path = saved(tmp_path, np.tile(minute, minutes))
        tracemalloc.start()
        overview(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2e6  # bytes; three minutes of samples are 35 MB


@pytest.mark.parametrize(("channels", "height"), [(1, 780), (2, 940)])
def test_a_picture_has_a_waveform_a_channel_over_the_spectrogram(tmp_path: Path, channels: int, height: int) -> None:
    picture = drawn(tmp_path, np.tile(sine(1000)[:, None], (1, channels)))
    assert picture.shape == (height, 1600, 3)
    blue = (np.abs(picture - [0x1F / 255, 0x77 / 255, 0xB4 / 255]) < 0.01).all(axis=2)
    assert blue.sum() > channels * 100_000
    bright = spectrogram(picture).mean(axis=2) > 0.8
    assert 0 < bright.mean() < 0.1


def test_silence_is_a_line_over_darkness(tmp_path: Path) -> None:
    picture = drawn(tmp_path, np.zeros(RATE))
    assert spectrogram(picture).max() < 0.02


@pytest.mark.parametrize("samples", [1, 240])
def test_the_shortest_files_can_be_drawn(tmp_path: Path, samples: int) -> None:
    assert drawn(tmp_path, np.full(samples, 0.5)).std() > 0.1


@pytest.mark.parametrize("title", [r"$\frac$", "$x$ 100 %", "雪 \N{SLIGHTLY SMILING FACE}"])
def test_any_title_is_drawn_as_it_is(tmp_path: Path, title: str) -> None:
    titled, untitled = (drawn(tmp_path, sine(440, 0.01), text) for text in (title, ""))
    assert (titled != untitled).any(axis=(1, 2)).nonzero()[0].max() < 50


def test_a_picture_holds_no_date_and_no_version(tmp_path: Path) -> None:
    drawn(tmp_path, sine(440))
    with Image.open(tmp_path / "made.png") as picture:
        assert set(picture.info) == {"dpi"}


def test_pictures_made_side_by_side_are_those_made_alone(tmp_path: Path) -> None:
    files = [saved(tmp_path, sine(110 * 2**octave, 0.5), f"{octave}.wav") for octave in range(4)]

    def picture(file: Path, folder: str) -> bytes:
        path = tmp_path / folder / f"{file.stem}.png"
        path.parent.mkdir(exist_ok=True)
        draw(file, file.stem, path)
        return path.read_bytes()

    alone = [picture(file, "alone") for file in files]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda file: picture(file, "together"), files)) == alone
    assert len(set(alone)) == 4


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_a_name_that_is_no_text_can_be_drawn(tmp_path: Path) -> None:
    path = saved(tmp_path, sine(440, 0.1), os.fsdecode(b"caf\xe9.wav"))
    draw(path, "title", path.with_suffix(".png"))
    assert path.with_suffix(".png").stat().st_size > 10_000


def test_without_matplotlib_the_line_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DistillError) as raised:
        check()
    assert str(raised.value) == "--plot needs matplotlib. Install it: pip install 'distill[plot]'."


def test_matplotlib_is_not_imported_until_a_picture_is_wanted() -> None:
    imports = "import sys, distill.audio.pictures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", imports], check=False).returncode == 0
