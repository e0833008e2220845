"""What tests of this plugin share: presets in a folder of their own, and requests with the options they leave out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distill import GenerationRequest
from distill.checkpoint import CheckpointHeader, read_header

OPTIONS: dict[str, Any] = {
    "slider": (), "randomize_sliders": False, "evolution": 0.5, "preset": None, "blend": (), "weight": 50.0,
    "blend_mode": None,
}  # fmt: skip

Asking = Callable[..., GenerationRequest]


@pytest.fixture(autouse=True)
def presets_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where presets are kept."""
    folder = tmp_path_factory.mktemp("presets")
    monkeypatch.setenv("DISTILL_PRESETS", str(folder))
    return folder


@pytest.fixture(scope="session")
def asking() -> Asking:
    """A request for `seconds` at 48 kHz, with settled options."""

    def ask(seconds: float, seed: int = 3, **options: Any) -> GenerationRequest:
        return GenerationRequest(seed=seed, samples=round(seconds * 48000), options=OPTIONS | options)

    return ask


@pytest.fixture(scope="session")
def header_of() -> Callable[[Path], CheckpointHeader]:
    def read(path: Path) -> CheckpointHeader:
        header = read_header(path)
        assert header is not None
        return header

    return read
