"""Where a batch puts its files: a folder, or a URL that fsspec knows. A file appears there whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from distill import outputs, sidecar
from distill.batch import journal
from distill.errors import DistillError
from distill.record import MOST_BYTES
from distill.text import clean

BLOCK = 2**20
"""Bytes read at a time."""
WORK = ".distill-batch"
"""The folder, inside a local one, for what is not finished."""
LOCK = "lock"
NO_FILE = -1
LEAST_ROOM = 2**20
"""A disk with fewer bytes is full."""
_SCRATCH = re.compile(r"[0-9a-f]{16}")


class Appending(Protocol):
    """A journal that is added to."""

    def append(self, lines: bytes) -> None:
        """Add whole `lines`, and have them last."""

    def close(self) -> None:
        """Have all of it last."""


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


def picture_name(name: str) -> str:
    """The name of the picture of the audio file called `name`."""
    return posixpath.splitext(name)[0] + outputs.PICTURE


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
        lock = FileLock(work / LOCK)
        while True:
            with self._told():
                work.mkdir(exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise DistillError(
                    f"Another batch is at work in {clean(self.where, 200)}. Wait for it, or give another folder."
                ) from None
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


class _FolderJournal:
    """One in a folder: what is added is on the disk before `append` returns."""

    def __init__(self, path: Path) -> None:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise DistillError(f"{clean(str(path), 200)} is no file, so no journal. Remove it.")
        self._file = path.open("ab+")
        size = self._file.tell()
        self._file.seek(max(0, size - BLOCK))  # far more than a line takes
        last = self._file.read().rpartition(b"\n")[2]
        if last.startswith(journal.BEGINNING) and not journal.parse(last):  # what a killed run began
            self._file.truncate(size - len(last))
        elif last:
            self._file.write(b"\n")

    def append(self, lines: bytes) -> None:
        self._file.write(lines)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def store(where: str) -> Store:
    """The store at `where`: a URL, or a folder."""
    from distill.batch.remote import Remote

    return Remote(where) if "://" in where else Folder(Path(where).absolute(), where)
