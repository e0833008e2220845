"""The bundled plugin passes the checks that any loader must pass."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from checkpoints import save, vae_contents

from distill import CheckpointHeader
from distill.testing import parametrize_with_checks
from distill_vae.presets import Preset, Presets

FOLDER = tempfile.TemporaryDirectory(prefix="distill-blend-")
OTHER = Path(FOLDER.name) / "other.distill"
EXAMPLES = {
    "slider": ["0:5", "brightness:5"],
    "evolution": ["0.2 --slider 0:5"],
    "preset": ["deep"],
    "blend": [f"{OTHER}:50"],
    "weight": [f"7 --blend {OTHER}:50"],
    "blend_mode": [f"audio --blend {OTHER}:50"],
}


def small_checkpoint(folder: Path) -> Path:
    save(vae_contents(weights=5, name="other"), OTHER)
    return save(vae_contents(), folder / "small.distill")


@parametrize_with_checks("vae", small_checkpoint, EXAMPLES)
def test_it_keeps_the_contract(check: Callable[[], None]) -> None:
    header = CheckpointHeader(Path("any"), 1, None, {"metadata": vae_contents()["metadata"]})
    Presets.of(header).save(Preset("deep", (4, -3, 0)))
    check()
