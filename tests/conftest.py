"""What several tests share: checkpoints, the reference files, and the program run in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkpoints import save, vae_contents, vqvae_contents

from distill.cli import build, run
from distill.plugins import discover

REFERENCE = Path(os.environ.get("DISTILL_REFERENCE", Path(__file__).parents[2] / "shared" / "reference"))


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of the reference checkpoints and arrays."""
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference files at {REFERENCE}; DISTILL_REFERENCE names their folder")
    return REFERENCE


@pytest.fixture(scope="session")
def vqvae_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(vqvae_contents(), tmp_path_factory.mktemp("models") / "pebbles.distill")


@pytest.fixture(scope="session")
def vae_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(vae_contents(), tmp_path_factory.mktemp("models") / "fog.distill")


@dataclass(frozen=True)
class Result:
    """What a run of the program left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def files(self) -> list[Path]:
        return [Path(line) for line in self.out.splitlines()]


Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `distill` with arguments, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = run(build(discover()), [str(a) for a in arguments])
        streams = capsys.readouterr()
        return Result(code, streams.out, streams.err)

    return call
