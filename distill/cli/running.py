"""Running a job at a terminal: a bar while files are made, then their paths, or one JSON array."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from distill import outputs
from distill.cli.messages import warn
from distill.errors import DistillError
from distill.text import clean

if TYPE_CHECKING:
    from distill.generation import GeneratedFile
    from distill.jobs import Job


def run(job: Job, results: TextIO | None, *, json: bool = False, stats: bool = False, quiet: bool = False,
        sound_only: bool = False) -> list[GeneratedFile]:  # fmt: skip
    """Make the files of `job` and tell of them on `results`; `sound_only`: write the one file itself to it."""
    from distill.cli.progress import Bar
    from distill.generation import generate

    finished: list[GeneratedFile] = []
    bar = Bar(len(job.seeds), quiet)
    try:
        for made in generate([job], bar.show):
            bar.close()
            finished.append(made)
            if sound_only:
                if results is None:
                    raise DistillError("--output-dir -: stdout is closed. Give a folder.")
                with Path(made.file).open("rb") as file:
                    shutil.copyfileobj(file, results.buffer)
                    results.buffer.flush()
            elif not json and results is not None:
                click.echo(os.fsencode(made.file), file=results)
            if stats and made.stats:
                click.echo(f"{clean(Path(made.file).name)}: {_shown(made.stats)}", err=True)
        if stats and not made.stats:
            warn(f"--stats is not supported for {job.claim.loader.kind} models. Ignored.")
    finally:
        bar.close()
        if json and results is not None:
            click.echo(outputs.to_json([_described(one, stats) for one in finished]), file=results, nl=False)
    return finished


def _described(made: GeneratedFile, stats: bool) -> dict[str, object]:
    """What `--json` says of a file."""
    without = {"sidecar"} | (set() if stats else {"stats"})
    return {field.name: getattr(made, field.name) for field in fields(made) if field.name not in without}


def _shown(stats: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in stats.items())
