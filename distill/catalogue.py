"""What was read of files, kept from run to run so that a large library lists at once. Knows nothing of checkpoints.

The files are the truth: what is kept of one counts only while its path, its size and its times are what they were. The
whole is one file in the user's cache folder; where that is missing, damaged or of another version, it is made anew.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from distill import outputs
from distill.errors import DistillError

VERSION = 1
"""Rises when what is kept of a file changes."""
SETTLED_S = 2.0
"""A file changed less than so many seconds ago is not kept: clocks of file systems tick as slowly as that."""


class Catalogue:
    """What is known of files, by path: plain values. `stamp` says what else it depends on, such as who read them."""

    def __init__(self, stamp: str) -> None:
        self._stamp = f"{VERSION} {stamp}"
        self._kept: dict[str, list[Any]] = _read(path(), self._stamp)
        self._changed = False

    def value(self, file: str, stat: os.stat_result, read: Callable[[], Any]) -> Any:
        """What is kept of `file`, which is now as `stat` says; else what `read` gives, which is kept from then on."""
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        kept = self._kept.get(file)
        if kept is not None and kept[:-1] == state:
            return kept[-1]
        value = read()
        if time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED_S:
            self._kept[file] = [*state, value]
            self._changed = True
        return value

    def keep_only(self, files: Collection[str], folders: Collection[str]) -> None:
        """Forget what is in one of the `folders` and not among `files`."""
        roots = tuple(os.path.join(folder, "") for folder in folders)  # noqa: PTH118 - a separator at its end
        gone = [file for file in self._kept if file.startswith(roots) and file not in files]
        for file in gone:
            del self._kept[file]
        self._changed |= bool(gone)

    def save(self) -> None:
        """Write what has changed. Where that cannot be, nothing is lost but time."""
        if not self._changed:
            return
        body = json.dumps(self._kept, separators=(",", ":")).encode()
        head = json.dumps([self._stamp, zlib.crc32(body)]).encode()
        with suppress(OSError, DistillError):
            path().parent.mkdir(parents=True, exist_ok=True)
            outputs.replace(path(), head + b"\n" + body)
        self._changed = False


def path() -> Path:
    """Where it is kept."""
    from platformdirs import user_cache_path

    return user_cache_path("distill", appauthor=False) / "library.json"


def _read(file: Path, stamp: str) -> dict[str, list[Any]]:
    """What `file` keeps; nothing where it is damaged or of another stamp."""
    try:
        head, _, body = file.read_bytes().partition(b"\n")
        if json.loads(head) != [stamp, zlib.crc32(body)]:
            return {}
        kept: Mapping[str, list[Any]] = json.loads(body)
        return dict(kept)
    except (OSError, ValueError, RecursionError):
        return {}
