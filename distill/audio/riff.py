"""The chunks of a WAV file, and the texts in its INFO; what is put into them, and why, is for `tags.py`."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import IO

MOST = 1000  # chunks of one file
_KINDS = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "date": b"ICRD",
    "encoder": b"ISFT",
    "comment": b"ICMT",  # the last, because libsndfile reads on after no text of more than 2 kB
}
_FIELD_OF = {kind: name for name, kind in _KINDS.items()}


def chunks(file: IO[bytes]) -> list[tuple[bytes, int, int]]:
    """Kind, start and size of each chunk of a WAV file: with its header, without the byte that makes it even.

    Kinds are in lower case; that of a LIST of INFO is info. Raises `ValueError` where the file is not whole.
    """
    found: list[tuple[bytes, int, int]] = []
    there = file.seek(0, 2)
    file.seek(0)
    riff, length, form = struct.unpack("<4sI4s", file.read(12))
    at, end = 12, 8 + length
    while at + 8 <= min(end, there) and len(found) <= MOST:
        file.seek(at)
        kind, size, form_of_list = struct.unpack("<4sI4s", file.read(12).ljust(12))
        found.append((b"info" if (kind, form_of_list) == (b"LIST", b"INFO") else kind.lower(), at, 8 + size))
        at += 8 + size + size % 2
    if (riff, form) != (b"RIFF", b"WAVE") or len(found) > MOST or b"data" not in {kind for kind, _, _ in found}:
        raise ValueError("no WAV file with samples")
    if max(at, end) > there + 1:  # not every program makes the last chunk even
        raise ValueError("it is cut short")
    return found


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk as it stands in a file; nothing for nothing."""
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) if body else b""


def info(texts: Mapping[str, str]) -> bytes:
    """The LIST chunk of INFO with those of `texts`, by field name, that it has a place for; nothing for none."""
    parts = [chunk(kind, texts[name].encode() + b"\0") for name, kind in _KINDS.items() if name in texts]
    return chunk(b"LIST", b"INFO" + b"".join(parts)) if parts else b""


def info_texts(body: bytes) -> Iterator[tuple[str, str]]:
    """Field name, or kind where it is no field's, and text of each part of the INFO in a LIST chunk's `body`."""
    at = 4
    while at + 8 <= len(body):
        kind, size = struct.unpack_from("<4sI", body, at)
        text = body[at + 8 : at + 8 + size].partition(b"\0")[0]
        yield _FIELD_OF.get(kind) or kind.decode("latin-1"), _decoded(text)
        at += 8 + size + size % 2


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:  # from an older program
        return text.decode("latin-1")
