"""The readers of files from others, each as a function of bytes: what may come of them is checked, whatever they are.

A target returns whether the bytes were accepted. It lets through what no reader may raise: anything but `DistillError`.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import click

from distill import inspection, record, replay
from distill.batch import manifest, sweep
from distill.batch.problems import Problems
from distill.checkpoint import read_header
from distill.cli import build, config, inspect, rows
from distill.configuration import VARIABLE, Configuration
from distill.declarations import Declared
from distill.errors import DistillError
from distill.library import _summary
from distill.plugins import Plugins, discover
from distill.report.columns import columns
from distill_vae.presets import Preset, Presets

FOLDER = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path("/tmp")
"""Where the bytes are put that are read from a file."""


def _file(suffix: str, data: bytes) -> Path:
    path = FOLDER / f"distill-fuzz-{os.getpid()}{suffix}"
    path.write_bytes(data)
    return path


def _check_shown(*texts: str) -> None:
    """What is shown has nothing in it that moves a cursor."""
    for text in texts:
        assert text.replace("\n", "").isprintable(), ascii(text)


def header(data: bytes) -> bool:
    """A checkpoint: its header, and all that `inspect` and a listing show of it."""
    path = _file(".distill", data)
    found, accepted = None, True
    try:
        found = read_header(path)
        if found is not None:
            _check_shown(
                found.name, str(found), *(str(value) for key, value in _summary(found).items() if key != "model_type")
            )
    except DistillError as error:
        _check_shown(str(error))
        accepted = False
    try:
        contents = inspection.look(path, None if found is None else found.fields)
        _check_shown(*inspect._shown(path, contents, []), *contents.problems)
        inspect._described(path, contents, [])
    except DistillError as error:
        _check_shown(str(error))
    return accepted and found is not None


def pickled(data: bytes) -> bool:
    """What `header` does, of an archive in order whose header is `data`."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("m/data.pkl", data)
        archive.writestr("m/data/0", bytes(64))
    return header(made.getvalue())


BODY = b"\x80\x02}(X\x06\x00\x00\x00formatX\r\x00\x00\x00distill_modelX\x07\x00\x00\x00versionK\x02u."


def archive(data: bytes) -> bool:
    """What `header` does, of an archive whose last bytes, from the directory on, are `data`."""
    sizes = zlib.crc32(BODY), len(BODY), len(BODY), 10, 0
    return header(struct.pack("<4s10s3L2H", b"PK\x03\x04", b"", *sizes) + b"m/data.pkl" + BODY + data)


def sidecar(data: bytes) -> bool:
    """A sidecar: all that `replay`, `report` and `pick` make of it."""
    path = _file(".json", data)
    try:
        found = record.read(path)
    except DistillError as error:
        _check_shown(str(error))
        return False
    _record(found)
    return True


def _record(found: record.Record) -> None:
    asked: list[Callable[[], Any]] = [
        lambda: found.model, lambda: found.model_id, lambda: found.loader, lambda: found.other_models,
        lambda: found.sha256, lambda: found.audio,
        lambda: replay._options(found, Declared()), lambda: replay._output(found, FOLDER),
        lambda: replay.is_intact(found), lambda: replay.differences(found, {"program": {"distill": "0"}}),
    ]  # fmt: skip
    for one in asked:
        try:
            said = one()
        except DistillError as error:
            _check_shown(str(error))
        else:
            if isinstance(said, list) and all(isinstance(line, str) for line in said):
                _check_shown(*said)
    for column in columns([found]):
        _check_shown(column.name, *(value for value in column.values if isinstance(value, str)))


def tagged(data: bytes) -> bool:
    """An audio file that may carry a sidecar in its tags."""
    kinds = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg"}
    path = _file(kinds.get(data[:4], ".mp3"), data)
    try:
        found = record.read(path)
    except DistillError as error:
        _check_shown(str(error))
        return False
    _record(found)
    return True


def presets(data: bytes) -> bool:
    """A file of presets: listing them, each by its name, and adding and removing one."""
    path = _file("-presets.json", data)
    kept = Presets(path, "rain")
    try:
        found = kept.all()
        _check_shown(*(text for one in found for text in (one.name, one.group, one.preset_id, one.description)))
        kept.save(Preset(name="fuzz", positions=(1, 2), seed=None), replace=True)
        assert kept.find("fuzz").positions[:2] == (1, 2)
        kept.delete("fuzz")
    except DistillError as error:
        _check_shown(str(error))
        return False
    return True


@cache
def _program() -> tuple[click.Group, click.Context, Plugins]:
    plugins = discover()
    program = build(plugins)
    return program, click.Context(program, info_name="distill", obj=plugins), plugins


def table(data: bytes) -> bool:
    """A manifest, of a kind that the first byte says, and seeds and a sweep."""
    program, ctx, _ = _program()
    suffixes = ("", *manifest.CSV_SUFFIXES, *manifest.JSON_SUFFIXES)
    suffix, text = suffixes[data[0] % len(suffixes)] if data else "", data[1:].decode("utf-8", "surrogateescape")
    generate = program.commands["generate"]
    allowed = rows.columns(generate, click.Context(generate, parent=ctx))
    problems = Problems("takes")
    found = list(
        manifest.read(
            io.StringIO(text, newline=""), suffix, allowed, [n for n, o in allowed.items() if o.multiple], problems
        )
    )
    _check_shown(*problems.lines)
    sweeping = {name: option for name, option in allowed.items() if isinstance(option, click.Option)}
    for parse in (manifest.parse_seeds, lambda one: sweep.parse(one, sweeping)):
        try:
            parse(text[:200])
        except (DistillError, click.UsageError) as error:
            _check_shown(" ".join(str(error).split()))
    return bool(found) and not problems.count


def configured(data: bytes) -> bool:
    """`config.toml`: what it sets of every command, and what in it sets nothing."""
    program, ctx, _ = _program()
    os.environ[VARIABLE] = str(_file(".toml", data))
    try:
        found = Configuration.read()
        for name, command in program.commands.items():
            if command is not config.config:
                found.defaults(command, click.Context(command, parent=ctx, info_name=name), name)
        _check_shown(*found.strays(program, ctx))
        assert all(map(Path.is_absolute, found.library))
    except DistillError as error:
        _check_shown(str(error))
        return False
    finally:
        del os.environ[VARIABLE]
    return True


TARGETS: dict[str, Callable[[bytes], bool]] = {
    "header": header, "archive": archive, "pickle": pickled, "sidecar": sidecar, "tags": tagged, "presets": presets,
    "manifest": table, "config": configured,
}  # fmt: skip


def run(name: str, data: bytes) -> bool:
    """What the target `name` makes of `data`, without its warnings, which are checked to be ours."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        accepted = TARGETS[name](data)
    for warning in told:
        assert issubclass(warning.category, UserWarning), warning
        _check_shown(str(warning.message))
    return accepted
