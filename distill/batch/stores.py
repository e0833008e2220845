"""Where a batch puts its files: a folder, or a URL that fsspec knows. A file appears there whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import secrets
import shutil
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Protocol

from distill import outputs, sidecar
from distill.batch import journal
from distill.errors import DistillError, DistillWarning
from distill.record import MOST_BYTES
from distill.text import clean

BLOCK = 2**20
"""Bytes read at a time."""
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "memory"}
"""Kinds of URLs whose files appear at once."""
WORK = ".distill-batch"
"""The folder, inside a local one, for what is not finished."""
LOCK = "lock"
NO_FILE = -1
LEAST_ROOM = 2**20
"""A disk with fewer bytes is full."""
_SCRATCH = re.compile(r"[0-9a-f]{16}")


class Store(ABC):
    """A place for finished files, by name. It travels to workers, so it holds nothing but where it is."""

    where: str
    is_near = False
    """Whether it costs next to nothing to look whether a file is there."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the place if it is missing. Raises `DistillError` where it cannot hold files."""

    @abstractmethod
    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep others from running a batch here at the same time, and clear away what a killed one has left."""

    @abstractmethod
    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A local folder for work, gone at the end, from which files can be put in place."""

    @abstractmethod
    def listing(self) -> dict[str, int]:
        """The sizes in bytes of what is there, by name: `NO_FILE` of what is no file. Hidden ones are left out."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""

    @abstractmethod
    def size(self, name: str) -> int:
        """The size in bytes of the file of that name."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """The file of that name, to be read."""

    @abstractmethod
    def put(self, source: Path, name: str, replace: bool) -> bool:
        """Have what is in `source` appear under `name`, at once; False where that is in use and not to be replaced."""

    def is_full(self) -> bool:
        """Whether there is no room for another file, as far as that can be told."""
        return False

    @abstractmethod
    def journal(self) -> Appending:
        """The journal, to be added to and then closed."""

    @abstractmethod
    def path(self, name: str) -> str:
        """What users call the file of that name."""

    @abstractmethod
    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A local path at which the file of that name can be read."""

    def read(self, name: str, most: int = -1) -> bytes:
        """The bytes of the file of that name, at `most` so many; none where there is none."""
        try:
            with self.open(name) as file:
                return file.read(most)
        except FileNotFoundError:
            return b""

    def sha256(self, name: str) -> str:
        """The SHA-256 of the file of that name, in hexadecimal digits."""
        digest = hashlib.sha256()
        with self.open(name) as file:
            while block := file.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def record(self, name: str) -> Mapping[str, Any]:
        """What the sidecar of the audio file of that name says of it; nothing where there is none."""
        said = _object(self.read(sidecar_name(name), MOST_BYTES))
        return said if said.get("file") == name else {}

    def carried(self, name: str) -> Mapping[str, Any]:
        """What the audio file of that name carries of it in its tags; nothing where there is none."""
        from distill.audio import tags

        try:
            with self.local(name) as path:
                said: Mapping[str, Any] = sidecar.from_home(_object(tags.read(path).get(sidecar.TAG, "")))
        except (FileNotFoundError, DistillError):
            return {}
        return said

    def is_whole(self, name: str, said: Mapping[str, Any]) -> bool:
        """Whether the samples of the audio file of that name are those that its sidecar, `said`, was written for."""
        from distill.audio import files, formats

        try:
            form = formats.output_format(said["format"], said["sample_rate"], said["bit_depth"])
            with self.local(name) as path:
                return bool(files.read_back(path, form).sha256 == said["audio"]["sha256"])
        except (KeyError, TypeError, FileNotFoundError, DistillError):
            return False


