"""From what was asked for to a model and its report: the one path that a training takes.

recordings → corpus → split → training, saved as it goes → figures → NAME.distill → NAME-report.html
"""

from __future__ import annotations

import math
import uuid
from contextlib import closing, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from signal import Signals
from typing import Any

import click
import torch

from distill import outputs, registry
from distill.checkpoint import read_header
from distill.errors import DistillError, NotFiniteError, Terminated
from distill.plugins import Plugins
from distill.text import clean
from distill_codec import checkpoints, report, train_prior
from distill_codec.corpus import Corpus, read, split
from distill_codec.evaluation import Figures, evaluate
from distill_codec.networks import Codec
from distill_codec.processes import Alone, processes
from distill_codec.shape import Shape
from distill_codec.telling import Telling, clock, held_out
from distill_codec.training import Training
from distill_codec.training_files import REPORT, Files, damage_named
from distill_codec.training_settings import TrainingSettings, minutes_for, sizes_for

SAMPLE_RATE = Shape().sample_rate


@dataclass(frozen=True)
class Asked:
    """The command line of `distill train`."""

    dataset: Path
    name: str
    output_dir: Path
    minutes: float | None
    epochs: int | None
    resume: bool
    stereo: bool
    hold_out: float
    augmentation: bool
    adversarial: bool
    seed: int
    device: str
    size: str
    prior: bool
    prior_minutes: float | None
    json: bool
    quiet: bool


def train(plugins: Plugins, asked: Asked) -> None:
    """Do what was `asked`. Raises `DistillError` for what cannot be; what is there by then stays."""
    files = Files.named(asked.name, asked.output_dir)
    outputs.prepare(asked.output_dir)
    together = processes(asked.device)
    with (
        files.claimed() if together.rank == 0 else nullcontext(),
        closing(_Telling(asked.quiet, together.rank)) as tell,
    ):
        _train(plugins, asked, files, together, tell)


def _train(plugins: Plugins, asked: Asked, files: Files, together: Alone, tell: _Telling) -> None:
    done = _done(asked, files)
    begun = None if done else _begun(asked, files)
    channels = done.channels if done else begun.shape.channels if begun else 1 + asked.stereo
    corpus = read(asked.dataset, SAMPLE_RATE, channels, asked.output_dir, tell.reading)
    tell.corpus(corpus)
    if done is not None:
        if together.rank == 0:
            prior = _go_on(plugins, asked, done.settings, corpus, files.model, together.device.type)
            _print(asked, corpus, None, prior)
            prior.end()
        return
    training = _training(asked, files, begun, corpus, together)
    tell.plan(training)
    interrupted_by = training.run(tell.step)
    tell.close()
    if interrupted_by == Signals.SIGTERM:
        raise Terminated
    if together.rank == 0 and training.steps:
        tell.ending(interrupted_by is not None)
        figures, made = _finish(training, asked, files, replacing=begun is not None and files.model.exists())
        tell.figures(figures)
        trained = Trained(training, figures, made)
        if interrupted_by is not None:
            _print(asked, corpus, trained, None)
            tell.unfinished(training)
            raise KeyboardInterrupt
        files.training.unlink(missing_ok=True)
        learnt: train_prior.Learnt | None = None
        try:
            if asked.prior:
                learnt = _go_on(plugins, asked, training.settings, corpus, made[0], together.device.type)
        finally:
            _print(asked, corpus, trained, learnt)
        if learnt is not None:
            learnt.end()
    if interrupted_by is not None:
        raise KeyboardInterrupt


@dataclass(frozen=True)
class Done:
    """A codec that was trained with `settings`, and has no prior yet."""

    settings: TrainingSettings
    channels: int


def _done(asked: Asked, files: Files) -> Done | None:
    """The codec that a training to be resumed has ended with, where it was interrupted before its prior was trained."""
    if not asked.resume or not asked.prior or files.training.exists() or not files.model.exists():
        return None
    header = read_header(files.model)
    if header is None or not {"training_config", "codec_config"} <= header.fields.keys():
        return None
    if header.fields.get("has_prior") and not Files.of_prior(files.model).training.exists():
        return None
    with damage_named(files.model):
        return Done(
            TrainingSettings.from_config(header.fields["training_config"]),
            Shape.from_config(header.fields["codec_config"]).channels,
        )


