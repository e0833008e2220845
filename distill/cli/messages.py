"""Warnings and errors: one printable line each, on stderr."""

from __future__ import annotations

import os

import click

from distill.plugins import Plugins
from distill.text import clean

MAX_LINE = 2000
"""Characters of a warning or an error that are shown."""


def warn_of_problems(plugins: Plugins) -> None:
    """A warning line for each problem with a plugin that was not told yet."""
    for problem in plugins.new_problems():
        warn(problem)


def warn(message: str) -> None:
    """One warning line on stderr."""
    click.echo(f"{painted('Warning:', 'yellow')} {clean(message, MAX_LINE)}", err=True)


def fail(message: str) -> None:
    """One error line on stderr."""
    click.echo(f"{painted('Error:', 'red')} {clean(message, MAX_LINE)}", err=True)


def painted(text: str, colour: str) -> str:
    """`text` in `colour`, for `click.echo`, which takes the colour away where it writes to no terminal.

    Not where `NO_COLOR` is set to anything (https://no-color.org), nor where the terminal is a dumb one.
    """
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else click.style(text, fg=colour, bold=True)
