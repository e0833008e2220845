"""Text tags inside finished audio files, put in and read back. What they say is for others; no sample changes here."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from distill.audio import id3, riff
from distill.errors import DistillError, RequestError
from distill.text import clean, describe

FIELDS = ("title", "artist", "album", "comment", "date", "encoder")
"""What players show, put where they look for it. Any other name is a field of its own."""

LONGEST = 2**20  # bytes that tags can have in all, and characters read of one text
MOST = 1000  # fields read of one file
_BLOCK = 2**20  # bytes moved at a time
_IN_MEMORY = 2**24  # bytes read of one ID3 tag or INFO: what lies behind, as behind a picture, is not read


def write(path: Path, form: str, tags: Mapping[str, str]) -> None:
    """Put `tags` into the audio file at `path`, of the format `form`, in place of those it has; text by field name.

    `form` is wav, flac, ogg (Vorbis), opus or mp3. Empty texts are left out; a NUL character cannot be held. Equal
    audio and equal tags make equal files. Raises `RequestError` for what `check` refuses and `DistillError` for a WAV
    file that would exceed 4 GiB, the file untouched; `DistillError` or `OSError` where writing fails, the file damaged.
    """
    check(tags)
    names = (*FIELDS, *sorted(tags.keys() - set(FIELDS)))
    texts = {name: tags[name] for name in names if tags.get(name)}
    with path.open("r+b") as file, _trouble_named(path, "cannot be tagged"):
        if form == "wav":
            _write_wav(file, texts)
        elif form == "mp3":
            _write_mp3(file, texts)
        else:
            _write_comments(file, form, texts)


def check(tags: Mapping[str, str]) -> None:
    """Raise `RequestError` where `tags` have a name, or texts, that cannot be written."""
    size = 0
    for name, text in tags.items():
        if not re.fullmatch("[a-z0-9_-]{1,40}", name):
            raise RequestError(
                f"--tag: {clean(name)!r} is not a field name. Use 1 to 40 of a to z, 0 to 9, hyphen and underscore."
            )
        try:
            size += len(text.encode())
        except UnicodeEncodeError as error:
            raise RequestError(
                f"--tag: the text of {name!r} is not UTF-8, as every text here must be. Give it so."
            ) from error
    if size > LONGEST:
        raise RequestError(
            f"--tag: the tags have {size} bytes, which is more than the {LONGEST} there is room for. Shorten them."
        )


def read(path: Path) -> dict[str, str]:
    """The tags of a file of any of these formats, text by lower-case field name; {} where it has none.

    Several texts of one field are one, with "; " between them. Texts that are no field's have the name that the format
    has for them. All are as in the file, not fit to be shown yet. Raises `DistillError` where the file is damaged or
    no such audio file, `OSError` where it cannot be opened.
    """
    with path.open("rb") as file, _trouble_named(path, "is not an audio file that can be read, or is damaged"):
        head = file.read(64)
        file.seek(0)
        if head.startswith(b"RIFF"):
            return _wav_texts(file)
        if head.startswith((b"fLaC", b"OggS")):
            form = "flac" if head.startswith(b"fLaC") else "opus" if b"OpusHead" in head else "ogg"
            return _joined(_commented(file, form).tags or ())
        size = _mp3_tag_size(file)
        file.seek(0)
        return _joined(id3.texts(file.read(min(size, _IN_MEMORY))))


@contextmanager
def _trouble_named(path: Path, trouble: str) -> Iterator[None]:
    try:
        yield
    except (DistillError, OSError):
        raise
    except Exception as error:  # on a damaged file, mutagen raises more than it says
        raise DistillError(f"{clean(str(path), 200)} {trouble} ({describe(error)}).") from error


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names and texts by lower-case name, several texts of one name in one, no more than the limits."""
    found: dict[str, list[str]] = {}
    for name, text in pairs:
        if name.lower() in found or len(found) < MOST:
            found.setdefault(name.lower(), []).append(text)
    return {name: "; ".join(texts)[:LONGEST] for name, texts in found.items()}


