"""Files of a training: the checkpoint it ends with, and the one it goes on from. Both are data."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from distill import outputs
from distill.errors import CheckpointError, DistillError
from distill.text import clean
from distill_codec.networks import Codec

TRAINING_FORMAT = "distill_training"
TRAINING_VERSION = 1


def contents(codec: Codec, metadata: Mapping[str, Any], training: Mapping[str, Any],
             history: Mapping[str, Any], figures: Mapping[str, Any]) -> dict[str, Any]:  # fmt: skip
    """The dictionary of a version 3 checkpoint: tensors and plain values only."""
    return {
        "format": "distill_model",
        "version": 3,
        "model_type": "codec",
        "codec_config": codec.shape.config(),
        "model_state_dict": {name: tensor.detach().cpu().clone() for name, tensor in codec.state_dict().items()},
        "metadata": dict(metadata),
        "training_config": dict(training),
        "loss_curve_history": dict(history),
        "codebook_health_snapshot": dict(figures),
        "has_prior": False,
    }


def publish(path: Path, saved: Mapping[str, Any], *, replacing: bool = False) -> Path:
    """Have a checkpoint appear at `path`, whole; under a numbered name where that one is in use, unless `replacing`.

    Raises `DistillError` where it does not fit on the disk.
    """
    with _room(path), outputs.temporary(path.parent) as draft:
        _write(draft, saved)
        if replacing:
            draft.replace(path)
            return path
        number, free = 1, path
        while not outputs.place(draft, free):
            number += 1
            free = path.with_stem(f"{path.stem}-{number}")
        return free


def save_training(path: Path, saved: Mapping[str, Any]) -> None:
    """Have `path` hold a training to go on from, in place of what it held. Raises as `publish` does."""
    with _room(path), outputs.temporary(path.parent) as draft:
        _write(draft, {"format": TRAINING_FORMAT, "version": TRAINING_VERSION, **saved})
        draft.replace(path)


def load_training(path: Path) -> dict[str, Any]:
    """What `save_training` saved at `path`. Raises `CheckpointError` where that is something else."""
    shown = clean(str(path), 200)
    try:
        with path.open("rb") as file:
            found = torch.load(file, map_location="cpu", weights_only=True)
    except (PermissionError, FileNotFoundError):
        raise
    except Exception as error:  # torch.load raises many kinds for one cause: the file is not as it should be
        raise CheckpointError(f"{shown} is no training, or is damaged. Remove it to begin anew.") from error
    if not isinstance(found, dict) or found.get("format") != TRAINING_FORMAT:
        raise CheckpointError(f"{shown} is no training. Give another --name, or move it away.")
    if found.get("version") != TRAINING_VERSION:
        raise CheckpointError(f"{shown} was begun with another version of distill. Remove it to begin anew.")
    return found


def _write(path: Path, saved: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        torch.save(dict(saved), file)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """Have a disk that is full raised as one line; torch says so in several ways."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "writ" not in str(error):
            raise
        why = error.strerror if isinstance(error, OSError) and error.strerror else "the disk is full"
        raise DistillError(f"{clean(str(path), 200)} could not be written: {why}.") from error
