"""Names of files from a template: plain fields, and never a way out of the folder."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from distill.errors import DistillError, RequestError
from distill.text import clean, file_stem

FIELDS = {
    "model": 60, "seed": 19, "index": 9, "date": 10, "duration": 12, "loader": 60, "rate": 6, "format": 4,
}  # fmt: skip
"""What a template may hold, and how many bytes each is at most. `index` counts the files of a run from 1; `date` is
2026-01-31; `duration` is in seconds, `rate` in Hz."""
NUMBERS = ("seed", "index", "rate", "row")
"""The fields that can have a width."""
LONGEST = 200
LONGEST_SETTING = 20
"""Bytes of a setting that is a field in a batch."""

_WIDTH = re.compile(r"(0[1-9])?")


def check(template: str, settings: Collection[str] = ()) -> None:
    """Raise `RequestError` where `template` is none: a field that there is not, or more than a width after it.

    `settings` are other fields that there are, each of at most `LONGEST_SETTING` bytes.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise _refused(template, str(error).lower()) from error
    longest = 0
    if not template.strip():
        raise _refused(template, "it is empty")
    for literal, name, spec, conversion in parts:
        if "/" in literal or "\\" in literal:
            raise _refused(template, "a name is no path; choose the folder with --output-dir")
        if name is not None and (
            (name not in FIELDS and name not in settings)
            or conversion
            or not _WIDTH.fullmatch(spec or "")
            or (spec and name not in NUMBERS)
        ):
            shown = clean(f"{{{name}{f'!{conversion}' if conversion else ''}{f':{spec}' if spec else ''}}}", 40)
            allowed = ", ".join(f"{{{field}}}" for field in FIELDS)
            more = ", {row} and every setting" if settings else ""
            raise _refused(template, f"{shown} is no field; there are {allowed}{more}, with a width as in {{index:03}}")
        longest += len(literal.encode(errors="replace")) + (FIELDS.get(name, LONGEST_SETTING) if name else 0)
    if longest > LONGEST:
        raise _refused(template, f"its names can be {longest} bytes long; {LONGEST} are allowed")


def fields_of(template: str) -> set[str]:
    """The fields in a `template` that was checked."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def tells_files_apart(template: str) -> bool:
    """Whether no two files of a run have one name."""
    return not fields_of(template).isdisjoint(("seed", "index"))


def stem(template: str, fields: Mapping[str, object]) -> str:
    """The file name, without suffix, that a `template` which was checked gives: never empty, hidden, or a path."""
    parts = [
        literal
        + (file_stem(str(fields[name]), FIELDS.get(name, LONGEST_SETTING)).zfill(int(spec or 0)) if name else "")
        for literal, name, spec, _ in string.Formatter().parse(template)
    ]
    return file_stem("".join(parts), LONGEST)


def numbered(stem: str, number: int) -> str:
    """`stem` as the `number`th file has it that wants it: `stem`, `stem-2`, `stem-3`, ..."""
    return stem if number == 1 else f"{stem}-{number}"


def today() -> str:
    """The date, 2026-01-31: that of `SOURCE_DATE_EPOCH` in the environment where it is set, for builds that repeat."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not epoch:
        return datetime.now().astimezone().date().isoformat()
    try:
        return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise DistillError(
            f"SOURCE_DATE_EPOCH in the environment is {clean(epoch)}, not a number of seconds. Correct or unset it."
        ) from error


def _refused(template: str, why: str) -> RequestError:
    return RequestError(f"--name: {clean(template)!r}: {why}.")
