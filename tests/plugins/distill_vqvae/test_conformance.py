"""The bundled plugin passes the checks that any loader must pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from checkpoints import save, vqvae_contents

from distill.testing import parametrize_with_checks


def small_checkpoint(folder: Path) -> Path:
    return save(vqvae_contents(), folder / "small.distill")


@parametrize_with_checks("vqvae", small_checkpoint)
def test_it_keeps_the_contract(check: Callable[[], None]) -> None:
    check()
