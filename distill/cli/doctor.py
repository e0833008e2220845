"""`distill doctor`: whether this machine has what is needed, and what to do where it has not."""

from __future__ import annotations

from dataclasses import asdict

import click

from distill import library, options, outputs
from distill.cli.messages import painted
from distill.plugins import Plugins
from distill.text import clean

_COLOURS = {"ok": "green", "note": "yellow", "fix": "red"}


@click.command(
    "doctor",
    short_help="Check this machine, and say what to fix.",
    params=[options.flag("--json", help="Print one JSON array.")],
)
@click.pass_context
def doctor(ctx: click.Context, json: bool) -> None:
    """Check Python, torch and its device, audio formats, plugins, the library's folders and optional packages.

    A line each: ok, note for what only some commands need, fix for what must be mended, with what would mend it. Exit
    code 1 if there is anything to fix. Nothing is changed.
    """
    from distill import doctor as room

    plugins = ctx.find_object(Plugins)
    assert plugins is not None, "the program puts its plugins in ctx.obj"
    findings = room.examine(plugins, lambda: library.of(ctx))
    plugins.new_problems()  # they are among the findings
    if json:
        click.echo(outputs.to_json([asdict(one) for one in findings]), nl=False)
    else:
        for one in findings:
            said = clean(f"{one.what}: {one.said} {one.helps}", 1000)
            click.echo(f"{painted(f'{one.verdict:<4}', _COLOURS[one.verdict])}  {said.rstrip()}")
    if room.worst(findings) == room.FIX:
        ctx.exit(1)
