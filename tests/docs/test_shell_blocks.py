"""Every block of shell commands in the README and the documentation runs, from its first line to its last.

Each page's blocks run in order, in one folder that holds the recordings and models that the pages speak of. The program
is the real one; its trainings are of small models, its batches work in one process, and what would take long or leave
this machine has a stand-in.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkpoints import codec_prior_contents, save, vae_contents
from recordings import corpus, sound, write
from served import served

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)

ELSEWHERE = {
    "README.md": {
        "distill generate starter\n": ".ci/run",  # in a fresh clone and a fresh environment
        ".venv/bin/pytest -n auto\n": ".ci/run",
    },
    "CONTRIBUTING.md": {"pip install": ".ci/run", "sphinx-build": ".ci/run"},
    "docs/first-minutes.md": {"pip install": ".ci/run", "export PATH=": ".ci/run"},
    "docs/plugins.md": dict.fromkeys(
        ("venv", "pip install -e", "/pytest", "pip wheel"), "tests/docs/test_plugin_guide.py"
    ),
    "docs/performance.md": {"python tests/benchmarks/": "tests/benchmarks"},  # by hand: they take minutes
}
"""Blocks that something else runs, by a part of each: what runs them."""

STAND_INS = [
    (r"-d (10|20|60|5|4|2)\b", "-d 0.3"),
    (r"/usr/share/sonic-pi/samples|recordings/", "recordings"),
    (r"train-prior (\S+) recordings( --minutes \d+)?", r"train-prior \1 recordings --steps 2"),
    (r"--minutes \d+", "--epochs 1"),
    (r"--seeds (0-99|1-4)", "--seeds 0"),
    (r"s3://bucket", "file://$PWD/bucket"),
    (r" --scheduler tcp://\S+", ""),  # tests/distill/batch/test_dask.py
    (r"^dask (scheduler|worker).*", r"dask \1 --help > dask.txt"),
    (r"accelerate launch -m distill", "distill"),  # tests/plugins/distill_codec/test_train.py
    (r"distill train recordings --name rain --resume", "distill train --help | grep -e --resume"),  # there too
    (
        r'eval "\$\(distill completion zsh\)"',
        "distill completion zsh > zsh.txt",
    ),  # tests/distill/cli/test_completion.py
    (r"distill models remove", "distill models remove --yes"),
    (r"/(archive|shared)/", r"./\1/"),
    (r"~/", "./"),
]
"""What is done instead of what takes long, or needs another machine or shell."""

SETTINGS = {
    "DISTILL_GENERATE_DURATION": "0.3", "DISTILL_BATCH_DURATION": "0.3", "DISTILL_TRAIN_EPOCHS": "1",
    "SOURCE_DATE_EPOCH": "1769817600",
}  # fmt: skip

PIP = """\
#!{python}
import re, sys
from importlib.metadata import metadata
extras = set(metadata("distill").get_all("Provides-Extra"))
named = [re.fullmatch(r"distill\\[(.*)\\]", one) for one in sys.argv[2:]]
assert sys.argv[1] == "install" and all(one is not None and one[1] in extras for one in named), sys.argv
"""
PLAY = """\
#!{python}
import io, sys
import soundfile
for sound in sys.argv[1:]:
    assert len(soundfile.read(io.BytesIO(sys.stdin.buffer.read()) if sound == "-" else sound)[0]) > 0
"""


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    text: str

    @property
    def elsewhere(self) -> str | None:
        """What runs it, if it is not run here."""
        return next((where for part, where in ELSEWHERE.get(self.page, {}).items() if part in self.text), None)

    @property
    def script(self) -> str:
        """It, with what stands in."""
        text = self.text
        for pattern, replacement in STAND_INS:
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        return text


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    name = page.relative_to(ROOT).as_posix()
    return [Block(name, text.count("\n", 0, one.start()) + 1, one[1]) for one in BLOCK.finditer(text)]


FOUND = {page.relative_to(ROOT).as_posix(): found for page in PAGES if (found := blocks(page))}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of programs: `distill`, and stand-ins for those that play sound or install packages."""
    folder = tmp_path_factory.mktemp("programs")
    for name, text in (("pip", PIP), ("play", PLAY)):
        (folder / name).write_text(text.format(python=sys.executable))
        (folder / name).chmod(0o755)
    with served(folder, "small_training", "in_threads"):
        yield folder


