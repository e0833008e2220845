"""`distill replay`: make files again from their sidecars, and say whether they are the same."""

from __future__ import annotations

import sys
import tempfile
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from distill import library, options, outputs, registry, startup
from distill.checkpoint import CheckpointHeader
from distill.cli.generate import own_parameters
from distill.cli.messages import warn, warn_of_problems
from distill.cli.output import STDOUT
from distill.declarations import Declared
from distill.errors import DistillError, RequestError
from distill.plugins import Plugins
from distill.text import clean

if TYPE_CHECKING:
    from distill.record import Record


def command(plugins: Plugins) -> click.Command:
    """The command, which loads models with `plugins`."""
    return click.Command(
        "replay",
        short_help="Make files again, from their sidecars or their tags.",
        callback=lambda **values: _replay(plugins, **values),
        params=[
            click.Argument(["files"], nargs=-1, required=True,
                           type=click.Path(exists=True, dir_okay=False, path_type=Path)),
            options.flag("--check", help="Keep nothing; say whether each comes out bit-identical."),
            click.Option(["--model"], type=options.Model(), metavar="MODEL",
                         help="The checkpoint, where it has moved."),
            options.library(),
            options.max_model_size(),
            click.Option(["--output-dir", "-o"], type=click.Path(file_okay=False, path_type=Path), default=Path(),
                         metavar="DIR", help="Folder for the files, made if missing.  [default: this folder]"),
            options.flag("--json", help="Print one JSON array."),
            options.flag("--quiet", "-q", help="No progress bar; warnings and errors stay."),
        ],
        help="Make files again, from their sidecars or from the audio files, which carry it in their tags.\n\n"
        "The path of each is printed. Where one comes out other than it was, what has changed since is told: the "
        "model, a version, the device. With --check that is exit code 1.",
    )  # fmt: skip


def _replay(plugins: Plugins, /, files: tuple[Path, ...], check: bool, **values: Any) -> None:
    results = sys.stdout
    with redirect_stdout(sys.stderr):  # what a plugin prints is no result
        all_identical = _replay_to(results, plugins, files, check, **values)
    if check and not all_identical:
        raise click.exceptions.Exit(1)


def _replay_to(
    results: TextIO | None, plugins: Plugins, files: tuple[Path, ...], check: bool, model: Path | None,
    output_dir: Path, json: bool, quiet: bool,
) -> bool:  # fmt: skip
    """Make the files again; whether all of them are what they were."""
    from distill.record import read

    if str(output_dir) == STDOUT:
        raise RequestError("--output-dir -: files are made again in a folder, not on stdout. Give a folder.")
    told = []
    try:
        for file in files:
            record = read(file)
            with tempfile.TemporaryDirectory() if check else nullcontext(output_dir) as folder:
                made, identical, changed = _again(plugins, record, model, Path(folder), quiet)
            told.append({"file": str(file) if check else made, "identical": identical, "differences": changed})
            shown = clean(file.name)
            if not identical:
                why = "; ".join(changed) or "nothing that is known to change it has changed"
                warn(f"{shown} comes out other than it was. {why[0].upper()}{why[1:]}.")
            if not json:
                click.echo(f"{shown}: {'identical' if identical else 'different'}" if check else made, file=results)
    finally:
        if json:
            click.echo(outputs.to_json(told), file=results, nl=False)
    return all(one["identical"] for one in told)


def _again(
    plugins: Plugins, record: Record, model: Path | None, folder: Path, quiet: bool
) -> tuple[str, bool, list[str]]:
    """Make the file of `record` in `folder`; its path, whether its sound is the same, and what has changed since."""
    path = _model(record) if model is None else model
    try:
        claim = registry.claim(plugins, registry.identify(plugins, path), record.loader)
        others = [_other(plugins, other) for other in record.other_models]
    finally:
        warn_of_problems(plugins)
    with startup.building():
        import torch  # noqa: F401 - by what is imported next and by the model

        from distill import replay
        from distill.cli import running

    declared = plugins.generation_options(own_parameters()).get(claim.plugin, Declared())
    job = replay.job(record, claim, declared, others, plugins.distribution(claim.plugin), folder)
    intact = replay.is_intact(record)
    [made] = running.run(job, None, quiet=quiet)
    changed = [] if intact else ["the file has been changed since it was made"]
    identical = intact and made.sidecar["audio"]["sha256"] == record.sha256
    return made.file, identical, [*changed, *replay.differences(record, made.sidecar)]


def _model(record: Record) -> Path:
    """Where the model of `record` is: where it was, or in the library, if one has its id."""
    of_its_id = []
    if record.model_id and not record.model.is_file():
        models = library.of(click.get_current_context()).models
        of_its_id = [one.path for one in models if one.id == record.model_id]
    return of_its_id[0] if len(of_its_id) == 1 else _found(record.model, "--model")


def _other(plugins: Plugins, path: Path) -> CheckpointHeader:
    return registry.identify(plugins, _found(path, ""))


def _found(path: Path, option: str) -> Path:
    if path.is_file():
        return path
    helps = f" Say where it is with {option}." if option else " Put it back."
    raise DistillError(f"The model {clean(str(path), 200)} is not there any more.{helps}")
