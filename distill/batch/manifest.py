"""A manifest: a row a job, in JSON Lines or CSV, its columns named as the options of `generate`. Read as data."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, TextIO

from distill.batch.problems import Problems
from distill.errors import RequestError
from distill.text import clean, near_ones

STDIN = "-"
CSV_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
DELIMITERS = (",", ";", "\t")
BOM = "\ufeff"
MOST_COLUMNS = 1000
UNKNOWN = "?"
"""In place of a column that was told of, whose cells are not looked at."""
NOT_UTF8 = "This is not in UTF-8. Save the manifest in that encoding."


@dataclass(frozen=True, slots=True)
class Row:
    """What stands in a row that begins at `line`: values by column, as they were written; empty ones are left out."""

    line: int
    values: dict[str, Any]


def open_text(path: Path) -> TextIO:
    """The manifest at `path`, to be read as UTF-8; bytes that are none become surrogates, which are told of later."""
    return path.open(encoding="utf-8", errors="surrogateescape", newline="")


def read(lines: Iterable[str], suffix: str, columns: Collection[str], repeatable: Collection[str],
         problems: Problems) -> Iterator[Row]:  # fmt: skip
    """The rows of a manifest in `lines`; its `suffix` says which kind it is, else its first character does.

    `columns` are those there may be, of which those `repeatable` may have several values. What is wrong is noted in
    `problems`, and left out of the row.
    """
    reading = iter(lines)
    blank = []
    first = ""
    for first in reading:
        if first.strip().lstrip(BOM):
            break
        blank.append(first)
    if "\0" in first or not _is_text(first, 1 + len(blank), problems):
        if not problems.count:
            problems.add(1 + len(blank), None, NOT_UTF8)
        return
    if not first.strip().lstrip(BOM):
        problems.add(1, None, "The manifest is empty. Give a line of JSON, or of CSV under a line of columns.")
        return
    all_lines = chain(blank, [first], reading)
    starts = first.lstrip().lstrip(BOM)[:1]
    if suffix in JSON_SUFFIXES or (suffix not in CSV_SUFFIXES and starts in "{["):
        yield from _json_rows(all_lines, columns, problems)
    else:
        yield from _csv_rows(all_lines, columns, repeatable, problems)


def _json_rows(lines: Iterable[str], columns: Collection[str], problems: Problems) -> Iterator[Row]:
    is_first = True
    for number, text in enumerate(lines, start=1):
        text = text.removeprefix(BOM).strip()
        if not text or not _is_text(text, number, problems):
            continue
        try:
            said = _DECODER.decode(text)
        except json.JSONDecodeError as error:
            if is_first and text in ("{", "["):
                problems.add(number, None, "A line must hold a whole object; 'jq -c .[]' writes a list so.")
                return
            problems.add(number, error.colno, f"This is no JSON: {error.msg}.")
            continue
        except (ValueError, RecursionError):
            problems.add(number, None, "This is no JSON that can be read: it has a huge number, or lists in lists.")
            continue
        is_first = False
        if not isinstance(said, _Pairs):
            problems.add(number, None, "This is no JSON object: a line is {...}, with the options of a job by name.")
            continue
        values: dict[str, Any] = {}
        for key, value in said:
            column = plain(key)
            if column not in columns:
                problems.add(number, key, _unknown(columns, column))
            elif column in values:
                problems.add(number, key, "It is given twice.")
            elif value is not None:
                values[column] = value
        yield Row(number, values)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, so that a key that is there twice is seen."""


_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs)


def _csv_rows(
    lines: Iterable[str], columns: Collection[str], repeatable: Collection[str], problems: Problems
) -> Iterator[Row]:
    reading = iter(lines)
    skipped = 0
    header = ""
    for header in reading:
        header = header.removeprefix(BOM)
        if header.strip():
            break
        skipped += 1
    delimiter = max(DELIMITERS, key=header.count)
    rows = csv.reader(chain([header], reading), delimiter=delimiter, skipinitialspace=True, strict=True)
    names: list[str] = []
    start = 1
    try:
        for cells in rows:
            line, start = start + skipped, rows.line_num + 1
            if not names:
                if len(cells) > MOST_COLUMNS:
                    problems.add(line, None, f"There are {len(cells)} columns; {MOST_COLUMNS} are allowed.")
                    return
                names = _names(line, cells, columns, repeatable, problems)
                continue
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(names):
                problems.add(
                    line, len(names) + 1, f"The row has {len(cells)} cells, and there are {len(names)} columns."
                )
                continue
            row = _csv_row(line, names, cells, repeatable, problems)
            if row is not None:
                yield row
    except csv.Error as error:
        problems.add(start + skipped, None, f"The row that begins here is no CSV: {error}.")


def _csv_row(
    line: int, names: list[str], cells: list[str], repeatable: Collection[str], problems: Problems
) -> Row | None:
    values: dict[str, Any] = {}
    whole = True
    for number, (name, cell) in enumerate(zip_longest(names, cells, fillvalue=""), start=1):
        if name == UNKNOWN:
            continue
        if not cell.isascii() and not _is_text(cell, line, problems, name):
            whole = False
        elif not cell.strip():
            continue
        elif not name:
            problems.add(line, number, "The column of this cell has no name.")
        elif name in repeatable:
            values.setdefault(name, []).append(cell.strip())
        else:
            values[name] = cell.strip()
    return Row(line, values) if whole else None


def _names(line: int, cells: list[str], columns: Collection[str], repeatable: Collection[str],
           problems: Problems) -> list[str]:  # fmt: skip
    """The columns that the `cells` of a header name; `UNKNOWN` for those that are none, or may not be there twice."""
    names: list[str] = []
    seen: set[str] = set()
    for cell in cells:
        name = plain(cell)
        if name and name not in columns:
            problems.add(line, cell.strip(), _unknown(columns, name))
            name = UNKNOWN
        elif name in seen and name not in repeatable:
            problems.add(line, cell.strip(), "There are two such columns.")
            name = UNKNOWN
        if name:
            seen.add(name)
        names.append(name)
    return names


def _unknown(columns: Collection[str], name: str) -> str:
    return f"There is no such option.{near_ones(name, columns)}"


def _is_text(text: str, line: int, problems: Problems, column: str | None = None) -> bool:
    """Whether `text` came as UTF-8."""
    if text.isascii() or not any("\udc80" <= c <= "\udcff" for c in text):
        return True
    problems.add(line, column, NOT_UTF8)
    return False


@lru_cache(maxsize=1000)
def plain(name: str) -> str:
    """A column as it is named in a row: `--top-k`, `Top_K` and `top-k` are `top_k`."""
    return name.strip().lstrip("-").replace("-", "_").lower()


def parse_seeds(text: str) -> list[range]:
    """The seeds that `text` names: `0-99`, `7`, `0-9,20-29`. Raises `RequestError` where it is none of them."""
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            low = int(first)
            high = int(last) if dash else low
        except ValueError:
            raise _no_seeds(text) from None
        if not 0 <= low <= high < 2**63:
            raise _no_seeds(text)
        found.append(range(low, high + 1))
    return found


def _no_seeds(text: str) -> RequestError:
    return RequestError(f"--seeds: {clean(text)!r} names no seeds. Give such as 7, 0-99 or 0-9,20-29.")
