"""The hooks: everything the host asks of a plugin. Each is a contract; a plugin implements those it needs.

A plugin is a module found by an entry point of the group `distill`:

    [project.entry-points.distill]
    mine = "distill_mine"

Its top module holds the hooks and the options and imports nothing heavy: torch and numpy come in `load`.
"""

from __future__ import annotations

from pathlib import Path

import click
import pluggy

from distill.checkpoint import CheckpointHeader
from distill.models import ModelLoader

GROUP = "distill"
"""The entry-point group, and the project name that pluggy's markers carry."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec(firstresult=True)
def read_header(path: Path) -> CheckpointHeader | None:
    """Describe a container format: the header of the file at `path`, or None where it is some other format.

    Cheap: reads no weights, runs nothing from the file. The first plugin that answers is believed;
    `.distill` files are answered for by the host, after everyone else.
    """


@hookspec
def claim_checkpoint(header: CheckpointHeader) -> ModelLoader | None:
    """Claim a checkpoint by `header.version` and `header.model_type`: its loader, or None. Pure and cheap."""


@hookspec
def generation_options() -> list[click.Option]:  # type: ignore[empty-body]
    """Give the options this plugin's models understand in `distill generate`, ready-made ones from `distill.options`.

    Given with another plugin's model, each is warned about and ignored.
    """


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add subcommands to `cli`. Their heavy imports belong inside their callbacks."""
