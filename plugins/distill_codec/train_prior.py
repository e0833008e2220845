"""From a model with codes and recordings to a model that generates: the one path that a prior's training takes.

model → recordings → corpus → split → codes, as they are and varied → training, saved as it goes → figures → the model
with its prior → report
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from signal import Signals
from typing import Any

import click
import torch

from distill import devices, outputs, registry
from distill.checkpoint import CheckpointHeader, load_contents, read_header, section
from distill.errors import DistillError, RequestError, Terminated
from distill.plugins import Plugins
from distill.registry import Claim
from distill.text import clean
from distill_codec import checkpoints, prior_report
from distill_codec.corpus import Corpus, Split, read, split
from distill_codec.interruption import Interruption
from distill_codec.passages import Material, encode
from distill_codec.prior_figures import PriorFigures
from distill_codec.prior_training import PriorSettings, PriorTraining
from distill_codec.processes import Alone
from distill_codec.telling import Telling, clock, held_out
from distill_codec.training_files import PRIOR_REPORT, Files, damage_named, model_id
from distill_codec.training_settings import minutes_for

HOLD_OUT = 0.1
LARGEST_HALF = 65504.0
"""The largest number in half precision."""


@dataclass(frozen=True)
class Asked:
    """The command line of `distill train-prior`. `output` None is the model's own file."""

    model: Path
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
    header = registry.identify(plugins, asked.model)
    files = Files.of_prior(asked.output or asked.model)
    claim = registry.claim(plugins, header, asked.loader)
    _check(asked, header, files, is_bundled=asked.model in plugins.bundled().values())
    outputs.prepare(files.model.parent)
    device = devices.choose(asked.device)
    with files.claimed(), closing(PriorTelling(asked.quiet)) as tell:
        saved = begun(files, asked.resume)
        with claim.breakage_named("loading"):
            tokenizer = claim.loader.load_tokenizer(header, device)
        corpus = read(asked.dataset, tokenizer.sample_rate, tokenizer.channels, files.model.parent, tell.reading)
        tell.corpus(corpus)
        settings = _settings(asked, header, corpus, device) if saved is None else saved.settings
        replacing = asked.output is None or asked.resume
        learnt = learn(plugins, claim, corpus, settings, files, device, tell, saved, replacing=replacing)
    _print(asked.json, learnt)
    learnt.end()


def _check(asked: Asked, header: CheckpointHeader, files: Files, is_bundled: bool) -> None:
    """Refuse early what would cost someone a file. Raises `DistillError`."""
    if asked.output is None:
        if is_bundled:
            raise RequestError(f"{header.name} came with its plugin. Give an --output FILE to write the model to.")
        if asked.half:
            raise RequestError("--half: MODEL would lose half of its precision. Give an --output FILE.")
        if header.fields.get("has_prior") and not asked.resume:
            raise RequestError(
                f"{header.name} has a prior. --output FILE trains it further, and leaves this one as it is."
            )
    if asked.resume:
        if files.model.exists() and model_id(files.model) != header.metadata.get("model_id"):
            raise DistillError(f"{clean(str(files.model), 200)} is another model. Move it away, and resume then.")
        return
    for path in (files.report, *([] if asked.output is None else [files.model])):
        if path.exists():
            raise DistillError(f"{clean(str(path), 200)} is there already. Move it away, or give another --output.")


@dataclass(frozen=True)
class Begun:
    """A training that was begun and `saved`, with what it was begun with."""

    settings: PriorSettings
    saved: Mapping[str, Any]


def begun(files: Files, resume: bool) -> Begun | None:
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
    """What is asked for. What is held out is what the model's own training held out, if it says so: its prior's."""
    share, seed = HOLD_OUT, asked.seed
    for config, name in (("training_config", "seed"), ("prior_training_config", "split_seed")):
        own = header.fields.get(config)
        if not isinstance(own, Mapping):
            continue
        held, chosen = own.get("hold_out"), own.get(name)
        if isinstance(held, float) and 0 <= held <= 0.5 and isinstance(chosen, int) and chosen >= 0:
            share, seed = held, chosen
    hold_out = share if asked.hold_out is None else asked.hold_out
    settings = settings_for(
        corpus, device, asked.minutes, asked.steps, hold_out, asked.augmentation, asked.seed, seed
    )  # fmt: skip
    return replace(settings, half=asked.half)


def settings_for(
    corpus: Corpus, device: str, minutes: float | None, steps: int | None, hold_out: float, augmentation: bool,
    seed: int, split_seed: int,
) -> PriorSettings:  # fmt: skip
    """The settings of a training on `corpus`, with as many minutes as suit it where nobody says."""
    if steps is None and minutes is None:
        minutes = minutes_for(corpus.seconds, device)
    return PriorSettings(minutes, steps, hold_out, augmentation, seed, split_seed)


