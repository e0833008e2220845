"""What is wrong with a table of jobs: a line for each error, with its place. All are told at once."""

from __future__ import annotations

from distill.errors import RequestError
from distill.text import clean

MOST_SHOWN = 100
"""So many are told in words; of the others, how many there are."""


class Problems:
    """The errors found in `source`, in their order."""

    def __init__(self, source: str) -> None:
        self.source = clean(source, 200)
        self.lines: list[str] = []
        self.count = 0

    def add(self, line: int, column: object, message: str) -> None:
        """Note what is wrong at `line`, from 1, and `column`: a name, a number from 1, or None for the whole line."""
        self.count += 1
        if self.count <= MOST_SHOWN:
            place = f"{self.source}:{line}" + ("" if column is None else f":{clean(column)}")
            self.lines.append(f"{place}: {' '.join(message.split())}")

    def error(self) -> RequestError:
        """The last line of all: how many errors there are, and that nothing was made."""
        hidden = self.count - len(self.lines)
        more = f", {hidden} more than are shown" if hidden else ""
        errors = "1 error" if self.count == 1 else f"{self.count} errors"
        return RequestError(f"{self.source} has {errors}{more}. Nothing was made.")
