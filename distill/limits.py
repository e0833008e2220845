"""How large a model may be: a ceiling for what a file from a stranger can have the machine do.

It is kept in the environment, so that it holds in every process that this one starts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distill.errors import CheckpointError, RequestError
from distill.sizes import parse, readable
from distill.text import clean

VARIABLE = "DISTILL_MAX_MODEL_SIZE"
DEFAULT = 4 * 10**9
"""In bytes: a thousand million parameters in float32."""


def max_model_size() -> int:
    """The ceiling in bytes. Raises `RequestError` where the environment says none that can be understood."""
    said = os.environ.get(VARIABLE)
    if not said:
        return DEFAULT
    try:
        return parse(said)
    except ValueError as error:
        raise RequestError(f"{VARIABLE}: {clean(said)!r} is no size: {error}.") from error


@contextmanager
def allowing(size: int) -> Iterator[None]:
    """Have `size` in bytes be the ceiling."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(size)
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def check(path: Path, size: int) -> None:
    """Raise `CheckpointError` if a model of `size` bytes, that of the file at `path`, is over the ceiling."""
    most = max_model_size()
    if size > most:
        allow = f"{-(-size // 10**9)}G" if size > 10**9 else f"{-(-size // 10**6)}M"
        raise CheckpointError(
            f"{clean(str(path), 200)} holds a model of {readable(size)}; at most {readable(most)} are loaded. "
            f"If you trust it, --max-model-size {allow} or {VARIABLE}={allow} allows it."
        )
