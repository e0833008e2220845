"""The bundled plugin passes the checks that any loader must pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from checkpoints import save, vae_contents

from distill.testing import parametrize_with_checks

# Presets and blends are declared, and refused until they are there.
EXAMPLES = {"slider": ["0:5"], "preset": [], "blend": []}


def small_checkpoint(folder: Path) -> Path:
    return save(vae_contents(), folder / "small.distill")


@parametrize_with_checks("vae", small_checkpoint, EXAMPLES)
def test_it_keeps_the_contract(check: Callable[[], None]) -> None:
    check()