def _commented(file: IO[bytes], form: str) -> Any:
    """What mutagen makes of a file that has Vorbis comments, its `tags`."""
    from mutagen.flac import FLAC  # 15 ms that commands without tags need not wait for
    from mutagen.oggopus import OggOpus
    from mutagen.oggvorbis import OggVorbis

    kinds: dict[str, Any] = {"flac": FLAC, "ogg": OggVorbis, "opus": OggOpus}
    return kinds[form](file)


def _write_comments(file: IO[bytes], form: str, texts: Mapping[str, str]) -> None:
    audio = _commented(file, form)
    if audio.tags is None:
        audio.add_tags()
    audio.tags[:] = [(name.upper(), text) for name, text in texts.items()]
    file.seek(0)
    if form == "flac":
        audio.save(file, padding=lambda _: 0)
    elif form == "ogg":
        _replace_headers(file, b"\3vorbis" + audio.tags.write(), 2)
    else:
        _replace_headers(file, b"OpusTags" + audio.tags.write(framing=False), 1)


def _replace_headers(file: IO[bytes], comments: bytes, count: int) -> None:
    """Lay out the `count` packets behind an Ogg stream's first page anew, `comments` in place of the first of them.

    mutagen keeps pages where it can, so that the file would depend on the tags it had before.
    """
    from mutagen import ogg

    page_type: Any = ogg.OggPage
    page_type(file)
    pages: list[ogg.OggPage] = []
    while sum(len(page.packets) - (not page.complete) for page in pages) < count:
        pages.append(page_type(file))
    packets = [comments, *page_type.to_packets(pages)[1:]]
    page_type.replace(file, pages, page_type.from_packets(packets))


def _mp3_tag_size(file: IO[bytes]) -> int:
    """The bytes of the ID3 tag that an MP3 file starts with, 0 where it has none."""
    from mutagen.mp3 import MPEGInfo

    MPEGInfo(file)  # raises where no sound follows
    file.seek(0)
    return id3.size(file.read(10))


def _write_mp3(file: IO[bytes], texts: Mapping[str, str]) -> None:
    old, new = _mp3_tag_size(file), id3.tag(texts)
    size = file.seek(0, 2) - old
    file.seek(max(-128, -size), 2)
    if file.read(3) == b"TAG":  # ID3v1, the last 128 bytes
        size -= 128
    _move(file, old, len(new), size)
    file.seek(0)
    file.write(new)
    file.truncate(len(new) + size)


def _write_wav(file: IO[bytes], texts: Mapping[str, str]) -> None:
    kept = [(start, size) for kind, start, size in riff.chunks(file) if kind not in (b"info", b"id3 ")]
    added = riff.info(texts) + riff.chunk(b"id3 ", id3.tag(texts))
    length = 4 + sum(size + size % 2 for _, size in kept) + len(added)
    if length >= 2**32:
        raise DistillError(
            "With its tags, the file would exceed the 4 GiB that a WAV file can have. Use --format flac."
        )
    at = 12
    for start, size in kept:
        _move(file, start, at, size)
        file.seek(at + size)
        file.write(bytes(size % 2))
        at += size + size % 2
    file.write(added)
    file.truncate()
    file.seek(4)
    file.write(struct.pack("<I", length))


def _wav_texts(file: IO[bytes]) -> dict[str, str]:
    """The texts of a WAV file's ID3 tag, and from its INFO those of other fields."""
    found: dict[bytes, dict[str, str]] = {}
    for kind, start, size in riff.chunks(file):
        if texts := {b"info": riff.info_texts, b"id3 ": id3.texts}.get(kind):
            file.seek(start + 8)
            found[kind] = _joined(texts(file.read(min(size - 8, _IN_MEMORY))))
    return found.get(b"info", {}) | found.get(b"id3 ", {})


def _move(file: IO[bytes], source: int, target: int, size: int) -> None:
    """Copy `size` bytes within `file` to a place that may overlap where they are."""
    starts = range(0, size if source != target else 0, _BLOCK)
    for at in starts if target < source else reversed(starts):
        file.seek(source + at)
        block = file.read(min(_BLOCK, size - at))
        file.seek(target + at)
        file.write(block)
