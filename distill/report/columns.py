"""What is known of the files of a report, in columns: settings and figures. Nothing in a sidecar is trusted."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from distill.errors import DistillWarning
from distill.record import Record
from distill.sidecar import at_home
from distill.text import clean

Value = str | int | float | None

MOST_COLUMNS = 200
"""More would be no page; a sidecar that has more was not written by this program."""
EXACT = 2**53
"""Whole numbers up to this are exact in a browser. Larger ones are text there."""
LONGEST_NAME, LONGEST_VALUE = 60, 160

UNITS = {
    "duration": "s", "sample-rate": "Hz", "overlap": "ms", "lufs": "LUFS", "prompt-seconds": "s",
    "peak": "dBFS", "true peak": "dBTP", "loudness": "LUFS",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A setting or, where `is_figure`, a figure by `name`, with the `values` of all files; None where one has none."""

    name: str
    is_figure: bool
    values: list[Value]

    @property
    def unit(self) -> str:
        """What its numbers count; nothing where that is not known."""
        return UNITS.get(self.name, "")

    @property
    def varies(self) -> bool:
        """Whether two files differ in it."""
        return any(value != self.values[0] for value in self.values)


def columns(records: Sequence[Record]) -> list[Column]:
    """The columns of the files of `records`, in the order in which people ask for them. None is empty."""
    settings = [_unrepeated(_settings(record.said)) for record in records]
    _tell_models_apart(records, settings)
    figures = [_unrepeated(_figures(record.said)) for record in records]
    taken = {name for one in settings for name in one}
    figures = [{f"{name} (figure)" if name in taken else name: v for name, v in one.items()} for one in figures]
    found = [
        Column(name, is_figure, [one.get(name) for one in rows])
        for is_figure, rows in ((False, settings), (True, figures))
        for name in dict.fromkeys(name for one in rows for name in one)
    ]
    found = [one for one in found if any(value is not None for value in one.values)]
    if len(found) > MOST_COLUMNS:
        warnings.warn(
            f"The files have {len(found)} settings and figures; the first {MOST_COLUMNS} are shown.", DistillWarning, 2
        )
    return found[:MOST_COLUMNS]


def _settings(said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What was asked for, by name."""
    yield "model", _at(said, "model", "name")
    yield "seed", said.get("seed")
    for name, value in _table(said, "options").items():
        yield name.replace("_", "-"), value
    for name in ("duration", "sample_rate", "channels", "format", "bit_depth", "quality", "compression"):
        yield name.replace("_", "-"), said.get(name)
    for name in ("mode", "width", "depth"):
        yield f"spatial-{name}", _at(said, "space", name)
    hrtf = _at(said, "space", "hrtf", "path")
    yield "hrtf", PurePath(hrtf).name if isinstance(hrtf, str) else None
    yield "two-seeds", said.get("two_seeds") or None
    yield "normalize", _at(said, "level", "normalize")
    yield "lufs", _at(said, "level", "lufs")
    yield "precision", said.get("precision")
    yield "device", said.get("device")
    for name, value in _table(said, "asked_tags").items():
        yield f"tag {name}", value


def _figures(said: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What came of it, by name."""
    for name, key in (("peak", "peak_dbfs"), ("true peak", "true_peak_dbtp"), ("loudness", "loudness_lufs")):
        yield name, _at(said, "level", "after", key)
    yield "clipped samples", _at(said, "level", "clipped_samples")
    for name, value in _table(said, "stats").items():
        yield name.replace("_", " "), value


def _unrepeated(pairs: Iterator[tuple[str, Any]]) -> dict[str, Value]:
    """Plain values by clean name; of those that have one name, the first."""
    found: dict[str, Value] = {}
    for name, value in pairs:
        found.setdefault(clean(name, LONGEST_NAME), _plain(value))
    return found


def _plain(value: Any) -> Value:
    """`value` as a browser can compare and show it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return value if abs(value) <= EXACT else clean(value)  # so neither is what is not finite
    if isinstance(value, list):
        return clean(", ".join(_words(one) for one in value[:LONGEST_VALUE]), LONGEST_VALUE) or None
    if isinstance(value, dict):
        pairs = list(value.items())[:LONGEST_VALUE]
        return clean(", ".join(f"{key} {_words(one)}" for key, one in pairs), LONGEST_VALUE) or None
    return clean(at_home(value), LONGEST_VALUE) or None


def _words(value: Any) -> str:
    """A part of a value, in words."""
    return clean(at_home(value) if isinstance(value, str) else value, LONGEST_VALUE)


def _tell_models_apart(records: Sequence[Record], settings: Sequence[dict[str, Value]]) -> None:
    """Add to a model's name the start of its SHA-256 where two models have one name."""
    hashes = [clean(_at(record.said, "model", "sha256"))[:8] for record in records]
    by_name: dict[Value, set[str]] = {}
    for row, digest in zip(settings, hashes, strict=True):
        by_name.setdefault(row["model"], set()).add(digest)
    for row, digest in zip(settings, hashes, strict=True):
        if len(by_name[row["model"]]) > 1:
            row["model"] = f"{row['model']} {digest}"


def _table(said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The table under `key`; an empty one where there is none."""
    value = said.get(key)
    return value if isinstance(value, dict) else {}


def _at(said: Mapping[str, Any], *keys: str) -> Any:
    """The value under `keys`; None where there is none."""
    value: Any = said
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
