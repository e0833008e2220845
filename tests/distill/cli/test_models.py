"""`distill models`: what is in the library, and what is done with it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pexpect
import pytest
from checkpoints import codec_contents, save, vae_contents, vqvae_contents
from program import Cli, Result

from distill.plugins import Plugins


@pytest.fixture
def library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's library: three models of three kinds."""
    folder = tmp_path_factory.mktemp("library")
    save(vqvae_contents(name="pebbles"), folder / "pebbles.distill")
    save(vae_contents(name="Low hum", latent_dim=16), folder / "hum.distill")
    contents = codec_contents(name="murmur")
    contents["metadata"] |= {"save_date": "2026-03-04T05:06:07", "description": "Crowds, far away", "tags": ["wet"]}
    save(contents, folder / "murmur.distill")
    monkeypatch.setenv("DISTILL_LIBRARY", str(folder))
    return folder


def rows(result: Result) -> list[list[str]]:
    return [re.split(r"  +", line.strip()) for line in result.out.splitlines()]


def listed(cli: Cli, *arguments: object) -> list[str]:
    """The names that `models list` prints, without the starter."""
    result = cli("models", "list", *arguments)
    assert (result.code, result.err) == (0, "")
    return [name for name, *_ in rows(result)[1:] if name != "starter"]


def test_a_table_says_of_each_model_what_it_is(cli: Cli, library: Path) -> None:
    result = cli("models", "list")
    assert (result.code, result.err) == (0, "")
    titles, hum, murmur, pebbles, starter = rows(result)
    assert titles == ["NAME", "KIND", "VERSION", "LOADER", "SIZE", "DATE", "PRIOR", "ID"]
    assert hum[:4] + hum[6:] == ["Low hum", "VAE", "1", "vae", "-", "46ddb352"]
    assert murmur[:4] + murmur[5:] == ["murmur", "codec", "3", "codec", "2026-03-04", "no", "m-1"]
    assert pebbles[:4] + pebbles[6:] == ["pebbles", "VQ-VAE", "2", "vqvae", "yes", "11111111"]
    assert re.fullmatch(r"\d+(\.\d)? [kM]B", pebbles[4])
    assert starter[0] == "starter"


def test_json_says_all_of_it(cli: Cli, library: Path) -> None:
    murmur = next(one for one in json.loads(cli("models", "list", "--json").out) if one["name"] == "murmur")
    path = library / "murmur.distill"
    assert murmur == {
        "name": "murmur", "kind": "codec", "version": 3, "model_type": "codec", "loader": "codec",
        "size": path.stat().st_size, "date": "2026-03-04T05:06:07", "prior": False, "id": "m-1", "path": str(path),
        "bundled": False, "problem": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("", ["Low hum", "murmur", "pebbles"]),
        ("--reverse", ["pebbles", "murmur", "Low hum"]),
        ("--sort version", ["Low hum", "pebbles", "murmur"]),
        ("--sort kind", ["murmur", "Low hum", "pebbles"]),
        ("--sort loader", ["murmur", "Low hum", "pebbles"]),
        ("--sort date --kind codec", ["murmur"]),
        ("--kind vae", ["Low hum"]),
        ("--kind VQ-vae", ["pebbles"]),
        ("HUM", ["Low hum"]),
        ("crowds WET", ["murmur"]),
        ("crowds dry", []),
        ("46ddb352", ["Low hum"]),
        ("vqvae", ["pebbles"]),
    ],
)
def test_it_is_ordered_and_searched(cli: Cli, library: Path, arguments: str, names: list[str]) -> None:
    result = cli("models", "list", *arguments.split())
    assert result.code == 0
    assert [name for name, *_ in rows(result)[1:] if name != "starter"] == names
    assert result.err == ("" if result.out else "No model is like that.\n")


def test_the_largest_and_the_newest_come_first(cli: Cli, library: Path) -> None:
    sizes = [one["size"] for one in json.loads(cli("models", "list", "--sort", "size", "--json").out)]
    dates = [one["date"] for one in json.loads(cli("models", "list", "--sort", "date", "--json").out)]
    assert sizes == sorted(sizes, reverse=True)
    assert dates == sorted(dates, reverse=True)
    smallest = json.loads(cli("models", "list", "--sort", "size", "--reverse", "--json").out)
    assert [one["size"] for one in smallest] == sorted(sizes)


