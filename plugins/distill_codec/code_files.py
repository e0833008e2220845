"""Codes in a file: an .npz with plain arrays, read without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from distill.errors import DistillError
from distill.text import clean


@dataclass(frozen=True)
class Codes:
    """The `codes` of a sound, `[steps, ...]`, of `samples` at `sample_rate` (Hz), by the model `model_id`."""

    codes: NDArray[np.int64]
    samples: int
    sample_rate: int
    model_id: str

    @classmethod
    def joined(cls, pieces: Sequence[NDArray[np.int64]], samples: int, sample_rate: int, model_id: str) -> Codes:
        """The codes in `pieces [steps, ...]`, of which there is at least one."""
        return cls(np.concatenate(pieces), samples, sample_rate, model_id)


def write(path: Path, codes: Codes) -> None:
    """Write `codes` to `path`, compressed, in as few bits as they need."""
    largest = int(codes.codes.max(initial=0))
    kind = np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.int64
    with path.open("wb") as file:
        np.savez_compressed(
            file, codes=codes.codes.astype(kind), samples=codes.samples, sample_rate=codes.sample_rate,
            model_id=codes.model_id,
        )  # fmt: skip


def read(path: Path) -> Codes:
    """The codes in the file at `path`. Raises `DistillError` where it is none that `write` made."""
    shown = clean(str(path), 200)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            codes, samples, rate, model_id = (arrays[name] for name in ("codes", "samples", "sample_rate", "model_id"))
            found = Codes(codes, int(samples), int(rate), str(model_id))
    except (PermissionError, FileNotFoundError):
        raise
    except Exception as error:  # a damaged zip raises many kinds for one cause: it is not what `write` made
        raise DistillError(f"{shown} is no file of codes. Give one that 'distill encode' wrote.") from error
    if found.codes.dtype.kind not in "iu" or found.samples < 1 or found.sample_rate < 1:
        raise DistillError(f"{shown} is no file of codes. Give one that 'distill encode' wrote.")
    return Codes(found.codes.astype(np.int64), found.samples, found.sample_rate, found.model_id)
