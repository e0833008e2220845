"""The page holds every file: its picture, its sound, what tells it apart; and nothing that could run or call home."""

from __future__ import annotations

import base64
import io
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from variations import sidecar, sweep, variation

from distill.errors import RequestError
from distill.record import read_folder
from distill.report import page, sounds


def written(folder: Path, *, link: bool = False, at: Path | None = None) -> str:
    """The page of the files in a folder."""
    path = at or folder / "index.html"
    page.write(path, folder, read_folder(folder), link, 2, lambda: None)
    return path.read_text()


def data_of(text: str) -> Any:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def sound_of(text: str, index: int) -> tuple[Any, int]:
    """The samples `[samples, channels]` of a preview, and their rate."""
    found = re.search(rf'<script type="text/plain" id="sound-{index}">([^<]*)</script>', text)
    assert found
    return soundfile.read(io.BytesIO(base64.b64decode(found[1], validate=True)), always_2d=True)  # type: ignore[no-any-return]


def test_a_page_says_what_differs_and_what_does_not(tmp_path: Path) -> None:
    data = data_of(written(sweep(tmp_path)))
    assert [one["name"] for one in data["columns"]] == ["seed", "temperature", "top-k", "mean entropy"]
    assert {one["name"]: one["value"] for one in data["common"]}["model"] == "rain"
    assert [one["name"] for one in data["files"]] == sorted(p.name for p in tmp_path.glob("*.wav"))
    assert data["files"][0]["values"] == [1, 0.6, 0, 9.9]
    assert data["files"][0]["seconds"] == 1.5


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_sound_of_every_format_is_heard_as_it_is(tmp_path: Path, suffix: str, channels: int) -> None:
    variation(tmp_path, f"a.{suffix}", channels=channels)
    wave, rate = sound_of(written(tmp_path), 0)
    assert (rate, wave.shape[1]) == (48000, channels)
    assert len(wave) == pytest.approx(1.5 * 48000, abs=1200)
    spectrum = np.abs(np.fft.rfft(wave[:, 0]))
    assert spectrum.argmax() * rate / len(wave) == pytest.approx(440, abs=2)
    assert [np.abs(side[6000:-6000]).max() for side in wave.T] == pytest.approx([0.5, 0.25][:channels], abs=0.06)


@pytest.mark.parametrize(("rate", "heard"), [(8000, 8000), (44100, 44100), (13000, 16000), (96000, 48000)])
def test_a_rate_that_a_preview_cannot_have_is_changed_and_the_pitch_is_not(
    tmp_path: Path, rate: int, heard: int
) -> None:
    variation(tmp_path, "a.wav", rate=rate)
    wave, found = sound_of(written(tmp_path), 0)
    assert found == heard
    assert np.abs(np.fft.rfft(wave[:, 0])).argmax() * found / len(wave) == pytest.approx(440, abs=2)


def test_a_preview_is_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 480_000)
    soundfile.write(tmp_path / "a.wav", noise, 48000)
    (tmp_path / "a.json").write_text(json.dumps(sidecar("a.wav", {})))
    records = read_folder(tmp_path)
    page.write(tmp_path / "p.html", tmp_path, records, False, 1, lambda: None)
    sound = re.search(r'id="sound-0">([^<]*)<', (tmp_path / "p.html").read_text())
    assert sound
    assert 60_000 < len(sound[1]) * 3 / 4 < sounds.PREVIEW_BYTES * 10


def test_a_picture_has_the_wave_and_the_pitch_where_they_are(tmp_path: Path) -> None:
    variation(tmp_path, "a.wav", pitch=1000.0)
    picture = np.frombuffer(base64.b64decode(data_of(written(tmp_path))["files"][0]["picture"]), np.uint8)
    waves, levels = (
        picture[: 2 * sounds.COLUMNS].reshape(2, -1),
        picture[2 * sounds.COLUMNS :].reshape(sounds.BANDS, -1),
    )
    assert (waves[:, 20:-20] == [[64], [191]]).all()
    band = np.searchsorted(np.geomspace(20, 24000, sounds.BANDS + 1), 1000) - 1
    assert (levels[:, 20:-20].argmax(axis=0) == band).all()
    assert levels[band, 100] > 250


def test_files_are_found_from_where_the_page_is(tmp_path: Path) -> None:
    folder = tmp_path / "takes & more"
    folder.mkdir()
    made = variation(folder, "100% rain #1?.wav")
    for at in (folder / "index.html", tmp_path / "page.html", folder / "a" / "b.html"):
        at.parent.mkdir(exist_ok=True)
        address = data_of(written(folder, at=at))["files"][0]["href"]
        assert not re.search(r"[ #?&]|%(?![0-9A-F]{2})", address)
        assert (at.parent / unquote(address)).resolve() == made


def test_a_page_that_links_carries_no_sound(tmp_path: Path) -> None:
    text = written(sweep(tmp_path), link=True)
    assert 'id="sound-' not in text
    assert data_of(text)["linked"] is True


@pytest.mark.parametrize("link", [False, True])
def test_a_page_may_run_its_own_script_and_reach_nothing(tmp_path: Path, link: bool) -> None:
    text = written(sweep(tmp_path), link=link)
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    said = dict(part.strip().split(" ", 1) for part in policy[1].replace("&#39;", "'").split(";"))
    assert said["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", said["script-src"])
    assert said["media-src"] == ("'self' file:" if link else "blob:")
    assert not re.search(r"https?://|<link|@import|url\(", text)


def test_text_of_sidecars_cannot_leave_its_place(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--<b>\x1b[31m&amp;"
    variation(tmp_path, "a.wav", options={"style": evil, evil: 1}, model={"name": evil}, asked_tags={evil: evil})
    text = written(tmp_path)
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert "\x1b" not in text
    assert text.count("<script") == 3
    shown = "</script><script>alert(1)</script><!--<b> [31m&amp;"
    assert {one["name"]: one["value"] for one in data_of(text)["common"]}["style"] == shown


def test_a_folders_name_is_text(tmp_path: Path) -> None:
    folder = tmp_path / "<b>&"
    folder.mkdir()
    variation(folder, "a.wav")
    assert "<h1>&lt;b&gt;&amp;</h1>" in written(folder)


def test_too_much_sound_is_refused_with_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_EMBEDDED", 2**17)
    variation(tmp_path, "a.wav", seconds=13.0)
    page.check_size(read_folder(tmp_path))
    variation(tmp_path, "b.wav", seconds=0.5)
    with pytest.raises(RequestError, match="Say --link, and it plays the files where they lie"):
        page.check_size(read_folder(tmp_path))


def test_memory_does_not_grow_with_the_length_of_the_files(tmp_path: Path) -> None:
    peaks = []
    for minutes in (1, 3):
        folder = tmp_path / str(minutes)
        folder.mkdir()
        variation(folder, "a.wav", seconds=60.0 * minutes, rate=16000)
        tracemalloc.start()
        page.write(folder / "index.html", folder, read_folder(folder), False, 1, lambda: None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1e6  # bytes; two minutes of samples are 7.7 MB