def test_a_kind_that_there_is_not_is_answered_with_those_there_are(cli: Cli, library: Path) -> None:
    result = cli("models", "list", "--kind", "gan")
    assert (result.code, result.out) == (2, "")
    assert result.errors == ["Error: --kind: 'gan' is no kind of model. There are: VAE, VQ-VAE, codec, vae, vqvae."]


def test_what_cannot_be_read_is_told_and_the_others_are_listed(cli: Cli, library: Path) -> None:
    (library / "cut.distill").write_bytes((library / "pebbles.distill").read_bytes()[:5000])
    (library / "words.distill").write_text("no model")
    (library / "gone.distill").symlink_to(library / "nothing")
    (library / "readme.txt").write_text("no model, and not called one")
    result = cli("models", "list")
    assert result.code == 1
    assert [name for name, *_ in rows(result)[1:]] == ["Low hum", "murmur", "pebbles", "starter"]
    cut, gone, words = result.errors
    assert cut.endswith("cut.distill begins like a checkpoint but is cut short or damaged. Copy or download it again.")
    assert gone.endswith("gone.distill: No such file or directory.")
    assert words.endswith("Give a .distill file, or install the plugin that reads this kind.")
    problems = {one["name"]: one["problem"] for one in json.loads(cli("models", "list", "--json").out)}
    assert [name for name, problem in problems.items() if problem] == ["cut", "gone", "words"]


def test_a_kind_that_no_plugin_claims_is_unknown(cli: Cli, library: Path) -> None:
    assert rows(cli("models", "list", plugins=Plugins()))[1][1:4] == ["unknown", "1", "unknown"]


def test_text_from_files_is_clean(cli: Cli, library: Path) -> None:
    contents = vqvae_contents(name="red\x1b[31m\u202e\n") | {"model_type": "\x1b[2Jx"}
    save(contents, library / "evil.distill")
    for arguments in (["list"], ["list", "--json"], ["info", "red"]):
        result = cli("models", *arguments)
        assert "\x1b" not in result.out + result.err
        assert "\u202e" not in result.out + result.err