def prepared(folder: Path) -> None:
    """A `folder` with all that the pages speak of."""
    corpus(folder / "recordings", seconds=2.0)
    write(folder / "in.wav", sound(0.2))
    save(codec_prior_contents(name="rain"), folder / "rain.distill")
    for name in ("fog", "rain1"):
        save(vae_contents(name=name), folder / f"{name}.distill")
    for name in ("archive", "new-place", ".config/fish/completions"):
        (folder / name).mkdir(parents=True)
    shutil.copy(folder / "fog.distill", folder / "archive")
    shutil.copy(folder / "fog.distill", folder / "new-place")
    rows = ["model,seed,count,duration,temperature", "rain.distill,7,2,0.3,0.8", "fog.distill,7,1,0.3,"]
    (folder / "takes.csv").write_text("\n".join(rows))
    (folder / "plan.json").write_text('{"jobs": [{"model": "rain.distill", "seed": 1, "duration": 0.3}]}')


MADE_BEFORE = {
    "README.md": "distill generate fog.distill -s 7 --slider 1:2",
    "docs/sidecar.md": "distill generate fog.distill -s 7 -f flac",
    "docs/batch.md": "distill models add rain.distill",
    "docs/configuration.md": "distill models add rain.distill",
    "docs/report.md": "distill batch takes.csv -o takes",
    "docs/picking.md": "distill generate rain.distill -s 1 -n 3 -o takes",
    "docs/exploring.md": "distill generate fog.distill -s 7 --slider 1:2 -o fogs",
}
"""What a reader of a page has done by then."""
CLEARED = "rm -f rain.* rain-*"
BEFORE_LINES = [
    ("distill train recordings", CLEARED),
    ("distill train-prior rain.distill", f"{CLEARED}; distill train recordings --name rain --no-prior"),
]
"""What makes room for, or is needed by, lines that begin so."""


@pytest.mark.parametrize("page", [page for page, found in FOUND.items() if not all(one.elsewhere for one in found)])
def test_its_blocks_run(programs: Path, tmp_path: Path, page: str) -> None:
    for needed in ("bash", "jq", "sox"):
        if shutil.which(needed) is None:
            pytest.skip(f"there is no {needed}")
    prepared(tmp_path)
    kinds = {"DATA": "library", "CONFIG": ".config", "CACHE": ".cache"}
    path = f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | SETTINGS | {"PATH": path, "HOME": str(tmp_path)}
    environment |= {f"XDG_{kind}_HOME": str(tmp_path / place) for kind, place in kinds.items()}
    failed = []
    for line in (line for script in [MADE_BEFORE.get(page, ""), *scripts(page)] for line in commands(script)):
        before = "".join(f"{needed}\n" for start, needed in BEFORE_LINES if line.startswith(start))
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", before + line], cwd=tmp_path, env=environment, input="y\n",
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            failed.append(f"{line}\n{done.stderr}")
    assert not failed, "\n".join(failed)


def scripts(page: str) -> list[str]:
    """What is run of a page."""
    return [one.script for one in FOUND[page] if not one.elsewhere]


def commands(script: str) -> list[str]:
    """The commands of a script: its lines, but those that belong together."""
    joined = re.sub(r"\\\n", "", script)
    return [joined] if re.search(r"^(for|if|while)\b", joined, re.MULTILINE) else joined.splitlines()


@pytest.mark.parametrize("page", ELSEWHERE)
def test_what_is_run_elsewhere_is_still_there(page: str) -> None:
    for part, where in ELSEWHERE[page].items():
        assert any(part in one.text for one in FOUND[page]), part
        assert (ROOT / where).exists()


def test_other_blocks_of_commands_are_marked_as_such() -> None:
    """So that none escapes: shell is always called `sh`."""
    for page in PAGES:
        assert not re.search(r"^```(bash|shell|console|zsh)\b", page.read_text(), re.MULTILINE), page
