"""A file holds what was written, exactly as long, and the same bytes every time."""

from __future__ import annotations

import io
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from distill.audio.files import BLOCK, Spool, write
from distill.audio.formats import FORMATS, output_format
from distill.errors import DistillError

KINDS = [(name, depth) for name, kind in FORMATS.items() for depth in kind.subtypes]


def wave(channels: int, samples: int = 30011) -> NDArray[np.float32]:
    """Two tones and a little noise, peaking under full scale, `[channels, samples]`."""
    t = np.arange(samples) / 48000
    tones = [0.5 * np.sin(2 * np.pi * f * t) for f in (440, 660)][:channels]
    noise = 0.01 * np.random.default_rng(0).standard_normal((channels, samples))
    return (np.array(tones) + noise).astype(np.float32)


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


def test_a_spool_gives_back_what_it_was_given_in_blocks() -> None:
    samples = wave(2, 3 * BLOCK + 17)
    spool = Spool(io.BytesIO(), 2)
    for i in range(0, samples.shape[1], 5000):
        spool.append(samples[:, i : i + 5000])
    assert spool.peak == np.abs(samples).max()
    for _ in range(2):  # as often as wanted
        blocks = list(spool.blocks())
        assert max(b.shape[1] for b in blocks) == BLOCK
        np.testing.assert_array_equal(np.concatenate(blocks, axis=1), samples)


def test_an_empty_spool_is_silent() -> None:
    spool = Spool(io.BytesIO(), 1)
    assert (spool.peak, list(spool.blocks())) == (0.0, [])


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file of this process can grow over 100 kB: a write falls short, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize(("name", "depth"), KINDS)
def test_a_full_disk_is_one_line(tmp_path: Path, name: str, depth: str | None) -> None:
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (2, 1_000_000)).astype(np.float32)
    with pytest.raises(DistillError, match=r"^A file in .* could not be written.*Is the disk full\?$"):
        written(tmp_path / "a", name, depth, noise)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DistillError, match="could not be written"):
        written(tmp_path / "none" / "a", "wav", "24-bit", wave(1))
