"""A file appears whole, under a name that was free, or not at all."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distill import outputs


def publish(directory: Path, content: str = "audio", describe: Callable[[Path], dict[str, Any]] | None = None) -> Path:
    """Publish `content` as "name.wav", with the file's own name in the sidecar."""
    with outputs.temporary(directory) as draft:
        draft.write_text(content)
        return outputs.publish(draft, "name", ".wav", describe or (lambda path: {"file": path.name}))


def listing(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir())


@pytest.fixture(params=["hard links", "no hard links"])
def directory(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, on a file system with hard links and on one without, such as exFAT."""
    if request.param == "no hard links":

        def link(_source: Path, _target: Path) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
    return tmp_path


def test_a_file_and_its_sidecar_appear_and_nothing_else(directory: Path) -> None:
    assert publish(directory) == directory / "name.wav"
    assert listing(directory) == ["name.json", "name.wav"]
    assert (directory / "name.wav").read_text() == "audio"
    assert json.loads((directory / "name.json").read_text()) == {"file": "name.wav"}


def test_a_name_in_use_gets_a_number_and_nothing_is_overwritten(directory: Path) -> None:
    paths = [publish(directory, content) for content in ("one", "two", "three")]
    assert [p.name for p in paths] == ["name.wav", "name-2.wav", "name-3.wav"]
    assert [p.read_text() for p in paths] == ["one", "two", "three"]
    assert [json.loads(p.with_suffix(".json").read_text())["file"] for p in paths] == [p.name for p in paths]


@pytest.mark.parametrize("name", ["name.wav", "name.json"])
def test_somebody_elses_file_is_left_as_it_is(directory: Path, name: str) -> None:
    (directory / name).write_text("theirs")
    assert publish(directory).name == "name-2.wav"
    assert (directory / name).read_text() == "theirs"
    assert listing(directory) == sorted([name, "name-2.json", "name-2.wav"])


def test_a_sidecar_name_taken_at_the_last_moment_moves_both(directory: Path) -> None:
    def describe(path: Path) -> dict[str, Any]:
        if path.name == "name.wav":
            (directory / "name.json").write_text("theirs")
        return {"file": path.name}

    assert publish(directory, describe=describe).name == "name-2.wav"
    assert (directory / "name.json").read_text() == "theirs"
    assert listing(directory) == ["name-2.json", "name-2.wav", "name.json"]


def test_a_failure_in_the_sidecar_takes_the_audio_back(directory: Path) -> None:
    def describe(_path: Path) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(directory, describe=describe)
    assert listing(directory) == []


def test_many_at_once_each_get_a_name(directory: Path) -> None:
    together = threading.Barrier(8)
    published: list[Path] = []

    def work(number: int) -> None:
        together.wait()
        published.append(publish(directory, str(number)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(p.read_text() for p in published) == [str(n) for n in range(8)]
    assert len(listing(directory)) == 16


def test_files_have_the_permissions_that_the_user_set_for_new_files(directory: Path) -> None:
    before = os.umask(0o027)
    try:
        path = publish(directory)
    finally:
        os.umask(before)
    assert [oct(p.stat().st_mode & 0o777) for p in (path, path.with_suffix(".json"))] == ["0o640", "0o640"]


def test_a_temporary_file_is_hidden_and_gone_after_a_failure(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with outputs.temporary(tmp_path) as path:
            path.write_text("half")
            assert path.name.startswith(".")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert listing(tmp_path) == []


def test_drafts_without_a_name_are_removed_in_the_end(tmp_path: Path) -> None:
    with outputs.Drafts(tmp_path) as drafts:
        named, nameless, unwritten = drafts.new(), drafts.new(), drafts.new()
        named.write_bytes(b"named")
        nameless.write_bytes(b"nameless")
        assert not unwritten.exists()
        assert drafts.publish(named, "a", ".wav", lambda path: {}, {}, False) == tmp_path / "a.wav"
        assert not named.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"named"
