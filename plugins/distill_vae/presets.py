"""Presets: slider positions kept under a name for one model. Files and names alone; imports nothing heavy.

A model's presets are in one file, `<model id>/presets.json`, whose entries have the keys of the program that invented
the format. What else is in that file, in whatever layout of it, stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from distill import CheckpointHeader, outputs, paths
from distill.errors import DistillError, DistillWarning, RequestError
from distill.text import clean, file_stem, folded, near_ones
from distill_vae.labels import MOST_SLIDERS, POSITION

FOLDER = "DISTILL_PRESETS"
"""Names, in the environment, the folder that holds a folder for each model."""
LONGEST_NAME = 400
MOST_BYTES = 16 * 2**20
LOCK_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Preset:
    """A preset: the `positions` of the sliders, by index, and the seed of the file it was heard in, if that is kept.

    `group` is the folder that it is shown in; `created` and `modified` are ISO 8601.
    """

    name: str
    positions: tuple[int, ...]
    preset_id: str = ""
    seed: int | None = None
    description: str = ""
    group: str = ""
    created: str = ""
    modified: str = ""

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Preset:
        """The preset in an entry of the file, its text fit to be shown. Raises `ValueError` where it holds none."""
        seed = entry.get("seed")
        if seed is not None and not (isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed < 2**63):
            raise ValueError("its seed is no whole number from 0 on")
        texts = {
            key: clean(entry[key], 400) for key in ("name", "description", "created", "modified") if entry.get(key)
        }
        if not texts.get("name"):
            raise ValueError("it has no name")
        group, preset_id = (clean(entry.get(key) or "") for key in ("folder", "preset_id"))
        return cls(positions=_positions(entry), preset_id=preset_id, seed=seed, group=group, **texts)

    @property
    def moved(self) -> dict[int, int]:
        """The positions other than 0, by index."""
        return {index: position for index, position in enumerate(self.positions) if position}


class Presets:
    """The presets of the model `model`, in `path`."""

    def __init__(self, path: Path, model: str) -> None:
        self.path = path
        self.model = model

    @classmethod
    def of(cls, header: CheckpointHeader) -> Presets:
        """Those of the checkpoint: by its model id, or by what is in the file where it has none."""
        model_id = header.metadata.get("model_id")
        name = model_id if isinstance(model_id, str) else ""
        if not name:
            from distill.sidecar import sha256

            name = sha256(header.path)
        elif file_stem(name) != name:
            name = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
        return cls(folder() / name / "presets.json", header.name)

    def all(self) -> list[Preset]:
        """Every preset, by name. Warns of those that cannot be read; raises `DamagedError` where the whole file is."""
        return sorted((preset for _, preset in self._readable(self._read())), key=lambda p: _folded(p.name))

    def find(self, name: str) -> Preset:
        """The preset called `name`, in any case; GROUP/NAME or its id where several have it.

        Raises `RequestError` where there is none, naming the near ones.
        """
        return self._one(name, list(self._readable(self._read())))[1]

    def save(self, preset: Preset, replace: bool = False) -> None:
        """Keep `preset`, dated now. A name in use is refused with `RequestError`, unless that preset is to be replaced.

        One that is replaced keeps its name and its group. A file that is damaged is kept aside, and named in a warning.
        """
        with self._locked():
            try:
                index = self._read()
            except DamagedError:
                kept = _set_aside(self.path)
                warnings.warn(f"{_shown(self.path)} is damaged. It is kept as {kept.name}.", DistillWarning, 2)
                index = self._read()
            named = [pair for pair in self._readable(index, quiet=True) if _goes_by(preset.name, pair[1])]
            holder = self._one(preset.name, named)[0] if named else None
            if holder is not None and not replace:
                raise RequestError(
                    f"{self.model} has a preset {clean(preset.name)!r} already. Give another name, or --replace."
                )
            now = _now()
            written = {
                "slider_positions": list(preset.positions),
                "n_components": len(preset.positions),
                "seed": preset.seed,
                "description": preset.description,
                "modified": now,
            }
            if holder is None:
                _check_name(preset.name)
                own = {"preset_id": str(uuid.uuid4()), "name": preset.name, "folder": preset.group, "created": now}
                _add(index, own | written)
            else:
                holder |= written
            self._write(index)

    def rename(self, name: str, new: str) -> Preset:
        """Give the preset `name` another; return it as it was. A name in use is refused with `RequestError`."""
        _check_name(new)
        with self._changing(name) as (index, entry, preset):
            others = [one for other, one in self._readable(index, quiet=True) if other is not entry]
            if any(_folded(one.name) == _folded(new) for one in others):
                raise RequestError(f"{self.model} has a preset {clean(new)!r} already. Give another name.")
            entry |= {"name": new, "modified": _now()}
        return preset

    def delete(self, name: str) -> Preset:
        """Remove the preset `name`; return it as it was."""
        with self._changing(name) as (index, entry, preset):
            _remove(index, entry)
        return preset

    @contextmanager
    def _changing(self, name: str) -> Iterator[tuple[Any, dict[str, Any], Preset]]:
        """The file's contents, and in them the entry called `name`; written back at the end."""
        if not self.path.exists():
            self.find(name)  # raises, and leaves no folder behind
        with self._locked():
            index = self._read()
            entry, preset = self._one(name, list(self._readable(index)))
            yield index, entry, preset
            self._write(index)

    def _one(self, name: str, readable: list[tuple[dict[str, Any], Preset]]) -> tuple[dict[str, Any], Preset]:
        """The entry and the preset called `name`; what `find` raises, where there is not exactly one."""
        found = [pair for pair in readable if _folded(pair[1].name) == _folded(name)]
        found = found or [pair for pair in readable if _goes_by(name, pair[1])]
        presets = [preset for _, preset in readable]
        if len(found) == 1:
            return found[0]
        if found:
            which = ", ".join(_full_name(preset, presets) for _, preset in found)
            raise RequestError(f"{self.model} has several presets {clean(name)!r}: {which}. Give one of these.")
        raise RequestError(f"{self.model} has no preset {clean(name)!r}{_instead(name, [p.name for p in presets])}")

    def _readable(self, index: Any, quiet: bool = False) -> Iterator[tuple[dict[str, Any], Preset]]:
        """The entries of the file's contents with the presets they hold."""
        for entry in _entries(index):
            try:
                yield entry, Preset.of(entry)
            except ValueError as error:
                if not quiet:
                    name = clean(entry.get("name"), 40)
                    warnings.warn(f"{_shown(self.path)}: preset {name} is left out: {error}.", DistillWarning, 2)

    def _read(self) -> Any:
        """The contents of the file; those of a new one where there is none. Raises `DamagedError`."""
        try:
            with self.path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return {"version": 1, "presets": []}
        try:
            index = json.loads(data if len(data) <= MOST_BYTES else b"")
            _entries(index)
        except (ValueError, RecursionError):
            raise DamagedError(
                f"{_shown(self.path)} is damaged: it holds no list of presets. Mend it or put it elsewhere; "
                "saving a preset keeps it aside."
            ) from None
        return index

    def _write(self, index: Any) -> None:
        outputs.replace(self.path, outputs.to_json(index))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from changing the file."""
        import filelock

        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(self.path.with_suffix(".lock"), timeout=LOCK_TIMEOUT_S):
                yield
        except filelock.Timeout as error:
            raise DistillError(f"{_shown(self.path)} is being changed by another program. Try again.") from error


class DamagedError(DistillError):
    """A file of presets that holds none."""


def folder() -> Path:
    """The folder that holds a folder of presets for each model."""
    chosen = os.environ.get(FOLDER)
    if chosen:
        return paths.expand(chosen)
    import platformdirs

    return platformdirs.user_data_path("distill", appauthor=False) / "presets"


def _entries(index: Any) -> list[dict[str, Any]]:
    """The entries in the contents of a file, however it lists them. Raises `ValueError` where it does not."""
    listed = _listed(index)
    entries = list(listed.values()) if isinstance(listed, dict) else listed
    if not all(isinstance(entry, dict) for entry in entries):
        raise ValueError
    return entries


def _listed(index: Any) -> list[Any] | dict[str, Any]:
    """What in the contents of a file lists the entries, in a row or by id: its `presets`, or all that it holds."""
    listed = index.get("presets", index) if isinstance(index, dict) else index
    if not isinstance(listed, list | dict):
        raise ValueError  # noqa: TRY004 - of the file's contents
    return listed


def _add(index: Any, entry: dict[str, Any]) -> None:
    listed = _listed(index)
    if isinstance(listed, dict):
        listed[entry["preset_id"]] = entry
    else:
        listed.append(entry)


def _remove(index: Any, entry: dict[str, Any]) -> None:
    listed = _listed(index)
    if isinstance(listed, dict):
        [key] = [key for key, one in listed.items() if one is entry]
        del listed[key]
    else:
        [position] = [position for position, one in enumerate(listed) if one is entry]
        del listed[position]


def _positions(entry: Mapping[str, Any]) -> tuple[int, ...]:
    """The positions of an entry, by index: a row of them, or a dictionary by index."""
    said = entry.get("slider_positions")
    by_index = dict(enumerate(said)) if isinstance(said, list) else said
    try:
        positions = {int(index): int(position) for index, position in by_index.items()}  # type: ignore[union-attr]
        whole = [positions[int(index)] == position for index, position in by_index.items()]  # type: ignore[union-attr]
    except (AttributeError, TypeError, ValueError, OverflowError):
        whole = []
    if not whole or not all(whole) or min(positions) < 0 or max(positions) >= MOST_SLIDERS:
        raise ValueError("its slider_positions are not whole numbers by index")
    if max(map(abs, positions.values())) > POSITION:
        raise ValueError(f"its slider_positions are not from -{POSITION} to {POSITION}")
    return tuple(positions.get(index, 0) for index in range(1 + max(positions)))


def _goes_by(name: str, preset: Preset) -> bool:
    """Whether `name` can mean the preset: as its name, as GROUP/NAME, or as its id."""
    return _folded(name) in {_folded(preset.name), _folded(f"{preset.group}/{preset.name}"), _folded(preset.preset_id)}


def _full_name(preset: Preset, presets: list[Preset]) -> str:
    """What means the preset and no other: GROUP/NAME, or its id where that is not enough."""
    full = f"{preset.group}/{preset.name}"
    same = [one for one in presets if _folded(f"{one.group}/{one.name}") == _folded(full)]
    return clean(full) if preset.group and len(same) == 1 else preset.preset_id or clean(full)


def _folded(name: str) -> str:
    return folded(clean(name, LONGEST_NAME))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _instead(name: str, names: list[str]) -> str:
    """What there is instead of a preset that is not there."""
    if not names:
        return "; it has none. Save one with 'distill presets save'."
    has = f" It has: {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}."
    return f".{near_ones(name, names) or has}"


def _check_name(name: str) -> None:
    if not name.strip() or clean(name, LONGEST_NAME) != name or "/" in name:
        raise RequestError(
            f"{clean(name)!r} cannot name a preset: 1 to {LONGEST_NAME} printable characters are allowed, "
            "no slash, and no spaces at the ends or side by side."
        )


def _set_aside(path: Path) -> Path:
    """Give the file another name, one that is free; return it."""
    for number in count(1):
        kept = path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")
        if not kept.exists():  # only who has the lock comes here
            return path.rename(kept)
    raise AssertionError("count() does not end")


def _shown(path: Path) -> str:
    return clean(str(path), 300)
