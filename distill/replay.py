"""Making a file again from its sidecar, and telling why it came out another, if it did."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from distill import devices, library, naming, outputs, sidecar
from distill.audio import tags
from distill.audio.files import read_back
from distill.audio.formats import BEST_QUALITY, BIT_DEPTHS, FORMATS, MOST_COMPRESSION, output_format
from distill.audio.space import MODES, WIDEST, Space
from distill.checkpoint import CheckpointHeader
from distill.errors import DistillError, RequestError
from distill.generation import Job
from distill.options import Number
from distill.output import LUFS, NORMALIZATIONS, OWN_TAGS, Output
from distill.plugins import Declared
from distill.registry import Claim
from distill.text import clean, file_stem, has_control_characters

MOST_BYTES = 16 * 2**20

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Record:
    """What the sidecar of the file at `path` says, read as data: nothing in it is trusted to be what it should be."""

    path: Path
    said: Mapping[str, Any]

    @property
    def model(self) -> Path:
        """Where the checkpoint was."""
        return library.expand(self.get("model", "path", kind=str))

    @property
    def loader(self) -> str:
        """The name of the loader that made it."""
        return str(self.get("model", "loader", kind=str))

    @property
    def other_models(self) -> list[Path]:
        """Where the other checkpoints were that it draws in."""
        found = [self.checked(one, dict, "other_models") for one in self.get("other_models", kind=list)]
        return [library.expand(self.checked(one.get("path"), str, "other_models")) for one in found]

    @property
    def sha256(self) -> str:
        """That of its samples when it was made."""
        return str(self.get("audio", "sha256", kind=str))

    @property
    def audio(self) -> Path | None:
        """The audio file: that at `path`, or that beside the sidecar there; None where it is not there."""
        if self.path.suffix.lower() != outputs.SIDECAR:
            return self.path
        beside = self.path.with_name(self.get("file", kind=str))
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
        return DistillError(f"{_shown(self.path)}: its sidecar is damaged: {name} is {clean(value, 40)}.")


def read(path: Path) -> Record:
    """The record of the file at `path`: a sidecar, or audio that carries one in its tags or has one beside it.

    Raises `DistillError` where there is none, or it is damaged, or of another version of the schema.
    """
    try:
        said = json.loads(_text(path))
    except (ValueError, RecursionError):
        raise DistillError(f"{_shown(path)}: its sidecar is damaged: it is no JSON.") from None
    if not isinstance(said, dict) or "schema" not in said:
        raise DistillError(f"{_shown(path)} is no sidecar of a file that distill made.")
    if said["schema"] != sidecar.SCHEMA:
        found = clean(said["schema"], 20)
        raise DistillError(f"{_shown(path)} has a sidecar of schema {found}; this distill reads {sidecar.SCHEMA}.")
    return Record(path, said)


def _text(path: Path) -> str | bytes:
    """The JSON that says how the file at `path` was made."""
    if path.suffix.lower() == outputs.SIDECAR:
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    carried = tags.read(path)
    if sidecar.TAG in carried:
        return carried[sidecar.TAG]
    beside = path.with_suffix(outputs.SIDECAR)
    if not beside.exists():
        raise DistillError(f"{_shown(path)} carries no sidecar, and there is no {clean(beside.name)} beside it.")
    return _text(beside)


def job(
    record: Record,
    claim: Claim,
    declared: Declared,
    models: Sequence[CheckpointHeader],
    distribution: str | None,
    folder: Path,
) -> Job:
    """What makes the file of `record` again in `folder`, with the model of `claim`, drawing in `models`.

    `declared` is what the plugin's models understand. On the device that it was made on, where this machine has it.
    """
    date = record.get("tags", kind=dict).get("date")
    device = record.one_of(devices.DEVICES, "device")
    return Job(
        claim=claim,
        options=_options(record, declared),
        duration=float(record.number("duration", low=0.0, high=86400.0)),
        seed=int(record.number("seed", low=0, high=2**63 - 1)),
        output=_output(record, folder),
        device=device if device in devices.present() else "auto",
        precision=record.one_of(devices.PRECISIONS, "precision"),
        distribution=distribution,
        models=models,
        date=date if isinstance(date, str) and _DATE.fullmatch(date) else None,
    )


def _options(record: Record, declared: Declared) -> dict[str, Any]:
    """The options as they were used, each of which must be one that the command line could have had.

    What a loader looked up and put in place of names is for the loader to judge.
    """
    options: dict[str, Any] = sidecar.from_home(record.get("options", kind=dict))
    for name in declared.defaults:
        if name not in options:
            raise record.damaged(f"options.{name}", None)
    for option in declared.options:
        value = options[str(option.name)]
        if value is not None and isinstance(option.type, Number | click.Choice) and not option.multiple:
            try:
                option.type.convert(value, option, None)
            except click.UsageError:
                raise record.damaged(f"options.{option.name}", value) from None
    return options


def _output(record: Record, folder: Path) -> Output:
    """What the file was made into, under its own name."""
    depth, quality, compression = (record.said.get(key) for key in ("bit_depth", "quality", "compression"))
    asked = record.get("asked_tags", kind=dict)
    for key, text in asked.items():
        _check_tag(record, key, text)
    normalize = record.one_of(NORMALIZATIONS, "level", "normalize")
    by_loudness = normalize == "loudness"
    return Output(
        directory=folder,
        name=file_stem(record.path.stem, naming.LONGEST),
        format=record.one_of(tuple(FORMATS), "format"),
        sample_rate=int(record.number("sample_rate", low=8000, high=192000)),
        bit_depth=None if depth is None else record.one_of(BIT_DEPTHS, "bit_depth"),
        quality=None if quality is None else float(record.number("quality", low=0, high=BEST_QUALITY)),
        compression=None if compression is None else int(record.number("compression", low=0, high=MOST_COMPRESSION)),
        space=_space(record),
        two_seeds=bool(record.get("two_seeds", kind=bool)),
        normalize=normalize,
        lufs=float(record.number("level", "lufs", low=-70, high=0)) if by_loudness else LUFS,
        # What the loudest of its batch was cannot be known from one of it.
        gain=float(record.number("level", "gain", low=0, high=1e9)) if normalize == "batch" else None,
        tags=asked,
    )


def _check_tag(record: Record, key: str, text: object) -> None:
    """Raise `DistillError` for a tag that could not have been asked for."""
    try:
        tags.check({key: record.checked(text, str, "asked_tags")})
    except RequestError:
        raise record.damaged("asked_tags", key) from None
    if key in OWN_TAGS or has_control_characters(str(text)):
        raise record.damaged("asked_tags", key)


def _space(record: Record) -> Space | None:
    if record.said.get("space") is None:
        return None
    hrtf = record.get("space", kind=dict).get("hrtf")
    path = None if hrtf is None else library.expand(record.get("space", "hrtf", "path", kind=str))
    if path is not None and not path.is_file():
        raise DistillError(f"--hrtf: {_shown(path)} is not there any more. Put it back.")
    return Space(
        record.one_of(MODES, "space", "mode"),
        float(record.number("space", "width", low=0, high=WIDEST)),
        float(record.number("space", "depth", low=0, high=1)),
        path,
    )


def compare(record: Record, made: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Whether the file of `record` has the sound of that just `made`, of which this is the sidecar, and what differs.

    That is the file itself, where it has been changed since; else what a file's bits rest on: checkpoints, programs,
    device, each as it was then and is now.
    """
    identical = made["audio"]["sha256"] == record.sha256
    audio = record.audio
    is_intact = audio is None or _heard(audio, record) == record.sha256
    then, now = _facts(record.said), _facts(made)
    changed = [] if is_intact else ["the file has been changed since it was made"]
    changed += [
        f"{name}: {clean(then.get(name, 'none'), 80)} then, {clean(now[name], 80)} now"
        for name in now
        if then.get(name) != now[name]
    ]
    return identical and is_intact, changed


