"""From a model with codes and recordings to a model that generates: the one path that a prior's training takes.

model → recordings → corpus → split → codes, as they are and varied → training, saved as it goes → figures → the model
with its prior → report
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from signal import Signals
from typing import Any

import click
import torch

from distill import devices, library, outputs, registry
from distill.checkpoint import CheckpointHeader, load_contents, read_header
from distill.errors import DistillError, RequestError, Terminated
from distill.plugins import Plugins
from distill.registry import Claim
from distill.text import clean
from distill_codec import checkpoints, prior_report
from distill_codec.corpus import Corpus, Split, read, split
from distill_codec.interruption import Interruption
from distill_codec.passages import encode
from distill_codec.prior_figures import PriorFigures
from distill_codec.prior_training import PriorSettings, PriorTraining
from distill_codec.telling import Telling, clock, held_out
from distill_codec.training_files import Files, damage_named
from distill_codec.training_settings import minutes_for

HOLD_OUT = 0.1
LARGEST_HALF = 65504.0
"""The largest number in half precision."""


@dataclass(frozen=True)
class Asked:
    """The command line of `distill train-prior`. `output` None is the model's own file."""

    model: str
    dataset: Path
    output: Path | None
    minutes: float | None
    steps: int | None
    resume: bool
    hold_out: float | None
    augmentation: bool
    half: bool
    seed: int
    device: str
    loader: str | None
    json: bool
    quiet: bool


def train_prior(plugins: Plugins, asked: Asked) -> None:
    """Do what was `asked`. Raises `DistillError` for what cannot be; what is there by then stays."""
    header = registry.identify(plugins, library.resolve(asked.model))
    files = Files.of_prior(asked.output or header.path)
    claim = registry.claim(plugins, header, asked.loader)
    if asked.output is None and header.fields.get("has_prior"):
        raise RequestError(f"{header.name} has a prior. --output FILE trains another, and leaves this one as it is.")
    if asked.output is not None and asked.output.exists():
        raise DistillError(f"{clean(str(asked.output), 200)} is there already. Give another --output, or remove it.")
    outputs.prepare(files.model.parent)
    device = devices.choose(asked.device)
    with files.claimed():
        saved = _begun(files, asked.resume)
        tell = PriorTelling(asked.quiet)
        with claim.breakage_named("loading"):
            tokenizer = claim.loader.load_tokenizer(header, device)
        corpus = read(asked.dataset, tokenizer.sample_rate, tokenizer.channels, files.model.parent, tell.reading)
        tell.corpus(corpus)
        settings = _settings(asked, header, corpus, device) if saved is None else saved.settings
        learn(plugins, claim, corpus, settings, files, device, tell, saved, half=asked.half, json=asked.json)


@dataclass(frozen=True)
class Begun:
    """A training that was begun and `saved`, with what it was begun with."""

    settings: PriorSettings
    saved: Mapping[str, Any]


def _begun(files: Files, resume: bool) -> Begun | None:
    """The training to go on with, None to begin one. Raises `DistillError` where there is another."""
    shown = clean(str(files.training), 200)
    if not resume:
        if files.training.exists():
            raise DistillError(
                f"This training was interrupted: --resume goes on with it. To begin anew, remove {shown}."
            )
        return None
    if not files.training.exists():
        raise DistillError("--resume: no training of this prior was interrupted. Leave --resume out to begin one.")
    saved = checkpoints.load_training(files.training)
    with damage_named(files.training):
        return Begun(PriorSettings.from_config(saved["settings"]), saved)


def _settings(asked: Asked, header: CheckpointHeader, corpus: Corpus, device: str) -> PriorSettings:
    """What is asked for; what is held out is what the model's own training held out, if it says so."""
    own = header.fields.get("training_config")
    own = own if isinstance(own, Mapping) else {}
    share, seed = own.get("hold_out"), own.get("seed")
    fit = isinstance(share, float) and 0 <= share <= 0.5 and isinstance(seed, int) and seed >= 0
    hold_out = asked.hold_out if asked.hold_out is not None else share if fit and share is not None else HOLD_OUT
    return settings_for(corpus, device, asked.minutes, asked.steps, hold_out, asked.augmentation, asked.seed)


def settings_for(
    corpus: Corpus, device: str, minutes: float | None, steps: int | None, hold_out: float, augmentation: bool,
    seed: int,
) -> PriorSettings:  # fmt: skip
    """The settings of a training on `corpus`, with as many minutes as suit it where nobody says."""
    if steps is None and minutes is None:
        minutes = minutes_for(corpus.seconds, device)
    return PriorSettings(minutes, steps, hold_out, augmentation, seed)


def learn(
    plugins: Plugins, claim: Claim, corpus: Corpus, settings: PriorSettings, files: Files, device: str,
    tell: PriorTelling, begun: Begun | None = None, *, half: bool, json: bool,
) -> None:  # fmt: skip
    """Train a prior for the model of `claim` on `corpus`, and write `files`.

    Raises `KeyboardInterrupt` or `Terminated` where that ended it early; what was learnt by then is saved.
    """
    header = claim.header
    with claim.breakage_named("loading"):
        learner = claim.loader.load_prior_learner(header, device, corpus.seconds)
    parts = split(corpus, settings.hold_out, settings.seed)
    tell.plan(parts, corpus)
    interruption = Interruption()
    with interruption.noted(), claim.breakage_named("encoding with"):
        material = encode(
            learner.tokenizer, corpus, parts, settings.seed, settings.augmentation, tell.encoding, interruption.check
        )
    tell.close()
    identity = str(uuid.uuid4())
    with damage_named(files.training):
        training = PriorTraining(settings, learner, material, files.training, identity, corpus.fingerprint,
                                 None if begun is None else begun.saved)  # fmt: skip
    tell.training(training, device)
    interrupted_by = training.run(tell.step)
    tell.close()
    if interrupted_by == Signals.SIGTERM:
        raise Terminated
    if training.steps:
        tell.ending(interrupted_by is not None)
        figures = PriorFigures.of(training)
        made = _finish(plugins, claim, corpus, parts, training, figures, files, half)
        tell.figures(figures)
        _print(json, training, figures, made)
        if interrupted_by is None:
            files.training.unlink(missing_ok=True)
        else:
            tell.unfinished(training)
    if interrupted_by is not None:
        raise KeyboardInterrupt


