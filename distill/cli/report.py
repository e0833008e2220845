"""`distill report`: a page to look at and listen to the files of a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from distill import options, outputs
from distill.cli.messages import warn
from distill.errors import RequestError
from distill.sizes import readable
from distill.text import clean

PAGE = "index.html"


@click.command(
    "report",
    params=[
        click.Argument(["folder"], metavar="DIR", type=click.Path(path_type=Path)),
        click.Option(["--output", "-o"], type=click.Path(path_type=Path), metavar="FILE",
                     help=f"The page.  [default {PAGE} in DIR]"),
        options.flag("--link", help="Have the page play the files where they lie, instead of carrying their sound: "
                     "it is small, and moves with them only."),
        options.flag("--overwrite", help="Replace FILE whatever it is. A report is always replaced."),
        options.flag("--json", help="Print one JSON object."),
        options.flag("--quiet", "-q", help="No progress bar; warnings and errors stay."),
    ],
    short_help="Make a page to look at and listen to files.",
)  # fmt: skip
def report(folder: Path, output: Path | None, link: bool, overwrite: bool, json: bool, quiet: bool) -> None:
    """Make a page to look at and listen to the files in DIR that distill made.

    It is one file of HTML that needs nothing else, no network either: open it in a browser, or send it to someone. It
    shows each file with its waveform, its spectrogram, and what tells it from the others, sorts and filters them by
    any setting, and lays out those of a sweep as a grid of two settings. The path of the page is printed.
    """
    from distill.record import read_folder

    path = folder / PAGE if output is None else output
    records = read_folder(folder)
    _check(path, overwrite)
    from tqdm import tqdm

    from distill.concurrency import processors
    from distill.report import page

    if not link:
        page.check_size(records)
    disable = True if quiet or sys.stderr is None else None
    with tqdm(total=len(records), unit="file", leave=False, disable=disable) as bar:
        written = page.write(path, folder, records, link, processors(), bar.update)
    for problem in written.problems.values():
        warn(f"{problem} The page says so.")
    if json:
        said = {"file": str(path), "files": len(records), "bytes": written.size, "problems": written.problems}
        click.echo(outputs.to_json(said), nl=False)
    else:
        click.echo(str(path))
        if not quiet:
            click.echo(f"{len(records)} files, {readable(written.size)}.", err=True)
    if written.problems:
        raise click.exceptions.Exit(1)


def _check(path: Path, overwrite: bool) -> None:
    """Raise where no page can be written to `path`, or it would take the place of another file of the user's."""
    from distill.report import page

    shown = clean(str(path), 200)
    if path.name == "-" or path.is_dir():
        raise RequestError(f"--output: {shown} is no file that a page can be. Give the path of one, page.html.")
    outputs.prepare(path.parent, "Choose another place with --output.")
    if path.exists() and not overwrite and not page.is_ours(path):
        raise RequestError(f"{shown} is there, and no report. Choose another with --output, or say --overwrite.")
