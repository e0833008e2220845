"""`distill-batch.jsonl`: a line of JSON for each finished file of a folder, appended once the file is in place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

NAME = "distill-batch.jsonl"


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
    """The lines of a journal by key, the last of each. What is none, as a killed run leaves it, is left out."""
    found = {}
    for text in data.splitlines():
        line = _line(text)
        if line is not None:
            found[line.key] = line
    return found


def _line(text: bytes) -> Line | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not all(isinstance(said.get(name), kind) for name, kind in _KINDS.items()):
        return None
    if "/" in said["file"] or "\\" in said["file"] or said["file"].startswith("."):
        return None  # no way out of the folder
    return Line(**{one.name: said[one.name] for one in fields(Line)})


def text(lines: Iterable[Line]) -> bytes:
    """`lines` as they are appended."""
    return b"".join(json.dumps(described(line), ensure_ascii=True).encode() + b"\n" for line in lines)


def described(line: Line) -> dict[str, Any]:
    """What `--json` says of a file."""
    return asdict(line)
