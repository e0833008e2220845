"""Presets: kept under a name, found again in any case, never lost, whoever else writes."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkpoints import save, vae_contents
from program import Cli, Result
from sidecars import sound_of

from distill import CheckpointHeader
from distill_vae.presets import Presets, folder

SHORT = ("-d", 0.2)
MODEL_ID = vae_contents()["metadata"]["model_id"]


@pytest.fixture
def index(presets_folder: Path) -> Path:
    """The file that holds the presets of the model of these tests."""
    return presets_folder / MODEL_ID / "presets.json"


def entry(name: str, positions: Any = None, **more: Any) -> dict[str, Any]:
    """An entry as the reference program writes it."""
    positions = [5, 0, -3] if positions is None else positions
    return {
        "preset_id": f"id-{name}", "name": name, "folder": "", "slider_positions": positions, "n_components": 3,
        "seed": None, "created": "2026-01-02T03:04:05", "modified": "2026-01-02T03:04:05", "description": "",
    } | more  # fmt: skip


NIGHT: dict[str, Any] = {"folder": "Night", "seed": 5, "description": "low\x1b[31m hum"}


def written(index: Path, contents: Any) -> Path:
    index.parent.mkdir(parents=True, exist_ok=True)
    index.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    return index


def entries(index: Path) -> Any:
    return json.loads(index.read_text())["presets"]


def said(result: Result, code: int, line: str) -> None:
    assert (result.code, result.out, result.errors) == (code, "", [line])


def test_a_preset_is_saved_and_generates_as_its_sliders_do(cli: Cli, vae_file: Path) -> None:
    result = cli("presets", "save", vae_file, "Deep Fog", "--slider", "brightness:5", "--slider", "2:-3")
    said(result, 0, f"Saved: distill generate {vae_file} --preset='Deep Fog'")
    by_name = cli("generate", vae_file, *SHORT, "-s", 1, "--preset", "deep FOG", "-o", "a").files[0]
    by_hand = cli("generate", vae_file, *SHORT, "-s", 1, "--slider", "0:5", "--slider", "2:-3", "-o", "b").files[0]
    assert sound_of(by_name) == sound_of(by_hand)
    options = json.loads(by_name.with_suffix(".json").read_text())["options"]
    assert (options["preset"], options["slider"]) == ("Deep Fog", [[0, 5], [1, 0], [2, -3]])


def test_a_slider_overrides_one_position_of_a_preset(cli: Cli, vae_file: Path) -> None:
    cli("presets", "save", vae_file, "deep", "--slider", "0:5", "--slider", "2:-3")
    changed = cli("generate", vae_file, *SHORT, "-s", 1, "--preset", "deep", "--slider", "axis 3:1", "-o", "a").files[0]
    by_hand = cli("generate", vae_file, *SHORT, "-s", 1, "--slider", "0:5", "--slider", "2:1", "-o", "b").files[0]
    assert sound_of(changed) == sound_of(by_hand)


def test_a_preset_with_a_seed_is_a_file_unless_another_seed_is_given(cli: Cli, vae_file: Path) -> None:
    cli("presets", "save", vae_file, "deep", "--slider", "0:5", "--seed", 77)
    files = cli("generate", vae_file, *SHORT, "-n", 2, "--preset", "deep").files
    files += cli("generate", vae_file, *SHORT, "--preset", "deep", "-s", 1).files
    assert [file.name for file in files] == ["fog-77.wav", "fog-78.wav", "fog-1.wav"]


def test_a_preset_of_all_zeros_is_a_position(cli: Cli, vae_file: Path) -> None:
    cli("presets", "save", vae_file, "mean", "--slider", "0:0")
    mean = cli("generate", vae_file, *SHORT, "-s", 1, "--preset", "mean", "-o", "a").files[0]
    free = cli("generate", vae_file, *SHORT, "-s", 1, "-o", "b").files[0]
    assert sound_of(mean) != sound_of(free)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("depe", "Error: fog has no preset 'depe'. Near it: Deep."),
        ("zzz", "Error: fog has no preset 'zzz'. It has: Deep, high."),
    ],
)
def test_an_unknown_name_lists_the_near_ones(cli: Cli, vae_file: Path, index: Path, name: str, line: str) -> None:
    written(index, {"presets": [entry("Deep"), entry("high")]})
    said(cli("generate", vae_file, *SHORT, "--preset", name), 2, line)
    said(cli("presets", "show", vae_file, name), 2, line)
    said(cli("presets", "delete", vae_file, name), 2, line)
    said(cli("presets", "rename", vae_file, name, "new"), 2, line)


def test_a_model_without_presets_says_how_to_make_one(cli: Cli, vae_file: Path, index: Path) -> None:
    line = "Error: fog has no preset 'deep'; it has none. Save one with 'distill presets save'."
    said(cli("generate", vae_file, "--preset", "deep"), 2, line)
    said(cli("presets", "list", vae_file), 0, f"fog has no presets in {index}.")
    assert json.loads(cli("presets", "list", vae_file, "--json").out) == []
    assert not index.parent.exists()


def test_a_preset_and_random_sliders_are_one_too_many(cli: Cli, vae_file: Path) -> None:
    cli("presets", "save", vae_file, "deep", "--slider", "0:5")
    line = "Error: --randomize-sliders: --preset sets every slider. Leave one of the two out."
    said(cli("generate", vae_file, "--preset", "deep", "--randomize-sliders"), 2, line)


@pytest.mark.parametrize(
    "contents",
    [
        {"version": 1, "presets": [entry("Deep", **NIGHT), entry("high")]},
        {"presets": {"a": entry("Deep", **NIGHT), "b": entry("high")}},
        [entry("high"), entry("Deep", **NIGHT, favourite=True)],
        {"a": entry("Deep", {"0": 5, "2": -3}, **NIGHT),
         "b": entry("high", [5.0, 0.0, -3.0])},
    ],
    ids=["row", "by id", "bare row", "bare, by id, positions by index"],
)  # fmt: skip
def test_the_reference_programs_files_are_read(cli: Cli, vae_file: Path, index: Path, contents: Any) -> None:
    written(index, contents)
    listed = json.loads(cli("presets", "list", vae_file, "--json").out)
    assert listed == [
        {
            "name": "Deep", "group": "Night", "slider_positions": [5, 0, -3], "seed": 5,
            "description": "low [31m hum", "created": "2026-01-02T03:04:05", "modified": "2026-01-02T03:04:05",
        },
        {
            "name": "high", "group": "", "slider_positions": [5, 0, -3], "seed": None, "description": "",
            "created": "2026-01-02T03:04:05", "modified": "2026-01-02T03:04:05",
        },
    ]  # fmt: skip
    assert cli("generate", vae_file, *SHORT, "--preset", "deep").files == [Path("fog-5.wav")]
    assert cli("generate", vae_file, *SHORT, "--preset", "night/deep").files == [Path("fog-5-2.wav")]


def test_what_else_a_file_holds_stays_as_it_is(cli: Cli, vae_file: Path, index: Path) -> None:
    strange = {"name": "strange", "slider_positions": "?", "keep": [1]}
    written(index, {"folders": ["Night"], "presets": [entry("Deep", favourite=True), strange], "more": {"a": 1}})
    assert cli("presets", "save", vae_file, "new", "--slider", "0:1").code == 0
    assert cli("presets", "rename", vae_file, "deep", "deeper").code == 0
    kept = json.loads(index.read_text())
    assert (kept["folders"], kept["more"], kept["presets"][1]) == (["Night"], {"a": 1}, strange)
    assert kept["presets"][0] == entry("deeper", preset_id="id-Deep", favourite=True) | {
        "modified": kept["presets"][0]["modified"]
    }
    assert [one["name"] for one in kept["presets"]] == ["deeper", "strange", "new"]
    assert set(kept["presets"][2]) == set(entry("any"))


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ({"slider_positions": [11]}, "its slider_positions are not from -10 to 10"),
        ({"slider_positions": [0.5]}, "its slider_positions are not whole numbers by index"),
        ({"slider_positions": [True, None]}, "its slider_positions are not whole numbers by index"),
        ({"slider_positions": []}, "its slider_positions are not whole numbers by index"),
        ({"slider_positions": {"-1": 3}}, "its slider_positions are not whole numbers by index"),
        ({"slider_positions": {"99999999": 3}}, "its slider_positions are not whole numbers by index"),
        ({"seed": -1}, "its seed is no whole number from 0 on"),
        ({"seed": "7"}, "its seed is no whole number from 0 on"),
        ({"name": "\x1b"}, "it has no name"),
    ],
)
def test_an_entry_that_cannot_be_read_is_one_warning(
    cli: Cli, vae_file: Path, index: Path, bad: dict[str, Any], what: str
) -> None:
    written(index, [entry("good"), entry("bad") | bad])
    result = cli("presets", "list", vae_file, "--json")
    assert [one["name"] for one in json.loads(result.out)] == ["good"]
    shown = "" if bad.get("name") else "bad"
    assert result.errors == [f"Warning: {index}: preset {shown} is left out: {what}.".replace("  ", " ")]
    assert cli("generate", vae_file, *SHORT, "--preset", "good").code == 0


@pytest.mark.parametrize("damage", ["", "{", "[1]", '"text"', '{"version": 1}', '{"presets": 3}', "[" * 10**5, "\xff"])
def test_a_damaged_file_is_named_left_and_kept_aside_by_the_next_save(
    cli: Cli, vae_file: Path, index: Path, damage: str
) -> None:
    written(index, "").write_bytes(damage.encode("latin-1"))
    line = (
        f"Error: {index} is damaged: it holds no list of presets. Mend it or put it elsewhere; "
        "saving a preset keeps it aside."
    )
    for arguments in (["list"], ["show", "deep"], ["rename", "deep", "new"], ["delete", "deep"]):
        said(cli("presets", arguments[0], vae_file, *arguments[1:]), 1, line)
    said(cli("generate", vae_file, "--preset", "deep"), 1, line)
    assert index.read_bytes() == damage.encode("latin-1")
    (index.parent / "presets.damaged-1.json").write_text("of before")
    result = cli("presets", "save", vae_file, "deep", "--slider", "0:5")
    assert result.code == 0
    assert result.errors[0] == f"Warning: {index} is damaged. It is kept as presets.damaged-2.json."
    assert (index.parent / "presets.damaged-1.json").read_text() == "of before"
    assert (index.parent / "presets.damaged-2.json").read_bytes() == damage.encode("latin-1")
    assert [one["name"] for one in entries(index)] == ["deep"]


def test_a_name_in_use_is_kept_unless_it_is_to_be_replaced(cli: Cli, vae_file: Path, index: Path) -> None:
    written(index, {"presets": [entry("Deep"), entry("high")]})
    line = "Error: fog has a preset 'deep' already. Give another name, or --replace."
    said(cli("presets", "save", vae_file, "deep", "--slider", "1:1"), 2, line)
    said(
        cli("presets", "rename", vae_file, "high", "DEEP"),
        2,
        line[: line.index("deep")] + "DEEP' already. Give another name.",
    )
    assert entries(index) == [entry("Deep"), entry("high")]
    assert cli("presets", "save", vae_file, "deep", "--slider", "1:1", "--replace").code == 0
    [replaced, _] = entries(index)
    assert (replaced["preset_id"], replaced["created"]) == ("id-Deep", "2026-01-02T03:04:05")
    assert (replaced["name"], replaced["slider_positions"]) == ("Deep", [0, 1, 0])
    assert replaced["modified"] > replaced["created"]
    assert cli("presets", "rename", vae_file, "deep", "DEEP").code == 0


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 401, " a", "a\x1b[31m", "a/b"])
def test_a_name_that_cannot_be_shown_is_refused(cli: Cli, vae_file: Path, index: Path, name: str) -> None:
    result = cli("presets", "save", vae_file, name, "--slider", "0:1")
    assert (result.code, len(result.errors)) == (2, 1)
    assert "cannot name a preset: 1 to 400 printable characters" in result.err
    assert not index.exists()


def test_a_deleted_preset_is_told_so_that_it_can_be_had_back(cli: Cli, vae_file: Path, index: Path) -> None:
    written(index, {"presets": [entry("Deep Fog", seed=4, description="it's low", folder="Night"), entry("high")]})
    result = cli("presets", "delete", vae_file, "deep fog")
    line = "Deleted Deep Fog. To have it back: distill "
    assert (result.code, result.err[: len(line)]) == (0, line)
    assert [one["name"] for one in entries(index)] == ["high"]
    assert cli(*shlex.split(result.err[len(line) :])).code == 0
    [_, back] = entries(index)
    whole = entry("Deep Fog", seed=4, description="it's low", folder="Night")
    for key in ("preset_id", "created", "modified"):
        back.pop(key)
        whole.pop(key)
    assert back == whole


def test_a_preset_is_shown(cli: Cli, vae_file: Path, index: Path) -> None:
    written(index, [entry("Deep", [5, 0, -3, 2], folder="Night", seed=4)])
    assert cli("presets", "show", vae_file, "deep").out.splitlines() == [
        "Deep",
        "  group        Night",
        "  seed         4",
        "  created      2026-01-02T03:04:05",
        "  modified     2026-01-02T03:04:05",
        "  slider 0       5  Axis 1 (brightness)",
        "  slider 2      -3  Axis 3 (noise-like)",
        "  slider 3       2  (this model has no such slider)",
    ]
    assert json.loads(cli("presets", "show", vae_file, "deep", "--json").out)["slider_positions"] == [5, 0, -3, 2]


def test_presets_are_listed(cli: Cli, vae_file: Path, index: Path) -> None:
    written(index, [entry("high", [0]), entry("Deep", seed=4)])
    assert cli("presets", "list", vae_file).out.splitlines() == [
        "NAME  SLIDERS   SEED  MODIFIED",
        "Deep  0:5 2:-3     4  2026-01-02",
        "high  all at 0        2026-01-02",
    ]


def test_a_slider_that_the_model_lost_is_one_warning(cli: Cli, vae_file: Path, index: Path) -> None:
    written(index, [entry("Deep", [5, 0, -3, 2])])
    result = cli("generate", vae_file, *SHORT, "-s", 1, "--preset", "deep")
    assert (result.code, result.errors) == (
        0, ["Warning: --preset: Deep sets slider 3, which fog has not. Ignored."]
    )  # fmt: skip


def test_a_name_in_two_groups_asks_for_the_group(cli: Cli, vae_file: Path, index: Path) -> None:
    written(index, [entry("Deep", folder="Day"), entry("deep", folder="Night", seed=4)])
    line = "Error: fog has several presets 'deep': Day/Deep, Night/deep. Give one of these."
    said(cli("generate", vae_file, "--preset", "deep"), 2, line)
    assert cli("generate", vae_file, *SHORT, "--preset", "NIGHT/deep").files == [Path("fog-4.wav")]


@pytest.mark.parametrize("suffix", [".wav", ".json"])
def test_a_file_that_was_heard_becomes_a_preset(cli: Cli, vae_file: Path, suffix: str) -> None:
    made = cli("generate", vae_file, *SHORT, "--randomize-sliders", "--slider", "1:2", "-s", 9).files[0]
    assert cli("presets", "save", vae_file, "found", "--from", made.with_suffix(suffix)).code == 0
    again = cli("generate", vae_file, *SHORT, "--preset", "found").files[0]
    assert again.name == "fog-9-2.wav"
    assert sound_of(again) == sound_of(made)


def test_a_file_without_sliders_or_of_another_model_is_no_preset(cli: Cli, vae_file: Path, tmp_path: Path) -> None:
    free = cli("generate", vae_file, *SHORT, "-s", 1).files[0]
    line = "Error: fog-1.wav was made with random latents: no slider stood anywhere. Give one made with sliders."
    said(cli("presets", "save", vae_file, "x", "--from", free), 1, line)
    other = save(vae_contents(weights=7), tmp_path / "other.distill")
    line = "Error: fog-1.wav was made by another model than fog. Give that model."
    said(cli("presets", "save", other, "x", "--from", free), 1, line)
    (tmp_path / "alone.wav").touch()
    line = "Error: alone.json is not there: it says how alone.wav was made. Give a file that has it."
    said(cli("presets", "save", vae_file, "x", "--from", "alone.wav"), 1, line)
    for content in (
        "{",
        "[]",
        '{"seed": 1}',
        '{"seed": 1, "model": {"id": null}, "options": {"slider": 3}, "stats": {}}',
    ):
        (tmp_path / "strange.json").write_text(content)
        line = "Error: strange.json does not say where sliders stood. Give a file that distill made with them."
        said(cli("presets", "save", vae_file, "x", "--from", "strange.json"), 1, line)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "There is nothing to keep: give --slider, --preset or --from."),
        (["--slider", "9:1"], "--slider: fog has no slider 9; fog has sliders 0 to 2."),
        (["--preset", "none"], "fog has no preset 'none'; it has none. Save one with 'distill presets save'."),
    ],
)
def test_what_cannot_be_saved_is_refused(
    cli: Cli, vae_file: Path, index: Path, arguments: list[str], line: str
) -> None:
    said(cli("presets", "save", vae_file, "deep", *arguments), 2, f"Error: {line}")
    assert not index.exists()


def test_a_preset_can_start_from_another(cli: Cli, vae_file: Path, index: Path) -> None:
    written(index, {"presets": [entry("Deep", seed=3)]})
    assert cli("presets", "save", vae_file, "deeper", "--preset", "deep", "--slider", "1:-9").code == 0
    assert (entries(index)[1]["slider_positions"], entries(index)[1]["seed"]) == ([5, -9, -3], 3)


def test_processes_that_save_at_once_lose_nothing(vae_file: Path, index: Path, presets_folder: Path) -> None:
    command = [sys.executable, "-m", "distill", "presets", "save", vae_file]
    runs = [
        subprocess.Popen([*command, f"take {number}", "--slider", f"0:{number}"], stderr=subprocess.DEVNULL)
        for number in range(10)
    ]
    assert [run.wait() for run in runs] == [0] * 10
    assert sorted((one["name"], one["slider_positions"][0]) for one in entries(index)) == [
        (f"take {number}", number) for number in range(10)
    ]
    assert sorted(path.name for path in index.parent.iterdir()) == ["presets.json", "presets.lock"]


@pytest.mark.parametrize("model_id", ["../../x", "", None, "a/b", "\x1b", 7])
def test_presets_stay_in_their_folder_whatever_the_id(tmp_path: Path, presets_folder: Path, model_id: object) -> None:
    (tmp_path / "m.distill").write_bytes(b"any")
    header = CheckpointHeader(tmp_path / "m.distill", 1, None, {"metadata": {"model_id": model_id}})
    path = Presets.of(header).path
    assert path.parent.parent == presets_folder
    assert len(path.parent.name) == 64


def test_presets_are_kept_in_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DISTILL_PRESETS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert folder() == tmp_path / "distill" / "presets"


def test_presets_of_a_model_without_sliders_have_nothing_to_keep(cli: Cli, tmp_path: Path) -> None:
    path = save(vae_contents(sliders=None), tmp_path / "m.distill")
    line = "Error: fog has no sliders: there is nothing to keep. Give a model that has."
    said(cli("presets", "save", path, "deep", "--slider", "0:5"), 2, line)


def test_light_commands_stay_light(vae_file: Path, index: Path) -> None:
    program = "import sys; from distill.cli import run; from distill.plugins import discover; "
    program += "print(run(discover, sys.argv[1:]), *{'torch', 'numpy'} & set(sys.modules))"
    for arguments in (["save", vae_file, "a", "--slider", "0:1"], ["list", vae_file], ["show", vae_file, "a"]):
        command = [sys.executable, "-c", program, "presets", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "0"


def test_a_preset_of_another_group_is_not_replaced(cli: Cli, vae_file: Path, index: Path) -> None:
    both = {"presets": [entry("Deep", folder="Day"), entry("deep", folder="Night")]}
    written(index, both)
    line = "Error: fog has several presets 'deep': Day/Deep, Night/deep. Give one of these."
    said(cli("presets", "save", vae_file, "deep", "--slider", "0:9", "--replace"), 2, line)
    assert entries(index) == both["presets"]
    assert cli("presets", "save", vae_file, "night/deep", "--slider", "0:9", "--replace").code == 0
    assert [one["slider_positions"] for one in entries(index)] == [[5, 0, -3], [9, 0, 0]]
    assert [one["name"] for one in entries(index)] == ["Deep", "deep"]


def test_presets_that_share_name_and_group_go_by_their_ids(cli: Cli, vae_file: Path, index: Path) -> None:
    written(index, [entry("dup", preset_id="one"), entry("dup", preset_id="two", seed=4)])
    line = "Error: fog has several presets 'dup': one, two. Give one of these."
    said(cli("presets", "delete", vae_file, "dup"), 2, line)
    assert cli("generate", vae_file, *SHORT, "--preset", "two").files == [Path("fog-4.wav")]
    assert cli("presets", "delete", vae_file, "one").code == 0
    assert [one["preset_id"] for one in json.loads(index.read_text())] == ["two"]


@pytest.mark.parametrize("name", ["low  hum", "\U0001f469\u200d\U0001f680 fog", " hum "])
def test_a_name_that_is_shown_otherwise_is_found_as_it_is_written(
    cli: Cli, vae_file: Path, index: Path, name: str
) -> None:
    written(index, [entry(name, seed=4)])
    shown = json.loads(cli("presets", "list", vae_file, "--json").out)[0]["name"]
    for called in (name, shown):
        assert cli("presets", "show", vae_file, called).code == 0


def test_a_warning_of_the_file_comes_once(cli: Cli, vae_file: Path, index: Path) -> None:
    written(index, [entry("good"), entry("bad", seed=-1)])
    assert (
        len([line for line in cli("presets", "rename", vae_file, "good", "better").errors if "left out" in line]) == 1
    )


def test_a_link_to_a_file_of_presets_stays_one(cli: Cli, vae_file: Path, index: Path, tmp_path: Path) -> None:
    real = written(tmp_path / "synced" / "presets.json", [entry("Deep")])
    index.parent.mkdir()
    index.symlink_to(real)
    assert cli("presets", "save", vae_file, "new", "--slider", "0:1").code == 0
    assert index.is_symlink()
    assert [one["name"] for one in json.loads(real.read_text())] == ["Deep", "new"]


def test_a_preset_without_a_name_is_not_passed_over_in_silence(cli: Cli, vae_file: Path) -> None:
    assert cli("generate", vae_file, "--preset", "").code == 2


def test_a_seed_of_a_preset_that_is_too_large_for_the_count_is_not_blamed_on_seed(
    cli: Cli, vae_file: Path, index: Path
) -> None:
    written(index, [entry("last", seed=2**63 - 1)])
    result = cli("generate", vae_file, "--preset", "last", "-n", 2)
    assert (result.code, len(result.errors)) == (2, 1)
    assert "--count" in result.err


def test_files_of_models_without_ids_are_told_apart_by_the_models_bytes(cli: Cli, tmp_path: Path) -> None:
    models = []
    for weights in (3, 7):
        contents = vae_contents(weights=weights, name=f"m{weights}")
        del contents["metadata"]["model_id"]
        models.append(save(contents, tmp_path / f"m{weights}.distill"))
    file = cli("generate", models[0], *SHORT, "--slider", "0:5", "-s", 1).files[0]
    assert cli("presets", "save", models[0], "own", "--from", file).code == 0
    line = "Error: m3-1.wav was made by another model than m7. Give that model."
    said(cli("presets", "save", models[1], "other", "--from", file), 1, line)


def test_what_a_preset_cannot_keep_of_a_file_is_told(cli: Cli, vae_file: Path) -> None:
    file = cli("generate", vae_file, *SHORT, "--slider", "0:5", "--evolution", 0.1).files[0]
    result = cli("presets", "save", vae_file, "found", "--from", file)
    assert result.errors[0] == "Warning: --from: a preset keeps sliders and seed. Its sound needs --evolution too."


@pytest.mark.parametrize("at", ["1e999", "1.9", '"3"', "null", "[1]"])
def test_positions_of_a_sidecar_that_are_none_are_one_line(cli: Cli, vae_file: Path, at: str) -> None:
    sidecar = cli("generate", vae_file, *SHORT, "--slider", "0:5").files[0].with_suffix(".json")
    sidecar.write_text(sidecar.read_text().replace('"slider 0": 5.0', f'"slider 0": {at}'))
    result = cli("presets", "save", vae_file, "x", "--from", sidecar)
    assert (result.code, len(result.errors)) == (1, 1)
    assert "does not say where sliders stood" in result.err


def test_a_file_that_was_moved_away_from_its_sidecar_becomes_a_preset_too(cli: Cli, vae_file: Path) -> None:
    made = cli("generate", vae_file, *SHORT, "--slider", "1:2", "-s", 9, "-f", "flac").files[0]
    made.with_suffix(".json").unlink()
    assert cli("presets", "save", vae_file, "found", "--from", made).code == 0
    assert json.loads(cli("presets", "show", vae_file, "found", "--json").out)["slider_positions"] == [0, 2, 0]
