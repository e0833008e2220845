"""Files of a training: the checkpoint it ends with, and the one it goes on from. Both are data."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from distill import outputs
from distill.errors import CheckpointError, DistillError
from distill.pickles import Placeholder
from distill.text import clean
from distill_codec.networks import Codec

TRAINING_FORMAT = "distill_training"
TRAINING_VERSION = 2


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


def publish(
    path: Path, saved: Mapping[str, Any], page: Callable[[Path], str], report: str, *, replacing: bool
) -> tuple[Path, Path]:
    """Have a checkpoint appear at `path`, whole, and beside it what `page` makes of its draft; their paths.

    The page's name is that of the checkpoint with `report` after it. Where either is in use, both get a number, unless
    `replacing`. Raises `DistillError` where they do not fit on the disk.
    """
    with _room(path), outputs.temporary(path.parent) as draft, outputs.temporary(path.parent) as page_draft:
        _write(draft, saved)
        page_draft.write_text(page(draft), "utf-8")
        if replacing:
            beside = path.with_name(path.stem + report)
            draft.replace(path)
            page_draft.replace(beside)
            return path, beside
        for number in itertools.count(1):
            free = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
            beside = free.with_name(free.stem + report)
            if beside.exists() or not outputs.place(draft, free):
                continue
            if outputs.place(page_draft, beside):
                return free, beside
            free.unlink()  # the page's name was taken in between
    raise AssertionError("count() does not end")


def refuse_foreign(path: Path, contents: Mapping[str, Any]) -> None:
    """Raise `CheckpointError` where `contents` have something of another program in them, which `_write` would lose."""
    if _is_foreign(contents):
        raise CheckpointError(
            f"{clean(str(path), 200)} holds objects of the program that made it, which would be lost if it were "
            "written anew. Give another model."
        )


def _is_foreign(value: object) -> bool:
    """Whether there is a `Placeholder` anywhere in `value`."""
    if isinstance(value, Mapping):
        return any(_is_foreign(one) for one in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_is_foreign(one) for one in value)
    return isinstance(value, Placeholder)


def save_training(path: Path, saved: Mapping[str, Any]) -> None:
    """Have `path` hold a training to go on from, in place of what it held. Raises as `publish` does.

    What a process that was killed left of a save is overwritten by the next: only one trains under a name.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        with _room(path):
            _write(draft, {"format": TRAINING_FORMAT, "version": TRAINING_VERSION, **saved})
            draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


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
        try:
            torch.save(dict(saved), file)
        except RuntimeError as error:  # torch's own writer has seen a write fall short
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _room(path: Path) -> Iterator[None]:
    """Have what goes wrong with the disk raised as one line."""
    try:
        yield
    except OSError as error:
        why = error.strerror or "the disk may be full"
        raise DistillError(
            f"{clean(str(path), 200)} could not be written: {why}. Make room, or choose another folder."
        ) from error
