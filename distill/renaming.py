"""A checkpoint under another name: its header says another, every other byte of it stays. Imports nothing heavy."""

from __future__ import annotations

import pickle
import shutil
import struct
import zipfile
from pathlib import Path

from distill import checkpoint, inspection, pickles
from distill.checkpoint import CheckpointHeader
from distill.errors import CheckpointError, RequestError
from distill.text import clean

ALIGNMENT = 64
"""Bytes that a record's place is a multiple of, as in the files of `torch.save`: tensors are mapped from there."""
LONGEST = 80


def check_name(name: str) -> str:
    """`name`, if a model can be called that. Raises `RequestError` otherwise."""
    if not name or clean(name, LONGEST) != name or "/" in name or "\\" in name or name.endswith(".distill"):
        allowed = f"1 to {LONGEST} printable characters, no slashes, no suffix, no blanks at the ends or side by side"
        raise RequestError(f"{clean(name)!r} is no name for a model: {allowed}.")
    return name


def write_renamed(header: CheckpointHeader, name: str, draft: Path) -> None:
    """Write to `draft` the `.distill` file that `header` is of, its name now `name`.

    Raises `CheckpointError` where it is damaged, or of another container, whose name only its plugin could change.
    """
    data = checkpoint.read_pickle(header.path)
    if data is None:
        raise CheckpointError(
            f"{clean(str(header.path), 200)} is of a plugin's own format, and keeps the name it has. Rename its file."
        )
    checkpoint.check_records(header.path)
    _copy(header.path, draft, renamed(data, name))
    shutil.copymode(header.path, draft)
    _check(header, name, draft)


def renamed(data: bytes, name: str) -> bytes:
    """The pickle of a checkpoint's dictionary, `data`, with `name` as the name in its `metadata`.

    Opcodes before its end set it once more, whatever was set before: nothing in front of them changes.
    """
    unpickler = pickles.Unpickler(data)
    metadata = unpickler.load().get("metadata")
    get = pickle.EMPTY_DICT
    if metadata is not None:
        numbers = [number for number, value in unpickler.memo.copy().items() if value is metadata]
        if not numbers or not isinstance(metadata, dict):
            raise checkpoint.malformed("The checkpoint has metadata that no name can be set in.")
        get = pickle.LONG_BINGET + struct.pack("<I", numbers[0])
    setting = _text("metadata") + get + _text("name") + _text(name) + 2 * pickle.SETITEM
    _, end = pickles.checked(data)
    return data[: end - 1] + setting + pickle.STOP


def _text(text: str) -> bytes:
    encoded = text.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded


def _copy(source: Path, draft: Path, data: bytes) -> None:
    """Write the archive `source` to `draft`, with `data` as its `data.pkl`."""
    with zipfile.ZipFile(source) as old, draft.open("wb") as file, zipfile.ZipFile(file, "w") as new:
        for info in old.infolist():
            is_header = info.filename.count("/") == 1 and info.filename.endswith("/data.pkl")
            size = len(data) if is_header else info.file_size
            with new.open(_entry(info.filename, size, file.tell()), "w") as target:
                if is_header:
                    target.write(data)
                else:
                    with old.open(info) as record:
                        shutil.copyfileobj(record, target, 2**20)


def _entry(name: str, size: int, offset: int) -> zipfile.ZipInfo:
    """An entry for a record of `size` bytes whose header begins at `offset`: its bytes will lie at an aligned place."""
    entry = zipfile.ZipInfo(name)
    entry.file_size = size
    large = 20 if size * 1.05 > zipfile.ZIP64_LIMIT else 0  # zipfile's own rule for a longer header
    unpadded = offset + 30 + len(name.encode()) + large + 4
    padding = -unpadded % ALIGNMENT
    entry.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    return entry


def _check(header: CheckpointHeader, name: str, draft: Path) -> None:
    """Raise `CheckpointError` where `draft` is not whole, or not the checkpoint of `header` under another name."""
    checkpoint.check_records(draft)
    made = checkpoint.read_header(draft)
    before, after = (inspection.plain(one) for one in (header.fields, {} if made is None else made.fields))
    before.setdefault("metadata", {})["name"] = after.get("metadata", {}).get("name")
    if made is None or made.name != name or before != after:
        raise CheckpointError(
            f"{clean(str(header.path), 200)} cannot be written under another name. Use it by its id or path."
        )
