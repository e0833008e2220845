"""Rows under titles, for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """`rows` under the titles `columns`; a title that starts with ">" has its column on the right. Empty ones go."""
    shown = [
        (title.removeprefix(">"), title.startswith(">"), cells)
        for title, *cells in zip(columns, *rows, strict=True)
        if any(cells)
    ]
    aligned = []
    for title, right, cells in shown:
        width = max(map(len, [title, *cells]))
        aligned.append([cell.rjust(width) if right else cell.ljust(width) for cell in (title, *cells)])
    return "\n".join("  ".join(line).rstrip() for line in zip(*aligned, strict=True))
