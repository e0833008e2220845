"""A URL as the place for a batch's files, by fsspec."""

from __future__ import annotations

import posixpath
import secrets
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from distill.batch import journal
from distill.batch.stores import BLOCK, NO_FILE, Appending, Store
from distill.errors import DistillError, DistillWarning
from distill.text import clean

OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"}
"""Kinds of URLs whose files appear at once."""


class Remote(Store):
    """A place that fsspec reaches by `where`, a URL such as `s3://bucket/folder`.

    An object of a store such as S3 appears at once when it is uploaded; elsewhere a file is uploaded under another name
    and then moved.
    """

    def __init__(self, where: str) -> None:
        self.where = where

    def __reduce__(self) -> tuple[type[Remote], tuple[str]]:
        return Remote, (self.where,)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system and the path in it."""
        import fsspec

        try:
            fs, path = fsspec.core.url_to_fs(self.where, use_listings_cache=False)
        except ImportError as error:  # which says what to install
            raise DistillError(f"--output-dir {clean(self.where, 200)}: {clean(str(error), 200)}.") from error
        except ValueError as error:
            raise DistillError(
                f"--output-dir {clean(self.where, 200)}: {clean(str(error), 200)}. "
                "Give a folder, or a URL such as s3://bucket/folder."
            ) from error
        return fs, path.rstrip("/")

    @property
    def _has_objects(self) -> bool:
        """Whether what is uploaded appears at once, whole."""
        protocol = self._opened[0].protocol
        return not OBJECT_STORES.isdisjoint([protocol] if isinstance(protocol, str) else protocol)

    def _at(self, name: str) -> str:
        return f"{self._opened[1]}/{name}"

    @contextmanager
    def _told(self) -> Iterator[Any]:
        """The file system; what it or its server says against what is done is turned into one line."""
        try:
            yield self._opened[0]
        except (DistillError, FileNotFoundError):
            raise
        except Exception as error:  # of whichever library serves this kind of URL
            said = clean(f"{type(error).__name__}: {error}", 200)
            raise DistillError(
                f"{clean(self.where, 200)}: {said}. Check the address and who may write there."
            ) from error

    def prepare(self) -> None:
        probe = self._at(_draft())
        try:
            with self._told() as fs:
                if not self._has_objects:  # where folders need not be made, a bucket would be
                    fs.makedirs(self._opened[1], exist_ok=True)
                fs.pipe_file(probe, b"")
                fs.rm_file(probe)
        except FileNotFoundError as error:
            raise DistillError(
                f"{clean(self.where, 200)} cannot hold files: {clean(str(error), 200)}. Check the address."
            ) from error

    @contextmanager
    def claimed(self) -> Iterator[None]:
        yield

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="distill-") as folder:
            yield Path(folder)

    def listing(self) -> dict[str, int]:
        try:
            with self._told() as fs:
                entries = fs.ls(self._opened[1], detail=True)
        except FileNotFoundError:
            return {}
        named = ((posixpath.basename(one["name"].rstrip("/")), one) for one in entries)
        return {
            name: one["size"] if one["type"] == "file" else NO_FILE for name, one in named if not name.startswith(".")
        }

    def has(self, name: str) -> bool:
        with self._told() as fs:
            return bool(fs.exists(self._at(name)))

    def size(self, name: str) -> int:
        with self._told() as fs:
            return int(fs.size(self._at(name)))

    def open(self, name: str) -> IO[bytes]:
        with self._told() as fs:
            file: IO[bytes] = fs.open(self._at(name), "rb")
            return file

    def read(self, name: str, most: int = -1) -> bytes:
        with self._told():
            return super().read(name, most)

    def sha256(self, name: str) -> str:
        with self._told():
            return super().sha256(name)

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        with self.scratch() as folder:
            copy = folder / name
            with self._told(), self.open(name) as file, copy.open("wb") as target:
                shutil.copyfileobj(file, target, BLOCK)
            yield copy

    def put(self, source: Path, name: str, replace: bool) -> bool:
        if not replace and self.has(name):
            return False
        with self._told() as fs:
            if self._has_objects:
                fs.put_file(str(source), self._at(name))
            else:
                draft = self._at(_draft())
                fs.put_file(str(source), draft)
                fs.mv(draft, self._at(name))
        return True

    def write(self, name: str, contents: bytes) -> None:
        """Have `name` hold `contents`, in place of what it held."""
        with tempfile.TemporaryDirectory(prefix="distill-") as folder:
            draft = Path(folder) / name
            draft.write_bytes(contents)
            self.put(draft, name, replace=True)

    def journal(self) -> Appending:
        return _RemoteJournal(self)

    def path(self, name: str) -> str:
        return f"{self.where.rstrip('/')}/{name}"


def _draft() -> str:
    return f".distill-{secrets.token_hex(8)}.part"


class _RemoteJournal:
    """One that cannot be added to: it is uploaded whole, now and then and at the end.

    What it lacks after a crash is found in the sidecars.
    """

    SECONDS = 10.0
    """Between uploads, at least."""
    SHARE = 20.0
    """So many times as long as an upload takes, there is none."""

    def __init__(self, store: Remote) -> None:
        self._store = store
        self._parts = [store.read(journal.NAME)]
        self._is_saved = True
        self._wait_until = time.monotonic() + self.SECONDS

    def append(self, lines: bytes) -> None:
        self._parts.append(lines)
        self._is_saved = False
        if time.monotonic() > self._wait_until:
            try:
                self._save()
            except DistillError as error:  # which the next time may be over, and what is lost is found again
                warnings.warn(f"The journal could not be uploaded: {error}", DistillWarning, 2)
                self._wait_until = time.monotonic() + self.SECONDS

    def close(self) -> None:
        if not self._is_saved:
            self._save()

    def _save(self) -> None:
        began = time.monotonic()
        self._parts = [b"".join(self._parts)]
        self._store.write(journal.NAME, self._parts[0])
        self._is_saved = True
        took = time.monotonic() - began
        self._wait_until = time.monotonic() + max(self.SECONDS, self.SHARE * took)
