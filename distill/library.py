"""Where checkpoints are found: from what the user calls a model to the file it is."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from distill.errors import DistillError
from distill.text import clean


def expand(path: str | os.PathLike[str]) -> Path:
    """`path` with a user's own folder for `~`. Raises `DistillError` where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DistillError(f"{clean(str(path), 200)}: there is no such user.") from error


def resolve(reference: str | os.PathLike[str], bundled: Mapping[str, Path] | None = None) -> Path:
    """The file that `reference` stands for: a path, or else the name of one that plugins have `bundled`.

    Raises `DistillError` where there is none or it is not a regular file, naming near ones in the same folder.
    """
    path = expand(reference)
    shown = clean(str(path), 200)
    try:
        if path.is_file():
            return path
        if bundled and str(reference) in bundled:
            return bundled[str(reference)]
        if path.is_dir():
            raise DistillError(f"{shown} is a folder. Give one of its checkpoints (*.distill).")
        if path.exists():
            raise DistillError(f"{shown} is neither a file nor a folder. Give the path of a checkpoint (*.distill).")
        there = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError as error:
        raise DistillError(f"{shown} cannot be looked up: {error.strerror}.") from error
    near = difflib.get_close_matches(path.name, [*there, *(bundled or {})], n=3)
    hint = f" Near it: {', '.join(clean(n) for n in near)}." if near else " Give the path of a checkpoint (*.distill)."
    raise DistillError(f"{shown} does not exist.{hint}")
