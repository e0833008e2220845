"""`distill models`: list, find and check the checkpoints of the library. `keeping` changes what is in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from distill import inspection, library, options, outputs, registry, startup
from distill.cli import keeping
from distill.cli.messages import fail, warn_of_problems
from distill.errors import DistillError, RequestError
from distill.library import Library, Model
from distill.pickles import Placeholder
from distill.plugins import Plugins
from distill.sizes import readable
from distill.tables import table
from distill.text import clean, folded

_ORDERS = ("name", "kind", "version", "loader", "size", "date")
_LARGEST_FIRST = ("size", "date")
_LONGEST_NAME = 40
"""Of which the table shows so many characters: longer ones would make every row longer than a terminal is wide."""


@click.group("models")
def models() -> None:
    """List the models of the library, and look after them.

    The library is a folder, or several: --library, else DISTILL_LIBRARY in the environment, else paths in the table
    [library] of config.toml, else a folder of the user's own ('distill models path'). Wherever a command takes MODEL,
    it takes a path, a model id or its beginning, a name, or a part of a name that no other model has.
    """


for _command in (keeping.add, keeping.remove, keeping.rename):
    models.add_command(_command)


@models.command(
    "list",
    params=[
        click.Argument(["words"], nargs=-1, metavar="[WORD]..."),
        click.Option(["--kind"], metavar="KIND", help="Only models of this kind, or of this loader."),
        click.Option(["--sort"], type=click.Choice(_ORDERS), default="name",
                     help="What to order them by: the largest and the newest first.  [default name]"),
        options.flag("--reverse", help="The other way round."),
        options.library(),
        options.flag("--json", help="Print one JSON array."),
    ],
    short_help="List the models, or those like some words.",
)  # fmt: skip
@click.pass_context
def _list(
    ctx: click.Context, /, words: tuple[str, ...], kind: str | None, sort: str, reverse: bool, json: bool
) -> None:
    """List the models, or those that have every WORD in their name, id, kind, description, tags or data set."""
    shelf = library.of(ctx)
    rows = [row for one in shelf.models if _has(words, row := _row(shelf, one), one)]
    warn_of_problems(ctx.obj)
    if kind is not None:
        rows = _of_kind(ctx.obj, rows, kind)
    rows.sort(key=lambda row: (row["name"].casefold(), row["path"]))
    rows.sort(key=lambda row: _rank(row[sort]), reverse=reverse != (sort in _LARGEST_FIRST))
    if json:
        click.echo(outputs.to_json(rows), nl=False)
    elif found := [row for row in rows if not row["problem"]]:
        click.echo(table(["NAME", "KIND", ">VERSION", "LOADER", ">SIZE", "DATE", "PRIOR", "ID"], [*map(_cells, found)]))
    elif not rows:
        click.echo("No model is like that." if words or kind else "There are no models.", err=True)
    problems = [row["problem"] for row in rows if row["problem"]]
    for problem in problems:
        fail(problem)
    if problems:
        raise click.exceptions.Exit(1)


def _rank(value: Any) -> Any:
    """What a column is ordered by; there is none in the column of a file that cannot be read."""
    return value.casefold() if isinstance(value, str) else -1 if value is None else value


def _of_kind(plugins: Plugins, rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The rows of models of `kind`. Raises `RequestError` where neither a model nor a plugin is of it."""
    claimed = [one for ones in plugins.claimed_types().values() for one in ones]
    known = {row[key] for row in rows for key in ("kind", "loader") if row[key]}
    known |= {name for one in claimed for name in (one.kind, one.loader)}
    if kind.casefold() not in map(str.casefold, known):
        listed = ", ".join(sorted(known)) or "none"
        raise RequestError(f"--kind: {clean(kind)!r} is no kind of model. There are: {listed}.")
    return [row for row in rows if kind.casefold() in (row["kind"].casefold(), row["loader"].casefold())]


def _row(shelf: Library, model: Model) -> dict[str, Any]:
    """What is known of `model`."""
    loaders = shelf.loaders(model)
    return {
        "name": model.name,
        "kind": " or ".join(kind for _, kind in loaders),
        "version": model.version,
        "model_type": None if model.model_type is None else clean(model.model_type),
        "loader": " or ".join(name for name, _ in loaders),
        "size": model.size,
        "date": model.date,
        "prior": model.prior,
        "id": model.id,
        "path": str(model.path),
        "bundled": model.bundled,
        "problem": model.problem,
    }


def _has(words: Sequence[str], row: Mapping[str, Any], model: Model) -> bool:
    """Whether every word is somewhere in what is known of `model`, which has this `row`."""
    texts = folded(" ".join((model.name, model.id, row["kind"], row["loader"], model.words)))
    return all(folded(word) in texts for word in words)