def _finish(
    plugins: Plugins, claim: Claim, corpus: Corpus, parts: Split, training: PriorTraining, figures: PriorFigures,
    files: Files, half: bool,
) -> tuple[Path, Path]:  # fmt: skip
    """Write the model with its prior, and the report; their paths."""
    learner = training.settled()
    contents = load_contents(claim.header)
    learnt = dict(learner.contents(training.material.recordings))
    metadata = {
        **learnt.pop("prior_metadata", {}),
        "training_date": datetime.now(UTC).isoformat(timespec="seconds"),
        "training_steps": training.steps,
        "training_seconds": training.pace.spent,
        "final_perplexity": _perplexity(training.history.held_out[-1:]),
        "best_perplexity": _perplexity([figures.bits] if figures.bits else []),
        "dataset_file_count": len(corpus.recordings),
        "dataset_total_duration_s": corpus.seconds,
    }
    saved = {
        **contents, **learnt, "has_prior": True, "prior_metadata": metadata,
        "prior_training_config": training.settings.config(), "prior_loss_curve_history": training.history.config(),
        "prior_figures": figures.config(),
    }  # fmt: skip
    if half:
        saved = {name: _halved(value) if name.endswith("state_dict") else value for name, value in saved.items()}
    checkpoints.replace(files.model, saved)
    header = read_header(files.model)
    assert header is not None
    page = prior_report.page(plugins, Claim(header, claim.plugin, claim.loader), corpus, parts, training, figures)
    checkpoints.replace_text(files.report, page)
    return files.model, files.report


def _perplexity(bits: list[Any]) -> float | None:
    """Of one code, whichever its level."""
    return 2 ** (sum(bits[0]) / len(bits[0])) if bits else None


def _halved(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """`tensors` in half precision, those that it can hold."""
    return {
        name: tensor.half()
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.abs().max() <= LARGEST_HALF
        else tensor
        for name, tensor in tensors.items()
    }


def _print(json: bool, training: PriorTraining, figures: PriorFigures, made: tuple[Path, Path]) -> None:
    """Print the results."""
    model, page = made
    if json:
        told = {
            "model": str(model), "report": str(page), "steps": training.steps,
            "seconds": round(training.pace.spent, 1), "figures": figures.config(),
        }  # fmt: skip
        click.echo(outputs.to_json(told), nl=False)
    else:
        click.echo(f"{model}\n{page}")


class PriorTelling(Telling):
    """What the training of a prior says."""

    def __init__(self, quiet: bool) -> None:
        super().__init__(quiet, 0)

    def plan(self, parts: Split, corpus: Corpus) -> None:
        """Tell what is held out."""
        self.say(f"Held out: {held_out(parts, corpus.sample_rate)}.")

    def encoding(self, done: int, total: int) -> None:
        """Tell that `done` of `total` sounds are encoded."""
        bar = self.bar or self.new_bar(total=total, bar_format="encoding {n_fmt}/{total_fmt} |{bar}| {remaining} left")
        bar.update(done - bar.n)

    def training(self, training: PriorTraining, device: str) -> None:
        """Tell how long it is going to take."""
        settings = training.settings
        asked = f"{settings.steps} steps" if settings.minutes is None else f"{settings.minutes:g} minutes"
        done = f", {training.steps} steps of it done" if training.steps else ""
        self.say(f"Training a prior for {asked} on {device}{done}. Ctrl-C ends early and saves.")

    def step(self, training: PriorTraining) -> None:
        """Show a step."""
        steps, pace, history = training.steps, training.pace, training.history
        bar = self.bar
        if bar is None:
            bar = self.new_bar(total=pace.steps, initial=steps - 1, bar_format="{n_fmt}/{total_fmt} |{bar}| {desc}")
        bar.total = pace.steps
        left = pace.seconds_left(steps)
        told = f"{history.loss[-1]:.2f} bits a frame"
        if history.held_out:
            now = sum(history.held_out[-1])
            told += f" (held out {now:.2f}, counting {training.unigram.sum():.2f})"
        if history.memorises:
            told += ", learning by heart"
        bar.set_description_str(told + (f", {clock(left)} left" if left is not None else ""), refresh=False)
        bar.update(steps - bar.n)

    def ending(self, early: bool) -> None:
        """Tell that what was learnt is being written."""
        self.say("Ending early: saving what it has learnt." if early else "Saving.")

    def figures(self, figures: PriorFigures) -> None:
        """Tell what the prior is worth."""
        if figures.saved is not None and figures.saved_coarsest is not None:
            self.say(
                f"Held-out sounds: {sum(figures.bits):.1f} bits a frame, {100 * figures.saved:.0f} % fewer than "
                f"counting codes; {100 * figures.saved_coarsest:.0f} % at the coarsest level."
            )
        for warning in figures.warnings:
            self.warn(warning)

    def unfinished(self, training: PriorTraining) -> None:
        """Tell that there is more to be had."""
        planned = training.pace.steps
        self.say(f"Ended after {training.steps} of {planned or '?'} steps; 'distill train-prior ... --resume' goes on.")
