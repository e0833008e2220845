"""What a sidecar says, read as data, from wherever it lies: nothing heavy is imported, nothing in it is trusted."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill import outputs, paths, sidecar
from distill.audio import tags
from distill.audio.formats import FORMATS
from distill.errors import DistillError, DistillWarning
from distill.text import clean

MOST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Record:
    """What the sidecar of the file at `path` says, read as data: nothing in it is trusted to be what it should be."""

    path: Path
    said: Mapping[str, Any]

    @property
    def model(self) -> Path:
        """Where the checkpoint was."""
        return paths.expand(self.get("model", "path", kind=str))

    @property
    def model_id(self) -> str:
        """The id of the model; nothing where it had none."""
        return self.get("model", "id", kind=(str, type(None))) or ""

    @property
    def loader(self) -> str:
        """The name of the loader that made it."""
        return str(self.get("model", "loader", kind=str))

    @property
    def other_models(self) -> list[Path]:
        """Where the other checkpoints were that it draws in."""
        found = [self.checked(one, dict, "other_models") for one in self.get("other_models", kind=list)]
        return [paths.expand(self.checked(one.get("path"), str, "other_models")) for one in found]

    @property
    def sha256(self) -> str:
        """That of its samples when it was made."""
        return str(self.get("audio", "sha256", kind=str))

    @property
    def audio(self) -> Path | None:
        """The audio file: that at `path`, or that beside the sidecar there; None where it is not there."""
        if self.path.suffix.lower() != outputs.SIDECAR:
            return self.path
        try:
            beside = self.path.with_name(self.get("file", kind=str))
        except ValueError:  # no name of a file
            return None
        return beside if beside.parent == self.path.parent and beside.is_file() else None

    def get(self, *keys: str, kind: type | tuple[type, ...]) -> Any:
        """The value under `keys`, which must be of `kind`. Raises `DistillError` where it is not."""
        value: Any = self.said
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return self.checked(value, kind, ".".join(keys))

    def one_of(self, allowed: Mapping[str, Any] | tuple[str, ...], *keys: str) -> str:
        """The text under `keys`, which must be one of those `allowed`."""
        value = str(self.get(*keys, kind=str))
        if value not in allowed:
            raise self.damaged(".".join(keys), value)
        return value

    def number(self, *keys: str, low: float, high: float) -> Any:
        """The number under `keys`, `low` to `high`."""
        value = self.get(*keys, kind=(int, float))
        if isinstance(value, bool) or not low <= value <= high:
            raise self.damaged(".".join(keys), value)
        return value

    def checked(self, value: Any, kind: type | tuple[type, ...], name: str) -> Any:
        """`value`, that of `name`, which must be of `kind`. Raises `DistillError` where it is not."""
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise self.damaged(name, value)
        return value

    def damaged(self, name: str, value: object) -> DistillError:
        """The error that says so of the value of `name`."""
        return _damaged(self.path, f"{name} is {clean(value, 40)}")


def _damaged(path: Path, why: str) -> DistillError:
    return DistillError(f"{shown(path)}: its sidecar is damaged: {why}. Copy or download it again.")


def read(path: Path) -> Record:
    """The record of the file at `path`: a sidecar, or audio that carries one in its tags or has one beside it.

    Raises `DistillError` where there is none, or it is damaged, or of another version of the schema.
    """
    try:
        said = json.loads(_text(path))
    except (ValueError, RecursionError):
        raise _damaged(path, "it is no JSON") from None
    if not isinstance(said, dict) or "schema" not in said:
        raise DistillError(f"{shown(path)} is no sidecar of a file that distill made. Give one, or its sound.")
    if said["schema"] != sidecar.SCHEMA:
        found = clean(said["schema"], 20)
        raise DistillError(
            f"{shown(path)} has a sidecar of schema {found}; this distill reads {sidecar.SCHEMA}. Update distill."
        )
    return Record(path, said)


def read_folder(folder: Path) -> list[Record]:
    """The records of the files in `folder` that distill made and that are still there with their sidecars, by name.

    Other files are passed over; of a sidecar that is damaged there is a warning. Raises `DistillError` where there is
    no such folder, or nothing in it that distill made.
    """
    if not folder.is_dir():
        helps = "Copy what is there into one." if ":/" in str(folder) else "Give one that has files that distill made."
        raise DistillError(f"{shown(folder)} is no folder. {helps}")
    found = []
    for path in sorted(folder.glob(f"*{outputs.SIDECAR}")):
        try:
            record = read(path)
            if record.audio is not None:
                found.append(record)
        except DistillError as error:
            if _is_meant(path):
                warnings.warn(str(error), DistillWarning, 2)
    if not found:
        raise DistillError(
            f"{shown(folder)} has no files that distill made, with their sidecars. Make some with generate or batch."
        )
    return found


def _is_meant(path: Path) -> bool:
    """Whether a `.json` that is no sidecar may have been one: there is audio of its name."""
    return any(path.with_suffix(f".{name}").exists() for name in FORMATS)


def _text(path: Path) -> str | bytes:
    """The JSON that says how the file at `path` was made."""
    if not path.is_file():  # a pipe would never end
        raise DistillError(f"{shown(path)} is no file. Give one that distill made.")
    if path.suffix.lower() == outputs.SIDECAR:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    carried = tags.read(path)
    if sidecar.TAG in carried:
        return carried[sidecar.TAG]
    beside = path.with_suffix(outputs.SIDECAR)
    if not beside.exists():
        raise DistillError(
            f"{shown(path)} carries no sidecar, and there is no {clean(beside.name)} beside it. "
            "Give a file as distill made it."
        )
    return _text(beside)


def shown(path: Path) -> str:
    """`path` as messages have it."""
    return clean(str(path), 200)
