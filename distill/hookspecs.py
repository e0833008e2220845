"""The hooks: everything the host asks of a plugin. Each is a contract; a plugin implements those it needs.

A plugin is a module found by an entry point of the group `distill`:

    [project.entry-points.distill]
    sines = "distill_sines"

Its top module holds the hooks and the options and imports nothing heavy: torch and numpy come in `load`. It says
which version of this contract it was written for, as a plain number, not by importing ours:

    PLUGIN_API = 1

A hook that raises, or gives what its contract does not allow, is reported once in one line, and counts as None.
docs/plugins.md shows a plugin from an empty folder on.
"""

from __future__ import annotations

from pathlib import Path

import click
import pluggy

from distill.checkpoint import CheckpointHeader
from distill.models import ModelLoader

GROUP = "distill"
"""The entry-point group, and the project name that pluggy's markers carry."""

PLUGIN_API = 1
"""The version of the contract between the host and its plugins.

It covers these hooks, what `distill` exports, and the modules that docs/plugins.md lists. It rises by one when a
plugin that kept the contract so far could break: when something in it is removed or renamed, takes or gives other
things, or asks more of a plugin. What a plugin can ignore is added without raising it: a new hook, a new function, a
new argument of a hook. A plugin written for another version is not loaded, and the line that says so names the side
to update. One that says no version is taken to be written for the first.
"""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec(firstresult=True)
def read_header(path: Path) -> CheckpointHeader | None:
    """Describe a container format: the header of the file at `path`, or None where it is some other format.

    A checkpoint is one file. Cheap and pure: reads no weights, imports nothing heavy, runs nothing from the file,
    writes nothing. The first plugin that answers is believed; `.distill` files are answered for by the host, after
    everyone else.

    Raises `CheckpointError` where the file is of this format but damaged; no other plugin is asked then.

        @hookimpl
        def read_header(path):
            with path.open("rb") as file:
                if file.read(4) != b"SINE":
                    return None
                version = int.from_bytes(file.read(2), "little")
            return CheckpointHeader(path=path, version=version, model_type="sines")
    """


@hookspec
def claim_checkpoint(header: CheckpointHeader) -> ModelLoader | None:
    """Claim a checkpoint: the loader for it, or None where it is of another kind.

    By `header.version` and `header.model_type` alone. Pure: opens no file, imports nothing heavy. What is wrong with
    a file that is of this kind is for `ModelLoader.check` and `load` to say.

        @hookimpl
        def claim_checkpoint(header):
            return SinesLoader() if (header.version, header.model_type) == (7, "sines") else None
    """


@hookspec
def claimed_types() -> list[tuple[int, str | None]]:  # type: ignore[empty-body]
    """List what `claim_checkpoint` claims: pairs of version and model type, None for checkpoints that name none.

    `distill plugins` shows them, and reports a pair that `claim_checkpoint` then does not claim.

        @hookimpl
        def claimed_types():
            return [(7, "sines")]
    """


@hookspec
def bundled_checkpoints() -> dict[str, Path]:  # type: ignore[empty-body]
    """Name the checkpoints that come with this plugin: what `distill generate NAME` takes right after install.

    Names are lower-case letters, digits and hyphens. A file of that name where the user is goes before.

        @hookimpl
        def bundled_checkpoints():
            return {"sines": Path(__file__).with_name("data") / "sines.distill"}
    """


@hookspec
def generation_options() -> list[click.Option]:  # type: ignore[empty-body]
    """Give the options this plugin's models understand in `distill generate`.

    Their values reach the model as `GenerationRequest.options`, by parameter name. Where `distill.options` has a
    declaration, use it, so that the option means the same for every model; the default may be the plugin's own. Where
    two plugins declare one name differently, the first keeps it, the other is reported, and its models get their own
    default. Given with another plugin's model, each is warned about and ignored; so an
    option may not be required, prompt, be eager or have a callback.

        @hookimpl
        def generation_options():
            return [
                options.temperature(),
                options.number("--detune", default=0.0, low=0.0, high=100.0, unit="cents", help="Random tuning."),
            ]
    """


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add subcommands of `distill` to `cli`, an empty group of this plugin's own.

    Their heavy imports belong inside their callbacks. A name in use stays with who has it, and is reported.
    `click.pass_obj` gives a callback the installed plugins (`distill.plugins.Plugins`), with which
    `distill.registry.identify` and `claim` find the loader of any checkpoint.

        @hookimpl
        def register_commands(cli):
            @cli.command("train-sines")
            @click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
            def train(folder):
                '''Train a model of sines on the recordings in FOLDER.'''
                from distill_sines.training import train

                click.echo(train(folder))
    """
