"""`distill doctor`: what it finds, what it says would help, and that one check hides no other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile
from program import Cli

from distill import catalogue, doctor
from distill.plugins import Plugins


def found(cli: Cli, *arguments: object, plugins: Plugins | None = None) -> tuple[int, list[dict[str, Any]]]:
    done = cli(*arguments, "doctor", "--json", plugins=plugins)
    assert done.err == ""
    return done.code, json.loads(done.out)


def what_is(verdict: str, findings: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["what"], one["said"], one["helps"]) for one in findings if one["verdict"] == verdict]


def test_a_sound_machine_has_nothing_to_fix(cli: Cli, tmp_path: Path) -> None:
    code, findings = found(cli, "--library", tmp_path)
    assert (code, what_is("fix", findings)) == (0, [])
    assert {one["what"] for one in findings} >= {"python", "torch", "audio", "plugins", "library", "folders", "extras"}
    said = cli("--library", tmp_path, "doctor").out
    assert len(said.splitlines()) == len(findings)
    assert f"ok    library: {tmp_path}.\n" in said
    assert f"libsndfile {soundfile.__libsndfile_version__} writes wav, flac, ogg, opus, mp3." in said


def test_a_format_that_cannot_be_written_is_told_with_what_helps(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundfile, "check_format", lambda container, subtype: subtype not in ("OPUS", "FLOAT"))
    code, findings = found(cli)
    assert code == 1
    [(what, said, helps)] = what_is("fix", findings)
    assert (what, said) == ("audio", f"libsndfile {soundfile.__libsndfile_version__} cannot write wav, opus.")
    assert "pip install --force-reinstall soundfile" in helps


def test_a_plugin_that_breaks_is_told_and_hides_no_other(cli: Cli) -> None:
    plugins = Plugins()
    plugins.register(type("Newer", (), {"PLUGIN_API": 99}), "newer")
    code, findings = found(cli, plugins=plugins)
    assert code == 1
    fixes = what_is("fix", findings)
    assert ("plugins", "No plugin claims any kind of model.", "Install distill anew.") in fixes
    assert any("newer" in said and "plugin API 99" in said for _, said, _ in fixes)
    assert what_is("ok", findings)[-1][0] == "extras"


def test_library_folders_are_looked_into(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "torn.distill").write_bytes(b"PK\x03\x04")
    (tmp_path / "mine.toml").write_text('[library]\npaths = ["file", "missing", "models"]\n')
    monkeypatch.setenv("DISTILL_CONFIG", str(tmp_path / "mine.toml"))
    code, findings = found(cli)
    assert code == 1
    assert [said for what, said, _ in what_is("fix", findings) if what == "library"] == [
        f"{tmp_path / 'file'} cannot be read."
    ]
    notes = [said for what, said, _ in what_is("note", findings) if what == "library"]
    assert notes[0] == f"{tmp_path / 'missing'} is not there yet."
    assert "torn" in notes[1]
    assert ("library", "1 models, 1 that cannot be read.", "") in what_is("ok", findings)


def test_a_configuration_that_is_none_is_told_and_the_rest_is_looked_at(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text("[library]\npaths = 3\n")
    monkeypatch.setenv("DISTILL_CONFIG", str(tmp_path / "mine.toml"))
    done = cli("doctor", "--json")
    assert done.code == 1
    fixes = what_is("fix", json.loads(done.out))
    assert [what for what, _, _ in fixes] == ["library"]
    assert "mine.toml" in fixes[0][1]


def test_little_room_and_little_memory_are_noted(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LITTLE_ROOM", 2**60)
    monkeypatch.setattr(doctor, "LITTLE_MEMORY", 2**60)
    code, findings = found(cli)
    assert code == 0
    assert {"memory", "folders"} <= {what for what, _, _ in what_is("note", findings)}


def test_a_folder_that_cannot_be_written_is_told(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "path", lambda: tmp_path / "cache" / "library.json")
    monkeypatch.setattr(doctor.os, "access", lambda folder, _mode: tmp_path not in (folder, *folder.parents))
    code, findings = found(cli)
    assert code == 1
    assert [said for what, said, _ in what_is("fix", findings) if what == "folders"] == [
        f"The folder for cache, {tmp_path / 'cache'}, cannot be written."
    ]


def test_extras_that_are_missing_are_noted_with_their_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda package: None)
    code, findings = found(cli)
    assert code == 0
    helps = [helps for what, _, helps in what_is("note", findings) if what == "extras"]
    assert helps == [f"pip install 'distill[{extra}]'." for extra, _ in doctor.EXTRAS.values()]


def test_a_broken_package_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    code, findings = found(cli)
    assert code == 1
    assert [(what, helps) for what, _, helps in what_is("fix", findings)] == [
        ("audio", "Make a new environment and install distill anew.")
    ]
