"""Sizes in bytes, as people write and read them."""

from __future__ import annotations

import re

_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?([KMGT]?)B?", re.IGNORECASE | re.ASCII)


def readable(size: float) -> str:
    """`size` in bytes as people say it: "5.4 MB", of a thousand kilobytes each."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("the last unit takes any size")


def parse(text: str) -> int:
    """The bytes that `text` says: "500M", "4G", "1.5 GB". Raises `ValueError` where it is no such size."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError("a size is a number with K, M, G or T behind it, such as 500M or 1.5G")
    return round(float(found[1]) * _FACTORS[found[2].upper()])
