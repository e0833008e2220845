"""`distill train-prior`: from a model that has codes to one that generates."""

from __future__ import annotations

from pathlib import Path

import click

from distill import devices, options
from distill.errors import RequestError
from distill.plugins import Plugins
from distill_codec.train_command import MAX_SEED, refuse_with_resume


@click.command(
    "train-prior",
    params=[
        *options.model(),
        click.Argument(["dataset"], type=click.Path(path_type=Path)),
        click.Option(["--output", "-o"], type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
                     help="Write the model with its prior here, and leave MODEL as it is.  [default: MODEL]"),
        options.number("--minutes", "-m", default=None, low=0.1, high=60 * 24 * 30, unit="minutes", metavar="M",
                       default_means="default 30 for a minute of audio, more for more", help="How long to train."),
        options.number("--steps", default=None, low=1, high=10**9, integer=True, default_means="default --minutes",
                       help="How many steps to train, instead of --minutes."),
        options.flag("--resume", help="Go on with a training that was interrupted, with the options it began with."),
        options.number("--hold-out", default=None, low=0.0, high=0.5, metavar="SHARE",
                       default_means="default what MODEL held out, else 0.1",
                       help="Share of the audio to test with and not to train on. 0 trains on everything."),
        click.Option(["--augmentation/--no-augmentation"], default=True,
                     help="Learn from varied copies too: shifted, transposed, mixed.  [default: on]"),
        options.flag("--half", help="Save weights in half precision: half the size. With --output."),
        options.number("--seed", default=0, low=0, high=MAX_SEED, integer=True, help="All chance comes from it."),
        click.Option(["--device"], type=click.Choice(devices.DEVICES), default="auto",
                     help="What to compute on; auto is a GPU if there is one.  [default auto]"),
        click.Option(["--loader"], metavar="NAME", help="Which loader to use, where several claim MODEL."),
        options.flag("--json", help="Print one JSON object: files and figures."),
        options.flag("--quiet", "-q", help="No progress and no figures on stderr."),
    ],
)  # fmt: skip
@click.pass_obj
def train_prior(plugins: Plugins, /, model: Path, dataset: Path, output: Path | None, minutes: float | None,
                steps: int | None, resume: bool, hold_out: float | None, augmentation: bool, half: bool, seed: int,
                device: str, loader: str | None, json: bool, quiet: bool) -> None:  # fmt: skip
    """Have MODEL learn to generate, from the recordings in DATASET.

    MODEL turns sound into codes and back, as 'distill train' leaves it, or a version 2 model without a prior. A prior
    knows which codes come after which. It is added to MODEL's file, and MODEL-prior-report.html says what it is worth,
    with sounds that it made; both paths are printed.

    Give the folder of recordings that MODEL was trained on: then the same are held out.

    Ctrl+C ends early and still saves both. A training is saved every 45 seconds, in MODEL.prior-training; one that
    was killed goes on with --resume.
    """
    minutes, steps = options.strongest({"minutes": minutes, "steps": steps}).values()
    if minutes is not None and steps is not None:
        raise RequestError("--minutes and --steps: give one of them.")
    half = half and (output is not None or options.is_given("half"))
    if resume:
        refuse_with_resume({"minutes", "steps", "hold_out", "augmentation", "seed", "half"})
    from distill import startup

    with startup.building():
        import torch  # noqa: F401 - by what is imported next

        from distill_codec.train_prior import Asked, train_prior

    train_prior(plugins, Asked(model, dataset, output, minutes, steps, resume, hold_out, augmentation, half, seed,
                               device, loader, json, quiet))  # fmt: skip
