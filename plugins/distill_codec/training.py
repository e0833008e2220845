"""A training from its first step to its last: paced, watched, saved, interrupted and taken up again."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from signal import Signals
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distill.audio.blocks import cut
from distill.concurrency import in_order
from distill.errors import DistillError, NotFiniteError
from distill.text import clean
from distill_codec import checkpoints
from distill_codec.corpus import Corpus, Split, Stretch, spread
from distill_codec.crops import Crops
from distill_codec.evaluation import distances
from distill_codec.interruption import Interruption
from distill_codec.networks import Codec
from distill_codec.pace import Pace
from distill_codec.processes import Alone
from distill_codec.settling import settle
from distill_codec.shape import Shape
from distill_codec.trainer import Trainer
from distill_codec.training_settings import TrainingSettings

SAVE_SECONDS = 45
"""A training is saved this often: what a killed one loses is less than a minute."""
WATCH_SECONDS = 90
"""How often it is measured on held-out material."""
FIRST_WATCH = 40
"""The step after which it is measured first, so that there is soon something to see."""
WATCHED, WATCHED_SECONDS = 30, 15
"""On how much of it, at most: recordings, and seconds in all."""
RECENT = 50
"""Steps over which the distance that is shown is averaged."""
PIECE = 512  # frames computed at a time
SETTLED, SETTLED_BATCHES = 30_000, 40
"""At most so many frames of the recordings, and batches of varied crops, are what codebooks settle on."""
EXAMPLES = 200
"""Crops that the networks start from."""


@dataclass
class History:
    """What a training was like: by step, the `loss` and the `distance` of its batch; now and then, what it measured.

    Of each measurement, the step, the distance of held-out material, NaN where there is none, and each level's
    perplexity.
    """

    loss: list[float] = field(default_factory=list)
    distance: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    perplexity: list[list[float]] = field(default_factory=list)

    @property
    def recent(self) -> float:
        """The distance of the last batches."""
        return float(np.mean(self.distance[-RECENT:])) if self.distance else float("nan")

    def config(self) -> dict[str, Any]:
        """What files say of it: tensors, for there may be millions of steps, and plain values."""
        return {**vars(self), "loss": torch.tensor(self.loss), "distance": torch.tensor(self.distance)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> History:
        """The inverse of `config`."""
        return cls(**{**config, "loss": config["loss"].tolist(), "distance": config["distance"].tolist()})


def _whole_frames(sound: NDArray[np.float32], length: int) -> Iterator[NDArray[np.float32]]:
    """`sound [channels, samples]` in pieces of some seconds, each of whole frames of `length` samples."""
    for piece in cut([sound], PIECE * length):
        yield np.pad(piece, ((0, 0), (0, -piece.shape[1] % length)))


Watch = Callable[["Training"], object]
"""Called after every step."""


class Training:
    """The training of a codec of `shape` on what `split` leaves of `corpus`, kept in the file `path` while it lasts."""

    def __init__(
        self, settings: TrainingSettings, shape: Shape, corpus: Corpus, split: Split, path: Path, identity: str,
        processes: Alone, saved: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Begin, or go on from what `save` saved.

        Raises `DistillError` where the recordings or processes are not what they were; where it is damaged, many kinds.
        """
        self.settings, self.shape, self.corpus, self.split = settings, shape, corpus, split
        self.path, self.identity = path, identity
        self.processes = processes
        self.history = History()
        samples = settings.crop_frames * shape.frame_length
        self.pace = Pace(None, settings.minutes)
        if settings.epochs is not None:
            trained = sum(one.samples for one in split.training)
            per_epoch = -(-trained // (samples * settings.batch_size * processes.count))
            self.pace = Pace(settings.epochs * per_epoch)
        self._crops = Crops(corpus, split.training, samples, settings.seed, settings.augmentation)
        examples = None if saved else self._crops.batch(0, EXAMPLES)
        self.trainer = Trainer(settings, shape, examples, processes)
        self._saved = self._watched = 0.0  # seconds spent
        self._fingerprint = corpus.fingerprint
        if saved is not None:
            self._restore(saved)

    def run(self, watch: Watch) -> Signals | None:
        """Train to the end, or until an interruption: which one ended it early. What was learnt is saved.

        Raises `NotFiniteError` where the training has gone astray.
        """
        interruption = Interruption()
        began = time.monotonic() - self.pace.spent
        self._saved = self._watched = self.pace.spent
        with interruption.noted(), closing(self._batches()) as batches:
            for batch in batches:
                if self.processes.any(interruption.by is not None) or self.pace.is_done(self.trainer.steps):
                    break
                loss, far = self.trainer.step(batch, self.pace.learning_rate(self.trainer.steps))
                if not math.isfinite(loss):
                    raise NotFiniteError("losses", "The training")
                self.history.loss.append(loss)
                self.history.distance.append(far)
                self.pace.spent = self.processes.agreed(time.monotonic() - began)
                self._look_after()
                watch(self)
            if self.trainer.steps:
                self.measure()
                self.save()
        if self.pace.is_done(self.trainer.steps):
            return None
        asked = (
            number for number in (Signals.SIGTERM, Signals.SIGINT) if self.processes.any(interruption.by == number)
        )
        return next(asked, None)  # whichever process was interrupted

    def _batches(self) -> Generator[Any, None, None]:
        """The batches from the next step on, made while the step before is computed."""
        count, rank = self.processes.count, self.processes.rank

        def tasks() -> Iterator[Callable[[threading.Event], Any]]:
            for step in itertools.count(self.trainer.steps):
                yield partial(self._batch, step * count + rank, self.pace.plain(step))

        return in_order(tasks(), 1)

    def _batch(self, number: int, plain: float, _unwanted: threading.Event) -> NDArray[np.float32]:
        return self._crops.batch(number, self.settings.batch_size, plain)

    def _look_after(self) -> None:
        """What is due now and then: a new plan, a save, a measurement. By a clock on which all processes agree."""
        now = self.pace.spent
        if self.pace.steps is None:
            self.pace.plan(self.trainer.steps)
        if now - self._watched >= WATCH_SECONDS or self.trainer.steps == FIRST_WATCH:
            self.measure()
            self._watched = now
        if now - self._saved >= SAVE_SECONDS:
            self.pace.plan(self.trainer.steps)
            self.save()
            self._saved = now

    def measure(self) -> None:
        """Add to the history how far held-out material is, and how codes are used."""
        some = spread(self.split.held_out, WATCHED)
        samples = WATCHED_SECONDS * self.corpus.sample_rate // max(1, len(some))
        held_out = [Stretch(one.name, one.start, min(one.stop, one.start + samples)) for one in some]
        uses = np.zeros((self.shape.num_quantizers, self.shape.codebook_size), np.int64)
        found = distances(self.trainer.codec(), self.corpus, held_out, uses)
        self.history.steps.append(self.trainer.steps)
        self.history.held_out.append(float(np.mean(found)) if found else float("nan"))
        self.history.perplexity.append(self.trainer.learner.perplexity())

    def settled(self) -> Codec:
        """The codec that was learnt, its codebooks settled on the recordings."""
        codec = self.trainer.codec()
        device = codec.codebooks.device
        some = spread(self.split.training, SETTLED)
        length = self.shape.frame_length
        samples = max(1, SETTLED // len(some)) * length
        with torch.no_grad():
            recordings = [
                codec.latents(torch.from_numpy(padded).to(device)[None])[0]
                for one in some
                for padded in _whole_frames(self.corpus.of(one, 0, samples), length)
            ]
            varied = [
                codec.latents(torch.from_numpy(self._crops.batch(number, self.settings.batch_size)).to(device))
                for number in range(SETTLED_BATCHES)
            ]
        settle(codec, torch.cat(recordings), torch.cat(varied).flatten(0, 1), self.settings.seed)
        return codec

    def save(self) -> None:
        """Save what is needed to go on."""
        if self.processes.rank:
            return
        checkpoints.save_training(self.path, {
            "identity": self.identity, "settings": self.settings.config(), "shape": self.shape.config(),
            "corpus": self._fingerprint, "trainer": self.trainer.state(), "pace": vars(self.pace),
            "history": self.history.config(), "processes": self.processes.count,
        })  # fmt: skip

    def _restore(self, saved: dict[str, Any]) -> None:
        if saved["processes"] != self.processes.count:
            raise DistillError(
                f"--resume: the training began with {clean(saved['processes'], 20)} processes, not with "
                f"{self.processes.count}. Start as many."
            )
        if saved["corpus"] != self._fingerprint:
            raise DistillError(
                "--resume: the recordings are not those the training began with. Put them back, or begin anew with "
                "another --name."
            )
        self.trainer.restore(saved["trainer"])
        self.pace = Pace(**saved["pace"])
        self.pace.check()
        self.history = History.from_config(saved["history"])
