"""The training of a prior: its batches, what is measured meanwhile, and what is saved to take it up again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW

from distill import Passage, PriorLearner
from distill.checkpoint import whole_number
from distill.errors import DistillError, NotFiniteError
from distill.seeding import stream
from distill_codec import checkpoints
from distill_codec.loop import TrainingLoop
from distill_codec.pace import Pace
from distill_codec.passages import Material
from distill_codec.processes import Alone
from distill_codec.trainer import BETAS, descend, load_optimizer

LEARNING_RATE = 1.5e-3
WEIGHT_DECAY = 0.1
AVERAGED = 0.995
"""What is kept of the weights so far when a step's are averaged in: what is measured and kept is the average."""
SMOOTHINGS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Counts that codes are given to begin with when they are counted."""
MEMORISED = 0.03
"""A training whose held-out bits end this share over their least has begun to memorise."""


@dataclass(frozen=True)
class PriorSettings:
    """What a training is asked for: `minutes`, or `steps`, the other is None.

    What is held out is chosen by `split_seed`; all other chance comes from `seed`. `half`: weights are saved in half
    precision.
    """

    minutes: float | None
    steps: int | None
    hold_out: float = 0.1
    augmentation: bool = True
    seed: int = 0
    split_seed: int = 0
    half: bool = False

    def config(self) -> dict[str, Any]:
        """What a checkpoint says of these settings: plain values."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PriorSettings:
        """The settings in a training's file.

        Raises `CheckpointError`, `KeyError`, `TypeError` or `ValueError` where they are none.
        """
        whole_number(config, "seed", 2**64, 0)
        whole_number(config, "split_seed", 2**64, 0)
        if not 0 <= config["hold_out"] <= 0.5:
            raise ValueError("the settings are out of range")
        return cls(**config)


