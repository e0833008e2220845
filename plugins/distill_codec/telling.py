"""What every training says while it runs."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import click
from tqdm import tqdm

from distill.errors import DistillWarning
from distill.text import clean
from distill_codec.corpus import Corpus, Split, stereo

NAMED = 10
"""So many skipped files are named one by one."""


class Telling:
    """What a training says on stderr: a bar where that is a terminal, and lines."""

    def __init__(self, quiet: bool, rank: int) -> None:
        self._quiet = quiet or rank > 0
        self._rank = rank
        self.bar: tqdm[None] | None = None

    def say(self, line: str) -> None:
        """Tell a line, unless all is to be quiet."""
        if not self._quiet:
            click.echo(line, err=True)

    def warn(self, message: str) -> None:
        """Warn, once for all processes."""
        if self._rank == 0:
            warnings.warn(message, DistillWarning, 3)

    def new_bar(self, **how: Any) -> tqdm[None]:
        """A bar in place of the one there is."""
        self.close()
        self.bar = tqdm(leave=False, disable=True if self._quiet or sys.stderr is None else None, **how)
        return self.bar

    def close(self) -> None:
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def reading(self, done: int, total: int) -> None:
        """Tell that `done` of `total` files are read."""
        bar = self.bar or self.new_bar(total=total, bar_format="reading {n_fmt}/{total_fmt} files |{bar}| {elapsed}")
        bar.update(done - bar.n)
        if done == total:
            self.close()

    def corpus(self, corpus: Corpus) -> None:
        """Tell what there is to train on, and what is left out."""
        for one in corpus.skipped[:NAMED]:
            self.warn(f"{clean(one.name, 200)} {one.reason}. Skipped.")
        if len(corpus.skipped) > NAMED:
            self.warn(f"{len(corpus.skipped) - NAMED} more files were skipped.")
        two = stereo(corpus)
        mixed = " mixed to mono (--stereo keeps both channels)" if corpus.channels == 1 else ""
        channels = f"; {two} stereo{mixed}" if two else "; all mono"
        skipped = f"; {len(corpus.skipped)} skipped" if corpus.skipped else ""
        self.say(f"{len(corpus.recordings)} recordings, {duration(corpus.seconds)}{channels}{skipped}.")


def held_out(parts: Split, sample_rate: int) -> str:
    """What is held out, in words."""
    if not parts.held_out:
        return "nothing, so the figures say how well it knows what it was trained on, and no more"
    seconds = sum(one.samples for one in parts.held_out) / sample_rate
    what = "recordings" if parts.whole_files else "ends of recordings"
    return f"{len(parts.held_out)} {what}, {duration(seconds)}"


def duration(seconds: float) -> str:
    """A duration, in words."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def clock(seconds: float) -> str:
    """A time left, as a clock shows it."""
    return str(tqdm.format_interval(seconds))
