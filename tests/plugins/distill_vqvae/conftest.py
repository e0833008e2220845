"""Two models that the tests of this plugin share: a small one, and one whose prior has 4 layers and width 256."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import save, vqvae_contents

from distill.checkpoint import read_header
from distill_vqvae.model import VqvaeModel


def load(path: Path, device: str = "cpu") -> VqvaeModel:
    header = read_header(path)
    assert header is not None
    return VqvaeModel.load(header, device)


@pytest.fixture(scope="session")
def model(vqvae_file: Path) -> VqvaeModel:
    return load(vqvae_file)


@pytest.fixture(scope="session")
def wide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    contents = vqvae_contents(codebook_size=128, width=256, layers=4, heads=8)
    return save(contents, tmp_path_factory.mktemp("models") / "wide.distill")


@pytest.fixture(scope="session")
def wide_model(wide_file: Path) -> VqvaeModel:
    return load(wide_file)
