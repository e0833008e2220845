"""Completion in real shells, each at a terminal of its own: what is typed, Tab, and what the line becomes."""

from __future__ import annotations

import os
import re
import shutil
import sysconfig
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pexpect
import pytest
from checkpoints import save, vae_contents, vqvae_contents
from program import Cli

PROMPT = "READY> "
SHELLS = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "-i"],
}
STARTS = {
    "bash": [f"PS1='{PROMPT}'", 'eval "$(distill completion bash)"'],
    "zsh": [f"PROMPT='{PROMPT}'", "autoload -U compinit && compinit -u", 'eval "$(distill completion zsh)"'],
    "fish": ["function fish_prompt; echo -n 'READY> '; end", "distill completion fish | source"],
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    save(vqvae_contents(name="pebbles"), folder / "a.distill")
    save(vae_contents(name="Low hum"), folder / "b.distill")
    save(vae_contents(name="Wind"), folder / "c.distill")
    save(vae_contents(name="wind on wire"), folder / "d.distill")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the shells are in."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module", params=SHELLS)
def started(request: pytest.FixtureRequest, library: Path, home: Path) -> Iterator[pexpect.spawn]:
    """A shell that completes `distill`, its library as above."""
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DISTILL", "XDG"))}
    environment = {
        **kept, "PATH": f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb",
        "DISTILL_LIBRARY": str(library), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"),
    }  # fmt: skip
    child = pexpect.spawn(
        shutil.which(name),
        SHELLS[name],
        env=environment,
        cwd=home,
        encoding="utf-8",
        dimensions=(40, 200),
        timeout=30,
    )
    for line in STARTS[name]:
        child.sendline(line)
    yield child
    child.close(force=True)


NUMBERS = count(1000)


@pytest.fixture
def shell(started: pexpect.spawn) -> pexpect.spawn:
    """A shell that has nothing more to say of what was typed before."""
    number = next(NUMBERS)
    started.sendline(f"printf '%s%s\\n' {number} {number}")
    started.expect(f"{number}{number}")
    started.expect(PROMPT)
    return started


def completed(shell: pexpect.spawn, typed: str, wanted: str) -> None:
    """Type `typed` and Tab; the line must become `wanted`."""
    shell.send(typed + "\t")
    shell.expect(re.escape(wanted))
    shell.send("\x15")  # forget the line


def test_a_command_an_option_and_a_model_are_completed(shell: pexpect.spawn) -> None:
    completed(shell, "distill genera", "distill generate ")
    completed(shell, "distill generate --tempe", "--temperature ")
    completed(shell, "distill generate peb", "pebbles")
    completed(shell, "distill models inf", "models info ")


def test_a_name_with_a_blank_is_completed_as_the_shell_quotes_it(shell: pexpect.spawn, library: Path) -> None:
    shell.send("distill models path Low\t")
    shell.expect("hum")
    shell.send("\r")
    shell.expect(re.escape(str(library / "b.distill")))


def test_within_quotes_a_name_is_completed_as_it_is(shell: pexpect.spawn, library: Path) -> None:
    shell.send('distill models path "Low h\t')
    shell.expect("um")
    shell.send("\r")
    shell.expect(re.escape(str(library / "b.distill")))


def test_what_is_typed_is_never_taken_away(shell: pexpect.spawn, library: Path) -> None:
    for typed, file in {"Win": "c", "wind o": "d", "LOW": "b"}.items():
        shell.send(f"distill models path {typed.replace(' ', chr(92) + ' ')}\t")
        shell.expect({"c": "d", "d": "wire", "b": "hum"}[file])
        shell.send("\r")
        shell.expect(re.escape(str(library / f"{file}.distill")))
        shell.expect(PROMPT)


def test_the_commands_that_can_be_configured_are_completed(shell: pexpect.spawn) -> None:
    completed(shell, "distill config show models ver", "models verify ")


def test_a_path_is_completed_where_no_model_is_called_so(shell: pexpect.spawn, home: Path) -> None:
    (home / "takes").mkdir(exist_ok=True)
    (home / "takes" / "rain.distill").touch()
    completed(shell, "distill generate takes/ra", "takes/rain.distill")


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_what_is_printed_is_for_the_shell_that_is_asked_for(cli: Cli, shell_name: str) -> None:
    result = cli("completion", shell_name)
    assert (result.code, result.err) == (0, "")
    assert f"_DISTILL_COMPLETE={shell_name}_complete" in result.out


def test_another_shell_is_refused_with_those_there_are(cli: Cli) -> None:
    result = cli("completion", "tcsh")
    assert (result.code, result.errors) == (
        2,
        ["Error: Invalid value for '{bash|zsh|fish}': 'tcsh' is not one of 'bash', 'zsh', 'fish'."],
    )
