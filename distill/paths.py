"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

from distill.errors import DistillError
from distill.text import clean


def expand(path: str | os.PathLike[str]) -> Path:
    """`path` with a user's own folder for `~`. Raises `DistillError` where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DistillError(f"{clean(str(path), 200)}: there is no such user. Write the path out in full.") from error