def _object(text: str | bytes) -> dict[str, Any]:
    """The JSON object in `text`; an empty one where there is none."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def sidecar_name(name: str) -> str:
    """The name of the sidecar of the audio file called `name`."""
    return posixpath.splitext(name)[0] + outputs.SIDECAR


@dataclass(frozen=True)
class Folder(Store):
    """A local folder, or one that several machines share, at an absolute path; `where` is what users call it."""

    directory: Path
    where: str
    is_near = True

    def prepare(self) -> None:
        with self._told():
            self.directory.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the system says against the folder into one line."""
        try:
            yield
        except OSError as error:
            raise DistillError(
                f"{clean(self.where, 200)} cannot hold files: {error.strerror}. Choose a folder with --output-dir."
            ) from error

    @contextmanager
    def claimed(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        work = self.directory / WORK
        if work.is_symlink():
            raise DistillError(f"{clean(str(work), 200)} is a link; distill keeps what is unfinished there. Remove it.")
        busy = DistillError(
            f"Another batch is at work in {clean(self.where, 200)}. Wait for it, or give another folder."
        )
        lock = FileLock(work / LOCK)
        while True:
            with self._told():
                work.mkdir(exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise busy from None
            if (work / LOCK).exists():
                break
            lock.release()  # who held it has just removed it
        try:
            self._clear(work)
            yield
        finally:
            self._clear(work)
            with suppress(OSError):  # where a file in use cannot be removed
                (work / LOCK).unlink()
            lock.release()
            with suppress(OSError):
                work.rmdir()

    def _clear(self, work: Path) -> None:
        for left in work.iterdir():
            if _SCRATCH.fullmatch(left.name) and left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        folder = self.directory / WORK / secrets.token_hex(8)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # while a batch is at work, its lock is there
                folder.parent.rmdir()

    def listing(self) -> dict[str, int]:
        with os.scandir(self.directory) as entries:
            return {
                one.name: one.stat().st_size if one.is_file() else NO_FILE
                for one in entries
                if not one.name.startswith(".")
            }

    def has(self, name: str) -> bool:
        return os.path.lexists(self.directory / name)

    def size(self, name: str) -> int:
        return (self.directory / name).stat().st_size

    def open(self, name: str) -> IO[bytes]:
        path = self.directory / name
        if not path.is_file():  # a pipe would never end
            raise FileNotFoundError(name)
        return path.open("rb")

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        path = self.directory / name
        if not path.is_file():
            raise FileNotFoundError(name)
        yield path

    def put(self, source: Path, name: str, replace: bool) -> bool:
        target = self.directory / name
        if not replace:
            return outputs.place(source, target)
        if target.is_dir():
            raise DistillError(f"{clean(str(target), 200)} is a folder. Give another --name.")
        source.replace(target)
        return True

    def is_full(self) -> bool:
        return shutil.disk_usage(self.directory).free < LEAST_ROOM

    def journal(self) -> Appending:
        return _FolderJournal(self.directory / journal.NAME)

    def path(self, name: str) -> str:
        return str(Path(self.where) / name)


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
        except (ImportError, ValueError) as error:
            raise DistillError(f"--output-dir {clean(self.where, 200)}: {clean(str(error), 200)}.") from error
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
            raise DistillError(f"{clean(self.where, 200)}: {said}.") from error

    def prepare(self) -> None:
        probe = self._at(_draft())
        try:
            with self._told() as fs:
                if not self._has_objects:  # where folders need not be made, a bucket would be
                    fs.makedirs(self._opened[1], exist_ok=True)
                fs.pipe_file(probe, b"")
                fs.rm_file(probe)
        except FileNotFoundError as error:
            raise DistillError(f"{clean(self.where, 200)} cannot hold files: {clean(str(error), 200)}.") from error

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


def store(where: str) -> Store:
    """The store at `where`: a URL, or a folder."""
    return Remote(where) if "://" in where else Folder(Path(where).absolute(), where)


def _draft() -> str:
    return f".distill-{secrets.token_hex(8)}.part"


class Appending(Protocol):
    """A journal that is added to."""

    def append(self, lines: bytes) -> None:
        """Add whole `lines`, and have them last."""

    def close(self) -> None:
        """Have all of it last."""


class _FolderJournal:
    """One in a folder: what is added is on the disk before `append` returns."""

    def __init__(self, path: Path) -> None:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise DistillError(f"{clean(str(path), 200)} is no file, so no journal. Remove it.")
        self._file = path.open("ab+")
        size = self._file.tell()
        self._file.seek(0)
        last = b""
        for line in self._file:
            last = line
        if not last.endswith(b"\n"):
            if not journal.parse(last) and last.startswith(journal.BEGINNING):  # what a killed run began
                self._file.truncate(size - len(last))
            else:
                self._file.write(b"\n")

    def append(self, lines: bytes) -> None:
        self._file.write(lines)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


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
        self._wait_until = time.monotonic() + self.SECONDS

    def append(self, lines: bytes) -> None:
        self._parts.append(lines)
        if time.monotonic() > self._wait_until:
            try:
                self._save()
            except DistillError as error:  # which the next time may be over, and what is lost is found again
                warnings.warn(f"The journal could not be uploaded: {error}", DistillWarning, 2)
                self._wait_until = time.monotonic() + self.SECONDS

    def close(self) -> None:
        if len(self._parts) > 1:
            self._save()

    def _save(self) -> None:
        began = time.monotonic()
        self._parts = [b"".join(self._parts)]
        self._store.write(journal.NAME, self._parts[0])
        took = time.monotonic() - began
        self._wait_until = time.monotonic() + max(self.SECONDS, self.SHARE * took)
