"""What several tests share: checkpoints, the reference files, and the program run in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("SOURCE_DATE_EPOCH", "1769817600")  # the date in tags, so that no test depends on midnight
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; read when torch is imported

import pytest
from checkpoints import save, vae_contents, vqvae_contents
from forking import Nursery, nursery
from program import Cli, Result

from distill.cli import run
from distill.plugins import Plugins, discover

REFERENCE = Path(os.environ.get("DISTILL_REFERENCE", Path(__file__).parents[2] / "shared" / "reference"))


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's configuration, library and catalogue out of the tests, and the tests out of them."""
    home = tmp_path_factory.mktemp("home")
    for kind in ("CONFIG", "DATA", "CACHE"):
        os.environ[f"XDG_{kind}_HOME"] = str(home / kind.lower())


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


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run `distill` with arguments, in an empty folder of its own; with `plugins` in place of those installed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object, plugins: Plugins | None = None) -> Result:
        capsys.readouterr()
        code = run(lambda: plugins or discover(), [str(a) for a in arguments])
        streams = capsys.readouterr()
        return Result(code, streams.out, streams.err)

    return call


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Runs `distill` as a process that has all imports behind it."""
    with nursery(tmp_path_factory.mktemp("forked")) as made:
        yield made


@pytest.fixture(scope="session")
def forked_light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Runs `distill` as a process that has the imports of light commands behind it."""
    with nursery(tmp_path_factory.mktemp("forked_light"), heavy=False) as made:
        yield made
