"""`distill plugins`: what is installed, what each plugin brings, and what is wrong with any."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from distill import options, outputs, startup
from distill.cli.generate import own_parameters
from distill.declarations import Declared
from distill.plugins import ClaimedType, Plugin, Plugins
from distill.text import clean

NAME = "plugins"


def command(plugins: Plugins) -> click.Command:
    """The command that lists `plugins`."""
    return click.Command(
        NAME,
        short_help="List the plugins, and what is wrong with any.",
        callback=lambda **values: _list(plugins, **values),
        params=[
            options.flag("--json", help="Print one JSON array."),
            options.flag("--times", help="Measure what each costs every command."),
        ],
        help="List the plugins: what each claims and brings, and what is wrong with any.\n\n"
        "DISTILL_PLUGINS=NAME,NAME in the environment loads only those named.",
    )


def _list(plugins: Plugins, json: bool, times: bool) -> None:
    claimed = plugins.claimed_types()
    declared = plugins.generation_options(own_parameters())
    plugins.bundled()
    described = []
    for plugin in plugins.found:
        name = plugin.name if plugin.api is not None else ""  # one that did not load may have the name of another
        described.append(_describe(plugin, claimed.get(name, []), declared.get(name, Declared()), times))
    if json:
        click.echo(outputs.to_json(described), nl=False)
    else:
        click.echo("\n\n".join(_show(one) for one in described) or "No plugins are installed.")


def _describe(plugin: Plugin, claimed: list[ClaimedType], declared: Declared, times: bool) -> dict[str, Any]:
    """What `--json` says of one plugin."""
    point = plugin.point
    described: dict[str, Any] = {
        "name": plugin.name,
        "version": point.dist.version if point and point.dist else None,
        "distribution": point.dist.name if point and point.dist else None,
        "api": plugin.api,
        "hooks": plugin.hooks,
        "claims": [asdict(one) for one in claimed],
        "options": [option.opts[0] for option in declared.options],
        "commands": plugin.commands,
        "models": plugin.models,
        "errors": plugin.errors,
    }
    if times:
        cost = startup.measure(plugin.name, plugin.loads_from) if plugin.loads_from else None
        described["startup"] = None if cost is None else asdict(cost)
    return described


def _show(described: dict[str, Any]) -> str:
    """One plugin for people: a line that names it, and a line for each thing it brings."""
    distribution, version = described["distribution"], described["version"]
    origin = f"{distribution} {version}" if distribution else "of no distribution"
    api = "" if described["api"] is None else f", plugin API {described['api']}"
    rows = [
        *(("claims", _claim(one)) for one in described["claims"]),
        *([("reads", "files of its own format")] if "read_header" in described["hooks"] else []),
        ("options", ", ".join(described["options"])),
        ("commands", ", ".join(described["commands"])),
        ("models", ", ".join(described["models"])),
        ("startup", _cost(described["startup"]) if "startup" in described else ""),
        *(("error", error) for error in described["errors"]),
    ]
    return "\n".join(
        [f"{clean(described['name'])} ({clean(origin)}{api})", *(f"  {k:<8}  {clean(v, 200)}" for k, v in rows if v)]
    )


def _claim(claimed: dict[str, Any]) -> str:
    kind = "no model_type" if claimed["model_type"] is None else f"model_type {claimed['model_type']!r}"
    return f"version {claimed['version']}, {kind}: {claimed['kind']} models, loader {claimed['loader']}"


def _cost(cost: dict[str, Any] | None) -> str:
    if cost is None:
        return "does not load"
    milliseconds = f"{cost['seconds'] * 1000:.1f} ms"
    heavy = " and ".join(cost["heavy"])
    return f"{milliseconds}; imports {heavy} too early, which slows every command" if heavy else milliseconds
