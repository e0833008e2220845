"""Warnings and errors: one printable line each, on stderr."""

from __future__ import annotations

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
    click.echo(f"Warning: {clean(message, MAX_LINE)}", err=True)


def fail(message: str) -> None:
    """One error line on stderr."""
    click.echo(f"Error: {clean(message, MAX_LINE)}", err=True)
