"""Rows under titles, for people at a terminal."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Sequence

MIN_CELL = 16
"""Columns of a terminal that a long cell keeps, where there is room for two."""
_GAP = "  "
_MORE = "…"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """`rows` under `titles`; a title that starts with ">" has its column on the right. Empty ones go.

    On a terminal that is too narrow for all, the last columns are left out, which an ellipsis tells, and the widest
    cells of the others are cut; elsewhere the table is whole.
    """
    shown = [
        (title.removeprefix(">"), title.startswith(">"), cells)
        for title, *cells in zip(titles, *rows, strict=True)
        if any(cells)
    ]
    widths = _fitting([max(map(columns, [title, *cells])) for title, _, cells in shown])
    aligned = [
        [_padded(_cut(cell, width), width, right) for cell in (title, *cells)]
        for (title, right, cells), width in zip(shown, widths, strict=False)
    ]
    if len(widths) < len(shown):
        aligned.append([_MORE, *("" for _ in rows)])
    return "\n".join(_GAP.join(line).rstrip() for line in zip(*aligned, strict=True))


def _fitting(widths: list[int]) -> list[int]:
    """`widths` as they are, or of the first columns as many as a terminal has room for, the widest narrower."""
    if not (sys.stdout and sys.stdout.isatty()):
        return widths
    room = shutil.get_terminal_size().columns

    def excess(some: list[int]) -> int:
        more = len(_GAP) + len(_MORE) if len(some) < len(widths) else 0
        return sum(some) + len(_GAP) * (len(some) - 1) + more - room

    fitting = list(widths)
    while len(fitting) > 1 and excess([min(width, MIN_CELL) for width in fitting]) > 0:
        fitting.pop()
    for _ in range(excess(fitting)):
        widest = max(range(len(fitting)), key=fitting.__getitem__)
        fitting[widest] = max(1, fitting[widest] - 1)
    return fitting


def _cut(text: str, width: int) -> str:
    while columns(text) > width:
        text = text.removesuffix(_MORE)[:-1] + _MORE
    return text


def columns(text: str) -> int:
    """How many columns of a terminal `text` takes: two for wide characters, none for those that go on others."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - columns(text))
    return blanks + text if right else text + blanks
