"""`distill models add`, `remove` and `rename`: what changes the library."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from distill import keeping, library, options
from distill.errors import RequestError
from distill.text import clean


@click.command(
    "add",
    params=[
        *options.model("file"),
        click.Option(["--name"], metavar="NAME", help="Call it so, in the library.  [default: what it is called]"),
        options.flag("--link", help="Link to FILE where it lies, instead of copying it."),
    ],
    short_help="Add a checkpoint to the library.",
)
@click.pass_context
def add(ctx: click.Context, /, file: Path, name: str | None, link: bool) -> None:
    """Add FILE, a checkpoint, to the library, and print where it lies there."""
    click.echo(os.fsencode(keeping.add(ctx.obj, library.of(ctx), file, name, link=link)))


@click.command(
    "remove",
    params=[
        click.Argument(["models"], nargs=-1, required=True, type=options.Model(), metavar="MODEL..."),
        options.library(),
        options.flag("--yes", "-y", help="Do not ask."),
    ],
    short_help="Delete models from the library.",
)
@click.pass_context
def remove(ctx: click.Context, /, models: tuple[Path, ...], yes: bool) -> None:
    """Delete each MODEL from the library, or the link to it. It is asked for each."""
    shelf = library.of(ctx)
    for path in models:
        keeping.refuse_outsider(shelf, path, "removed")
    if not yes and not (sys.stdin and sys.stdin.isatty()):
        raise RequestError("remove asks first, and nobody can answer here. Say --yes.")
    for path in models:
        what = f"the link {path} to {path.readlink()}" if path.is_symlink() else str(path)
        if yes or click.confirm(f"Delete {shelf.describe(path).name}, {clean(what, 400)}?", err=True):
            keeping.remove(shelf, path)
            click.echo(f"Removed {clean(str(path), 200)}.", err=True)


@click.command(
    "rename",
    params=[*options.model(), click.Argument(["name"])],
    short_help="Give a model another name.",
)
@click.pass_context
def rename(ctx: click.Context, /, model: Path, name: str) -> None:
    """Call MODEL, of the library, NAME: in the file itself, so wherever it goes. Its id stays. Prints where it lies."""
    click.echo(os.fsencode(keeping.rename(ctx.obj, library.of(ctx), model, name)))
