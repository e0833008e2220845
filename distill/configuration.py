"""Defaults of the user's own: `config.toml`, and variables of the environment. The command line goes before both.

A table a command, a key an option: `[generate]` with `temperature = 0.8`, `[models.list]` with `sort = "date"`.
`[library]` with `paths` names the folders of the library. Imports nothing heavy.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from distill.errors import RequestError
from distill.paths import expand
from distill.text import clean, near, near_ones

VARIABLE = "DISTILL_CONFIG"
"""Names, in the environment, another file than the one in the user's configuration folder."""
PREFIX = "DISTILL"
"""What the variables begin with that set options: `DISTILL_GENERATE_TEMPERATURE`."""
LIBRARY = "library"
"""The table that is no command's."""
_KEPT = "distill.configuration"
"""Where it is kept in `click.Context.meta`."""


@dataclass(frozen=True)
class Configuration:
    """What is in the file at `path`: `tables` by name. There are none where there is no file."""

    path: Path
    tables: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls) -> Configuration:
        """The user's. Raises `RequestError` where it is no TOML, or there is no file where the environment says."""
        file = path()
        try:
            if stat.S_IFMT(file.stat().st_mode) in (stat.S_IFDIR, stat.S_IFIFO, stat.S_IFSOCK):
                raise RequestError(
                    f"{clean(str(file), 200)}, where the configuration is looked for, is no file. Move it away."
                )
            text = file.read_text("utf-8")
        except FileNotFoundError as error:
            if os.environ.get(VARIABLE):
                raise RequestError(
                    f"{clean(str(file), 200)}, which {VARIABLE} names, does not exist. Correct or unset it."
                ) from error
            return cls(file)
        except UnicodeDecodeError as error:
            raise RequestError(f"{clean(str(file), 200)} is not in UTF-8. Save it as UTF-8.") from error
        import tomllib

        try:
            return cls(file, tomllib.loads(text))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise RequestError(f"{clean(str(file), 200)} is no TOML: {clean(str(error), 200)}. Correct it.") from error

    @property
    def library(self) -> list[Path]:
        """The folders of the library; a relative one begins at the file. Raises `RequestError` where it is no list."""
        table = self._table(LIBRARY)
        paths = table.get("paths", [])
        paths = [paths] if isinstance(paths, str) else paths
        if not isinstance(paths, list) or not all(isinstance(one, str) and one for one in paths):
            raise self._wrong(LIBRARY, "paths", paths, 'a list of folders, ["~/models"]')
        return [self.path.absolute().parent / expand(one) for one in paths]

    def defaults(self, command: click.Command, ctx: click.Context, *names: str) -> dict[str, Any]:
        """What is said for `command`, called `names`, as click's default map; of a group, for its commands.

        Raises `RequestError` where a value can be none of its option's. Keys that are no option's are left out.
        """
        if isinstance(command, click.Group):
            return {name: self.defaults(inner, ctx, *names, name) for name, inner in command.commands.items()}
        options = keys(command, ctx)
        found = {}
        for key, value in self._table(*names).items():
            option = options.get(_plain(key))
            if option is not None:
                found[str(option.name)] = self._value(value, option, ".".join(names), key)
        return found

    def strays(self, command: click.Command, ctx: click.Context, *names: str) -> Iterator[str]:
        """A line for each key in the table of `command`, called `names`, that nothing asks for.

        Of the whole program, without names, its tables that are no command's.
        """
        if isinstance(command, click.Group):
            known, what = [*command.commands, *([] if names else [LIBRARY])], "command"
            unknown = [key for key in self._table(*names) if _dashed(key) not in known]
        else:
            known, what = list(keys(command, ctx)), "option"
            unknown = [key for key in self._table(*names) if _plain(key) not in known]
        for key in unknown:
            yield self._stray(names, key, what, known)
        if not names:
            for key in self._table(LIBRARY):
                if key != "paths":
                    yield self._stray((LIBRARY,), key, "setting", ["paths"])

    def _table(self, *names: str) -> Mapping[str, Any]:
        """The table of these names, one in another; hyphens and underscores are one. An empty one where there is none.

        Raises `RequestError` where it is no table.
        """
        table = self.tables
        for depth, name in enumerate(names):
            table = next((value for key, value in table.items() if _dashed(key) == name), {})
            if not isinstance(table, Mapping):
                raise self._wrong(".".join(names[:depth]), name, table, "a table of its own, such as [generate]")
        return table

    def _value(self, value: Any, option: click.Option, table: str, key: str) -> Any:
        """`value` as click reads it from a command line."""
        if option.is_flag:
            if not isinstance(value, bool):
                raise self._wrong(table, key, value, "true or false")
            return value
        if option.multiple:
            listed = value if isinstance(value, list) else [value]
            if not all(_is_scalar(one) for one in listed):
                raise self._wrong(table, key, value, "a list of texts or numbers")
            return [str(one) for one in listed]
        if not _is_scalar(value):
            raise self._wrong(table, key, value, "a text or a number")
        return str(value)

    def _wrong(self, table: str, key: str, value: Any, allowed: str) -> RequestError:
        where = f"[{table}] {clean(key)}" if table else clean(key)
        return RequestError(f"{clean(str(self.path), 200)}: {where} is {clean(value, 60)}; it takes {allowed}.")

    def _stray(self, names: Sequence[str], key: str, what: str, known: Sequence[str]) -> str:
        where = f"[{'.'.join(names)}] {clean(key)}" if names else f"[{clean(key)}]"
        return f"{clean(str(self.path), 200)}: {where} is no {what}.{near_ones(_plain(key), known)} Ignored."


