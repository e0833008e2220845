"""What is trained on: found, decoded, or skipped by name; what is held out never gets into a crop."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from disk import room_for
from recordings import corpus as recordings
from recordings import sound, write

from distill.audio.recordings import find
from distill.errors import DistillError
from distill_codec import corpus as module
from distill_codec.corpus import Corpus, Stretch, read, split, stereo
from distill_codec.crops import Crops


def read_in(folder: Path, channels: int = 1) -> Corpus:
    return read(folder, 48000, channels, folder.parent)


@pytest.mark.parametrize(
    ("suffix", "rate", "channels"),
    [("wav", 44100, 1), ("flac", 96000, 2), ("ogg", 48000, 1), ("mp3", 22050, 2), ("aiff", 8000, 1), ("AIF", 48000, 6)],
)
def test_every_format_rate_and_channel_count_is_read(tmp_path: Path, suffix: str, rate: int, channels: int) -> None:
    folder = tmp_path / "sounds"
    kind = {"format": "AIFF"} if suffix.lower().startswith("aif") else {}
    write(folder / "deep" / "er" / f"a.{suffix}", sound(3.0, sample_rate=rate, channels=channels), rate, **kind)
    found = read_in(folder)
    assert [one.name for one in found.recordings] == [f"deep/er/a.{suffix}"]
    assert found.seconds == pytest.approx(3.0, abs=0.06)
    expected = sound(3.0)[0]
    assert np.abs(found.audio).max() == pytest.approx(np.abs(expected).max(), rel=0.3)
    spectrum = np.abs(np.fft.rfft(found.audio[:96000, 0]))
    assert np.argmax(spectrum) / 2 == pytest.approx(220, abs=4)


def test_files_are_in_order_of_their_names_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.wav", "a/z.wav", "a.wav", ".hidden.wav", ".folder/c.wav", "notes.txt", "B.WAV"):
        write(tmp_path / name, sound(0.1), format="WAV")
    names = [str(path.relative_to(tmp_path)) for path in find(tmp_path)]
    assert names == ["B.WAV", "a.wav", "b.wav", "a/z.wav"]


def test_a_link_to_its_own_folder_is_not_followed_forever(tmp_path: Path) -> None:
    folder = recordings(tmp_path / "sounds")
    (folder / "loop").symlink_to(folder)
    assert len(find(folder)) == 4


def test_what_cannot_be_used_is_named_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_SECONDS", 2)
    folder = recordings(tmp_path / "sounds")
    write(folder / "silent.wav", np.zeros((1, 48000), np.float32))
    write(folder / "short.wav", sound(0.01))
    write(folder / "long.wav", sound(2.5))
    wave = sound(1.0)
    wave[0, 30000] = np.nan
    write(folder / "nan.wav", wave, subtype="FLOAT")
    (folder / "text.wav").write_text("no sound")
    os.mkfifo(folder / "pipe.wav")
    (folder / "broken.wav").symlink_to(folder / "nowhere")
    write(folder / "loud.wav", np.full((1, 48000), 32000, np.float32), subtype="FLOAT")
    write(folder / "infinite.wav", np.full((1, 4800), 3.4e38, np.float32), 44100, subtype="FLOAT")
    wave = sound(1.0)
    write(folder / "against.wav", np.concatenate([wave, -wave]))
    (folder / "empty.flac").touch()
    write(folder / "cut.flac", sound(1.0))
    whole = (folder / "cut.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 3])
    found = read_in(folder)
    assert len(found.recordings) == 4
    assert found.seconds == pytest.approx(3.6)
    reasons = {one.name: one.reason for one in found.skipped}
    assert reasons.pop("against.wav") == "is silent when it is mixed to mono"
    assert reasons.pop("loud.wav") == "has a peak of 3.2e+04, where full scale is 1"
    assert "full scale is 1" in reasons.pop("infinite.wav")
    assert reasons.pop("pipe.wav") == reasons.pop("broken.wav") == "is no regular file"
    assert reasons.keys() == {"silent.wav", "short.wav", "long.wav", "nan.wav", "text.wav", "empty.flac", "cut.flac"}
    assert reasons["silent.wav"] == "is silent"
    assert reasons["short.wav"] == "is 10 ms long; 20 are needed"
    assert "long" in reasons["long.wav"]
    assert reasons["nan.wav"] == "has samples that are no finite numbers"
    assert {reasons[name] for name in ("text.wav", "empty.flac", "cut.flac")} == {"cannot be read"}


def test_a_skipped_file_leaves_no_samples_behind(tmp_path: Path) -> None:
    folder = recordings(tmp_path / "sounds", files=2, seconds=1.5)
    expected = read_in(folder)
    wave = sound(2.0)  # longer than a block, so that some of it is written before the end is seen
    wave[0, -1] = np.inf
    write(folder / "0-first.wav", wave, subtype="FLOAT")
    found = read_in(folder)
    assert found.fingerprint == expected.fingerprint
    np.testing.assert_array_equal(found.audio, expected.audio)


@pytest.mark.parametrize("what", ["missing", "a file", "no audio", "too little"])
def test_what_is_no_corpus_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "sounds"
    if what == "a file":
        folder.touch()
    elif what != "missing":
        folder.mkdir()
    if what == "too little":
        write(folder / "a.wav", sound(0.5))
        write(folder / "b.wav", np.zeros((1, 48000), np.float32))
    expected = {
        "missing": "does not exist", "a file": "is a file", "no audio": "has no recordings",
        "too little": "0.5 s in 1 recordings (1 skipped: 1 is silent)",
    }[what]  # fmt: skip
    with pytest.raises(DistillError) as error:
        read_in(folder)
    assert expected in str(error.value)


def test_a_disk_without_room_for_the_corpus_is_said_in_one_line(tmp_path: Path) -> None:
    folder = recordings(tmp_path / "sounds")
    with room_for(100_000), pytest.raises(DistillError, match="no room"):
        read_in(folder)
    assert list(tmp_path.iterdir()) == [folder]


def test_stereo_is_mixed_to_mono_or_kept(tmp_path: Path) -> None:
    wave = np.concatenate([sound(2.5), sound(2.5, pitch=333, seed=1)])
    write(tmp_path / "sounds" / "two.wav", wave, subtype="FLOAT")
    write(tmp_path / "sounds" / "wide.wav", np.repeat(wave[:1], 2, axis=0), subtype="FLOAT")
    mono, both = read_in(tmp_path / "sounds"), read_in(tmp_path / "sounds", channels=2)
    np.testing.assert_allclose(mono.of(mono.recordings[0])[0], wave.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(both.of(both.recordings[0]), wave, atol=1e-6)
    assert [one.is_stereo for one in mono.recordings] == [True, False]
    assert stereo(mono) == stereo(both) == 1


def test_of_many_recordings_whole_ones_are_held_out(tmp_path: Path) -> None:
    found = read_in(recordings(tmp_path / "sounds", files=20, seconds=0.2))
    parts = split(found, 0.1, seed=0)
    assert parts.whole_files
    assert len(parts.held_out) == 2
    assert {one.name for one in parts.held_out} & {one.name for one in parts.training} == set()
    assert sum(one.samples for one in [*parts.training, *parts.held_out]) == len(found.audio)
    assert split(found, 0.1, seed=0) == parts
    assert any(split(found, 0.1, seed=seed) != parts for seed in range(1, 4))


def test_of_few_recordings_the_ends_of_long_ones_are_held_out(tmp_path: Path) -> None:
    folder = recordings(tmp_path / "sounds", files=2, seconds=4.0)
    write(folder / "9.wav", sound(0.5))
    parts = split(read_in(folder), 0.1, seed=0)
    assert not parts.whole_files
    assert [(one.name, one.samples) for one in parts.held_out] == [("0.wav", 19200), ("1.wav", 19200)]
    assert [one.samples for one in parts.training] == [172800, 172800, 24000]
    for held, trained in zip(parts.held_out, parts.training, strict=False):
        assert held.start == trained.stop


def test_nothing_is_held_out_where_nothing_is_asked_for(tmp_path: Path) -> None:
    found = read_in(recordings(tmp_path / "sounds", files=20, seconds=0.2))
    assert split(found, 0.0, seed=0).held_out == []


@pytest.fixture
def steps(tmp_path: Path) -> Corpus:
    """Three recordings of one second, full of 0.1, 0.2 and 0.4."""
    for number, level in enumerate((0.1, 0.2, 0.4)):
        write(tmp_path / "sounds" / f"{number}.wav", np.full((1, 48000), level, np.float32), subtype="FLOAT")
    return read_in(tmp_path / "sounds")


@pytest.mark.parametrize("augmentation", [True, False])
def test_a_crop_is_its_number_whoever_asks(steps: Corpus, augmentation: bool) -> None:
    whole = [Stretch(one.name, one.start, one.start + one.samples) for one in steps.recordings]
    crops = Crops(steps, whole, 4096, 0, augmentation)
    batch = crops.batch(3, 4)
    assert batch.shape == (4, 1, 4096)
    assert batch.dtype == np.float32
    again = Crops(steps, whole, 4096, 0, augmentation)
    np.testing.assert_array_equal(again.crop(14), batch[2])
    assert any((Crops(steps, whole, 4096, 1, augmentation).crop(14) != batch[2]).ravel())


@pytest.mark.parametrize("augmentation", [True, False])
def test_what_is_held_out_gets_into_no_crop(tmp_path: Path, augmentation: bool) -> None:
    """Of the second recording the end, which is loud, and the whole third one, which is louder."""
    quiet, loud = np.full((1, 48000), 0.01, np.float32), np.full((1, 48000), 0.9, np.float32)
    write(tmp_path / "sounds" / "0.wav", quiet, subtype="FLOAT")
    write(tmp_path / "sounds" / "1.wav", np.concatenate([quiet, loud], axis=1), subtype="FLOAT")
    write(tmp_path / "sounds" / "2.wav", loud, subtype="FLOAT")
    found = read_in(tmp_path / "sounds")
    kept = [Stretch("0.wav", 0, 48000), Stretch("1.wav", 48000, 96000)]
    crops = Crops(found, kept, 24576, 0, augmentation)
    loudest = max(np.abs(crops.crop(number)).max() for number in range(200))
    assert 0.009 < loudest < 0.05  # two at once, made louder, with the ringing of a resampled edge


@pytest.mark.parametrize("augmentation", [True, False])
def test_a_crop_of_a_recording_much_shorter_than_it_holds_half_of_that(tmp_path: Path, augmentation: bool) -> None:
    write(tmp_path / "sounds" / "0.wav", np.full((1, 1200), 0.5, np.float32), subtype="FLOAT")
    write(tmp_path / "sounds" / "1.wav", sound(3.0))
    crops = Crops(read_in(tmp_path / "sounds"), [Stretch("0.wav", 0, 1200)], 24576, 0, augmentation)
    for number in range(300):
        crop = crops.crop(number)
        assert crop.shape == (1, 24576)
        assert np.count_nonzero(np.abs(crop) > 0.05) >= 300  # half of it, played an octave up


def test_without_augmentation_a_crop_is_a_piece_of_a_recording(tmp_path: Path) -> None:
    write(tmp_path / "sounds" / "a.wav", np.linspace(0.1, 0.9, 144000, dtype=np.float32)[None], subtype="FLOAT")
    found = read_in(tmp_path / "sounds")
    crops = Crops(found, [Stretch("a.wav", 0, 144000)], 2048, 0, augmentation=False)
    for number in range(50):
        crop = crops.crop(number)[0]
        inside = np.flatnonzero(crop)
        start = np.searchsorted(found.audio[:, 0], crop[inside[0]] - 1e-9)
        np.testing.assert_array_equal(crop[inside], found.audio[start : start + len(inside), 0])


def test_a_crop_at_another_speed_has_another_pitch(tmp_path: Path) -> None:
    write(tmp_path / "sounds" / "a.wav", sound(3.0, pitch=440), subtype="FLOAT")
    found = read_in(tmp_path / "sounds")
    crops = Crops(found, [Stretch("a.wav", 0, 144000)], 24000, 0, augmentation=True)
    peaks = []
    for number in range(60):
        peaks.append(np.argmax(np.abs(np.fft.rfft(crops.crop(number)[0] * np.hanning(24000)))[20:]) * 2 + 40)
    assert min(peaks) < 400
    assert max(peaks) > 480


def test_soundfile_reads_what_the_corpus_says_it_reads() -> None:
    kinds = soundfile.available_formats()
    assert {"WAV", "FLAC", "OGG", "MP3", "AIFF"} <= kinds.keys()