def test_folders_come_from_the_command_line_else_the_environment_else_the_configuration(
    cli: Cli, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        save(vae_contents(name=name), tmp_path / name / "m.distill")
    (tmp_path / "config.toml").write_text('[library]\npaths = ["one", "two"]\n')
    monkeypatch.setenv("DISTILL_CONFIG", "config.toml")
    assert listed(cli, "--library", "three") == ["three"]
    assert [n for n, *_ in rows(cli("--library", "three", "--library", "one", "models", "list"))[1:]] == [
        "one",
        "starter",
        "three",
    ]
    assert listed(cli) == ["Low hum", "murmur", "pebbles"]
    monkeypatch.setenv("DISTILL_LIBRARY", "three:two")
    assert listed(cli) == ["three", "two"]
    monkeypatch.delenv("DISTILL_LIBRARY")
    assert listed(cli) == ["one", "two"]
    assert cli("models", "path").files == [tmp_path / "one", tmp_path / "two"]


def test_every_command_that_takes_a_model_takes_its_name(cli: Cli, library: Path) -> None:
    assert cli("generate", "pebb", "-d", 0.1, "-s", 1).files == [Path("pebbles-1.wav")]
    assert cli("generate", "hum", "-d", 0.1, "-s", 1, "--blend", "low:30").code == 0
    assert cli("sliders", "hum").code == 0
    assert cli("presets", "save", "hum", "calm", "--slider", "0:1").code == 0
    assert cli("presets", "list", "46ddb352").out.count("calm") == 1
    assert cli("encode", "pebbles", "pebbles-1.wav", "-o", "codes.npz").code == 0
    assert cli("decode", "peb", "codes.npz", "-o", "again.wav").code == 0
    assert cli("replay", "pebbles-1.wav", "--check", "--model", "pebbles").out == "pebbles-1.wav: identical\n"
    wrong = cli("generate", "hum", "--blend", "hmu:3")
    assert wrong.errors == [
        "Error: --blend: hmu is no file, and no model of the library. 'distill models list' shows those there are."
    ]


def test_info_says_what_a_model_says_of_itself(cli: Cli, library: Path) -> None:
    result = cli("models", "info", "murmur")
    assert (result.code, result.err) == (0, "")
    said = dict(re.split(r"  +", line.strip(), maxsplit=1) for line in result.out.splitlines()[1:])
    assert said["kind"] == "codec"
    assert said["prior"] == "no: 'distill train-prior' trains one"
    assert said["path"] == str(library / "murmur.distill")
    assert said["description"] == "Crowds, far away"
    assert json.loads(cli("models", "info", "murmur", "--json").out)["metadata"]["tags"] == ["wet"]


def test_path_prints_the_file_alone(cli: Cli, library: Path) -> None:
    assert cli("models", "path", "peb").out == f"{library / 'pebbles.distill'}\n"


def test_a_model_is_added_as_a_copy_under_its_files_name(cli: Cli, library: Path, tmp_path: Path) -> None:
    mine = save(vae_contents(name="mine"), tmp_path / "my own.distill")
    result = cli("models", "add", mine)
    assert (result.code, result.err, result.files) == (0, "", [library / "my own.distill"])
    assert result.files[0].read_bytes() == mine.read_bytes()
    assert not list(library.glob(".*"))
    assert "mine" in listed(cli)


def test_a_model_is_added_under_another_name(cli: Cli, library: Path) -> None:
    assert cli("models", "add", "starter", "--name", "Drum machine").files == [library / "Drum-machine.distill"]
    assert cli("models", "path", "drum mach").files == [library / "Drum-machine.distill"]
    [made] = cli("generate", "Drum machine", "-d", 0.2, "-s", 3).files
    assert made.name == "Drum-machine-3.wav"


def test_a_model_is_linked(cli: Cli, library: Path, tmp_path: Path) -> None:
    mine = save(vae_contents(name="mine"), tmp_path / "mine.distill")
    [link] = cli("models", "add", "mine.distill", "--link").files
    assert link.readlink() == mine
    assert re.search(rf"link to +{mine}\n", cli("models", "info", "mine").out)
    assert (
        cli("models", "rename", link, "other")
        .errors[0]
        .endswith(f"is a link to {mine}, which is not ours to change. Rename that file yourself.")
    )
    assert cli("models", "remove", link, "--yes").code == 0
    assert mine.exists()
    assert not link.is_symlink()


def test_what_cannot_be_added_is_refused_and_nothing_changes(cli: Cli, library: Path, tmp_path: Path) -> None:
    save(vae_contents(name="pebbles"), tmp_path / "other.distill")
    save(vae_contents(name="new"), tmp_path / "hum.distill")
    (tmp_path / "words.txt").write_text("no model")
    shutil.copy(library / "hum.distill", tmp_path / "cut.distill")
    with (tmp_path / "cut.distill").open("r+b") as file:
        file.truncate(9000)
    before = {path: path.read_bytes() for path in library.iterdir()}
    wrong: dict[str, tuple[Any, ...]] = {
        "is no checkpoint: it is text": ("words.txt",),
        "cut short or damaged": ("cut.distill",),
        "is in the library already": (library / "hum.distill",),
        "has a model named pebbles": ("other.distill",),
        "Give it another with --name.": ("other.distill",),
        "and without --link.": ("other.distill", "--link"),
        "hum.distill is there already. Give another name.": ("hum.distill",),
        "is no name for a model": ("hum.distill", "--name", "a/b"),
        "--name: a link shows the file as it is": ("hum.distill", "--name", "x", "--link"),
        "is no file, and no model": ("nothing",),
    }
    for message, arguments in wrong.items():
        result = cli("models", "add", *arguments)
        assert (result.code in (1, 2), result.out, len(result.errors)) == (True, "", 1)
        assert message in result.err
    assert {path: path.read_bytes() for path in library.iterdir()} == before


def test_a_library_is_made_when_something_is_added(cli: Cli, tmp_path: Path, vae_file: Path) -> None:
    assert cli("models", "add", vae_file, "--library", tmp_path / "new" / "one").files == [
        tmp_path / "new" / "one" / "fog.distill"
    ]
    (tmp_path / "file").touch()
    assert cli("models", "add", vae_file, "--library", tmp_path / "file").code == 2


def test_a_model_is_renamed_in_its_file_and_as_a_file(cli: Cli, library: Path) -> None:
    assert cli("models", "rename", "pebbles", "Wet stones").files == [library / "Wet-stones.distill"]
    assert listed(cli) == ["Low hum", "murmur", "Wet stones"]
    assert cli("generate", "wet", "-d", 0.1, "-s", 1).files == [Path("Wet-stones-1.wav")]
    assert not (library / "pebbles.distill").exists()


def test_a_file_is_made_again_with_the_model_of_its_id_wherever_that_lies(cli: Cli, library: Path) -> None:
    [made] = cli("generate", "pebbles", "-d", 0.2, "-s", 1).files
    [renamed] = cli("models", "rename", "pebbles", "stones").files
    again = cli("replay", made, "--check")
    assert (again.code, again.out, again.err) == (0, "pebbles-1.wav: identical\n", "")
    shutil.copy(renamed, library / "another of its id.distill")
    assert cli("replay", made, "--check").errors == [
        f"Error: The model {library / 'pebbles.distill'} is not there any more. Say where it is with --model."
    ]


def test_a_file_that_has_another_name_than_the_model_keeps_it(cli: Cli, library: Path) -> None:
    assert cli("models", "rename", "Low hum", "High hum").files == [library / "hum.distill"]
    assert "High hum" in listed(cli)


def test_a_name_in_use_or_a_model_elsewhere_is_not_renamed(cli: Cli, library: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in library.iterdir()}
    mine = save(vae_contents(name="mine"), tmp_path / "mine.distill")
    for arguments, message in {
        ("pebbles", "murmur"): "The library has a model named murmur",
        ("pebbles", "pebbles"): "The library has a model named pebbles",
        ("pebbles", " "): "is no name for a model",
        ("starter", "mine"): "is not in the library",
        (mine, "yours"): "mine.distill is not in the library",
    }.items():
        result = cli("models", "rename", *arguments)
        assert result.code in (1, 2)
        assert message in result.err
    assert {path: path.read_bytes() for path in library.iterdir()} == before


def test_a_model_is_removed_when_that_is_confirmed(cli: Cli, library: Path) -> None:
    refused = cli("models", "remove", "pebbles")
    assert (refused.code, refused.errors) == (2, ["Error: remove asks first, and nobody can answer here. Say --yes."])
    assert listed(cli) == ["Low hum", "murmur", "pebbles"]
    result = cli("models", "remove", "pebbles", "murmur", "--yes")
    assert (result.code, result.out) == (0, "")
    assert result.errors == [f"Removed {library / name}.distill." for name in ("pebbles", "murmur")]
    assert listed(cli) == ["Low hum"]


@pytest.mark.parametrize(("answer", "left"), [("y", 2), ("n", 3), ("\x03", 3)], ids=["yes", "no", "Ctrl+C"])
def test_it_is_asked_for_each_at_a_terminal(library: Path, answer: str, left: int) -> None:
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also where these tests run in the background
    command = ["-m", "distill", "models", "remove", "pebbles"]
    child = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=60, preexec_fn=heard)
    child.expect(re.escape(f"Delete pebbles, {library / 'pebbles.distill'}? [y/N]:"))
    child.send(answer if answer == "\x03" else f"{answer}\r")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == (130 if answer == "\x03" else 0)
    assert len(list(library.iterdir())) == left