def _go_on(
    plugins: Plugins, asked: Asked, settings: TrainingSettings, corpus: Corpus, model: Path, device: str
) -> train_prior.Learnt:
    """Train the prior of a codec that is there, in `model`."""
    claim = registry.claim(plugins, registry.identify(plugins, model))
    files = Files.of_prior(model)
    with files.claimed(), closing(train_prior.PriorTelling(asked.quiet, split_is_told=True)) as tell:
        begun = train_prior.begun(files, asked.resume and files.training.exists())
        wanted = train_prior.settings_for(
            corpus, device, asked.prior_minutes or settings.minutes, None, settings.hold_out, settings.augmentation,
            settings.seed, settings.seed,
        )  # fmt: skip
        return train_prior.learn(
            plugins, claim, corpus, wanted if begun is None else begun.settings, files, device, tell, begun
        )


@dataclass(frozen=True)
class Begun:
    """A training that was begun and `saved`, with what it was begun with."""

    settings: TrainingSettings
    shape: Shape
    identity: str
    saved: dict[str, Any]


def _begun(asked: Asked, files: Files) -> Begun | None:
    """The training to go on with, None to begin one. Raises `DistillError` where the name is in use."""
    shown = clean(asked.name, 100)
    if not asked.resume:
        if files.training.exists():
            raise DistillError(
                f"A training named {shown} was interrupted: --resume goes on with it. To begin anew, remove "
                f"{clean(str(files.training), 200)} or give another --name."
            )
        prior = Files.of_prior(files.model)
        for path in (files.model, files.report, prior.report, prior.training):
            if path.exists():
                raise DistillError(f"{clean(str(path), 200)} is there already. Give another --name, or remove it.")
        return None
    if not files.training.exists():
        raise DistillError(
            f"--resume: no training named {shown} was interrupted in {clean(str(asked.output_dir), 200)}. "
            "Leave --resume out to begin one."
        )
    saved = checkpoints.load_training(files.training)
    with damage_named(files.training):
        begun = Begun(
            TrainingSettings.from_config(saved["settings"]), Shape.from_config(saved["shape"]),
            str(saved["identity"]), saved,
        )  # fmt: skip
        with torch.device("meta"):  # sizes are compared before anything is allocated
            wanted = Codec(begun.shape).state_dict()
        found = saved["trainer"]["learner"]
        if any(found[f"codec.{name}"].shape != tensor.shape for name, tensor in wanted.items()):
            raise ValueError("its tensors are not of its shape")
    if files.model.exists():
        header = read_header(files.model)
        if header is None or header.metadata.get("model_id") != begun.identity:
            raise DistillError(f"{clean(str(files.model), 200)} is another model. Move it away, and resume then.")
        if header.fields.get("has_prior"):
            raise DistillError(
                f"{clean(str(files.model), 200)} has a prior by now, which would be lost. Move it away, and resume "
                "then."
            )
    return begun


def _training(asked: Asked, files: Files, begun: Begun | None, corpus: Corpus, together: Alone) -> Training:
    """The training, at its beginning or where it was saved."""
    if begun is not None:
        parts = split(corpus, begun.settings.hold_out, begun.settings.seed)
        with damage_named(files.training):
            return Training(
                begun.settings, begun.shape, corpus, parts, files.training, begun.identity, together, begun.saved
            )  # fmt: skip
    device = together.device.type
    sizes = sizes_for(corpus.seconds, corpus.channels, device, asked.size)
    settings = TrainingSettings(
        minutes=None if asked.epochs is not None else asked.minutes or minutes_for(corpus.seconds, device),
        epochs=asked.epochs, batch_size=sizes.batch_size, crop_frames=sizes.crop_frames, hold_out=asked.hold_out,
        augmentation=asked.augmentation, adversarial=asked.adversarial, seed=asked.seed,
    )  # fmt: skip
    parts = split(corpus, settings.hold_out, settings.seed)
    identity = together.agreed(str(uuid.uuid4()))
    return Training(settings, sizes.shape, corpus, parts, files.training, identity, together)


