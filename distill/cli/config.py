"""`distill config`: what is configured, where it comes from, and what in it nothing asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from distill import configuration, library, options, outputs
from distill.cli.messages import warn
from distill.errors import RequestError
from distill.tables import table
from distill.text import clean, near_ones


def apply(ctx: click.Context, name: str, command: click.Command, *, quiet: bool = False) -> None:
    """Give the options of `command`, or of a group's commands, the defaults that the user configured.

    Warns of keys and variables that are no option's. Raises `RequestError` where a value can be none. `quiet`: whatever
    is wrong, go on without a word.
    """
    try:
        ctx.default_map = {name: configuration.of(ctx).defaults(command, ctx, name)}
        if not quiet:
            _warn_of_strays(ctx, (name, command))
    except RequestError:
        if not quiet:
            raise


def _warn_of_strays(ctx: click.Context, *commands: tuple[str, click.Command]) -> None:
    """A warning for each table that is no command's, and what in those of `commands` sets nothing."""
    configured = configuration.of(ctx)
    strays = list(configured.strays(ctx.command, ctx))
    for name, command in commands:
        for names, inner, inner_ctx in _walk(ctx, name, command):
            strays += configured.strays(inner, inner_ctx, *names)
            if not isinstance(inner, click.Group):
                strays += configuration.stray_variables(inner, inner_ctx)
    for stray in strays:
        warn(stray)


def _walk(
    parent: click.Context, name: str, command: click.Command, *above: str
) -> Iterator[tuple[tuple[str, ...], click.Command, click.Context]]:
    """`command` and, of a group, those in it, each with its names and a context that knows its variables."""
    ctx = click.Context(command, info_name=name, parent=parent, resilient_parsing=True)
    yield (*above, name), command, ctx
    if isinstance(command, click.Group):
        for inner in command.list_commands(ctx):
            yield from _walk(ctx, inner, command.commands[inner], *above, name)


@click.group("config")
def config() -> None:
    """Say what is configured, and where each value comes from.

    Defaults of your own are in config.toml ('distill config path'): a table a command, a key an option.

    \b
    [generate]
    temperature = 0.8
    output_dir = "takes"

    \b
    [library]
    paths = ["~/models"]

    A variable of the environment goes before it (DISTILL_GENERATE_TEMPERATURE=0.8), and the command line before both.
    """


def _complete(ctx: click.Context, _argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The commands that go on from those in front of `incomplete`."""
    command = ctx.find_root().command
    for name in ctx.params.get("command") or ():
        command = command.commands.get(name, command) if isinstance(command, click.Group) else command
    names = command.commands if isinstance(command, click.Group) else ()
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@config.command("path", short_help="Print where config.toml lies.")
def _path() -> None:
    """Print the path of config.toml, whether it is there or not. DISTILL_CONFIG names another."""
    click.echo(str(configuration.path()))


@config.command(
    "show",
    params=[
        click.Argument(["command"], nargs=-1, shell_complete=_complete),
        options.flag("--set", help="Leave out what is as it comes."),
        options.flag("--json", help="Print one JSON array."),
    ],
    short_help="Show what each option is set to, and by what.",
)
@click.pass_context
def _show(ctx: click.Context, /, command: tuple[str, ...], json: bool, **only: bool) -> None:
    """Show what each option is set to, and by what: of every command, or of COMMAND."""
    root = ctx.find_root()
    rows = [_library(root)]
    assert isinstance(root.command, click.Group)
    commands = root.command.commands
    _warn_of_strays(root, *commands.items())
    for name, one in commands.items():
        root.default_map = {name: configuration.of(root).defaults(one, root, name)}
        for names, inner, inner_ctx in _walk(root, name, one):
            rows += _options(" ".join(names), inner, inner_ctx)
    known = {row["command"] for row in rows}
    rows = [row for row in rows if not command or row["command"].split()[: len(command)] == list(command)]
    if not rows:
        asked = " ".join(command)
        raise RequestError(f"{clean(asked)!r} is no command that has options.{near_ones(asked, known)}")
    rows = [row for row in rows if row["from"] != "default" or not only["set"]]
    if json:
        click.echo(outputs.to_json(rows), nl=False)
    elif rows:
        click.echo(
            table(["COMMAND", "OPTION", "VALUE", "FROM"], [[_text(said) for said in row.values()] for row in rows])
        )
    else:
        click.echo(f"Nothing is set, in {clean(str(configuration.path()), 200)} or in the environment.", err=True)


def _options(names: str, command: click.Command, ctx: click.Context) -> Iterator[dict[str, Any]]:
    """What each option of `command` is set to, and by what. Warns of values that it refuses."""
    if isinstance(command, click.Group):
        return
    parsed = command.make_context(names.split()[-1], [], parent=ctx.parent, resilient_parsing=True)
    for key, option in configuration.keys(command, parsed).items():
        source = parsed.get_parameter_source(str(option.name))
        value, origin = parsed.params[str(option.name)], configuration.origin(parsed, option)
        if origin is not None:
            said = os.environ.get(configuration.variable(parsed, option) or "")
            value = said if source is ParameterSource.ENVIRONMENT else parsed.lookup_default(str(option.name))
            try:
                option.type_cast_value(parsed, value)
            except click.BadParameter as error:
                warn(f"distill {names}: {error.message.rstrip('.')}. That is from {origin}.")
        yield {"command": names, "option": key, "value": _plain(value), "from": origin or "default"}


def _library(root: click.Context) -> dict[str, Any]:
    source = root.get_parameter_source("library")
    said = {ParameterSource.COMMANDLINE: "--library", ParameterSource.ENVIRONMENT: "DISTILL_LIBRARY in the environment"}
    configured = configuration.of(root)
    origin = said.get(source) if source else None
    origin = origin or (clean(str(configured.path), 200) if configured.library else "default")
    folders = [str(folder) for folder in library.of(root).folders]
    return {"command": configuration.LIBRARY, "option": "paths", "value": folders, "from": origin}


def _plain(value: Any) -> Any:
    """`value` as JSON has it."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _text(value: Any) -> str:
    """`value` in a cell of a table."""
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "-" if value is None else clean(value, 200)
