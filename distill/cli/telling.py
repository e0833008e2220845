"""What a batch tells: a bar and errors on stderr, paths or one JSON object on stdout, a summary."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TextIO

import click

from distill.cli.messages import fail, warn
from distill.text import clean

if TYPE_CHECKING:
    from tqdm import tqdm

    from distill.batch.journal import Line
    from distill.batch.plan import File
    from distill.batch.running import Failed
    from distill.batch.stores import Store

MOST_FAILURES_SHOWN = 20


class Telling:
    """What a batch tells while it runs: a bar, the paths of finished files, what failed, and a summary."""

    def __init__(self, results: TextIO | None, quiet: bool) -> None:
        self._results, self._quiet = results, quiet
        self.store: Store | None = None
        self.failures: list[Failed] = []
        self._lines: list[Line] = []
        self._kept = self._asked = 0
        self._bar: tqdm[None] | None = None
        self._began = time.monotonic()

    def begin(self, store: Store, files: Sequence[File], kept: Sequence[Line], found: Sequence[Line]) -> None:
        """`files` are wanted in `store`, of which those `kept` are there; those `found` were not told of yet."""
        from tqdm import tqdm

        self.store, self._asked, self._kept = store, len(files), len(kept)
        self._lines += kept
        for line in found:
            self._print(line)
        self._bar = tqdm(
            total=len(files), initial=len(kept), unit="file", desc="batch", leave=False,
            disable=True if self._quiet or sys.stderr is None else None,
        )  # fmt: skip

    @property
    def has_bar(self) -> bool:
        """Whether somebody sees how far it is."""
        return self._bar is not None and not self._bar.disable

    def made(self, line: Line) -> None:
        """A file is in place."""
        self._lines.append(line)
        self._print(line)
        self.progress(0)

    def _print(self, line: Line) -> None:
        if self._results is not None and self.store is not None:
            with self._aside():
                click.echo(os.fsencode(self.store.path(line.file)), file=self._results)

    def failed(self, failed: Failed) -> None:
        """A file is given up."""
        self.failures.append(failed)
        if len(self.failures) <= MOST_FAILURES_SHOWN:
            with self._aside():
                fail(f"Row {failed.file.line}, {failed.file.name}: {failed.message}")
        self.progress(0)

    def warning(self, message: str) -> None:
        """Something that a user should know."""
        with self._aside():
            warn(message)

    def progress(self, ahead: int) -> None:
        """So many files are in place beside those told of."""
        if self._bar is not None:
            self._bar.update(len(self._lines) + len(self.failures) + ahead - self._bar.n)

    def end(self) -> None:
        """The summary, on stderr."""
        self.close()
        if self.store is None:
            return
        hidden = len(self.failures) - MOST_FAILURES_SHOWN
        if hidden > 0:
            fail(f"{hidden} more files failed.")
        made, left = len(self._lines) - self._kept, self._asked - len(self._lines) - len(self.failures)
        parts = {"made": made, "there already": self._kept, "failed": len(self.failures), "not tried": left}
        said = ", ".join(f"{count} {what}" for what, count in parts.items() if count or what == "made")
        seconds = time.monotonic() - self._began
        files = "1 file" if self._asked == 1 else f"{self._asked} files"
        click.echo(f"{files} in {clean(self.store.where, 200)}: {said}; {seconds:.1f} s.", err=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def described(self) -> dict[str, Any]:
        """What `--json` says."""
        from distill.batch import journal

        assert self.store is not None, "described once the batch has begun"
        failed = [
            {
                "row": one.file.line,
                "file": one.file.name,
                "seed": one.file.seed,
                "error": one.message,
                "tries": one.tries,
            }
            for one in self.failures
        ]
        return {
            "directory": self.store.where,
            "journal": self.store.path(journal.NAME),
            "asked": self._asked,
            "made": len(self._lines) - self._kept,
            "kept": self._kept,
            "failed": failed,
            "files": [journal.described(line) for line in self._lines],
        }

    def _aside(self) -> AbstractContextManager[object]:
        """For writing beside the bar."""
        return nullcontext() if self._bar is None else self._bar.external_write_mode()
