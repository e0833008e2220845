"""What tests of whole batches share: a small model, and what a run makes of it that nothing disturbs."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import save, vqvae_contents
from processes import batch


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(vqvae_contents(), tmp_path_factory.mktemp("models") / "pebbles.distill")


@pytest.fixture(scope="module")
def alone(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run of what the module calls `ASKED`."""
    folder = tmp_path_factory.mktemp("alone") / "out"
    assert batch(model, *request.module.ASKED, "-o", folder).returncode == 0
    return folder
