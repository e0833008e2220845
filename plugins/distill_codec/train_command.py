"""`distill train`: from a folder of recordings to a model that generates, with reports that say what it is worth."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import click

from distill import devices, options
from distill.errors import RequestError
from distill.plugins import Plugins
from distill_codec.training_settings import SIZES

MAX_SEED = 2**32 - 1


@click.command(
    "train",
    params=[
        click.Argument(["dataset"], type=click.Path(path_type=Path)),
        click.Option(["--name"], required=True, metavar="NAME", help="Name of the model, and of its files."),
        click.Option(["--output-dir", "-o"], type=click.Path(file_okay=False, path_type=Path), default=".",
                     metavar="DIR", help="Folder for them, made if missing.  [default: this folder]"),
        options.number("--minutes", "-m", default=None, low=0.1, high=60 * 24 * 30, unit="minutes", metavar="M",
                       default_means="default 30 for a minute of audio, more for more", help="How long to train."),
        options.number("--epochs", default=None, low=1, high=10**9, integer=True, default_means="default --minutes",
                       help="How many times to go through the recordings, instead of --minutes."),
        options.flag("--resume",
                     help="Go on with a training of this name that was interrupted, with the options it began with."),
        options.flag("--stereo",
                     help="Learn both channels, as middle and side, in the same codes. It takes 1.6 times as long.  "
                     "[default: mixed to mono]"),
        options.number("--hold-out", default=0.1, low=0.0, high=0.5, metavar="SHARE",
                       help="Share of the audio to test with and not to train on: whole recordings, or the ends of "
                       "them where there are fewer than 20. 0 trains on everything."),
        click.Option(["--augmentation/--no-augmentation"], default=True,
                     help="Vary what is trained on: level, pitch with speed, and two sounds at once.  [default: on]"),
        options.flag("--adversarial",
                     help="Train against a discriminator too: for GPUs. On a CPU it takes 30 times as long."),
        click.Option(["--size"], type=click.Choice(SIZES), default="auto",
                     help="small is for models to pass on: half the size, and a little further from the recordings.  "
                     "[default auto]"),
        click.Option(["--prior/--no-prior"], default=True,
                     help="Go on to train a prior, which generates; without, 'distill train-prior' does it later.  "
                     "[default: go on]"),
        options.number("--prior-minutes", default=None, low=0.1, high=60 * 24 * 30, unit="minutes", metavar="M",
                       default_means="default as long as the codec", help="How long to train the prior."),
        options.number("--seed", default=0, low=0, high=MAX_SEED, integer=True, help="All chance comes from it."),
        click.Option(["--device"], type=click.Choice(devices.DEVICES), default="auto",
                     help="What to compute on; auto is a GPU if there is one.  [default auto]"),
        options.flag("--json", help="Print one JSON object: files and figures."),
        options.flag("--quiet", "-q", help="No progress and no figures on stderr."),
    ],
)  # fmt: skip
@click.pass_obj
def train(plugins: Plugins, /, dataset: Path, name: str, output_dir: Path, minutes: float | None, epochs: int | None,
          resume: bool, stereo: bool, hold_out: float, augmentation: bool, adversarial: bool, size: str, prior: bool,
          prior_minutes: float | None, seed: int, device: str, json: bool, quiet: bool) -> None:  # fmt: skip
    """Train a model on the recordings in DATASET, a folder.

    It is trained in two parts: a codec, which turns sound like theirs into codes and back, and then a prior, which
    knows which codes come after which, and so generates.

    Recordings are WAV, FLAC, OGG, Opus, MP3 or AIFF of any rate and number of channels, in subfolders too. The model is
    NAME.distill; NAME-report.html and NAME-prior-report.html say what it is worth, with sounds to compare. The paths
    are printed.

    Ctrl+C ends early and still saves them. A training is saved every 45 seconds, in NAME.training; one that was
    killed goes on with --resume. On several GPUs, of one machine or more: accelerate launch -m distill train ...
    """
    minutes, epochs = options.strongest({"minutes": minutes, "epochs": epochs}).values()
    if minutes is not None and epochs is not None:
        raise RequestError("--minutes and --epochs: give one of them.")
    if resume:
        refuse_with_resume({"minutes", "epochs", "stereo", "hold_out", "augmentation", "adversarial", "seed", "size"})
    from distill import startup

    with startup.building():
        import torch  # noqa: F401 - by what is imported next

        from distill_codec.train import Asked, train

    train(plugins, Asked(dataset, name, output_dir, minutes, epochs, resume, stereo, hold_out, augmentation,
                         adversarial, seed, device, size, prior, prior_minutes, json, quiet))  # fmt: skip


def refuse_with_resume(kept: Collection[str]) -> None:
    """Refuse those options that a training keeps from its beginning, by parameter name."""
    for parameter in click.get_current_context().command.params:
        if parameter.name in kept and options.is_given(str(parameter.name)):
            raise RequestError(
                f"{parameter.opts[0]}: a training that is resumed keeps what it began with. Leave it out."
            )
