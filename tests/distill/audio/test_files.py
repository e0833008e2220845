"""A file holds what was written, exactly as long, and the same bytes every time."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from disk import room_for
from numpy.typing import NDArray

from distill.audio.files import BLOCK, Spool, read_back, write
from distill.audio.formats import FORMATS, output_format
from distill.errors import DistillError

KINDS = [(name, depth) for name, kind in FORMATS.items() for depth in kind.subtypes]


def wave(channels: int, samples: int = 30011) -> NDArray[np.float32]:
    """Two tones and a little noise, peaking under full scale, `[channels, samples]`."""
    t = np.arange(samples) / 48000
    tones = [0.5 * np.sin(2 * np.pi * f * t) for f in (440, 660)][:channels]
    noise = 0.01 * np.random.default_rng(0).standard_normal((channels, samples))
    return (np.array(tones) + noise).astype(np.float32)


def test_the_peak_is_that_of_the_samples(tmp_path: Path) -> None:
    form = output_format("wav", 48000, "32-bit-float")
    write(tmp_path / "a", [wave(2)], form, 2)
    assert read_back(tmp_path / "a", form).peak == np.abs(wave(2)).max()


@pytest.mark.parametrize(("name", "depth"), KINDS)
def test_what_is_read_back_is_heard_and_told_by_its_hash(tmp_path: Path, name: str, depth: str | None) -> None:
    path = written(tmp_path / "a", name, depth, wave(2))
    heard: list[NDArray[np.float32]] = []
    read = read_back(path, output_format(name, 48000, depth), heard.append)
    dtype = {"16-bit": "int16", "24-bit": "int32"}.get(depth or "", "float32")
    assert read.sha256 == hashlib.sha256(soundfile.read(path, dtype=dtype)[0].tobytes()).hexdigest()
    np.testing.assert_array_equal(np.concatenate(heard, axis=1).T, soundfile.read(path, dtype="float32")[0])


def written(path: Path, name: str, depth: str | None, samples: NDArray[np.float32], block: int = 4096) -> Path:
    blocks = (samples[:, i : i + block] for i in range(0, samples.shape[1], block))
    write(path, blocks, output_format(name, 48000, depth), len(samples))
    return path


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("name", "depth"), KINDS)
def test_what_is_read_back_is_what_was_written(tmp_path: Path, name: str, depth: str | None, channels: int) -> None:
    samples = wave(channels)
    path = written(tmp_path / "a", name, depth, samples)
    info = soundfile.info(path)
    assert (info.frames, info.channels, info.samplerate) == (30011, channels, 48000)
    assert (info.format, info.subtype) == (FORMATS[name].container, FORMATS[name].subtypes[depth])
    read = soundfile.read(path, always_2d=True, dtype="float64")[0].T
    if depth is None:
        assert np.square(read - samples).mean() < np.square(samples).mean() / 10**2.5  # 25 dB, at the right place
    else:
        step = {"16-bit": 2**-15, "24-bit": 2**-23, "32-bit-float": 0.0}[depth]
        assert np.abs(read - samples).max() <= step


@pytest.mark.parametrize(("name", "rate"), [("wav", 8000), ("flac", 96000), ("ogg", 22050), ("mp3", 44100)])
def test_the_rate_is_the_one_asked_for(tmp_path: Path, name: str, rate: int) -> None:
    write(tmp_path / "a", [wave(1)], output_format(name, rate, None), 1)
    assert soundfile.info(tmp_path / "a").samplerate == rate


def test_a_block_of_any_size_is_written_whole(tmp_path: Path) -> None:
    samples = wave(1, 2 * BLOCK + 17)
    path = written(tmp_path / "a", "wav", "32-bit-float", samples, block=10**9)
    np.testing.assert_array_equal(soundfile.read(path, dtype="float32")[0], samples[0])


@pytest.mark.parametrize(("name", "decibels"), [("ogg", 10), ("mp3", 6)])  # 5 and 3 at the encoders' own defaults
def test_noise_survives_a_lossy_format_at_its_best_quality(tmp_path: Path, name: str, decibels: float) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal((1, 48000))).astype(np.float32)
    read = soundfile.read(written(tmp_path / "a", name, None, noise))[0]
    assert 10 * np.log10(np.square(noise).mean() / np.square(read - noise[0]).mean()) > decibels


@pytest.mark.parametrize(("name", "depth"), KINDS)
@pytest.mark.parametrize("samples", [1, 100, 1153])
def test_short_files_are_exactly_as_long(tmp_path: Path, name: str, depth: str | None, samples: int) -> None:
    path = written(tmp_path / "a", name, depth, wave(1, samples))
    assert len(soundfile.read(path)[0]) == samples


@pytest.mark.parametrize(("name", "depth"), KINDS)
def test_equal_blocks_make_equal_files(tmp_path: Path, name: str, depth: str | None) -> None:
    one = written(tmp_path / "one", name, depth, wave(2))
    two = written(tmp_path / "two", name, depth, wave(2))
    assert one.read_bytes() == two.read_bytes()


def test_a_float_wav_does_not_tell_the_time(tmp_path: Path) -> None:
    data = written(tmp_path / "a", "wav", "32-bit-float", wave(1)).read_bytes()
    peak = data.index(b"PEAK")
    assert data[peak + 12 : peak + 16] == bytes(4)


def test_every_page_of_an_ogg_file_has_serial_1_and_a_right_checksum(tmp_path: Path) -> None:
    from mutagen.ogg import OggPage

    data = written(tmp_path / "a", "ogg", None, wave(1, 200_000)).read_bytes()
    stream, again = io.BytesIO(data), b""
    while stream.tell() < len(data):
        page = OggPage(stream)
        assert page.serial == 1
        again += page.write()  # with a checksum made anew
    assert again == data


def test_a_spool_gives_back_what_it_was_given_in_blocks(tmp_path: Path) -> None:
    samples = wave(2, 3 * BLOCK + 17)
    with Spool(tmp_path / "spool", 2) as spool:
        for i in range(0, samples.shape[1], 5000):
            spool.append(samples[:, i : i + 5000])
    for _ in range(2):  # as often as wanted
        blocks = list(spool.blocks())
        assert max(b.shape[1] for b in blocks) == BLOCK
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), samples)


def test_an_empty_spool_gives_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", 1) as spool:
        pass
    assert list(spool.blocks()) == []


@pytest.mark.parametrize("missing", [1, 100, 4000, 20_000])
@pytest.mark.parametrize(("name", "depth"), KINDS)
def test_a_full_disk_is_one_line(tmp_path: Path, name: str, depth: str | None, missing: int) -> None:
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 50_000)).astype(np.float32)
    size = written(tmp_path / "whole", name, depth, noise).stat().st_size
    with (
        room_for(size - missing),
        pytest.raises(DistillError, match=r"^A file in .* could not be written.*Is the disk full\?$"),
    ):
        read_back(written(tmp_path / "cut", name, depth, noise), output_format(name, 48000, depth))


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DistillError, match="could not be written"):
        written(tmp_path / "none" / "a", "wav", "24-bit", wave(1))


def test_a_file_whose_samples_are_no_numbers_is_read_without_a_word(tmp_path: Path) -> None:
    """As a damaged one may be. Numbers of this kind, and no others, make NumPy warn."""
    signalling = np.full((100, 1), 0x7F800001, np.uint32).view(np.float32)
    path = tmp_path / "damaged.wav"
    soundfile.write(path, signalling, 48000, subtype="FLOAT")
    read = read_back(path, output_format("wav", 48000, "32-bit-float"))
    assert read.sha256 != read_back(path, output_format("wav", 48000, "16-bit")).sha256
