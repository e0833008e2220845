"""Text that came from a file, made safe to print or to name a file by. Nothing else may print it raw."""

from __future__ import annotations

import difflib
import reprlib
import unicodedata
from collections.abc import Iterable

_WINDOWS_DEVICES = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{kind}{n}" for kind in ("COM", "LPT") for n in range(1, 10)),
}


def clean(value: object, limit: int = 80) -> str:
    """`value` as one printable line of at most `limit` characters; what is cut ends in an ellipsis.

    Not printable are control characters, ANSI escapes among them (Unicode's category Cc), invisible formatting such as
    right-to-left marks (Cf), separators (Z, but for the space), surrogates, private use and what is unassigned (C).
    """
    text = value if isinstance(value, str) else represent(value)
    text = text[: 8 * limit]  # a hostile file may carry megabytes of it
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def has_control_characters(text: str) -> bool:
    """Whether `text` has control characters other than tabs and ends of lines."""
    return any(unicodedata.category(c) == "Cc" and c not in "\t\r\n" for c in text)


def represent(value: object) -> str:
    """`repr(value)`, cut short while it is made: a few bytes of a hostile file can hold a value that never ends."""
    try:
        return reprlib.repr(value)
    except ValueError:  # a whole number of thousands of digits
        return f"<{type(value).__name__}>"


def describe(error: BaseException) -> str:
    """The kind and the words of an error that is not ours, in one line."""
    return clean(f"{type(error).__name__}: {error}", 200).rstrip(": .")


def of_system(error: OSError) -> str:
    """What the system says against something, and of which file, in one line."""
    where = f" ({clean(str(error.filename), 200)})" if error.filename else ""
    return f"{error.strerror or clean(str(error), 200)}{where}."


def folded(text: str) -> str:
    """`text` for comparing it with others: in lower case, an accented letter as one character."""
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).casefold()


def near(name: str, names: Iterable[str], most: int = 3) -> list[str]:
    """Those of `names` that are near `name`, whatever their case, the nearest first; clean."""
    known: dict[str, str] = {}
    for one in names:
        known.setdefault(folded(one), one)
    return [clean(known[one]) for one in difflib.get_close_matches(folded(name), known, n=most)]


def near_ones(name: str, names: Iterable[str]) -> str:
    """What `near` finds as a sentence to go after another; nothing where it finds none."""
    found = near(name, names)
    return f" Near it: {', '.join(found)}." if found else ""


def file_stem(value: object, limit: int = 60) -> str:
    """`value` as a file name without suffix, on any system: never empty, hidden, or a path; `limit` bytes long."""
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in clean(value, limit).rstrip("…"))
    stem = kept.encode()[:limit].decode(errors="ignore").strip("-.")
    if not stem or stem.split(".")[0].upper() in _WINDOWS_DEVICES:
        return f"model-{stem}".rstrip("-")
    return stem
