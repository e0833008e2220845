"""`distill generate`: parse, call, print."""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import click

from distill import options, registry, startup
from distill.cli import asking, output, running
from distill.cli.messages import warn_of_problems
from distill.cli.sections import Sectioned
from distill.declarations import Declared
from distill.devices import DEVICES, PRECISIONS
from distill.jobs import MAX_SEED
from distill.plugins import Plugins


def command(plugins: Plugins) -> click.Command:
    """The command, with the options of `plugins` beside its own."""
    return _GenerateCommand(plugins)


def own_parameters() -> list[click.Parameter]:
    """The argument, and the options that every model understands, those of the files among them."""
    return [*_making_parameters(), *output.parameters()]


def _making_parameters() -> list[click.Parameter]:
    model, library = options.model()
    return [
        model,
        options.number("--duration", "-d", default=10.0, low=0.001, high=86400.0, unit="s", metavar="SECONDS",
                       help="Length of each file."),
        options.number("--seed", "-s", default=None, low=0, high=MAX_SEED, integer=True, default_means="default random",
                       help="The file with this seed; file i of a batch has seed N + i."),
        options.number("--count", "-n", default=1, low=1, high=1_000_000, integer=True, help="How many files."),
        click.Option(["--device"], type=click.Choice(DEVICES), default="auto",
                     help="Where to compute; auto takes a GPU if there is one.  [default auto]"),
        options.number("--batch-size", default=None, low=1, high=1_000_000, integer=True,
                       default_means="default what memory allows", help="Chunks to compute together."),
        click.Option(["--precision"], type=click.Choice(PRECISIONS), default="float32",
                     help="What to compute in; the others are other sounds for a seed.  [default float32]"),
        click.Option(["--loader"], metavar="NAME", help="Which loader, where several claim the model."),
        library,
        options.max_model_size(),
        options.flag("--stats", help="Say of each file how it was drawn; its sidecar always does."),
        options.flag("--json", help="Print one JSON array instead of paths."),
        options.flag("--quiet", "-q", help="No progress bar; warnings and errors stay."),
    ]  # fmt: skip


class _GenerateCommand(Sectioned):
    """Its help groups the options by who brings them. Plugins are asked for theirs when the command is used."""

    def __init__(self, plugins: Plugins) -> None:
        self._own = own_parameters()
        self._plugins = plugins
        super().__init__(
            "generate",
            callback=lambda **values: _generate(plugins, self._brought, **values),
            params=self._own,
            short_help="Generate audio files with a model.",
            help="Generate audio files with MODEL: a checkpoint's path, or a name or id from 'distill models list'.\n\n"
            "The path of each finished file is printed on a line of its own. Beside it lies NAME.json, which says how "
            "the file was made. Files in place stay as they are: a name in use gets a number, unless --overwrite.",
        )

    @cached_property
    def _brought(self) -> dict[str, Declared]:
        return self._plugins.generation_options(self._own)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        # Of an option that several declare, the first stands for all; whose default it takes is settled by the claim.
        shared: dict[str, click.Option] = {}
        for option in (option for declared in self._brought.values() for option in declared.options):
            shared.setdefault(str(option.name), option)
        return [*super().get_params(ctx), *shared.values()]

    def make_context(self, *arguments: Any, **keywords: Any) -> click.Context:
        _ = self._brought
        warn_of_problems(self._plugins)
        return super().make_context(*arguments, **keywords)

    def sections(self, ctx: click.Context) -> Mapping[str, Sequence[click.Parameter]]:
        return {
            "Options for every model": _making_parameters(),
            "Options for the files": output.parameters(),
            **{f"Options for models of plugin {n}": d.options for n, d in self._brought.items()},
        }


def _generate(plugins: Plugins, brought: dict[str, Declared], /, **values: Any) -> None:
    results = sys.stdout
    with redirect_stdout(sys.stderr):  # what a plugin prints, in whichever thread, is no result
        _generate_to(results, plugins, brought, **values)


def _generate_to(results: TextIO | None, plugins: Plugins, brought: dict[str, Declared], /, model: Path,
                 loader: str | None, quiet: bool, seed: int | None, json: bool, stats: bool,
                 **values: Any) -> None:  # fmt: skip
    try:
        claim = registry.claim(plugins, registry.identify(plugins, model), loader)
    finally:
        warn_of_problems(plugins)
    understood = asking.Understood.by(claim.plugin, brought)
    settings = asking.settings(claim, understood, values, click.get_current_context().get_parameter_source)
    first = seed
    if first is None:
        first = secrets.randbelow(2**32) if settings.seed is None else settings.seed
    seeds = asking.seeds(first, values["count"], seed is not None)

    to_stdout = values["output_dir"] == output.STDOUT
    if to_stdout:
        output.check_stdout(values | {"json": json}, results is not None and results.isatty())
        json = values["plot"] = False
    job = asking.job(plugins, claim, settings, values, output.output(values), seeds)
    with startup.building():
        import torch  # noqa: F401 - by what is imported next and by the model

        from distill import generation  # noqa: F401 - by who runs it

    directory = job.output.directory
    with tempfile.TemporaryDirectory() if to_stdout else nullcontext(directory) as folder:
        job = replace(job, output=replace(job.output, directory=Path(folder)))
        running.run(job, results, json=json, stats=stats, quiet=quiet, sound_only=to_stdout)
