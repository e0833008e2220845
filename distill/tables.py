"""Rows under titles, for people at a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """`rows` under `titles`; a title that starts with ">" has its column on the right. Empty ones go."""
    shown = [
        (title.removeprefix(">"), title.startswith(">"), cells)
        for title, *cells in zip(titles, *rows, strict=True)
        if any(cells)
    ]
    aligned = []
    for title, right, cells in shown:
        width = max(map(columns, [title, *cells]))
        aligned.append([_padded(cell, width, right) for cell in (title, *cells)])
    return "\n".join("  ".join(line).rstrip() for line in zip(*aligned, strict=True))


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes: two for wide characters, none for those that go on others."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - columns(text))
    return blanks + text if right else text + blanks
