"""What can be asked of the space that sound is put into. Facts only: `spatial.py` computes, numpy is not needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MODES = ("mono", "stereo", "binaural")
WIDEST = 1.5


@dataclass(frozen=True)
class Space:
    """`mode` is one of MODES, `width` from 0 to WIDEST, `depth` from 0 to 1; `hrtf` a SOFA file, None for KEMAR's."""

    mode: str
    width: float = 1.0
    depth: float = 0.5
    hrtf: Path | None = None

    @property
    def channels(self) -> int:
        """How many channels what comes out has."""
        return 1 if self.mode == "mono" else 2