@dataclass(frozen=True)
class Learnt:
    """What came of a training: its `figures` and what it `made`, None where it ended before its first step."""

    training: PriorTraining
    figures: PriorFigures | None
    made: tuple[Path, Path] | None
    interrupted_by: Signals | None

    def config(self) -> dict[str, Any]:
        """What `--json` says of it."""
        figures = None if self.figures is None else self.figures.config()
        return {"steps": self.training.steps, "seconds": round(self.training.pace.spent, 1), "figures": figures}

    def end(self) -> None:
        """Raise `KeyboardInterrupt` or `Terminated` where one of them ended it early."""
        if self.interrupted_by is not None:
            raise Terminated if self.interrupted_by == Signals.SIGTERM else KeyboardInterrupt


def learn(
    plugins: Plugins,
    claim: Claim,
    corpus: Corpus,
    settings: PriorSettings,
    files: Files,
    device: str,
    tell: PriorTelling,
    begun: Begun | None = None,
    *,
    replacing: bool = True,
) -> Learnt:
    """Train a prior for the model of `claim` on `corpus`, and write `files`, in place of what is there if `replacing`.

    Raises `KeyboardInterrupt` or `Terminated` where that ended it before its first step.
    """
    contents = load_contents(claim.header)
    checkpoints.refuse_foreign(files.model, contents)
    torch.manual_seed(settings.seed)
    with claim.breakage_named("loading"):
        learner = claim.loader.load_prior_learner(claim.header, device, corpus.seconds)
    parts = split(corpus, settings.hold_out, settings.split_seed)
    tell.plan(parts, corpus)
    interruption = Interruption()
    with interruption.noted(), closing(tell), claim.breakage_named("encoding with"):
        material = encode(
            learner.tokenizer, corpus, parts, settings.seed, settings.augmentation, tell.encoding, interruption.check
        )
    tell.material(parts, material)
    origin = {"corpus": corpus.fingerprint, "model": _fingerprint(contents)}
    begin = partial(PriorTraining, settings, learner, material, files.training, origin, Alone(device))
    if begun is None:
        training = begin()
    else:
        with damage_named(files.training):
            training = begin(begun.saved)
    tell.training(training, device)
    with closing(tell):
        interrupted_by = training.run(tell.step)
    if not training.steps or interrupted_by == Signals.SIGTERM:
        return Learnt(training, None, None, interrupted_by)
    tell.ending(interrupted_by is not None)
    figures = PriorFigures.of(training)
    saved = _finished(training, contents, corpus, figures)

    def page(path: Path) -> str:
        header = read_header(path)
        assert header is not None
        made = Claim(header, claim.plugin, claim.loader)
        return prior_report.page(plugins, made, corpus, parts, training, figures)

    made = checkpoints.publish(files.model, saved, page, PRIOR_REPORT, replacing=replacing)
    tell.figures(figures)
    if interrupted_by is None:
        files.training.unlink(missing_ok=True)
    else:
        tell.unfinished(training)
    return Learnt(training, figures, made, interrupted_by)


def _fingerprint(contents: Mapping[str, Any]) -> str:
    """What tells a model's codes from another's: a hash of its tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(section(dict(contents), "model_state_dict").items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _finished(
    training: PriorTraining, contents: Mapping[str, Any], corpus: Corpus, figures: PriorFigures
) -> dict[str, Any]:
    """The dictionary of the model with its prior."""
    learner = training.settled()
    learnt = dict(learner.contents(training.material.recordings, training.steps))
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
    if training.settings.half:
        saved = {name: _halved(value) if name.endswith("state_dict") else value for name, value in saved.items()}
    return saved


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


def _print(json: bool, learnt: Learnt) -> None:
    """Print the results."""
    if learnt.made is None:
        return
    model, page = learnt.made
    if json:
        click.echo(outputs.to_json({"model": str(model), "report": str(page), **learnt.config()}), nl=False)
    else:
        click.echo(f"{model}\n{page}")


class PriorTelling(Telling):
    """What the training of a prior says."""

    def __init__(self, quiet: bool, split_is_told: bool = False) -> None:
        super().__init__(quiet, 0)
        self._split_is_told = split_is_told

    def plan(self, parts: Split, corpus: Corpus) -> None:
        """Tell what is held out, unless the codec's training has told it."""
        if not self._split_is_told:
            self.say(f"Held out: {held_out(parts, corpus.sample_rate)}.")

    def material(self, parts: Split, material: Material) -> None:
        """Warn where nothing of what is held out can be measured."""
        if parts.held_out and not material.held_out:
            self.warn("What is held out is too short to be measured with this model. Hold out more: --hold-out 0.3.")

    def encoding(self, done: int, total: int) -> None:
        """Tell that `done` of `total` sounds are encoded."""
        bar = self.bar or self.new_bar(total=total, bar_format="encoding {n_fmt}/{total_fmt} |{bar}| {remaining} left")
        bar.update(done - bar.n)

    def training(self, training: PriorTraining, device: str) -> None:
        """Tell how long it is going to take."""
        settings = training.settings
        asked = f"{settings.steps} steps" if settings.minutes is None else f"{settings.minutes:g} minutes"
        done = f", {training.steps} steps of it done" if training.steps else ""
        self.say(f"Training a prior for {asked} on {device}{done}. Ctrl+C ends early and saves.")

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
