"""The guide for plugin authors, followed to the letter: its files, its commands, what it says of the contract."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import sysconfig
import textwrap
import venv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distill import GenerativeModel, ModelLoader, hookspecs
from distill.testing import CHECKS

GUIDE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
FILES = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE))
SHELL = [
    line.partition("  #")[0].strip()
    for block in re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
PARTIALS = (330, 911, 1789)


def line_of_guide(start: str) -> list[str]:
    """The arguments of the guide's shell line that starts with `start`, its program aside."""
    [line] = [line for line in SHELL if line.startswith(start)]
    return line.split()[1:]


class Environment:
    """A fresh environment, to which this one's packages are linked; what pip installs goes into it.

    `project` is the folder of a plugin, the environment in it as in the guide.
    """

    def __init__(self, project: Path) -> None:
        self.project = project
        self.bin = project / ".venv" / "bin"
        venv.create(project / ".venv")
        [site] = (project / ".venv" / "lib").glob("python*/site-packages")
        (site / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        for program in ("distill", "pip", "pytest"):
            script = self.bin / program
            script.write_text(f'#!/bin/sh\nexec "{self.bin}/python" -m {program} "$@"\n')
            script.chmod(0o755)

    def run(self, program: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """What a program of the environment does in the plugin's folder; it must end with `code`."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "PYTHON", "DISTILL"))}
        command = [str(self.bin / program), *arguments]
        done = subprocess.run(command, cwd=self.project, env=kept, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{program} {arguments}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done

    def install(self, wheel: Path) -> None:
        self.run("pip", "install", "-q", "--no-index", str(wheel))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's plugin, built from the guide's own code blocks."""
    environment = Environment(tmp_path_factory.mktemp("distill-sines"))
    for name, content in FILES.items():
        path = environment.project / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    environment.run("pip", *line_of_guide(".venv/bin/pip wheel"), "-q", "--no-build-isolation")  # without an index
    [built] = (environment.project / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the plugin, its tests and a recording in the folder: what runs is what the wheel holds."""
    environment = Environment(tmp_path_factory.mktemp("installed"))
    environment.install(wheel)
    [tests] = (name for name in FILES if name.startswith("tests/"))
    (environment.project / "tests").mkdir()
    (environment.project / tests).write_text(FILES[tests])
    time = np.arange(2 * 22050) / 22050
    bell = sum(np.sin(2 * np.pi * f * time) / f for f in PARTIALS) * np.exp(-3 * time)
    soundfile.write(environment.project / "bell.wav", 100 * bell, 22050)
    return environment


@pytest.fixture(scope="module")
def model(installed: Environment) -> Path:
    made = installed.run("distill", *line_of_guide(".venv/bin/distill make-sines"))
    assert (made.stdout, made.stderr) == ("bell.distill\n", "")
    return installed.project / "bell.distill"


def test_it_is_found_and_shows_what_it_brings(installed: Environment) -> None:
    listed = json.loads(installed.run("distill", "plugins", "--json").stdout)
    [sines] = [one for one in listed if one["name"] == "sines"]
    assert sines == {
        "name": "sines", "version": "1.0.0", "distribution": "distill-sines", "api": 1,
        "hooks": ["claim_checkpoint", "claimed_types", "generation_options", "register_commands"],
        "claims": [{"version": 7, "model_type": "sines", "loader": "sines", "kind": "SINES"}],
        "options": ["--temperature", "--detune"], "commands": ["make-sines"], "models": [], "errors": [],
    }  # fmt: skip
    assert {one["name"] for one in listed} == {"codec", "sines", "vae", "vqvae"}
    assert not any(one["errors"] for one in listed)


def test_its_options_are_in_the_help(installed: Environment) -> None:
    shown = installed.run("distill", "generate", "--help").stdout
    section = shown.partition("Options for models of plugin sines:\n")[2].partition("\n\n")[0]
    assert "--temperature" in section
    assert "Random tuning, up or down.  [0 to 100 cents; default 0]" in " ".join(section.split("\n")).replace(
        "  " * 8, ""
    )


def test_it_generates_as_the_guide_says(installed: Environment, model: Path) -> None:
    made = installed.run("distill", *line_of_guide(".venv/bin/distill generate"))
    [path] = made.stdout.splitlines()
    samples, rate = soundfile.read(installed.project / path)
    assert (rate, len(samples), made.stderr) == (22050, 20 * 22050, "")
    power = np.abs(np.fft.rfft(samples)) ** 2
    heard = np.fft.rfftfreq(len(samples), 1 / rate)[np.argsort(power)[-20:]]
    near = [min(abs(1200 * np.log2(one / partial)) for partial in PARTIALS) for one in heard]
    assert max(near) < 30  # cents: 15 of detuning, and the width of a peak


def test_what_a_user_can_cause_is_one_line(installed: Environment, model: Path) -> None:
    make = ("distill", "make-sines")
    taken = installed.run(*make, "bell.wav", "bell.distill", code=2)
    assert taken.stderr == "Error: bell.distill is there already. Give another name.\n"
    soundfile.write(installed.project / "silence.wav", np.zeros(100), 8000)
    assert installed.run(*make, "silence.wav", "x.distill", code=2).stderr.startswith(
        "Error: silence.wav has no partials"
    )
    (installed.project / "text.wav").write_text("text")
    text = installed.run(*make, "text.wav", "x.distill", code=2)
    assert text.stderr.startswith("Error: text.wav cannot be read: ")
    assert text.stderr.count("\n") == 1
    assert not (installed.project / "x.distill").exists()


def test_it_passes_the_checks(installed: Environment) -> None:
    assert ".venv/bin/pytest" in SHELL
    done = installed.run("pytest")
    assert f"{len(CHECKS)} passed" in done.stdout


def test_it_is_gone_after_pip_uninstall(wheel: Path, model: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path)
    environment.install(wheel)
    assert "sines (distill-sines 1.0.0, " in environment.run("distill", "plugins").stdout
    environment.run("pip", "uninstall", "-q", "-y", "distill-sines")
    assert "sines" not in environment.run("distill", "plugins").stdout
    assert "--detune" not in environment.run("distill", "generate", "--help").stdout
    refused = environment.run("distill", "generate", str(model), code=1)
    assert "No installed plugin loads " in refused.stderr
    assert "(version 7, model_type 'sines')" in refused.stderr


def test_the_guides_python_is_formatted_as_ours() -> None:
    for name, content in FILES.items():
        if name.endswith(".py"):
            for command in (["format", "--check"], ["check", "--ignore", "I001"]):
                subprocess.run(
                    [sys.executable, "-m", "ruff", *command, "--stdin-filename", name, "-"],
                    input=content, text=True, check=True, capture_output=True, cwd=Path(__file__).parents[2],
                )  # fmt: skip


def signatures(source: str) -> dict[str, str]:
    """The functions in a piece of Python, by name: their arguments and what they return."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return {f.name: f"({ast.unparse(f.args)}) -> {f.returns and ast.unparse(f.returns)}" for f in functions}


def test_the_signatures_in_the_guide_are_those_of_the_code() -> None:
    blocks = re.findall(r"^```python\n(def .*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    hooks, methods = map(signatures, blocks)
    assert hooks == signatures(inspect.getsource(hookspecs))
    of_classes = [signatures(textwrap.dedent(inspect.getsource(one))) for one in (ModelLoader, GenerativeModel)]
    assert methods == of_classes[0] | of_classes[1]


@pytest.mark.parametrize(("module", "names"), re.findall(r"^\| `(distill[\w.]*)` \| (.*) \|$", GUIDE, re.MULTILINE))
def test_what_the_guide_lists_can_be_imported(module: str, names: str) -> None:
    found = importlib.import_module(module)
    assert [name for name in re.findall(r"`(\w+)`", names) if not hasattr(found, name)] == []


def test_every_check_is_in_the_guide() -> None:
    assert re.findall(r"^\| `(check_\w+)`", GUIDE, re.MULTILINE) == [check.__name__ for check in CHECKS]
