"""ID3 tags as bytes, made and read; where in a file they lie is for `tags.py`.

Made by mutagen. Read by ourselves: a stranger's tag takes mutagen time that grows with the square of its size.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

_DATE = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?")
"""What a date must look like to be one in ID3; other texts are a field of their own."""
_FRAMES = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "comment": b"COMM",
    "date": b"TDRC",
    "encoder": b"TSSE",
}
_FIELD_OF = {kind: name for name, kind in _FRAMES.items()} | {b"TYER": "date"}
_ENCODINGS = ("latin-1", "utf-16", "utf-16-be", "utf-8")  # by the first byte of a frame
_PACKED = {3: 0xE0, 4: 0x4C}  # by version, the flags of a frame that is compressed, encrypted or one of a group


def tag(texts: Mapping[str, str]) -> bytes:
    """`texts`, by field name, as an ID3v2.4 tag in UTF-8; nothing for none. Fields that no frame is for are TXXX."""
    from mutagen import id3

    made: Any = id3.ID3()  # type: ignore[no-untyped-call]
    for name, text in texts.items():
        kind = "TXXX" if name == "date" and not _DATE.fullmatch(text) else _FRAMES.get(name, b"TXXX").decode()
        described = {"COMM": {"lang": "eng", "desc": ""}, "TXXX": {"desc": name}}.get(kind, {})
        made.add(getattr(id3, kind)(encoding=3, text=[text], **described))
    file = io.BytesIO()
    if texts:
        made.save(file, v1=0, v2_version=4, padding=lambda _: 0)
    return file.getvalue()


def size(head: bytes) -> int:
    """The bytes of the tag of which `head` is the first ten; 0 where that is no tag."""
    return 10 + _from_synchsafe(head[6:10]) if head.startswith(b"ID3") else 0


def texts(tag: bytes) -> Iterator[tuple[str, str]]:
    """Field name and text of each text frame of a tag of version 2.3 or 2.4, but for those that are packed.

    A frame that is no field's has its own name, such as TCON; a tag that is cut short gives what is left of it.
    """
    if len(tag) < 10 or tag[3] not in _PACKED:
        return
    version, flags = tag[3], tag[5]
    number = _from_synchsafe if version == 4 else int.from_bytes
    if version == 3 and flags & 0x80:
        tag = _synchronised(tag)
    at = 10
    if flags & 0x40:  # an extended header, whose size counts itself in 2.4 only
        at += number(tag[10:14]) + (4 if version == 3 else 0)
    while at + 10 < len(tag) and tag[at]:  # zeros fill what a tag has to spare
        kind, flags = tag[at : at + 4], tag[at + 9]
        body = tag[at + 10 : at + 10 + number(tag[at + 4 : at + 8])]
        at += 10 + number(tag[at + 4 : at + 8])
        if version == 4 and flags & 1:  # its size once more
            body = body[4:]
        if version == 4 and flags & 2:
            body = _synchronised(body)
        if (kind.startswith(b"T") or kind == b"COMM") and not flags & _PACKED[version] and body and body[0] < 4:
            yield _text(kind, body)


def _text(kind: bytes, body: bytes) -> tuple[str, str]:
    """Field name and text of a frame; between several texts stands "; "."""
    encoding = _ENCODINGS[body[0]]
    text = body[4 if kind == b"COMM" else 1 :].decode(encoding, "replace")
    if encoding == "utf-16":
        text = text.replace("\0\ufeff", "\0")  # each has a byte order mark; decoding took the first
    name = ""
    if kind in (b"COMM", b"TXXX"):
        name, _, text = text.partition("\0")
    return name or _FIELD_OF.get(kind) or kind.decode("latin-1"), text.rstrip("\0").replace("\0", "; ")


def _synchronised(data: bytes) -> bytes:
    """`data` without the zeros that keep decoders from taking it for sound."""
    return data.replace(b"\xff\0", b"\xff")


def _from_synchsafe(number: bytes) -> int:
    """The number in four bytes of seven bits each."""
    return sum((byte & 127) << shift for byte, shift in zip(number, (21, 14, 7, 0), strict=False))
