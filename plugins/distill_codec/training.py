"""The training of a codec: its batches, what is measured meanwhile, and what is saved to take it up again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distill.audio.blocks import cut
from distill.errors import DistillError, NotFiniteError
from distill.text import clean
from distill_codec import checkpoints
from distill_codec.corpus import Corpus, Split, Stretch, spread
from distill_codec.crops import Crops
from distill_codec.evaluation import distances
from distill_codec.loop import TrainingLoop
from distill_codec.networks import Codec
from distill_codec.pace import Pace
from distill_codec.processes import Alone
from distill_codec.settling import settle
from distill_codec.shape import Shape
from distill_codec.trainer import Trainer
from distill_codec.training_settings import TrainingSettings

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


class Training(TrainingLoop[NDArray[np.float32]]):
    """The training of a codec of `shape` on what `split` leaves of `corpus`, kept in the file `path` while it lasts."""

    FIRST_WATCH = 40
    WATCH_SECONDS = 90

    def __init__(
        self, settings: TrainingSettings, shape: Shape, corpus: Corpus, split: Split, path: Path, identity: str,
        processes: Alone, saved: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Begin, or go on from what `save` saved.

        Raises `DistillError` where the recordings or processes are not what they were; where it is damaged, many kinds.
        """
        self.settings, self.shape, self.corpus, self.split = settings, shape, corpus, split
        self.path, self.identity = path, identity
        self.history = History()
        samples = settings.crop_frames * shape.frame_length
        pace = Pace(None, settings.minutes)
        if settings.epochs is not None:
            trained = sum(one.samples for one in split.training)
            per_epoch = -(-trained // (samples * settings.batch_size * processes.count))
            pace = Pace(settings.epochs * per_epoch)
        super().__init__(pace, processes)
        self._crops = Crops(corpus, split.training, samples, settings.seed, settings.augmentation)
        examples = None if saved else self._crops.batch(0, EXAMPLES)
        self.trainer = Trainer(settings, shape, examples, processes)
        self._fingerprint = corpus.fingerprint
        if saved is not None:
            self._restore(saved)

    def batch(self, step: int) -> Callable[[], NDArray[np.float32]]:
        number = step * self.processes.count + self.processes.rank
        return partial(self._crops.batch, number, self.settings.batch_size, self.pace.plain(step))

    def learn(self, batch: NDArray[np.float32]) -> None:
        loss, far = self.trainer.step(batch, self.steps, self.pace.learning_rate(self.steps))
        if not math.isfinite(loss):
            raise NotFiniteError("losses", "The training")
        self.history.loss.append(loss)
        self.history.distance.append(far)

    def measure(self) -> None:
        """Add to the history how far held-out material is, and how codes are used."""
        some = spread(self.split.held_out, WATCHED)
        samples = WATCHED_SECONDS * self.corpus.sample_rate // max(1, len(some))
        held_out = [Stretch(one.name, one.start, min(one.stop, one.start + samples)) for one in some]
        uses = np.zeros((self.shape.num_quantizers, self.shape.codebook_size), np.int64)
        found = distances(self.trainer.codec(), self.corpus, held_out, uses)
        self.history.steps.append(self.steps)
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
            "corpus": self._fingerprint, "trainer": self.trainer.state(), "history": self.history.config(),
            "processes": self.processes.count, **self.place(),
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
        self.go_on_from(saved)
        self.history = History.from_config(saved["history"])