def of(ctx: click.Context) -> Configuration:
    """The configuration of the program that `ctx` is of, read when it is first asked for."""
    found = ctx.meta.get(_KEPT)
    if not isinstance(found, Configuration):
        ctx.meta[_KEPT] = found = Configuration.read()
    return found


def path() -> Path:
    """Where the user's file lies: in the configuration folder, or where the environment says."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return expand(chosen)
    from platformdirs import user_config_path

    return user_config_path("distill", appauthor=False) / "config.toml"


def keys(command: click.Command, ctx: click.Context) -> dict[str, click.Option]:
    """The options of `command` that can be set, by the key that sets each: its long flag, with underscores."""
    found = {}
    for option in command.get_params(ctx):
        if isinstance(option, click.Option) and option.expose_value and not option.hidden:
            long = next((flag for flag in option.opts if flag.startswith("--")), option.opts[0])
            found[_plain(long.lstrip("-"))] = option
    return found


def variable(ctx: click.Context, option: click.Option) -> str | None:
    """The variable of the environment that sets `option` of the command that `ctx` is of; None where none does."""
    if isinstance(option.envvar, str):
        return option.envvar
    if not option.allow_from_autoenv or ctx.auto_envvar_prefix is None:
        return None
    return f"{ctx.auto_envvar_prefix}_{str(option.name).upper()}"


def stray_variables(command: click.Command, ctx: click.Context) -> Iterator[str]:
    """A line for each variable of the environment that is meant for `command`, whose `ctx` it is, and sets nothing."""
    if ctx.auto_envvar_prefix is None or ctx.parent is None or not isinstance(ctx.parent.command, click.Group):
        return
    prefix = f"{ctx.auto_envvar_prefix}_"
    variables = (variable(ctx, option) for option in keys(command, ctx).values())
    known = [name.removeprefix(prefix) for name in variables if name is not None]
    siblings = (f"{ctx.parent.auto_envvar_prefix}_{_plain(name).upper()}_" for name in ctx.parent.command.commands)
    others = tuple(one for one in siblings if one.startswith(prefix) and one != prefix)  # train-prior's, for train
    for name in os.environ:
        own = name.removeprefix(prefix)
        if name.startswith(prefix) and own not in known and not name.startswith(others):
            helps = "".join(f" Near it: {prefix}{one}." for one in near(own, known, most=1))
            yield f"{clean(name)} in the environment is no option's.{helps} Ignored."


def origin(ctx: click.Context, parameter: click.Parameter) -> str | None:
    """Where the value of `parameter` comes from, in words, unless it is the command line or a default."""
    source = ctx.get_parameter_source(str(parameter.name))
    if source is ParameterSource.ENVIRONMENT and isinstance(parameter, click.Option):
        return f"{variable(ctx, parameter)} in the environment"
    if source is ParameterSource.DEFAULT_MAP:
        return clean(str(of(ctx).path), 200)
    return None


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _plain(key: str) -> str:
    return key.replace("-", "_")


def _dashed(key: str) -> str:
    return key.replace("_", "-")
