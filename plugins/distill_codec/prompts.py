"""A recording to be continued, and whether it is still the one it was. Nothing heavy is imported."""

from __future__ import annotations

import hashlib
from pathlib import Path

from distill.errors import RequestError
from distill.text import clean

PROMPT_SECONDS = 5.0
"""How much of a recording files begin with, where nobody says."""


def fingerprint(path: str) -> str:
    """A hash of the file at `path`. Raises `RequestError` where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RequestError(
            f"--prompt: {clean(path, 200)} cannot be read: {error.strerror}. Give a recording."
        ) from error
