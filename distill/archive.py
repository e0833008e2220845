"""The directory of a zip archive: which records it holds and where they lie. Reads a file's two ends, nothing between.

Python's `zipfile` takes five times as long, which a library of thousands of checkpoints feels. Only what `torch.save`
writes is understood: one volume, nothing before the first record, nothing encrypted. Source: PKWARE APPNOTE 6.3.10,
4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 4.3.16 (its end).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

SIGNATURE = b"PK\x03\x04"
"""What an archive begins with."""
MAX_DIRECTORY_BYTES = 16 * 2**20
"""Ceiling for the directory. A checkpoint of a hundred tensors has 8 kB of it."""

_END = struct.Struct("<4s4H2LH")
_END_64_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LENGTHS = struct.Struct("<3H")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 2**16 - 1
_IN_EXTRA = 2**32 - 1
_BLOCK = 2**20


class ArchiveError(ValueError):
    """A file is no whole zip archive, or one that is laid out otherwise than `torch.save` does."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of an archive: its `size` in bytes when unpacked, and the `offset` of its local header in the file.

    `plain`: neither compressed nor encrypted, so that its bytes are those in the file.
    """

    name: bytes
    size: int
    offset: int
    crc: int
    plain: bool


def read_directory(file: BinaryIO) -> bytes:
    """The directory of the archive in `file`. Raises `ArchiveError` where there is none, or a huge one."""
    length = file.seek(0, os.SEEK_END)
    end, at = _find_end(file, length)
    *_, count, size, offset, _ = _END.unpack(end)
    count, size, offset, at = _read_end_64(file, at) or (count, size, offset, at)
    if offset + size != at or size < count * _ENTRY.size:
        raise ArchiveError("its directory is not where its end says")
    if size > MAX_DIRECTORY_BYTES:
        raise ArchiveError(f"its directory has {size} bytes")
    return _read(file, offset, size)


def records(directory: bytes, ending: bytes = b"") -> Iterator[Record]:
    """The records in `directory` whose names end in `ending`. Raises `ArchiveError` where it is damaged."""
    at = 0
    try:
        while at < len(directory):
            name_length, extra_length, comment_length = _LENGTHS.unpack_from(directory, at + 28)
            name_at = at + _ENTRY.size
            extra_at = name_at + name_length
            if directory.endswith(ending, name_at, extra_at):
                name = directory[name_at:extra_at]
                yield _record(directory, at, name, directory[extra_at : extra_at + extra_length])
            at = extra_at + extra_length + comment_length
    except struct.error:
        at = -1
    if at != len(directory):
        raise ArchiveError("its directory is damaged")


def read(file: BinaryIO, record: Record) -> bytes:
    """The bytes of `record`, which is plain and no larger than its reader has memory for.

    Raises `ArchiveError` where they are not those that were written.
    """
    data = _read(file, start(file, record), record.size)
    if zlib.crc32(data) != record.crc:
        raise ArchiveError(f"{record.name!r} has another checksum")
    return data


def check(file: BinaryIO) -> None:
    """Read every record of the archive in `file`. Raises `ArchiveError` where one is not what was written."""
    found = list(records(read_directory(file)))
    if sum(record.size for record in found) > file.seek(0, os.SEEK_END):
        raise ArchiveError("its records are larger than it is")
    for record in found:
        if not record.plain:
            raise ArchiveError(f"{record.name!r} is compressed or encrypted")
        file.seek(start(file, record))  # which lies in the file, since its header does
        left, crc = record.size, 0
        while left and (block := file.read(min(left, _BLOCK))):
            crc = zlib.crc32(block, crc)
            left -= len(block)
        if left or crc != record.crc:
            raise ArchiveError(f"{record.name!r} has another checksum")


def start(file: BinaryIO, record: Record) -> int:
    """Where in `file` the bytes of `record` begin. Raises `ArchiveError` where its local header is another's."""
    signature, *_, name_length, extra_length = _LOCAL.unpack(_read(file, record.offset, _LOCAL.size))
    if signature != SIGNATURE or _read(file, record.offset + _LOCAL.size, name_length) != record.name:
        raise ArchiveError(f"{record.name!r} is not where the directory says")
    return record.offset + _LOCAL.size + int(name_length) + int(extra_length)


def _find_end(file: BinaryIO, length: int) -> tuple[bytes, int]:
    """The record that ends an archive of `length` bytes, and where it lies; a comment may follow it."""
    for reach in (_END.size, _END.size + _LONGEST_COMMENT):
        first = max(0, length - reach)
        tail = _read(file, first, length - first)
        at = tail.rfind(b"PK\x05\x06")
        if at >= 0 and len(tail) - at >= _END.size:
            end = tail[at : at + _END.size]
            if _END.unpack(end)[-1] == len(tail) - at - _END.size:
                return end, first + at
    raise ArchiveError("it has no end")


def _read_end_64(file: BinaryIO, at: int) -> tuple[int, int, int, int] | None:
    """How many records there are, the size and offset of their directory, and where it ends; in 64 bits.

    `at` is where the archive's short end lies. None where there is none but that, as `torch.save` never leaves it.
    """
    if at < _END_64_LOCATOR.size:
        return None
    signature, _, end_at, _ = _END_64_LOCATOR.unpack(_read(file, at - _END_64_LOCATOR.size, _END_64_LOCATOR.size))
    if signature != b"PK\x06\x07":
        return None
    signature, *_, count, size, offset = _END_64.unpack(_read(file, end_at, _END_64.size))
    if signature != b"PK\x06\x06":
        raise ArchiveError("the end of its directory is damaged")
    return count, size, offset, end_at


def _record(directory: bytes, at: int, name: bytes, extra: bytes) -> Record:
    """The record whose entry begins `at`."""
    signature, _, _, flags, method, _, _, crc, packed, size, *_, offset = _ENTRY.unpack_from(directory, at)
    if signature != b"PK\x01\x02":
        raise ArchiveError("its directory is damaged")
    large = [value == _IN_EXTRA for value in (size, packed, offset)]
    if any(large):
        found = iter(_large_values(extra, sum(large)))
        size, packed, offset = (
            next(found) if is_large else value for is_large, value in zip(large, (size, packed, offset), strict=True)
        )
    return Record(name, size, offset, crc, method == 0 and not flags & 1 and packed == size)


def _large_values(extra: bytes, count: int) -> tuple[int, ...]:
    """The `count` values that an entry keeps in its `extra` field, since they need 64 bits (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            return struct.unpack_from(f"<{count}Q", extra, at + 4)
        at += 4 + length
    raise ArchiveError("its directory is damaged")


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    """`size` bytes of `file` from `offset` on. Raises `ArchiveError` where it has fewer."""
    if not 0 <= offset < 2**63:
        raise ArchiveError("it is cut short")
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise ArchiveError("it is cut short")
    return data
