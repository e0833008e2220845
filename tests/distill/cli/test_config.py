"""Defaults of the user's own: from `config.toml`, the environment and the command line, in rising order."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import soundfile
from program import Cli, Result
from sidecars import sidecar_of

from distill import configuration
from distill.cli import build
from distill.plugins import discover


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of configuration, empty as yet."""
    path = tmp_path / "my config.toml"
    path.touch()
    monkeypatch.setenv("DISTILL_CONFIG", str(path))
    return path


def generated(cli: Cli, model: Path, *arguments: object) -> dict[str, Any]:
    """The options that a file was made with."""
    result = cli("generate", model, "-d", 0.1, "-s", 1, *arguments)
    assert (result.code, result.err) == (0, "")
    options: dict[str, Any] = sidecar_of(result.files[0])["options"]
    return options


def shown(cli: Cli, *arguments: str) -> dict[tuple[str, str], tuple[Any, str]]:
    """What `config show` says: value and origin, by command and option."""
    result = cli("config", "show", *arguments, "--json")
    assert result.code == 0
    return {(row["command"], row["option"]): (row["value"], row["from"]) for row in json.loads(result.out)}


def test_the_configuration_the_environment_and_the_command_line_in_rising_order(
    cli: Cli, vqvae_file: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert generated(cli, vqvae_file)["temperature"] == 1.0
    config.write_text("[generate]\ntemperature = 0.8\ntop-k = 3\n")
    assert generated(cli, vqvae_file) | {"temperature": 0.8, "top_k": 3} == generated(cli, vqvae_file)
    monkeypatch.setenv("DISTILL_GENERATE_TEMPERATURE", "0.7")
    assert generated(cli, vqvae_file)["temperature"] == 0.7
    assert generated(cli, vqvae_file, "--temperature", 0.6)["temperature"] == 0.6


def test_every_kind_of_option_can_be_configured(cli: Cli, vqvae_file: Path, config: Path, tmp_path: Path) -> None:
    config.write_text(
        '[generate]\nduration = 0.2\ncount = 2\noutput-dir = "takes"\nformat = "flac"\nquiet = true\nseed = 5\n'
        'tag = ["mood=calm", "place=here"]\nartist = "Ann"\n[replay]\ncheck = true\n[models.list]\nsort = "size"\n'
    )
    result = cli("generate", vqvae_file)
    assert (result.code, result.err) == (0, "")
    assert result.files == [Path("takes/pebbles-5.flac"), Path("takes/pebbles-6.flac")]
    assert sidecar_of(result.files[0])["asked_tags"] == {"artist": "Ann", "mood": "calm", "place": "here"}
    assert cli("replay", "takes/pebbles-5.flac").out == "pebbles-5.flac: identical\n"


def test_a_flag_that_is_configured_is_turned_off_on_the_command_line(cli: Cli, vqvae_file: Path, config: Path) -> None:
    config.write_text("[generate]\njson = true\n")
    assert json.loads(cli("generate", vqvae_file, "-d", 0.1).out)
    assert cli("generate", vqvae_file, "-d", 0.1, "--no-json").out.endswith(".wav\n")
    assert "--no-json" not in cli("generate", "--help").out


def test_what_is_configured_for_other_models_is_no_reason_for_a_warning(
    cli: Cli, vqvae_file: Path, vae_file: Path, config: Path
) -> None:
    config.write_text(
        "[generate]\ntemperature = 0.8\nevolution = 0.2\nweight = 3\nspatial_width = 0.5\nprompt_seconds = 3\n"
    )
    assert generated(cli, vqvae_file)["temperature"] == 0.8
    assert generated(cli, vae_file)["evolution"] == 0.2
    assert cli("generate", vae_file, "-d", 0.1, "-t", 1).errors == [
        "Warning: --temperature is not supported for VAE models. Ignored."
    ]


def test_of_two_that_exclude_each_other_the_command_line_has_its_way(cli: Cli, vqvae_file: Path, config: Path) -> None:
    config.write_text("[generate]\nlufs = -20\n")
    level = sidecar_of(cli("generate", vqvae_file, "-d", 0.5, "--normalize", "none").files[0])["level"]
    assert level["normalize"] == "none"
    config.write_text('[generate]\nnormalize = "peak"\n')
    level = sidecar_of(cli("generate", vqvae_file, "-d", 0.5, "--lufs", -30).files[0])["level"]
    assert level["normalize"] == "loudness"
    config.write_text('[generate]\nnormalize = "peak"\nlufs = -20\n')
    assert cli("generate", vqvae_file).errors == [
        "Error: --lufs: the level is set by --normalize peak. Leave one of the two out."
    ]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            'temperature = "hot"',
            "Invalid value for '--temperature' / '-t': 'hot' is not a number from the range 0.1 to 2. That is from {}.",
        ),
        (
            "normalize = 'rms'",
            "Invalid value for '--normalize': 'rms' is not one of 'peak', 'loudness', 'batch', 'none'. "
            "That is from {}.",
        ),
        ("quiet = 'yes'", "{}: [generate] quiet is yes; it takes true or false."),
        ("temperature = true", "{}: [generate] temperature is True; it takes a text or a number."),
        ("tag = [[1]]", "{}: [generate] tag is [[1]]; it takes a list of texts or numbers."),
        ("temperature = ", "{} is no TOML: Invalid value (at line 2, column 15). Correct it."),
    ],
)
def test_a_value_that_cannot_be_is_one_line_that_says_where_it_is(
    cli: Cli, vqvae_file: Path, config: Path, said: str, message: str
) -> None:
    config.write_text(f"[generate]\n{said}\n")
    result = cli("generate", vqvae_file)
    assert (result.code, result.out, result.errors) == (2, "", [f"Error: {message.format(config)}"])


