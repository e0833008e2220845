"""Copies of generated files, with what belongs to them: whole or absent, and none twice."""

from __future__ import annotations

import filecmp
import shutil
from itertools import count
from pathlib import Path
from typing import Any

from distill import naming, outputs
from distill.record import Record


def copy(record: Record, audio: Path, folder: Path) -> Path:
    """Copy `audio`, the file of `record`, with its sidecar and its picture into `folder`; where it lies there.

    Byte for byte. Where the name is in use the copy gets another, and its sidecar says so. A copy that is there already
    is left as it is.
    """
    picture = _picture(record, audio)

    def describe(path: Path) -> dict[str, Any]:
        drawn = path.with_suffix(outputs.PICTURE).name if picture is not None else None
        return {**record.said, "file": path.name, "picture": drawn}

    for number in count(1):
        path = folder / f"{naming.numbered(audio.stem, number)}{audio.suffix}"
        sidecar = path.with_suffix(outputs.SIDECAR)
        copies = {path: audio} if picture is None else {path: audio, path.with_suffix(outputs.PICTURE): picture}
        if not any(name.exists() for name in (*copies, sidecar)):
            break
        if _holds(sidecar, outputs.to_json(describe(path))) and all(_equal(*pair) for pair in copies.items()):
            return path
    with outputs.Drafts(folder) as drafts:
        draft = drafts.new()
        shutil.copyfile(audio, draft)
        beside = {}
        if picture is not None:
            beside[outputs.PICTURE] = drafts.new()
            shutil.copyfile(picture, beside[outputs.PICTURE])
        return drafts.publish(draft, audio.stem, audio.suffix, describe, beside, overwrite=False)


def _picture(record: Record, audio: Path) -> Path | None:
    """The picture beside `audio`, if its sidecar says that it has one."""
    path = audio.with_suffix(outputs.PICTURE)
    return path if record.said.get("picture") == path.name and path.is_file() else None


def _holds(path: Path, contents: bytes) -> bool:
    return path.is_file() and path.read_bytes() == contents


def _equal(path: Path, other: Path) -> bool:
    return path.is_file() and filecmp.cmp(path, other, shallow=False)
