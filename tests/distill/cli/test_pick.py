"""`distill pick`: what is chosen, why, and what is copied of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from program import Cli, Result
from recordings import sound, write

from distill.audio import statistics


def generated(folder: Path, name: str, wave: NDArray[np.float32], stats: dict[str, Any] | None = None,
              picture: bytes | None = None) -> Path:  # fmt: skip
    """A file as distill makes them, with its sidecar, and a picture if there is one."""
    path = write(folder / name, wave)
    drawn = path.with_suffix(".png")
    said = {"file": path.name, "picture": None if picture is None else drawn.name, "schema": 2, "stats": stats or {}}
    path.with_suffix(".json").write_text(json.dumps(said, indent=2) + "\n")
    if picture is not None:
        drawn.write_bytes(picture)
    return path


def noise(seed: int, seconds: float = 0.5) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(seed).standard_normal((1, round(48000 * seconds)))).astype(np.float32)


def kind(number: int, variant: int) -> NDArray[np.float32]:
    """A sound of one of five kinds; its variants differ in level, and a little in pitch."""
    rng = np.random.default_rng([number, variant])
    t = np.arange(24000) / 48000
    pitch = 2.0 ** (rng.uniform(-0.3, 0.3) / 12)
    waves = [
        np.sin(2 * np.pi * 80 * pitch * t),
        np.sin(2 * np.pi * 3000 * pitch * t),
        rng.standard_normal(len(t)),
        rng.standard_normal(len(t)) * (np.sin(2 * np.pi * 12 * pitch * t) > 0.8),
        sum(np.sin(2 * np.pi * 200 * pitch * h * t) for h in range(1, 30)),
    ]
    wave = waves[number]
    return (rng.uniform(0.05, 0.9) * wave / np.abs(wave).max())[None].astype(np.float32)


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    """Forty files of five kinds, most of them of the first."""
    for number in range(40):
        generated(tmp_path / "takes", f"take-{number:02}.wav", kind(max(0, number - 35), number))
    return tmp_path / "takes"


@pytest.fixture
def levels(tmp_path: Path) -> Path:
    """Files of four levels, named otherwise than by these; the picture of one."""
    for name, level in {"b": 0.5, "a": 0.05, "d": 0.2, "c": 0.9}.items():
        picture = b"a picture" if name == "c" else None
        generated(tmp_path / "levels", f"{name}.wav", sound(0.5, level=level), picture=picture)
    return tmp_path / "levels"


def reasons(result: Result) -> dict[str, str]:
    """Why each file was chosen, by its name, in order."""
    return {Path(path).name: why for path, why in (line.split("\t") for line in result.out.splitlines())}


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_five_of_a_folder_with_five_sounds_have_all_five(cli: Cli, takes: Path) -> None:
    result = cli("pick", takes, "--keep", 5)
    assert (result.code, result.err) == (0, "")
    others = {f"take-{number}.wav" for number in range(36, 40)}
    chosen = reasons(result)
    assert len(chosen) == 5
    assert others < chosen.keys()


def test_diversity_says_from_which_file_each_is_how_far(cli: Cli, takes: Path) -> None:
    result = cli("pick", takes, "--keep", 2, "--dry-run")
    first, second = reasons(result).values()
    assert first.startswith("nearest to the mean of all: ")
    assert second.startswith("farthest from those before: ")
    name = next(iter(reasons(result)))
    assert second.endswith(f" dB from {name}")


def test_a_duplicate_is_chosen_last_and_the_reason_says_so(cli: Cli, tmp_path: Path) -> None:
    for name, seed in {"a": 1, "b": 1, "d": 1}.items():
        generated(tmp_path / "takes", f"{name}.wav", noise(seed))
    generated(tmp_path / "takes", "c.wav", sound(0.5))
    chosen = reasons(cli("pick", "takes", "--keep", 4))
    assert list(chosen) == ["a.wav", "c.wav", "b.wav", "d.wav"]
    assert chosen["b.wav"] == chosen["d.wav"] == "all that is left sounds like one before: 0.0 dB from a.wav"


def test_loudness_is_that_of_the_audio_the_loudest_first(cli: Cli, levels: Path) -> None:
    result = cli("pick", levels, "--by", "loudness", "--keep", 3)
    assert (result.code, result.err) == (0, "")
    loudest = statistics.loudness(levels / "c.wav")
    assert loudest is not None
    change = 20 * np.log10(0.9 / 0.5)
    assert list(reasons(result).items())[:2] == [
        ("c.wav", f"loudest: {loudest:.1f} LUFS"),
        ("b.wav", f"next loudest: {loudest - change:.1f} LUFS"),
    ]


def test_a_copy_is_its_file_byte_for_byte_with_sidecar_and_picture(cli: Cli, levels: Path) -> None:
    result = cli("pick", levels, "--by", "loudness", "--keep", 2)
    copies = levels / "picked-by-loudness"
    assert result.out.splitlines()[0].startswith(f"{copies / 'c.wav'}\t")
    assert listing(copies) == ["b.json", "b.wav", "c.json", "c.png", "c.wav"]
    for name in listing(copies):
        assert (copies / name).read_bytes() == (levels / name).read_bytes()


def test_a_second_run_makes_nothing_twice(cli: Cli, levels: Path) -> None:
    first = cli("pick", levels, "--by", "loudness", "--keep", 2)
    before = listing(levels / "picked-by-loudness")
    assert cli("pick", levels, "--by", "loudness", "--keep", 2) == first
    assert listing(levels / "picked-by-loudness") == before


@pytest.mark.parametrize("taken", ["c.wav", "c.json", "c.png"])
def test_a_name_in_use_gets_a_number_once_and_the_sidecar_says_so(cli: Cli, levels: Path, taken: str) -> None:
    theirs = levels.parent / "kept" / taken
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    for _ in range(2):
        result = cli("pick", levels, "--by", "loudness", "--keep", 1, "-o", "kept")
        assert [line.split("\t")[0] for line in result.out.splitlines()] == ["kept/c-2.wav"]
    assert listing(theirs.parent) == sorted([taken, "c-2.json", "c-2.png", "c-2.wav"])
    assert theirs.read_text() == "theirs"
    said = json.loads(theirs.with_name("c-2.json").read_text())
    assert (said["file"], said["picture"]) == ("c-2.wav", "c-2.png")


def test_a_picture_that_is_not_the_files_own_is_not_copied(cli: Cli, levels: Path) -> None:
    (levels.parent / "secret.png").write_text("secret")
    said = json.loads((levels / "c.json").read_text()) | {"picture": "../secret.png"}
    (levels / "c.json").write_text(json.dumps(said))
    cli("pick", levels, "--by", "loudness", "--keep", 1, "-o", "kept")
    assert listing(levels.parent / "kept") == ["c.json", "c.wav"]
    assert json.loads((levels.parent / "kept" / "c.json").read_text())["picture"] is None


def test_a_dry_run_copies_nothing_and_names_the_files_where_they_lie(cli: Cli, levels: Path) -> None:
    before = listing(levels)
    result = cli("pick", levels, "--by", "loudness", "--keep", 1, "--dry-run")
    assert result.out.startswith(f"{levels / 'c.wav'}\tloudest: ")
    assert listing(levels) == before


def test_json_says_where_from_in_which_order_and_by_what_figure(cli: Cli, levels: Path) -> None:
    told = json.loads(cli("pick", "levels", "--by", "loudness", "--keep", 2, "--json").out)
    assert told[1] == {
        "file": "levels/picked-by-loudness/b.wav", "source": "levels/b.wav", "rank": 2,
        "reason": f"next loudest: {told[1]['loudness_lufs']:.1f} LUFS", "loudness_lufs": pytest.approx(-14, abs=8),
    }  # fmt: skip
    first, second = json.loads(cli("pick", "levels", "--keep", 2, "--json").out)
    assert first["nearest"] is None
    assert second["nearest"] == Path(first["source"]).name
    assert set(second) == {"file", "source", "rank", "reason", "distance_db", "nearest"}


def test_novelty_is_the_shortest_verbatim_run_that_the_sidecars_tell(cli: Cli, tmp_path: Path) -> None:
    for name, seconds in {"a": 1.5, "b": 0.06, "c": 0.5}.items():
        generated(tmp_path / "takes", f"{name}.wav", noise(0), {"longest_copy_seconds": seconds})
    result = cli("pick", "takes", "--by", "novelty", "--keep", 2)
    assert (result.code, result.err) == (0, "")
    assert list(reasons(result).items()) == [
        ("b.wav", "most unlike the recordings: longest verbatim run 0.06 s"),
        ("c.wav", "next most unlike the recordings: longest verbatim run 0.50 s"),
    ]


def test_where_names_decide_among_the_equally_novel_that_is_told(cli: Cli, tmp_path: Path) -> None:
    for name, seconds in {"a": 1.5, "b": 0, "c": 0.5, "d": 0.5, "e": 0.5}.items():
        generated(tmp_path / "takes", f"{name}.wav", noise(0), {"longest_copy_seconds": seconds})
    result = cli("pick", "takes", "--by", "novelty", "--keep", 3)
    assert list(reasons(result)) == ["b.wav", "c.wav", "d.wav"]
    assert result.errors == [
        "Warning: 3 files have a longest verbatim run of 0.50 s, of which the first 2 by name are kept. --against, "
        "with the folder of the recordings, tells them apart."
    ]


@pytest.mark.parametrize("stats", [{}, {"longest_copy_seconds": "0"}, {"longest_copy_seconds": float("nan")}])
def test_files_that_do_not_say_how_novel_they_are_are_named(cli: Cli, tmp_path: Path, stats: dict[str, Any]) -> None:
    generated(tmp_path / "takes", "a.wav", noise(0), {"longest_copy_seconds": 0.1})
    generated(tmp_path / "takes", "b.wav", noise(1), stats)
    result = cli("pick", "takes", "--by", "novelty", "--keep", 2)
    assert (result.code, result.out) == (1, "")
    assert result.errors == [
        "Error: A file does not say how much of it stands in what its model was trained on (longest_copy_seconds): "
        "takes/b.wav. Give the recordings with --against, or choose by diversity."
    ]
    assert not (tmp_path / "takes" / "picked-by-novelty").exists()


def test_against_recordings_the_farthest_from_the_nearest_of_them_comes_first(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "recordings" / "deep" / "noise.wav", noise(5))
    write(tmp_path / "recordings" / "tones.flac", sound(0.5))
    generated(tmp_path / "takes", "a.wav", noise(1))
    generated(tmp_path / "takes", "b.wav", kind(1, 0))
    generated(tmp_path / "takes", "c.wav", sound(0.5, pitch=230))
    result = cli("pick", "takes", "--by", "novelty", "--against", "recordings", "--json")
    told = json.loads(result.out)
    assert Path(told[0]["source"]).name == "b.wav"
    assert {Path(one["source"]).name: Path(one["nearest"]).name for one in told[1:]} == {
        "a.wav": "noise.wav", "c.wav": "tones.flac",
    }  # fmt: skip
    assert (
        told[0]["reason"]
        == f"most unlike the recordings: {told[0]['distance_db']:.1f} dB from " + Path(told[0]["nearest"]).name
    )


@pytest.mark.parametrize("by", [["diversity"], ["loudness"], ["novelty"], ["novelty", "--against", "recordings"]])
def test_a_silent_file_is_chosen_after_all_others(cli: Cli, tmp_path: Path, by: list[str]) -> None:
    write(tmp_path / "recordings" / "noise.wav", noise(5))
    generated(tmp_path / "takes", "a.wav", np.zeros((1, 4800), np.float32), {"longest_copy_seconds": 0.0})
    for name in "bc":
        generated(tmp_path / "takes", f"{name}.wav", noise(ord(name)), {"longest_copy_seconds": 1.0 + ord(name)})
    *_, (last, why) = reasons(cli("pick", "takes", "--keep", 3, "--by", *by)).items()
    assert (last, why) == ("a.wav", "silent, so after all that are not")


def test_asked_for_more_than_there_are_it_keeps_all_with_a_warning(cli: Cli, levels: Path) -> None:
    result = cli("pick", "levels", "--by", "loudness")
    assert result.code == 0
    assert list(reasons(result)) == ["c.wav", "b.wav", "d.wav", "a.wav"]
    assert result.errors == ["Warning: --keep 20: levels has no more than 4. All are kept."]


def test_a_file_that_cannot_be_read_is_passed_over_and_told(cli: Cli, levels: Path) -> None:
    (levels / "c.wav").write_text("no audio any more")
    result = cli("pick", "levels", "--by", "loudness", "--keep", 2)
    assert result.code == 1
    assert list(reasons(result)) == ["b.wav", "d.wav"]
    warning, error = result.errors
    assert warning.startswith("Warning: levels/c.wav cannot be read as audio: ")
    assert warning.endswith(" It is passed over.")
    assert error == "Error: 1 file could not be read. Copy or make such files again."
    assert listing(levels / "picked-by-loudness") == ["b.json", "b.wav", "d.json", "d.wav"]


def test_a_folder_without_generated_files_is_an_error(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = cli("pick", "empty")
    assert (result.code, result.out) == (1, "")
    assert result.errors == [
        "Error: empty has no files that distill made, with their sidecars. Make some with generate or batch."
    ]
    assert listing(tmp_path / "empty") == []


def test_recordings_that_are_none_are_an_error(cli: Cli, levels: Path) -> None:
    write(levels.parent / "recordings" / "silence.wav", np.zeros((1, 4800), np.float32))
    result = cli("pick", "levels", "--by", "novelty", "--against", "recordings", "--keep", 1)
    assert (result.code, result.out) == (1, "")
    assert result.errors == [
        "Error: recordings has no recording that can be read and is not silent. "
        "Give the folder that the model learnt from."
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--against", "."], "--against: that is for --by novelty, not for --by diversity. Leave it out."),
        (["-o", "-"], "--output-dir -: files are copied to a folder, not to stdout. Give a folder."),
        (["--keep", "0"], "Invalid value for '--keep': '0' is not a whole number from the range 1 or more."),
    ],
)
def test_what_cannot_be_asked_for_is_a_usage_error(cli: Cli, levels: Path, arguments: list[str], error: str) -> None:
    result = cli("pick", "levels", *arguments)
    assert (result.code, result.out, result.errors) == (2, "", [f"Error: {error}"])


def test_what_is_chosen_does_not_depend_on_the_folder_or_on_other_names(cli: Cli, takes: Path) -> None:
    there = list(reasons(cli("pick", takes, "--keep", 6, "--dry-run")).values())
    takes.rename(takes.with_name("elsewhere"))
    assert list(reasons(cli("pick", "elsewhere", "--keep", 6, "--dry-run")).values()) == there


def test_a_name_with_control_characters_does_not_reach_the_terminal(cli: Cli, levels: Path) -> None:
    generated(levels, "e\x1b[31m.wav", sound(0.5, level=0.95))
    result = cli("pick", "levels", "--by", "loudness", "--keep", 1)
    assert "\x1b" not in result.out
    assert "loudest: " in result.out


def test_files_that_were_generated_are_picked_as_they_are_and_still_replay(cli: Cli, vqvae_file: Path) -> None:
    made = cli("generate", vqvae_file, "-d", 0.3, "-n", 4, "-s", 1, "-o", "takes")
    assert made.code == 0
    result = cli("pick", "takes", "--keep", 2, "-o", "kept")
    assert (result.code, result.err) == (0, "")
    copies = [Path(line.split("\t")[0]) for line in result.out.splitlines()]
    for copy in copies:
        for suffix in (".wav", ".json"):
            original = Path("takes", copy.name).with_suffix(suffix)
            assert copy.with_suffix(suffix).read_bytes() == original.read_bytes()
    assert cli("replay", copies[0], "--check").code == 0
