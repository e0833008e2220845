"""Where what comes of a training lies, and who may write there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from distill.checkpoint import read_header
from distill.devices import is_out_of_memory
from distill.errors import CheckpointError, DistillError, RequestError
from distill.text import clean, file_stem

REPORT = "-report.html"
PRIOR_REPORT = "-prior-report.html"


@dataclass(frozen=True)
class Files:
    """Where what comes of a training lies."""

    model: Path
    report: Path
    training: Path

    @classmethod
    def named(cls, name: str, directory: Path) -> Files:
        """The files of the codec `name`. Raises `RequestError` where that is no name for a file."""
        if not name or file_stem(name, 100) != name:
            hint = f" {file_stem(name, 100)!r} would do." if name.strip() else ""
            raise RequestError(f"--name: {clean(name, 100)!r} is no name for a file.{hint}")
        return cls(directory / f"{name}.distill", directory / f"{name}{REPORT}", directory / f"{name}.training")

    @classmethod
    def of_prior(cls, model: Path) -> Files:
        """The files of the prior that `model` gets."""
        name = model.stem if model.suffix == ".distill" else model.name
        return cls(model, model.with_name(f"{model.stem}{PRIOR_REPORT}"), model.with_name(f"{name}.prior-training"))

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """While this lasts, no other process trains under the name. Raises `DistillError` where one does."""
        path = self.training.with_name(f".{self.training.name}.lock")
        lock = filelock.FileLock(path, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise DistillError(
                f"A training named {clean(self.training.stem, 100)} is under way. Give another name, or let it end."
            ) from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            lock.release()


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Have whatever a damaged training at `path` leads to raised as one line."""
    try:
        yield
    except (CheckpointError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"{clean(str(path), 200)} is damaged. Remove it to begin anew.") from error


def model_id(path: Path) -> object:
    """What the checkpoint at `path` is called among others; None where it is none, or says nothing."""
    header = read_header(path)
    return None if header is None else header.metadata.get("model_id")
