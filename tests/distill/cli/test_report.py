"""`distill report`: what it prints, what it replaces, and what it says of files that cannot be heard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from program import Cli
from variations import sweep, variation


def test_files_that_the_program_made_get_a_page(cli: Cli, vqvae_file: Path) -> None:
    made = cli("generate", vqvae_file, "-d", 0.3, "-n", 3, "-s", 1, "-o", "takes", "--quiet").files
    result = cli("report", "takes")
    assert (result.code, result.files) == (0, [Path("takes/index.html")])
    assert result.errors[0].startswith("3 files, ")
    text = Path("takes/index.html").read_text()
    assert all(path.name in text for path in made)


def test_json_says_what_came_of_it(cli: Cli, tmp_path: Path) -> None:
    sweep(tmp_path / "takes")
    result = cli("report", "takes", "-o", "pages/all.html", "--link", "--json")
    size = Path("pages/all.html").stat().st_size
    assert (result.code, json.loads(result.out)) == (
        0, {"file": "pages/all.html", "files": 12, "bytes": size, "problems": {}}
    )  # fmt: skip
    assert cli("report", "takes", "--quiet").err == ""


def test_a_report_is_replaced_and_another_page_is_not(cli: Cli, tmp_path: Path) -> None:
    variation(tmp_path, "a.wav")
    assert cli("report", ".").code == 0
    variation(tmp_path, "b.wav")
    assert cli("report", ".").code == 0
    assert "b.wav" in Path("index.html").read_text()
    Path("index.html").write_text("<title>my own</title>")
    refused = cli("report", ".")
    assert (refused.code, refused.out) == (2, "")
    assert refused.errors == [
        "Error: index.html is there, and no report. Choose another with --output, or say --overwrite."
    ]
    assert Path("index.html").read_text() == "<title>my own</title>"
    assert cli("report", ".", "--overwrite").code == 0
    assert [p.name for p in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("output", ["-", "folder"])
def test_what_cannot_be_a_page_is_refused(cli: Cli, tmp_path: Path, output: str) -> None:
    variation(tmp_path, "a.wav")
    (tmp_path / "folder").mkdir()
    result = cli("report", ".", "-o", output)
    assert (result.code, result.errors) == (
        2, [f"Error: --output: {output} is no file that a page can be. Give the path of one, page.html."]
    )  # fmt: skip


def test_a_folder_without_files_of_ours_is_told(cli: Cli, tmp_path: Path) -> None:
    assert cli("report", "nowhere").errors == [
        "Error: nowhere is no folder. Give one that has files that distill made."
    ]
    (tmp_path / "notes.json").write_text("{}")
    assert cli("report", ".").code == 1
    assert not Path("index.html").exists()


def damage(path: Path, kind: str) -> None:
    """Make the file at `path` one that cannot be heard."""
    contents = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"no sound", "cut": contents[: len(contents) // 2]}[kind])


@pytest.mark.parametrize(("kind", "suffix"), [("empty", "wav"), ("text", "wav"), ("text", "mp3"), ("cut", "flac")])
@pytest.mark.parametrize("link", [[], ["--link"]])
def test_a_damaged_file_is_told_and_the_others_are_shown(
    cli: Cli, tmp_path: Path, kind: str, suffix: str, link: list[str]
) -> None:
    variation(tmp_path, "good.wav")
    damage(variation(tmp_path, f"bad.{suffix}"), kind)
    result = cli("report", ".", "--quiet", *link)
    assert (result.code, result.files) == (1, [Path("index.html")])
    [told] = result.errors
    assert told.startswith(f"Warning: bad.{suffix} ")
    assert told.endswith("The page says so.")
    assert "good.wav" in Path("index.html").read_text()
    assert list(json.loads(cli("report", ".", "--json", *link).out)["problems"]) == [f"bad.{suffix}"]
