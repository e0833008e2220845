"""One step after another: the networks that learn, their optimizers, and what is needed to go on another day."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW

from distill.seeding import stream
from distill_codec.adversary import Adversary, adversary_loss, codec_loss
from distill_codec.learner import Learner
from distill_codec.losses import energy_distance
from distill_codec.networks import Codec, to_mid_side
from distill_codec.processes import Alone
from distill_codec.shape import Shape
from distill_codec.start import start
from distill_codec.training_settings import TrainingSettings

COMMITMENT_WEIGHT = 0.1
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0
"""Longer gradients are cut to this length."""


class Trainer:
    """A codec of `shape` that learns, in one of `processes`.

    It starts from `examples [crops, channels, samples]`; without, from nothing, to be restored.

    All chance in it comes from torch's generator, set anew at each step by the seed, the step and the process.
    """

    def __init__(
        self, settings: TrainingSettings, shape: Shape, examples: NDArray[np.float32] | None, processes: Alone
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings, self.shape = settings, shape
        self._processes = processes
        self.learner = Learner(shape)
        if examples is not None:
            start(self.learner.codec, torch.from_numpy(examples))
        optimizer = AdamW(self.learner.parameters(), settings.learning_rate, BETAS, weight_decay=WEIGHT_DECAY)
        self._network, self._optimizer = processes.prepare(self.learner, optimizer)
        self._adversary: Adversary | None = None
        if settings.adversarial:
            self._adversary = Adversary()
            rival = AdamW(self._adversary.parameters(), settings.learning_rate / 4, BETAS, weight_decay=WEIGHT_DECAY)
            self._judge, self._rival = processes.prepare(self._adversary, rival)

    def step(self, batch: NDArray[np.float32], step: int, rate: float) -> tuple[float, float]:
        """Learn from the `batch [batch, channels, samples]` of a `step`, at `rate` of the learning rate.

        Returns its loss and distance.
        """
        number = step * self._processes.count + self._processes.rank
        torch.manual_seed(int(stream(self.settings.seed, "step", number).integers(2**63)))
        wave = torch.from_numpy(batch).to(self._processes.device)
        self._network.train()
        one, other, commitment = self._network(wave)
        energy, far = energy_distance(*(to_mid_side(sound).flatten(0, 1) for sound in (wave, one, other)))
        loss = energy + COMMITMENT_WEIGHT * commitment
        if self._adversary is not None:
            loss = loss + self._contend(wave, one, rate)
        descend(self._network, self._optimizer, loss, self.settings.learning_rate * rate, self._processes)
        return float(loss.detach()), float(far)

    def _contend(self, wave: Tensor, made: Tensor, rate: float) -> Tensor:
        """Have the adversary learn from `made`; what the codec is to lower of its judgement."""
        loss = adversary_loss(self._judge(wave), self._judge(made.detach()))
        descend(self._judge, self._rival, loss, self.settings.learning_rate / 4 * rate, self._processes)
        self._judge.requires_grad_(False)
        judged = codec_loss(self._judge(wave), self._judge(made))
        self._judge.requires_grad_(True)
        return judged

    def codec(self) -> Codec:
        """The codec as it is now, in eval mode until the next step."""
        self.learner.eval()
        return self.learner.export()

    def state(self) -> dict[str, Any]:
        """What is needed to go on as if nothing had been: tensors and plain values."""
        found = {"learner": self.learner.state_dict(), "optimizer": self._optimizer.state_dict()}
        if self._adversary is not None:
            found |= {"adversary": self._adversary.state_dict(), "rival": self._rival.state_dict()}
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.learner.load_state_dict(state["learner"])
        load_optimizer(self._optimizer, state["optimizer"])
        if self._adversary is not None:
            self._adversary.load_state_dict(state["adversary"])
            load_optimizer(self._rival, state["rival"])


def descend(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, processes: Alone
) -> None:  # fmt: skip
    """Have all of `processes` take a step down the `loss` of `network`, at a learning `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    processes.backward(loss)
    nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
    optimizer.step()


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Have `optimizer` go on from `state`. Raises `ValueError` where that is of other parameters."""
    optimizer.load_state_dict(state)
    for parameter, kept in optimizer.state.items():
        if kept["exp_avg"].shape != parameter.shape or kept["exp_avg_sq"].shape != parameter.shape:
            raise ValueError("the optimizer's state is of other parameters")
