"""What is installed is what lies in the two folders, and the rule of dependence between them."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import re
import shlex
import subprocess
import sys
import tokenize
from pathlib import Path

import click
import pytest

from distill.cli import build
from distill.plugins import discover

DISTILL = Path(sys.executable).with_name("distill")
ROOT = Path(__file__).parents[1]
PLUGINS = sorted(p.name for p in (ROOT / "plugins").iterdir() if (p / "__init__.py").exists())
HOST_FILES = sorted((ROOT / "distill").rglob("*.py"))


def packages() -> list[str]:
    """Every package in the two folders, by its import name."""
    tops = [ROOT / "distill", *(ROOT / "plugins" / name for name in PLUGINS)]
    return sorted(
        ".".join([top.name, *p.parent.relative_to(top).parts]) for top in tops for p in top.rglob("__init__.py")
    )


def test_every_package_is_listed_for_installation() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert sorted(config["options"]["packages"].split()) == packages()


def test_every_file_that_comes_along_is_listed_for_installation() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = config["options.package_data"]
    data = sorted(p for p in (ROOT / "distill").rglob("data/*") if p.is_file())
    assert data
    for path in data:
        package = ".".join(path.parents[1].relative_to(ROOT).parts)
        assert any(path.match(pattern) for pattern in listed[package].split()), path


def test_the_bundled_plugins_are_found_by_entry_points_of_the_one_distribution() -> None:
    points = importlib.metadata.distribution("distill").entry_points.select(group="distill")
    assert {p.name: p.value for p in points} == {
        "codec": "distill_codec", "vae": "distill_vae", "vqvae": "distill_vqvae",
    }  # fmt: skip


def test_the_version_is_the_distributions() -> None:
    shown = subprocess.run([DISTILL, "--version"], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[0] == f"distill, version {importlib.metadata.version('distill')}"


@pytest.mark.parametrize("path", HOST_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_host_names_no_architecture(path: Path) -> None:
    with path.open("rb") as file:
        words = [t.string for t in tokenize.tokenize(file.readline) if t.type in (tokenize.NAME, tokenize.STRING)]
    architectures = re.compile(r"vq_?-?vae|(?<![a-z])vae(?![a-z])|codec(?!s)", re.IGNORECASE)
    prose = {n.value.value for n in ast.walk(ast.parse(path.read_text())) if is_docstring(n)}  # type: ignore[attr-defined]
    named = [w for w in words if architectures.search(w) and ast_string(w) not in prose]
    assert named == []


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def ast_string(token: str) -> object:
    """The value of a string token; None for any other token."""
    return ast.literal_eval(token) if token[-1:] in "'\"" and not token.startswith(("f", "F")) else None


@pytest.mark.parametrize("path", HOST_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_host_imports_no_plugin(path: Path) -> None:
    imported = [
        name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    ]
    assert not [name for name in imported if name.partition(".")[0] in PLUGINS]


def readme_commands() -> list[str]:
    """The lines in the README's shell blocks."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def test_the_readme_sets_up_with_two_commands_of_one_line() -> None:
    generate, test = readme_commands()[:2]
    for command in (generate, test):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt ")
    assert shlex.split(generate)[-3:-1] == [".venv/bin/distill", "generate"]
    assert "&& .venv/bin/pytest" in test


def test_every_flag_in_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    groups = [name for name, command in build(discover()).commands.items() if isinstance(command, click.Group)]
    named = re.compile(rf"\bdistill ((?:{'|'.join(groups)}) [a-z-]+|[a-z-]+)(.*)")
    used: dict[str, set[str]] = {}
    for line in readme_commands():
        for command, arguments in named.findall(line.partition("  #")[0]):
            used.setdefault(command, set()).update(re.findall(r"(?<= )--?[a-z][\w-]*", arguments.partition("|")[0]))
    assert {"--top-k", "-t"} <= used["generate"]
    assert "--times" in used["plugins"]
    assert "--from" in used["presets save"]
    for command, flags in used.items():
        shown = subprocess.run([DISTILL, *command.split(), "--help"], capture_output=True, text=True, check=True).stdout
        assert flags <= set(re.findall(r"--?[a-z][\w-]*", shown)), command
    assert "shared" not in text
