"""The page: one file of HTML that needs nothing else, written a piece at a time."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from distill import outputs
from distill.concurrency import in_order
from distill.errors import DistillError, RequestError
from distill.record import Record
from distill.report import sounds
from distill.report.columns import columns
from distill.text import clean

MARK = '<meta name="generator" content="distill report">'
"""What tells a page of ours from another file: it is near the beginning."""
MOST_EMBEDDED = 512 * 2**20
"""Bytes of sound that a page carries at most: a browser has to hold them."""
SCRIPTS = ("values", "state", "pictures", "player", "filters", "list", "sheet", "keys", "start")


@dataclass(frozen=True)
class Written:
    """A page of `size` bytes; `problems` are those of files that cannot be heard, by name."""

    size: int
    problems: dict[str, str]


def is_ours(path: Path) -> bool:
    """Whether the file at `path` is such a page."""
    with path.open("rb") as file:
        return MARK.encode() in file.read(4096)


def check_size(records: Sequence[Record]) -> None:
    """Raise `RequestError` where the sound of the files is too much for one page."""
    expected = sounds.PREVIEW_BYTES * sum(sounds.length(_audio(record)) for record in records)
    if expected > MOST_EMBEDDED:
        raise RequestError(
            f"The sound of these files would be {expected / 2**20:.0f} MiB; a page carries at most "
            f"{MOST_EMBEDDED // 2**20} MiB. Say --link, and it plays the files where they lie."
        )


def write(
    path: Path, folder: Path, records: Sequence[Record], link: bool, workers: int, done: Callable[[], object]
) -> Written:
    """Write the page of the files of `records`, which lie in `folder`, to `path`; `done` is called for each of them.

    With `link` it refers to the files where they lie; otherwise it carries previews of their sound.
    """
    with tempfile.TemporaryDirectory() as spool:
        previews = [None if link else Path(spool, f"{index}.{sounds.PREVIEW}") for index in range(len(records))]
        tasks = (partial(_seen, _audio(one), preview) for one, preview in zip(records, previews, strict=True))
        seen = []
        for one in in_order(tasks, workers):
            seen.append(one)
            done()
        head = _head(folder, _data(path, folder, records, seen, link), link)
        outputs.replace_in_pieces(path, _pieces(head, [p for p in previews if p is not None]))
    names = [clean(_audio(record).name) for record in records]
    problems = {name: one for name, one in zip(names, seen, strict=True) if isinstance(one, str)}
    return Written(path.stat().st_size, problems)


def _audio(record: Record) -> Path:
    """The audio file of a record of `read_folder`, all of which have one."""
    return record.path if record.audio is None else record.audio


def _seen(audio: Path, preview: Path | None, _unwanted: Event) -> sounds.Seen | str:
    """What is seen of the file, its `preview` written; or what is wrong with it."""
    try:
        seen = sounds.look(audio)
    except DistillError as error:
        return str(error)
    if preview is not None:
        sounds.write_preview(audio, seen, preview)
    return seen


def _data(
    path: Path, folder: Path, records: Sequence[Record], seen: Sequence[sounds.Seen | str], link: bool
) -> dict[str, Any]:
    """All that the page knows. Values of a file are in the order of the columns."""
    found = columns(records)
    varying = [one for one in found if one.varies]
    return {
        "linked": link,
        "bands": sounds.BANDS,
        "columns": [{"name": one.name, "unit": one.unit, "figure": one.is_figure} for one in varying],
        "common": [
            {"name": one.name, "unit": one.unit, "figure": one.is_figure, "value": one.values[0]}
            for one in found if not one.varies
        ],
        "files": [
            {
                "name": clean(_audio(record).name, 200),
                "href": _address(_audio(record), path),
                "values": [one.values[index] for one in varying],
                **_shown(seen[index]),
            }
            for index, record in enumerate(records)
        ],
    }  # fmt: skip


def _shown(seen: sounds.Seen | str) -> dict[str, Any]:
    """What the page shows of a file itself."""
    if isinstance(seen, str):
        return {"problem": seen}
    return {"seconds": round(seen.duration, 6), "picture": base64.b64encode(seen.picture).decode()}


def _address(audio: Path, page: Path) -> str:
    """Where the page at `page` finds the file: a relative address, percent-encoded."""
    try:
        relative = os.path.relpath(audio.absolute(), page.resolve().parent)
    except ValueError:  # another drive, on Windows
        return audio.absolute().as_uri()
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def _head(folder: Path, data: dict[str, Any], link: bool) -> bytes:
    """The page without its sounds."""
    script = Markup('(() => {\n"use strict";\n' + "".join(_part(f"{name}.js") for name in SCRIPTS) + "})();\n")
    style = Markup(_part("style.css"))
    text = _part("page.html")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
    page = template.render(
        mark=Markup(MARK),
        policy=_policy(script, style, link),
        title=clean(folder.resolve().name) or "report",
        count=len(data["files"]),
        version=version("distill"),
        linked=link,
        style=style,
        script=script,
        data=Markup(_inert(data)),
    )
    return page.encode()


def _part(name: str) -> str:
    return files("distill.report").joinpath("data", name).read_text("utf-8")


def _policy(script: str, style: str, link: bool) -> str:
    """What the page may do: run its own script, and play sound of its own, or the files beside it. No network."""
    allowed = {"default-src": "'none'", "script-src": _hash(script), "style-src": _hash(style)}
    allowed |= {"media-src": "'self' file:" if link else "blob:", "base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{key} {value}" for key, value in allowed.items())


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _inert(data: dict[str, Any]) -> str:
    """`data` as JSON that cannot end the element it is in, nor begin another."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _pieces(head: bytes, previews: Sequence[Path]) -> Iterator[bytes]:
    """The page: its `head`, then each of the `previews`, in elements that are text to a browser until it is played."""
    yield head
    for index, preview in enumerate(previews):
        if preview.exists():
            yield f'<script type="text/plain" id="sound-{index}">'.encode()
            with preview.open("rb") as file:
                while block := file.read(3 * 2**16):  # whole groups of three, so that the texts can be joined
                    yield base64.b64encode(block)
            yield b"</script>\n"
