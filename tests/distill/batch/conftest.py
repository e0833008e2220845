"""What tests of whole batches share: a small model, quick runs, and what a run makes of it that nothing disturbs."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import save, vqvae_contents
from forking import Nursery
from processes import Quick


@pytest.fixture(scope="session")
def quick(forked: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Quick:
    """Runs batches whose work is done by a thread of theirs, where nothing depends on processes."""
    return Quick(forked, tmp_path_factory.mktemp("quick"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(vqvae_contents(), tmp_path_factory.mktemp("models") / "pebbles.distill")


@pytest.fixture(scope="module")
def alone(request: pytest.FixtureRequest, model: Path, quick: Quick, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run of what the module calls `ASKED`."""
    folder = tmp_path_factory.mktemp("alone") / "out"
    done = quick(model, *request.module.ASKED, "-o", folder)
    assert done.code == 0, done.err
    return folder