def _cells(row: dict[str, Any]) -> list[str]:
    prior = {True: "yes", False: "no", None: "-"}[row["prior"]]
    kind, loader = (row[key] or "unknown" for key in ("kind", "loader"))
    size, date = readable(row["size"]), row["date"][:10]
    return [clean(row["name"], _LONGEST_NAME), kind, str(row["version"]), loader, size, date, prior, row["id"][:8]]


@models.command(
    "info",
    params=[*options.model(), options.flag("--json", help="Print one JSON object.")],
    short_help="Show what a model says of itself.",
)
@click.pass_context
def _info(ctx: click.Context, /, model: Path, json: bool) -> None:
    """Show what MODEL says of itself, and who loads it. 'distill inspect' shows all that is in the file."""
    header = registry.identify(ctx.obj, model)
    shelf = library.of(ctx)
    row = _row(shelf, shelf.describe(model))
    warn_of_problems(ctx.obj)
    metadata = inspection.plain({k: v for k, v in header.metadata.items() if not isinstance(v, Placeholder)})
    del row["problem"]
    if json:
        click.echo(outputs.to_json(row | {"metadata": metadata}), nl=False)
        return
    prior = {True: "yes", False: "no: 'distill train-prior' trains one", None: "this kind does without"}
    said = {
        "kind": row["kind"] or "unknown: no installed plugin loads it",
        "version": f"{row['version']}" + (f", model_type {row['model_type']!r}" if row["model_type"] else ""),
        "loader": row["loader"],
        "id": row["id"],
        "prior": prior[row["prior"]],
        "size": readable(row["size"]),
        "date": row["date"],
        "path": row["path"] + (" (came with a plugin)" if row["bundled"] else ""),
        "link to": str(model.readlink()) if model.is_symlink() else "",
        **{key.replace("_", " "): value for key, value in metadata.items() if key not in ("name", "model_id")},
    }
    shown = {key: inspection.in_a_line(value) for key, value in said.items() if value not in ("", [], None)}
    width = max(map(len, shown))
    click.echo("\n".join([row["name"], *(f"  {key:<{width}}  {value}" for key, value in shown.items())]))


@models.command(
    "path",
    params=[click.Argument(["model"], type=options.Model(), required=False), options.library()],
    short_help="Print where a model, or the library, lies.",
)
@click.pass_context
def _path(ctx: click.Context, /, model: Path | None) -> None:
    """Print the path of MODEL; without one, the folders of the library, in the order in which they are looked at."""
    for path in library.of(ctx).folders if model is None else [model]:
        click.echo(os.fsencode(path))


@models.command(
    "verify",
    params=[
        click.Argument(["models"], nargs=-1, type=options.Model(), metavar="[MODEL]..."),
        options.library(),
        options.max_model_size(),
        options.flag("--json", help="Print one JSON array."),
        options.flag("--quiet", "-q", help="No progress."),
    ],
    short_help="Load models fully, and say which are sound.",
)
@click.pass_context
def _verify(ctx: click.Context, /, models: tuple[Path, ...], json: bool, quiet: bool) -> None:
    """Load each MODEL, or every model of the library, fully, and say which are sound.

    Every byte of a file is compared with the checksums that were written with it. Exit code 1 where one is not sound.
    """
    from tqdm import tqdm

    shelf = library.of(ctx)
    chosen = [shelf.describe(path) for path in models] or shelf.models
    results = []
    try:
        for one in tqdm(chosen, unit="model", leave=False, disable=True if quiet or sys.stderr is None else None):
            problem = _problem(ctx.obj, one.path)
            results.append({"name": one.name, "path": str(one.path), "sound": not problem, "problem": problem})
            if not json:
                tqdm.write(f"{one.name}: {problem or 'sound'}")  # above the bar
    finally:
        if json:
            click.echo(outputs.to_json(results), nl=False)
    broken = [one for one in results if one["problem"]]
    if broken:
        raise DistillError(
            f"{len(broken)} of {len(results)} models {'is' if len(broken) == 1 else 'are'} not sound. "
            "Copy or download them again."
        )


def _problem(plugins: Plugins, path: Path) -> str:
    """What is wrong with the checkpoint at `path`; nothing where it can be loaded and every byte is as it was saved."""
    try:
        header = registry.identify(plugins, path)
        claim = registry.claim(plugins, header)
        with startup.building():
            import torch  # noqa: F401 - by what checks and loads

            from distill import soundness

        soundness.check(header)
        with claim.breakage_named("loading"), redirect_stdout(sys.stderr):  # what a plugin prints is no result
            load = claim.loader.load_tokenizer if header.prior is False else claim.loader.load
            load(header, "cpu")
    except (DistillError, OSError, MemoryError) as error:
        return str(error) or "not enough memory"
    return ""
