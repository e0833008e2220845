"""Sizes of files, for people."""

from __future__ import annotations


def readable(size: float) -> str:
    """`size` in bytes as people say it: "5.4 MB", of a thousand kilobytes each."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("the last unit takes any size")
