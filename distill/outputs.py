"""Names and folders: a file appears whole, under a name that was free, or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from distill import naming
from distill.concurrency import UnwantedError
from distill.errors import DistillError
from distill.text import clean

SIDECAR = ".json"
PICTURE = ".png"


def prepare(directory: Path, helps: str = "Choose a folder with --output-dir.") -> None:
    """Make `directory` if it is missing. Raises `DistillError`, with what `helps`, where files cannot be made in it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with temporary(directory) as path:
            path.touch()
    except OSError as error:
        shown = clean(str(directory), 200)
        raise DistillError(f"{shown} cannot hold files: {error.strerror}. {helps}") from error


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

    def publish(
        self, draft: Path, stem: str, suffix: str, describe: Callable[[Path], dict[str, Any]],
        beside: Mapping[str, Path], overwrite: bool,
    ) -> Path:  # fmt: skip
        """What `publish` does, for drafts that are not needed after that."""
        path = publish(draft, stem, suffix, describe, beside, overwrite)
        for used in (draft, *beside.values()):
            self.discard(used)
        return path

    def discard(self, draft: Path) -> None:
        """Remove a draft that is not needed any more."""
        draft.unlink(missing_ok=True)
        self._paths.discard(draft)

    def __enter__(self) -> Drafts:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        for path in self._paths.copy():
            path.unlink(missing_ok=True)


def publish(
    audio: Path,
    stem: str,
    suffix: str,
    describe: Callable[[Path], dict[str, Any]],
    beside: Mapping[str, Path] = MappingProxyType({}),
    overwrite: bool = False,
) -> Path:
    """Give the finished file `audio` its name in its folder, then those `beside` it, by suffix, then its sidecar.

    The name is `stem`, or `stem-2`, `stem-3`, ... where one of these names is in use. Two processes that want one name
    both get one. With `overwrite` it is `stem`, and what was there is replaced, unless the sidecar of that name is of
    another file. `describe` makes the sidecar's contents from the path, which is returned.
    """
    for path in (audio, *beside.values()):
        sync(path)
    for number in count(1):
        path = audio.with_name(f"{naming.numbered(stem, number)}{suffix}")
        targets = {path: audio, **{path.with_suffix(s): draft for s, draft in beside.items()}}
        sidecar = path.with_suffix(SIDECAR)
        if overwrite:
            _refuse_folders(targets)
            is_free = not sidecar.exists() or _described(sidecar).get("file") == path.name
        else:
            is_free = not any(name.exists() for name in (*targets, sidecar))
        if not is_free:
            continue
        with temporary(audio.parent) as draft:
            draft.write_bytes(to_json(describe(path)))
            sync(draft)
            if overwrite:
                _replace_all(targets, sidecar, draft)
                return path
            if _place_all({**targets, sidecar: draft}):
                return path
    raise AssertionError("count() does not end")


def _place_all(drafts: Mapping[Path, Path]) -> bool:
    """Place every draft under its name, in order; where one is in use, none of them, and False."""
    placed: list[Path] = []
    try:
        for path, draft in drafts.items():
            if not place(draft, path):  # another process took it in between
                break
            placed.append(path)
    except BaseException:  # Ctrl+C too, which may come before Python knows of a name: nothing may stay in part
        _remove(path for path, draft in drafts.items() if path in placed or _is_one_file(path, draft))
        raise
    if len(placed) == len(drafts):
        return True
    _remove(placed)
    return False


def _is_one_file(path: Path, draft: Path) -> bool:
    return path.exists() and path.samefile(draft)


def _replace_all(drafts: Mapping[Path, Path], sidecar: Path, described: Path) -> None:
    """Put every draft in place of what has its name, then what is `described` in place of the old `sidecar`.

    The old sidecar and its picture, which are of the old file, are out of the way while that is done; they are put back
    where nothing comes of it.
    """
    directory = sidecar.parent
    picture = sidecar.with_suffix(PICTURE)
    old = [sidecar, *([picture] if _described(sidecar).get("picture") == picture.name else [])]
    with ExitStack() as stack:
        ready = {path: stack.enter_context(temporary(directory)) for path in (*drafts, sidecar)}
        for path, draft in {**drafts, sidecar: described}.items():
            _link_or_copy(draft, ready[path])
        aside = {path: stack.enter_context(temporary(directory)) for path in old}
        first, *_ = drafts
        try:
            for path, kept in aside.items():
                if path.is_file():
                    path.rename(kept)
            for path, one in ready.items():
                one.replace(path)
        except BaseException:  # Ctrl+C too: what a name says must be of the file that has it
            if ready[first].exists():  # the old file is still there, and its sidecar is the user's
                left = {path: kept for path, kept in aside.items() if kept.exists()}
            else:  # the new file is, and needs what is of it
                left = {path: one for path, one in ready.items() if one.exists()}
            for path, one in left.items():
                one.replace(path)
            raise


def _refuse_folders(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            raise DistillError(f"--overwrite: {clean(str(path), 200)} is a folder. Give another --name.")


def _described(sidecar: Path) -> dict[str, Any]:
    """What the sidecar at a path says; nothing where there is none, or it is another kind of file."""
    try:
        said = json.loads(sidecar.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def replace(path: Path, contents: bytes) -> None:
    """Have `path` hold `contents`, in place of what it held: one or the other at any moment, whole."""
    replace_in_pieces(path, [contents])


def replace_in_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """What `replace` does, for contents that are made, and written, a piece at a time."""
    path = path.resolve()  # a link stays one
    with temporary(path.parent) as draft:
        with draft.open("wb") as file:
            file.writelines(pieces)
        sync(draft)
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


def _link_or_copy(source: Path, target: Path) -> None:
    """Have `target`, a free name, hold what `source` does."""
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def sync(path: Path) -> None:
    """Have the file's data on the disk before its name is."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
