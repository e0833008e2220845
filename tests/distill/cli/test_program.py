"""The program as a whole: what it says first, its versions, words near a command, colours, narrow terminals."""

from __future__ import annotations

import importlib.metadata
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from checkpoints import save, vqvae_contents
from program import Cli

from distill.cli import build
from distill.plugins import Plugins, discover

DISTILL = [sys.executable, "-m", "distill"]


def commands() -> Iterator[list[str]]:
    """The words of every command, groups among them."""
    program = build(discover())
    ctx = click.Context(program)

    def inner(command: click.Command, words: list[str]) -> Iterator[list[str]]:
        yield words
        if isinstance(command, click.Group):
            for name in command.list_commands(ctx):
                found = command.get_command(ctx, name)
                assert found is not None
                yield from inner(found, [*words, name])

    yield from inner(program, [])


def on_a_terminal(*arguments: str, width: int = 80, **environment: str) -> str:
    """What a terminal is sent, `width` columns wide, by the program's stdout and stderr."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    settings = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    with subprocess.Popen(
        [*DISTILL, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**settings, "TERM": "xterm", **environment},
    ):
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # how Linux says that the other side has closed
                break
    os.close(ours)
    return seen.decode().replace("\r\n", "\n")


def test_alone_it_says_what_to_do_first(cli: Cli) -> None:
    alone = cli()
    assert (alone.code, alone.out) == (2, "")
    words = alone.err.split()
    assert words.index("distill") < words.index("Commands:")
    assert alone.err.index("distill generate starter") < alone.err.index("Options:")
    assert "distill train sounds/ --name rain" in alone.err
    assert cli("--help").out == alone.err


def test_each_command_that_is_named_first_exists(cli: Cli) -> None:
    named = re.findall(r"^  distill ([a-z]+) ", cli().err, re.MULTILINE)
    assert len(named) >= 4
    assert {(name,) for name in named} <= {tuple(words) for words in commands()}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("generat x", "generate"),
        ("modles", "models"),
        ("models lst", "list"),
        ("generate --temprature 1", "--temperature"),
    ],
)
def test_a_word_that_is_none_names_the_near_one(cli: Cli, typed: str, meant: str) -> None:
    refused = cli(*typed.split())
    assert refused.code == 2
    assert len(refused.errors) == 1
    assert "Did you mean" in refused.err
    assert meant in refused.err


def test_the_version_names_that_of_every_plugin(cli: Cli) -> None:
    version = importlib.metadata.version("distill")
    assert cli("--version").out.splitlines() == [
        f"distill, version {version}",
        f"Python {sys.version.split()[0]}, torch {importlib.metadata.version('torch')}",
        *(f"plugin {name}: distill {version}" for name in ("codec", "vae", "vqvae")),
    ]


def test_the_version_tells_of_a_plugin_that_does_not_load(cli: Cli) -> None:
    plugins = Plugins()
    plugins.register(type("Newer", (), {"PLUGIN_API": 99}), "newer")
    assert cli("--version", plugins=plugins).out.splitlines()[-1] == "plugin newer: of no distribution, does not load"


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_help_fits_sixty_columns(cli: Cli, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    helped = cli(*words, "--help").out
    assert "Usage: distill" in helped
    assert [line for line in helped.splitlines() if len(line) > 60] == []


def test_a_table_fits_a_narrow_terminal_and_is_whole_in_a_pipe(tmp_path: Path) -> None:
    contents = vqvae_contents()
    contents["metadata"]["name"] = "a name that is forty columns wide, or so"
    save(contents, tmp_path / "m.distill")
    narrow = on_a_terminal("models", "list", "--library", str(tmp_path), width=60)
    assert max(map(len, narrow.splitlines())) <= 60
    assert narrow.startswith("NAME ")
    assert narrow.splitlines()[0].endswith("  …")
    assert [line for line in narrow.splitlines() if line.startswith("a name that is")]
    wide = on_a_terminal("models", "list", "--library", str(tmp_path), width=200)
    assert contents["metadata"]["name"] in wide
    piped = subprocess.run(
        [*DISTILL, "models", "list", "--library", tmp_path], capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "60"},
    ).stdout  # fmt: skip
    assert contents["metadata"]["name"] in piped


def test_colours_are_for_terminals_that_want_them() -> None:
    assert on_a_terminal("generate", "missing").startswith("\x1b[31m\x1b[1mError:\x1b[0m missing is no ")
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert on_a_terminal("generate", "missing", **plain).startswith("Error: missing is no ")
    assert subprocess.run([*DISTILL, "generate", "missing"], capture_output=True, check=False).stderr[:7] == b"Error: "
    assert "\x1b" not in on_a_terminal("generate", "--help")