@dataclass
class PriorHistory:
    """What a training was like: by step, the `loss` in bits; now and then, what it measured.

    Of each measurement, the step and, level by level, the bits that a step of held-out codes costs.
    """

    loss: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    held_out: list[list[float]] = field(default_factory=list)

    def config(self) -> dict[str, Any]:
        """What files say of it: tensors, for there may be millions of steps, and plain values."""
        return {**vars(self), "loss": torch.tensor(self.loss)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PriorHistory:
        """The inverse of `config`."""
        return cls(**{**config, "loss": config["loss"].tolist()})

    @property
    def best(self) -> int | None:
        """Which measurement cost the fewest bits; None where there is none."""
        sums = [sum(one) for one in self.held_out]
        return sums.index(min(sums)) if sums else None

    @property
    def memorises(self) -> bool:
        """Whether held-out codes cost clearly more by the end than they did at best: the rest was learnt by heart."""
        best = self.best
        return best is not None and sum(self.held_out[-1]) > (1 + MEMORISED) * sum(self.held_out[best])


class PriorTraining(TrainingLoop[Any]):
    """The training of a `learner` on `material`, kept in the file `path` while it lasts.

    What comes of it is the average of the weights over the last steps, at that step of all measured at which held-out
    codes cost the fewest bits; where nothing is held out, at the last.
    """

    FIRST_WATCH = 20
    WATCH_SECONDS = 60

    def __init__(
        self, settings: PriorSettings, learner: PriorLearner, material: Material, path: Path, origin: Mapping[str, str],
        processes: Alone, saved: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Begin, or go on from what `save` saved.

        `origin` tells the "corpus" and the "model" from others. Raises `DistillError` where they are not what they
        were; where `saved` is damaged, many kinds.
        """
        self.settings, self.learner, self.material = settings, learner, material
        self.path = path
        super().__init__(Pace(settings.steps, settings.minutes), processes)
        self.history = PriorHistory()
        self.unigram = unigram_bits(learner, material)
        self._origin = origin
        self._network = learner.network
        self._optimizer = _optimizer(self._network)
        self._averaged = {name: tensor.detach().clone() for name, tensor in self._network.state_dict().items()}
        self._best = {name: tensor.clone() for name, tensor in self._averaged.items()}
        if saved is not None:
            self._restore(saved)

    def batch(self, step: int) -> Callable[[], Any]:
        rng = stream(self.settings.seed, "prior batch", step)
        return partial(self.learner.batch, self.material.training, self.material.odds, rng)

    def learn(self, batch: Any) -> None:
        torch.manual_seed(int(stream(self.settings.seed, "prior step", self.steps).integers(2**63)))
        self._network.train()
        loss = self.learner.loss(batch)
        rate = LEARNING_RATE * self.pace.learning_rate(self.steps)
        descend(self._network, self._optimizer, loss, rate, self.processes)
        bits = float(loss.detach()) / math.log(2)
        if not math.isfinite(bits):
            raise NotFiniteError("losses", "The training")
        kept = min(AVERAGED, (self.steps + 1) / (self.steps + 11))
        for name, tensor in self._network.state_dict().items():
            self._averaged[name].lerp_(tensor, 1 - kept)
        self.history.loss.append(bits)

    def measure(self) -> None:
        """Add to the history what held-out codes cost, and keep the weights if that is the least so far."""
        if not self.material.held_out:
            self._best = {name: tensor.clone() for name, tensor in self._averaged.items()}
            return
        with _borrowed(self._network, self._averaged):
            bits = held_out_bits(self.learner, self.material.held_out)
        self.history.steps.append(self.steps)
        self.history.held_out.append(bits.tolist())
        if self.history.best == len(self.history.steps) - 1:
            self._best = {name: tensor.clone() for name, tensor in self._averaged.items()}

    def settled(self) -> PriorLearner:
        """The learner with what is to be kept, in eval mode; it trains no further."""
        self._network.load_state_dict(self._best)
        self._network.eval()
        self.learner.settle(_flat(self.material.held_out))
        return self.learner

    def save(self) -> None:
        checkpoints.save_training(self.path, {
            "settings": self.settings.config(), "origin": dict(self._origin),
            "network": self._network.state_dict(), "averaged": self._averaged, "best": self._best,
            "optimizer": self._optimizer.state_dict(), "history": self.history.config(), **self.place(),
        })  # fmt: skip

    def _restore(self, saved: Mapping[str, Any]) -> None:
        if saved["origin"]["model"] != self._origin["model"]:
            raise DistillError(f"--resume: the training was of another model. Remove {self.path.name} to begin anew.")
        if saved["origin"]["corpus"] != self._origin["corpus"]:
            raise DistillError(
                "--resume: the recordings are not those the training began with. Put them back, or remove "
                f"{self.path.name} and begin anew."
            )
        self._network.load_state_dict(saved["network"])
        for mine, theirs in ((self._averaged, saved["averaged"]), (self._best, saved["best"])):
            for name, tensor in mine.items():
                tensor.copy_(theirs[name])
        load_optimizer(self._optimizer, saved["optimizer"])
        self.go_on_from(saved)
        self.history = PriorHistory.from_config(saved["history"])


@contextmanager
def _borrowed(network: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """While this lasts, `network` has other `weights`."""
    own = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(weights)
    try:
        yield
    finally:
        network.load_state_dict(own)


def _optimizer(network: nn.Module) -> AdamW:
    """AdamW that lets matrices decay, and nothing else."""
    matrices = [one for one in network.parameters() if one.dim() > 1]
    others = [one for one in network.parameters() if one.dim() <= 1]
    return AdamW([{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
                 LEARNING_RATE, BETAS)  # fmt: skip


def held_out_bits(learner: PriorLearner, held_out: Sequence[Sequence[Passage]]) -> NDArray[np.float64]:
    """What a frame of held-out codes costs `learner` in bits, level by level: `[levels]`.

    What is fitted to held-out sounds is fitted to every other one and measured on the rest, both ways.
    """
    halves = _flat(held_out[::2]), _flat(held_out[1::2])
    found = []
    for half, other in (halves, halves[::-1]):
        learner.settle(other)
        found += [learner.bits(one) for one in half]
    bits: NDArray[np.float64] = np.concatenate(found).mean(axis=0)
    return bits


def _flat(held_out: Sequence[Sequence[Passage]]) -> list[Passage]:
    return [one for sound in held_out for one in sound]


def unigram_bits(learner: PriorLearner, material: Material) -> NDArray[np.float64]:
    """What held-out codes cost who only knows how often each comes in the recordings, level by level: `[levels]`.

    Codes are given a count to begin with (Laplace, Lidstone), the one of several that suits what is held out best: no
    prior is to be praised for a poor comparison.
    """
    if not material.held_out:
        return np.zeros(0)
    trained, size = _joined(learner, [one.codes for one in material.recordings])
    held, _ = _joined(learner, [one.codes[one.first :] for one in _flat(material.held_out)])
    best: NDArray[np.float64] | None = None
    for more in SMOOTHINGS:
        counts = np.stack([np.bincount(column, minlength=size) for column in trained.T]) + more
        costs = -np.log2(counts / counts.sum(axis=1, keepdims=True))
        bits = np.array([row[column].mean() for row, column in zip(costs, held.T, strict=True)])
        if best is None or bits.sum() < best.sum():
            best = bits
    assert best is not None
    return best


def _joined(learner: PriorLearner, codes: list[NDArray[np.int64]]) -> tuple[NDArray[np.int64], int]:
    found = [learner.levels(one) for one in codes]
    return np.concatenate([one for one, _ in found]), found[0][1]
