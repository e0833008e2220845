"""Making a file again from its sidecar, and telling why it came out another, if it did."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from distill import devices, naming, paths, sidecar
from distill.audio.files import read_back
from distill.audio.formats import BEST_QUALITY, BIT_DEPTHS, FORMATS, MOST_COMPRESSION, output_format
from distill.audio.space import MODES, WIDEST, Space
from distill.checkpoint import CheckpointHeader
from distill.declarations import Declared
from distill.errors import DistillError, RequestError
from distill.jobs import MAX_SEED, Job
from distill.options import Number
from distill.output import LUFS, NORMALIZATIONS, Output, check_tags
from distill.record import Record, shown
from distill.registry import Claim
from distill.text import clean, file_stem

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


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
        seeds=[int(record.number("seed", low=0, high=MAX_SEED))],
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
        try:
            check_tags({key: record.checked(text, str, "asked_tags")})
        except RequestError:
            raise record.damaged("asked_tags", key) from None
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
        level_seeds=_level_seeds(record) if normalize == "batch" else None,
        tags=asked,
    )


def _level_seeds(record: Record) -> tuple[int, int] | None:
    """The first seed of the run that shared the level, and how many there were; None where it is not told."""
    found = record.said.get("level_seeds")
    if found is None:
        return None
    each = record.checked(found, list, "level_seeds")
    if len(each) != 2 or not all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in each):
        raise record.damaged("level_seeds", found)
    return each[0], each[1]


def _space(record: Record) -> Space | None:
    if record.said.get("space") is None:
        return None
    hrtf = record.get("space", kind=dict).get("hrtf")
    path = None if hrtf is None else paths.expand(record.get("space", "hrtf", "path", kind=str))
    if path is not None and not path.is_file():
        raise DistillError(f"--hrtf: {shown(path)} is not there any more. Put it back.")
    return Space(
        record.one_of(MODES, "space", "mode"),
        float(record.number("space", "width", low=0, high=WIDEST)),
        float(record.number("space", "depth", low=0, high=1)),
        path,
    )


def is_intact(record: Record) -> bool:
    """Whether the audio file that belongs to `record` has the samples that it was made with, if it is there."""
    audio, made_with = record.audio, record.sha256
    if audio is None:
        return True
    rate = int(record.number("sample_rate", low=8000, high=192000))
    depth = record.said.get("bit_depth")
    form = output_format(record.one_of(tuple(FORMATS), "format"), rate, depth if isinstance(depth, str) else None)
    try:
        return read_back(audio, form).sha256 == made_with
    except DistillError:  # not even audio any more
        return False


def differences(record: Record, made: Mapping[str, Any]) -> list[str]:
    """What was otherwise when the file of `record` was made than now that it was `made` again, a line each.

    That is what a file's bits rest on: checkpoints, programs, device.
    """
    then, now = _facts(record.said), _facts(made)
    return [
        f"{name}: {clean(then.get(name, 'none'), 80)} then, {clean(now[name], 80)} now"
        for name in now
        if then.get(name) != now[name]
    ]


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
