"""What a plugin may declare: options of `distill generate`, and commands. Refused where others would feel it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import click

from distill.text import clean

HOST = "distill"
"""Who holds the names of the program's own options and commands, in messages."""

_FLAG = re.compile(r"--?[A-Za-z][\w-]*")
_COMMAND = re.compile(r"[A-Za-z][\w-]*")


class BreachError(Exception):
    """A plugin's breach of its contract, in words: what a report says in full."""


@dataclass(frozen=True)
class Declared:
    """What a plugin's models understand in `distill generate`.

    `options` are on the command line. `defaults`, by parameter name, are the plugin's own, also those of options that
    could not be put there.
    """

    options: list[click.Option] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)


def words(parameter: click.Parameter) -> list[str]:
    """All names under which `parameter` is known: in a callback and on the command line."""
    return [str(parameter.name), *parameter.opts, *parameter.secondary_opts]


def check_command(name: object, command: object) -> None:
    """Raise where `command` cannot be one of the program's."""
    if not isinstance(command, click.Command):
        raise BreachError(f"the command {name} is a {type(command).__name__}, not a Command")
    if not (isinstance(name, str) and _COMMAND.fullmatch(name)):
        raise BreachError(f"the command {clean(name)!r} has no name that can be typed")
    command.get_short_help_str()  # what breaks the help, breaks here


def accept(option: object, taken: dict[str, tuple[str, Any]], plugin: str, declared: Declared) -> None:
    """Add `option` of `plugin` to what it `declared`, and its names to those `taken`.

    Raises `BreachError` where it cannot stand beside the others; then only its default is added.
    """
    if not isinstance(option, click.Option):
        raise BreachError(f"generation_options gave a {type(option).__name__}, not an Option")
    flag, named = clean(option.opts[0]), words(option)
    if not all(_FLAG.fullmatch(word) for word in (*option.opts, *option.secondary_opts)):
        raise BreachError(f"{flag} is no flag: hyphens, letters and digits are allowed")
    option.get_help_record(click.Context(click.Command("generate")))  # what breaks the help, breaks here
    declared.defaults.setdefault(str(option.name), None)
    if option.required or option.prompt or option.callback or option.is_eager or not option.expose_value:
        raise BreachError(f"{flag} is required, prompts, is eager or has a callback, which other models would feel")
    if any(word in words(earlier) for earlier in declared.options for word in named):
        raise BreachError(f"declares {flag} twice; the first is used")
    declared.defaults[str(option.name)] = _default(option, flag)
    holder, first = next((taken[word] for word in named if word in taken), (plugin, option))
    if holder == HOST:
        raise BreachError(f"declares {flag}, a name that is distill's own; this one is left out")
    if _declaration(first) != _declaration(option):
        raise BreachError(f"declares {flag} otherwise than plugin {holder}; {holder}'s is used")
    taken |= dict.fromkeys(named, (holder, first))
    declared.options.append(option)


def _declaration(option: click.Option) -> dict[str, Any]:
    """What of `option` must be alike for plugins to share it: all that click knows of it but the default."""
    return {key: value for key, value in option.to_info_dict().items() if key != "default"}


def _default(option: click.Option, flag: str) -> Any:
    """The value of `option` where it is not given. Raises `BreachError` where its own type refuses that."""
    try:
        return click.Command("generate", params=[option]).make_context("generate", []).params[str(option.name)]
    except click.UsageError as error:
        raise BreachError(f"{flag} has a default that its type refuses: {error.format_message()}") from error
