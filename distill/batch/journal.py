"""`distill-batch.jsonl`: a line of JSON for each finished file of a folder, appended once the file is in place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from distill import naming
from distill.audio.formats import FORMATS
from distill.text import file_stem

NAME = "distill-batch.jsonl"
BEGINNING = b'{"file": "'
"""What every line begins with."""
LONGEST = naming.LONGEST + 12
"""Bytes of a file's name without its suffix, a number that was added to it included."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Line:
    """What is known of a finished file. `bytes` and `sha256` are the file's own; `duration` in seconds.

    `key` says what was asked for; `row` is where that stood, `batch` which batch it was made in, and `date` what its
    tags say.
    """

    file: str
    key: str
    sha256: str
    bytes: int
    row: int
    batch: str
    date: str
    seed: int
    duration: float
    sample_rate: int
    model: str
    loader: str
    stats: Mapping[str, float]


_KINDS: dict[str, type | tuple[type, ...]] = {
    "file": str, "key": str, "sha256": str, "bytes": int, "row": int, "batch": str, "date": str, "seed": int,
    "duration": (int, float), "sample_rate": int, "model": str, "loader": str, "stats": dict,
}  # fmt: skip


def parse(data: bytes) -> dict[str, Line]:
    """The lines of a journal by key: the last of each key, if it is the last of its file too.

    What is no line, as a killed run leaves it, is left out.
    """
    found: dict[str, Line] = {}
    keys: dict[str, str] = {}  # by file
    for text in data.splitlines():
        line = _line(text)
        if line is not None:
            found[line.key] = line
            keys[line.file] = line.key
    return {key: line for key, line in found.items() if keys[line.file] == key}


def _line(text: bytes) -> Line | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not all(isinstance(said.get(name), kind) for name, kind in _KINDS.items()):
        return None
    stem, dot, suffix = said["file"].rpartition(".")
    if not dot or suffix not in FORMATS or file_stem(stem, LONGEST) != stem:
        return None  # no way out of the folder, nothing that a terminal would obey
    if not _DATE.fullmatch(said["date"]) or any(map(_is_odd, (*said.values(), *said["stats"].values()))):
        return None
    return Line(**{one.name: said[one.name] for one in fields(Line)})


def _is_odd(value: object) -> bool:
    """Whether `value` is a truth, or a number that is not finite, which no line has."""
    return isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value))


def text(lines: Iterable[Line]) -> bytes:
    """`lines` as they are appended."""
    return b"".join(json.dumps(described(line), ensure_ascii=True).encode() + b"\n" for line in lines)


def described(line: Line) -> dict[str, Any]:
    """What `--json` says of a file."""
    return asdict(line)
