"""`distill generate`: parse, call, print."""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from distill import library, options, outputs, registry
from distill.audio.formats import BIT_DEPTHS, FORMATS
from distill.devices import DEVICES
from distill.plugins import Plugins
from distill.registry import Claim

if TYPE_CHECKING:
    from distill.generation import GeneratedFile

MAX_SEED = 2**63 - 1


def command(plugins: Plugins) -> click.Command:
    """The command, with the options of `plugins` beside its own."""
    brought = plugins.generation_options()
    own = [
        options.number("--duration", "-d", default=10.0, low=0.001, high=86400.0, unit="s", metavar="SECONDS",
                       help="Length of each file."),
        options.number("--seed", "-s", default=None, low=0, high=MAX_SEED, integer=True, default_means="default random",
                       help="The file with this seed; file i of a batch has seed N + i."),
        options.number("--count", "-n", default=1, low=1, high=1_000_000, integer=True, help="How many files."),
        click.Option(["--output-dir", "-o"], type=click.Path(file_okay=False, path_type=Path), default=Path(),
                     metavar="DIR", help="Folder for the files, made if missing.  [default: this folder]"),
        click.Option(["--format", "-f"], type=click.Choice(list(FORMATS)), default="wav",
                     help="Kind of audio file.  [default wav]"),
        options.number("--sample-rate", default=None, low=8000, high=192000, integer=True, unit="Hz", metavar="HZ",
                       default_means="default the model's own", help="Sample rate of the files."),
        click.Option(["--bit-depth"], type=click.Choice(BIT_DEPTHS),
                     help="Sample format of WAV and FLAC files.  [default 24-bit]"),
        click.Option(["--device"], type=click.Choice(DEVICES), default="auto",
                     help="Where to compute; auto takes a GPU if there is one.  [default auto]"),
        click.Option(["--loader"], metavar="NAME", help="Which loader, where several claim the model."),
        click.Option(["--json"], is_flag=True, help="Print one JSON array instead of paths."),
        click.Option(["--quiet", "-q"], is_flag=True, help="No progress bar; warnings and errors stay."),
    ]  # fmt: skip
    shared: list[click.Option] = []
    for option in (o for declared in brought.values() for o in declared):
        if option not in shared:
            shared.append(option)
    return _GenerateCommand(
        "generate",
        callback=lambda **values: _generate(plugins, brought, **values),
        params=[click.Argument(["model"]), *own, *shared],
        sections={"Options for every model": own}
        | {f"Options for models of plugin {name}": declared for name, declared in brought.items()},
        help="Generate audio files with MODEL, the path of a checkpoint.\n\n"
        "The path of each finished file is printed on a line of its own. Beside it lies NAME.json, which says how "
        "the file was made. Files in place are never overwritten: a name in use gets a number.",
    )


class _GenerateCommand(click.Command):
    """A command whose help groups its options by who brings them."""

    def __init__(self, *arguments: Any, sections: dict[str, list[click.Option]], **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, declared in self._sections.items():
            records = [r for o in declared if (r := o.get_help_record(ctx)) is not None]
            with formatter.section(title):
                formatter.write_dl(records)


def _generate(plugins: Plugins, brought: dict[str, list[click.Option]], model: str, loader: str | None,
              quiet: bool, seed: int | None, **values: Any) -> None:  # fmt: skip
    from distill.cli import warn

    header = registry.identify(plugins, library.resolve(model))
    claim = registry.claim(plugins, header, loader)
    for problem in plugins.problems:
        warn(problem)
    for flag in _foreign_flags(claim, brought):
        warn(f"{flag} is not supported for {claim.loader.kind} models. Ignored.")
    chosen = {str(o.name): values[str(o.name)] for o in brought.get(claim.plugin, [])}
    claim.check(chosen)
    seed = secrets.randbelow(2**32) if seed is None else seed
    if seed + values["count"] - 1 > MAX_SEED:
        raise click.BadParameter(
            f"{seed} is too large: the last file's seed would exceed {MAX_SEED}.", param_hint="--seed"
        )

    from distill.cli.progress import Bar
    from distill.generation import Job, generate

    job = Job(
        claim=claim,
        options=chosen,
        seed=seed,
        duration=values["duration"],
        count=values["count"],
        directory=values["output_dir"],
        format=values["format"],
        sample_rate=values["sample_rate"],
        bit_depth=values["bit_depth"],
        device=values["device"],
        distribution=plugins.distributions.get(claim.plugin),
    )
    finished: list[GeneratedFile] = []
    bar = Bar(job.count, quiet)
    try:
        for made in generate(job, bar.show):
            bar.close()
            finished.append(made)
            if not values["json"]:
                click.echo(os.fsencode(made.file))
    finally:
        bar.close()
        if values["json"]:
            click.echo(outputs.to_json([asdict(f) for f in finished]), nl=False)


def _foreign_flags(claim: Claim, brought: dict[str, list[click.Option]]) -> list[str]:
    """The flags given on the command line that other plugins understand and the claiming one does not."""
    ctx = click.get_current_context()
    known = brought.get(claim.plugin, [])
    foreign = [o for declared in brought.values() for o in declared if o not in known]
    given = [o for o in foreign if ctx.get_parameter_source(str(o.name)) is ParameterSource.COMMANDLINE]
    return list(dict.fromkeys(o.opts[0] for o in given))