def _heard(audio: Path, record: Record) -> str | None:
    """The SHA-256 of the samples that are in an audio file now; None where it cannot be read."""
    rate = int(record.number("sample_rate", low=8000, high=192000))
    depth = record.said.get("bit_depth")
    form = output_format(record.one_of(tuple(FORMATS), "format"), rate, depth if isinstance(depth, str) else None)
    try:
        return read_back(audio, form).sha256
    except DistillError:
        return None


def _facts(said: Mapping[str, Any]) -> dict[str, object]:
    """What in a sidecar the bits of a file rest on, by name."""
    model, program = said.get("model"), said.get("program")
    others, space = said.get("other_models"), said.get("space")
    facts: dict[str, object] = {}
    for number, one in enumerate([model, *(others if isinstance(others, list) else [])]):
        if isinstance(one, dict):
            facts[f"model {number}" if number else "model"] = one.get("sha256")
    if isinstance(model, dict):
        facts["plugin"] = model.get("distribution")
    if isinstance(space, dict) and isinstance(space.get("hrtf"), dict):
        facts["hrtf"] = space["hrtf"].get("sha256")
    facts |= {name: said.get(name) for name in ("device", "precision")}
    return facts | (program if isinstance(program, dict) else {})


def _shown(path: Path) -> str:
    return clean(str(path), 200)