def test_a_value_in_the_environment_that_cannot_be_says_so(
    cli: Cli, vqvae_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILL_GENERATE_COUNT", "many")
    [error] = cli("generate", vqvae_file).errors
    assert error.endswith("from the range 1 to 1000000. That is from DISTILL_GENERATE_COUNT in the environment.")


@pytest.mark.parametrize(
    ("text", "command", "message"),
    [
        ("generate = 3", "generate starter", "generate is 3; it takes a table of its own, such as [generate]."),
        ("models = 1", "models list", "models is 1; it takes a table of its own, such as [generate]."),
        ("[models]\nlist = 1", "models list", "[models] list is 1; it takes a table of its own, such as [generate]."),
        (
            "[library]\npaths = 3",
            "models list",
            '[library] paths is 3; it takes a list of folders, ["~/models"].',
        ),
    ],
)
def test_a_table_that_is_none_is_one_line(cli: Cli, config: Path, text: str, command: str, message: str) -> None:
    config.write_text(text)
    result = cli(*command.split())
    assert (result.code, result.errors) == (2, [f"Error: {config}: {message}"])


def test_help_and_the_path_are_shown_whatever_the_configuration(cli: Cli, config: Path) -> None:
    config.write_text("[generate\n")
    assert cli("--help").code == cli("generate", "--help").code == 0
    assert cli("config", "path").out == f"{config}\n"
    assert cli("config", "show").errors == [
        f"Error: {config} is no TOML: Expected ']' at the end of a table declaration (at line 1, column 10). "
        "Correct it."
    ]


def test_what_nothing_asks_for_is_named_with_near_ones_and_does_no_harm(
    cli: Cli, vqvae_file: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(
        "[generate]\ntemprature = 0.8\n[generat]\ncount = 1\n[library]\npath = []\n[models.lst]\nsort = 1\n"
    )
    monkeypatch.setenv("DISTILL_GENERATE_TOPK", "3")
    result = cli("generate", vqvae_file, "-d", 0.1)
    assert result.code == 0
    assert result.errors == [
        f"Warning: {config}: [generat] is no command. Near it: generate. Ignored.",
        f"Warning: {config}: [library] path is no setting. Near it: paths. Ignored.",
        f"Warning: {config}: [generate] temprature is no option. Near it: temperature. Ignored.",
        "Warning: DISTILL_GENERATE_TOPK in the environment is no option's. Near it: DISTILL_GENERATE_TOP_K. Ignored.",
    ]
    assert f"Warning: {config}: [models] lst is no command. Near it: list. Ignored." in cli("config", "show").errors


def test_variables_of_a_groups_commands_set_their_options(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILL_MODELS_LIST_JSON", "1")
    result = cli("models", "list")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)


def test_every_options_variable_is_called_as_its_flag_is() -> None:
    group = build(discover())

    def walk(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, str | None]]:
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                yield from walk(inner, click.Context(inner, info_name=name, parent=ctx))
            return
        for key, option in configuration.keys(command, ctx).items():
            yield f"{ctx.auto_envvar_prefix}_{key.upper()}", configuration.variable(ctx, option)

    ctx = click.Context(group, info_name="distill", auto_envvar_prefix=configuration.PREFIX)
    found = list(walk(group, ctx))
    assert len(found) > 100
    assert [pair for pair in found if pair[0] != pair[1]] == []


def test_variables_of_a_longer_command_are_not_taken_for_strays(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILL_TRAIN_PRIOR_STEPS", "3")
    assert "DISTILL" not in cli("train", tmp_path / "nothing", "--name", "x").err


def test_show_says_where_each_value_comes_from(cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(
        '[generate]\ntemperature = 0.8\ntag = ["a=b"]\nquiet = true\n[train-prior]\nminutes = 5\n'
        '[library]\npaths = ["lib"]\n'
    )
    monkeypatch.setenv("DISTILL_GENERATE_COUNT", "3")
    said = shown(cli)
    assert said["generate", "temperature"] == ("0.8", str(config))
    assert said["generate", "count"] == ("3", "DISTILL_GENERATE_COUNT in the environment")
    assert said["generate", "top_p"] == (0.9, "default")
    assert said["generate", "tag"] == (["a=b"], str(config))
    assert said["train-prior", "minutes"] == ("5", str(config))
    assert said["models list", "sort"] == ("name", "default")
    assert said["presets save", "from"] == (None, "default")
    assert said["library", "paths"] == ([str(config.parent / "lib")], str(config))
    only = shown(cli, "generate", "--set")
    assert set(only) == {("generate", name) for name in ("temperature", "count", "tag", "quiet")}
    table = cli("config", "show", "--set").out.splitlines()
    assert table[0].split() == ["COMMAND", "OPTION", "VALUE", "FROM"]
    assert ["generate", "quiet", "on", *str(config).split()] in [line.split() for line in table]


def test_show_names_a_value_that_its_option_refuses(cli: Cli, config: Path) -> None:
    config.write_text("[generate]\ntemperature = 9\n")
    result = cli("config", "show", "generate")
    assert result.code == 0
    assert result.errors == [
        f"Warning: distill generate: '9' is not a number from the range 0.1 to 2. That is from {config}."
    ]


def test_show_of_a_command_that_there_is_not(cli: Cli) -> None:
    result = cli("config", "show", "generte")
    assert (result.code, result.errors) == (2, ["Error: 'generte' is no command that has options. Near it: generate."])


def test_a_file_that_the_environment_names_must_be_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILL_CONFIG", "nowhere.toml")
    result: Result = cli("generate", "starter")
    assert (result.code, result.errors) == (
        2,
        ["Error: nowhere.toml, which DISTILL_CONFIG names, does not exist. Correct or unset it."],
    )


def test_the_file_lies_in_the_users_configuration_folder(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "etc"))
    assert cli("config", "path").out == f"{tmp_path}/etc/distill/config.toml\n"


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("quality = 5", []),
        ("compression = 8", ["-f", "mp3"]),
        ("bit_depth = '32-bit-float'", ["-f", "flac"]),
        ("json = true\nplot = true", ["-o", "-"]),
    ],
)
def test_what_is_configured_for_other_formats_gives_way(
    vqvae_file: Path, config: Path, tmp_path: Path, said: str, arguments: list[str]
) -> None:
    config.write_text(f"[generate]\n{said}\n")
    command = [sys.executable, "-m", "distill", "generate", vqvae_file, "-d", "0.1", "-s", "1", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    if "-o" in arguments:
        assert done.stdout.startswith(b"RIFF")
        assert soundfile.info(io.BytesIO(done.stdout)).frames == 4800


def test_a_loudness_that_is_configured_is_that_of_normalize_loudness(cli: Cli, vqvae_file: Path, config: Path) -> None:
    config.write_text("[generate]\nlufs = -30\n")
    level = sidecar_of(cli("generate", vqvae_file, "-d", 0.5, "--normalize", "loudness").files[0])["level"]
    assert level["lufs"] == -30


@pytest.mark.parametrize("where", ["file", "variable"])
def test_a_user_that_there_is_not_is_one_line(
    cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "file":
        config.write_text('[library]\npaths = ["~nobody-of-this-name/models"]\n')
    else:
        monkeypatch.setenv("DISTILL_CONFIG", "~nobody-of-this-name/config.toml")
    result = cli("models", "list")
    assert result.code == 1
    assert result.errors[0].endswith("there is no such user. Write the path out in full.")


def test_show_names_each_stray_once(cli: Cli, config: Path) -> None:
    config.write_text("[genrate]\nseed = 1\n")
    assert cli("config", "show").errors == [f"Warning: {config}: [genrate] is no command. Near it: generate. Ignored."]


def test_an_option_that_is_not_shown_has_no_variable(
    cli: Cli, vqvae_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILL_GENERATE_STEREO", "mid_side")
    result = cli("generate", vqvae_file, "-d", 0.1, "-s", 1)
    assert [error for error in result.errors if "deprecated" in error] == []
    assert soundfile.info(str(result.files[0])).channels == 1


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_not_read(cli: Cli, config: Path, kind: str) -> None:
    config.unlink()
    config.mkdir() if kind == "folder" else os.mkfifo(config)
    result = cli("models", "list")
    assert (result.code, result.errors) == (
        2,
        [f"Error: {config}, where the configuration is looked for, is no file. Move it away."],
    )


def test_completion_needs_no_configuration(cli: Cli, config: Path) -> None:
    config.write_text("[broken")
    assert cli("completion", "bash").code == 0


def test_one_folder_needs_no_list(cli: Cli, config: Path) -> None:
    config.write_text('[library]\npaths = "lib"\n')
    assert cli("models", "path").out == f"{config.parent / 'lib'}\n"
