"""Progress on stderr: a tqdm bar a file, which counts chunks. Silent where stderr is no terminal."""

from __future__ import annotations

import sys

from tqdm import tqdm


class Bar:
    """Shows the progress of `files` files, one bar at a time."""

    def __init__(self, files: int, quiet: bool) -> None:
        self._files = files
        # None: tqdm is silent unless stderr is a terminal. There may be no stderr at all.
        self._disable = True if quiet or sys.stderr is None else None
        self._bar: tqdm[None] | None = None
        self._index = -1

    def show(self, index: int, done: int, total: int) -> None:
        """Show that file `index` (from 0) has `done` of `total` chunks."""
        if index != self._index:
            self.close()
            self._index = index
        if self._bar is None:
            self._bar = tqdm(
                total=total,
                desc=f"file {index + 1}/{self._files}",
                bar_format="{desc}: {n_fmt}/{total_fmt} chunks |{bar}| {elapsed}<{remaining}",
                leave=False,
                disable=self._disable,
            )
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
