"""Names and folders: a file appears whole, under a name that was free, or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from distill.concurrency import UnwantedError
from distill.errors import DistillError
from distill.text import clean


def prepare(directory: Path) -> None:
    """Make `directory` if it is missing. Raises `DistillError` where files cannot be made in it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with temporary(directory) as path:
            path.touch()
    except OSError as error:
        shown = clean(str(directory), 200)
        raise DistillError(
            f"{shown} cannot hold files: {error.strerror}. Choose a folder with --output-dir."
        ) from error


@contextmanager
def temporary(directory: Path) -> Iterator[Path]:
    """A path in `directory` that nobody else uses, hidden from listings; what is there at the end is removed."""
    path = _hidden(directory)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


class Drafts:
    """Files of a folder that are whole but have no name yet. Those without one when it ends are removed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._paths: set[Path] = set()
        self._ended = False

    def new(self) -> Path:
        """A path for a draft that nobody else uses."""
        path = _hidden(self._directory)
        self._paths.add(path)
        if self._ended:  # by a second Ctrl+C, while others still make files
            raise UnwantedError
        return path

    def publish(self, draft: Path, stem: str, suffix: str, describe: Callable[[Path], dict[str, Any]]) -> Path:
        """What `publish` does, for a draft that is not needed after that."""
        path = publish(draft, stem, suffix, describe)
        draft.unlink()
        self._paths.remove(draft)
        return path

    def __enter__(self) -> Drafts:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        for path in self._paths.copy():
            path.unlink(missing_ok=True)


def publish(audio: Path, stem: str, suffix: str, describe: Callable[[Path], dict[str, Any]]) -> Path:
    """Give the finished file `audio` its name in its folder, then put its sidecar beside it; return the new path.

    The name is `stem`, or `stem-2`, `stem-3`, ... where it is in use by an audio file or a sidecar. Two
    processes that want one name both get one. `describe` makes the sidecar's contents from the path.
    """
    _sync(audio)
    for number in count(1):
        path = audio.with_name(f"{stem}{f'-{number}' if number > 1 else ''}{suffix}")
        sidecar = path.with_suffix(".json")
        if sidecar.exists() or not place(audio, path):
            continue
        try:
            with temporary(audio.parent) as draft:
                draft.write_bytes(to_json(describe(path)))
                _sync(draft)
                if place(draft, sidecar):
                    return path
        except BaseException:
            path.unlink()
            raise
        path.unlink()  # another process took the sidecar's name in between: ours is the next number
    raise AssertionError("count() does not end")


def replace(path: Path, contents: bytes) -> None:
    """Have `path` hold `contents`, in place of what it held: one or the other at any moment, whole."""
    path = path.resolve()  # a link stays one
    with temporary(path.parent) as draft:
        draft.write_bytes(contents)
        _sync(draft)
        draft.replace(path)


def _hidden(directory: Path) -> Path:
    return directory / f".distill-{secrets.token_hex(8)}.part"


def to_json(value: object) -> bytes:
    """`value` as readable JSON in UTF-8. Bytes of a path that are no text become the escapes that JSON has for them."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def place(source: Path, target: Path) -> bool:
    """Make `source` appear as `target`, atomically; False where the name is in use, which stays as it is."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links, such as exFAT: reserve the name, then rename a copy over it
        if target.exists():
            return False
        with temporary(target.parent) as copy:
            shutil.copyfile(source, copy)
            try:
                target.touch(exist_ok=False)
            except FileExistsError:
                return False
            copy.replace(target)
    return True


def _sync(path: Path) -> None:
    """Have the file's data on the disk before its name is."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