def _finish(training: Training, asked: Asked, files: Files, replacing: bool) -> tuple[Figures, tuple[Path, Path]]:
    """Measure what was learnt; write the model and its report, whose paths come with the figures."""
    codec = training.settled()
    parts, corpus = training.split, training.corpus
    figures = evaluate(codec, corpus, parts.training, parts.held_out)
    if not math.isfinite(figures.distance):
        raise NotFiniteError("sounds", "The training")
    metadata = {
        "model_id": training.identity,
        "name": asked.name,
        "dataset_name": asked.dataset.resolve().name,
        "dataset_file_count": len(corpus.recordings),
        "dataset_total_duration_s": corpus.seconds,
        "training_date": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_steps": training.steps,
        "training_seconds": training.pace.spent,
        "final_train_loss": training.history.recent,
        "final_val_loss": figures.held_out,
    }
    saved = checkpoints.contents(
        codec, metadata, training.settings.config(), training.history.config(), figures.config()
    )  # fmt: skip
    page = report.page(asked.name, training, codec, figures)
    return figures, checkpoints.publish(files.model, saved, lambda _: page, REPORT, replacing=replacing)


@dataclass(frozen=True)
class Trained:
    """A codec's training, and what came of it: `made` are the paths of the model and its report."""

    training: Training
    figures: Figures
    made: tuple[Path, Path]


def _print(asked: Asked, corpus: Corpus, trained: Trained | None, learnt: train_prior.Learnt | None) -> None:
    """Print the results."""
    made = [] if trained is None else list(trained.made)
    if learnt is not None and learnt.made is not None:
        made += [path for path in learnt.made if path not in made]
    if not asked.json:
        for path in made:
            click.echo(path)
        return
    told: dict[str, Any] = {"recordings": len(corpus.recordings), "skipped": [vars(one) for one in corpus.skipped]}
    if trained is not None:
        model, page = trained.made
        training = trained.training
        told |= {
            "model": str(model), "report": str(page), "steps": training.steps,
            "seconds": round(training.pace.spent, 1), "figures": trained.figures.config(),
        }  # fmt: skip
    if learnt is not None and learnt.made is not None:
        model, page = learnt.made
        told |= {"model": str(model), "prior_report": str(page), "prior": learnt.config()}
    click.echo(outputs.to_json(told), nl=False)


class _Telling(Telling):
    """What the training of a codec says."""

    def plan(self, training: Training) -> None:
        """Tell how long it is going to take, and what is held out."""
        settings = training.settings
        self.say(f"Held out: {held_out(training.split, training.corpus.sample_rate)}.")
        asked = f"{settings.epochs} epochs" if settings.minutes is None else f"{settings.minutes:g} minutes"
        done = f", {training.steps} steps of it done" if training.steps else ""
        self.say(f"Training for {asked} on {training.processes.device.type}{done}. Ctrl+C ends early and saves.")

    def step(self, training: Training) -> None:
        """Show a step."""
        steps, pace, history = training.steps, training.pace, training.history
        bar = self.bar
        if bar is None:
            bar = self.new_bar(total=pace.steps, initial=steps - 1, bar_format="{n_fmt}/{total_fmt} |{bar}| {desc}")
        bar.total = pace.steps
        held_out = history.held_out[-1] if history.held_out else float("nan")
        perplexity = " ".join(f"{one:.0f}" for one in history.perplexity[-1]) if history.perplexity else ""
        left = pace.seconds_left(steps)
        bar.set_description_str(
            f"loss {history.loss[-1]:.3f}, distance {history.recent:.3f}"
            + (f" (held out {held_out:.3f})" if held_out == held_out else "")
            + (f", perplexity {perplexity}" if perplexity else "")
            + (f", {clock(left)} left" if left is not None else ""),
            refresh=False,
        )
        bar.update(steps - bar.n)

    def ending(self, early: bool) -> None:
        """Tell that what was learnt is being measured."""
        self.say("Ending early: measuring and saving what it has learnt." if early else "Measuring.")

    def figures(self, figures: Figures) -> None:
        """Tell what the model is worth."""
        held = "" if figures.held_out is None else f"; {figures.held_out:.3f} from what was held out"
        self.say(f"Distance {figures.distance:.3f} from the recordings{held} (0.1 is 2 dB of the mel spectrum).")
        used = " ".join(map(str, figures.used))
        self.say(f"Codes in use: {used} of {figures.codebook_size}, level by level.")
        for warning in figures.warnings:
            self.warn(warning)

    def unfinished(self, training: Training) -> None:
        """Tell that there is more to be had."""
        steps, planned = training.steps, training.pace.steps
        self.say(f"Ended after {steps} of {planned or '?'} steps; the same command with --resume goes on.")