def test_nothing_is_removed_where_one_of_several_is_not_the_librarys(cli: Cli, library: Path) -> None:
    result = cli("models", "remove", "pebbles", "starter", "--yes")
    assert result.code == 1
    assert "starter.distill is not in the library" in result.err
    assert listed(cli) == ["Low hum", "murmur", "pebbles"]


def test_verify_loads_each_and_reports(cli: Cli, library: Path) -> None:
    result = cli("models", "verify")
    assert (result.code, result.err) == (0, "")
    assert sorted(result.out.splitlines()) == ["Low hum: sound", "murmur: sound", "pebbles: sound", "starter: sound"]


def test_verify_finds_what_is_damaged_or_cannot_be_loaded(cli: Cli, library: Path) -> None:
    damaged = bytearray((library / "hum.distill").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (library / "hum.distill").write_bytes(damaged)
    lacking = vqvae_contents(name="lacking")
    del lacking["model_state_dict"]["decoder.proj.bias"]
    save(lacking, library / "lacking.distill")
    infinite = vqvae_contents(name="infinite")
    infinite["model_state_dict"]["decoder.proj.bias"][0] = float("inf")
    save(infinite, library / "infinite.distill")
    result = cli("models", "verify")
    said = dict(line.split(": ", 1) for line in result.out.splitlines())
    assert result.code == 1
    assert result.errors == ["Error: 3 of 6 models are not sound. Copy or download them again."]
    assert "has another checksum" in said["Low hum"]
    assert "lacks the tensor decoder.proj.bias" in said["lacking"]
    assert (
        said["infinite"] == "infinite gives weights that are not finite: its weights are damaged. Get or train it anew."
    )
    assert [said[name] for name in ("murmur", "pebbles", "starter")] == ["sound"] * 3
    [one] = json.loads(cli("models", "verify", "pebbles", "--json").out)
    assert one == {"name": "pebbles", "path": str(library / "pebbles.distill"), "sound": True, "problem": ""}


def test_links_that_lead_nowhere_are_told_and_can_be_removed(cli: Cli, library: Path) -> None:
    (library / "loop.distill").symlink_to("loop.distill")
    (library / "gone.distill").symlink_to("nothing")
    result = cli("models", "list")
    assert (result.code, len(result.errors)) == (1, 2)
    assert [name for name, *_ in rows(result)[1:]] == ["Low hum", "murmur", "pebbles", "starter"]
    assert cli("models", "remove", "loop", library / "gone.distill", "--yes").code == 0
    assert listed(cli) == ["Low hum", "murmur", "pebbles"]


def test_nothing_but_the_librarys_models_is_removed_or_renamed(cli: Cli, library: Path, tmp_path: Path) -> None:
    outside = save(vae_contents(name="precious"), library.parent / "precious.distill")
    (tmp_path / "elsewhere").mkdir()
    linked = save(vae_contents(name="linked"), tmp_path / "elsewhere" / "linked.distill")
    (library / "link").symlink_to(linked.parent)
    (library / "notes.txt").write_text("mine")
    for path in (library / ".." / outside.name, library / "link" / linked.name, library / "notes.txt", library):
        for arguments in (["remove", path, "--yes"], ["rename", path, "new"]):
            result = cli("models", *arguments)
            assert (result.code, len(result.errors)) == (1, 1)
    assert outside.exists()
    assert linked.exists()
    assert (library / "notes.txt").exists()


def test_a_model_is_the_librarys_by_whatever_path(
    cli: Cli, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "way").symlink_to(library)
    monkeypatch.setenv("DISTILL_LIBRARY", str(tmp_path / "way"))
    monkeypatch.chdir(library)
    assert cli("models", "remove", "murmur.distill", "--yes").code == 0
    assert cli("models", "remove", tmp_path / "way" / "hum.distill", "--yes").code == 0
    assert listed(cli) == ["pebbles"]


def test_a_folder_that_is_named_twice_counts_once(cli: Cli, library: Path, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(library)
    twice = ["--library", library, "--library", tmp_path / "way", "--library", library / ".." / library.name]
    assert listed(cli, *twice) == ["Low hum", "murmur", "pebbles"]


def test_what_is_renamed_keeps_who_may_read_it(cli: Cli, library: Path) -> None:
    (library / "pebbles.distill").chmod(0o600)
    [path] = cli("models", "rename", "pebbles", "stones").files
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_damaged_model_is_neither_renamed_nor_added_under_another_name(
    cli: Cli, library: Path, tmp_path: Path
) -> None:
    path = library / "hum.distill"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    (tmp_path / "other.distill").write_bytes(damaged)
    for arguments in (["rename", "hum", "new"], ["add", "other.distill", "--name", "new"]):
        result = cli("models", *arguments)
        assert (result.code, len(result.errors)) == (1, 1)
        assert "is damaged: b'" in result.err
    assert path.read_bytes() == damaged
    assert len(list(library.iterdir())) == 3


@pytest.mark.parametrize("kind", ["sparse", "meta", "expanded", "NaN in a list", "half"])
def test_verify_answers_for_tensors_of_every_kind(cli: Cli, library: Path, kind: str) -> None:
    import torch

    odd = {
        "sparse": torch.eye(3).to_sparse(),
        "meta": torch.empty(3, device="meta"),
        "expanded": torch.zeros(1).expand(2**40),
        "NaN in a list": [{"deep": torch.tensor([float("nan")])}],
        "half": torch.ones(5, dtype=torch.float16),
    }
    save(vqvae_contents(name="odd") | {"more": odd[kind]}, library / "odd.distill")
    said = dict(line.split(": ", 1) for line in cli("models", "verify").out.splitlines())
    assert [said[name] for name in ("Low hum", "murmur", "pebbles", "starter")] == ["sound"] * 4
    expected = {
        "sparse": r".*(cannot be loaded|of a kind that the format has not).*", "meta": ".*of a kind that the format.*",
        "expanded": r".*: more is declared with 4398046511104 bytes; the file's record of it has 4\. Copy .*again\.",
        "NaN in a list": ".*weights that are not finite.*", "half": "sound",
    }  # fmt: skip
    assert re.fullmatch(expected[kind], said["odd"])
