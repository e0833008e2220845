"""From what the user calls a model to the file it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from distill.errors import DistillError
from distill.library import resolve


def test_a_path_is_the_file_it_names(tmp_path: Path) -> None:
    (tmp_path / "a model.distill").touch()
    assert resolve(str(tmp_path / "a model.distill")) == tmp_path / "a model.distill"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m.distill").touch()
    assert resolve("~/m.distill") == tmp_path / "m.distill"


def test_a_misspelt_name_is_answered_with_near_ones(tmp_path: Path) -> None:
    (tmp_path / "rain.distill").touch()
    with pytest.raises(DistillError, match=r"rian\.distill does not exist\. Near it: rain\.distill\.$"):
        resolve(tmp_path / "rian.distill")


def test_a_bundled_name_is_the_file_that_came_along_but_a_file_of_that_name_goes_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bundled = {"starter": tmp_path / "elsewhere" / "starter.distill"}
    assert resolve("starter", bundled) == bundled["starter"]
    with pytest.raises(DistillError, match=r"Near it: starter\.$"):
        resolve("startr", bundled)
    (tmp_path / "starter").touch()
    assert resolve("starter", bundled) == Path("starter")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere/at/all", "does not exist. Give the path"),
        ("", "is a folder"),
        ("m\x00.distill", "does not exist"),
        ("x" * 5000, r"cannot be looked up: File name too long\.$"),
    ],
)
def test_what_is_no_file_is_said_in_one_line(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DistillError, match=message) as caught:
        resolve(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DistillError, match="/dev/null is neither a file nor a folder"):
        resolve("/dev/null")
