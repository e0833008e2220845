"""How many steps a training has, where it is asked for in minutes, and how large each step is."""

from __future__ import annotations

import math
from dataclasses import dataclass

WARM_UP = 50
"""Steps over which the learning rate rises."""
LAST_SHARE = 0.02
"""Of the learning rate, at the end."""
MEASURED = 30
"""Steps after which their speed is known well enough to plan by."""
VARIED, PLAIN_AT_END = 0.4, 0.6
"""The first part of a training, in which every crop is varied; the share of crops that are not, at the end."""
OFF = 0.03
"""A plan whose end would be off by more than this share of the minutes is made anew."""


@dataclass
class Pace:
    """The plan of a training: `steps` in all, None until it is known. `spent` are the seconds that it has taken.

    Asked for in steps, that is the plan. Asked for in `minutes`, it is made once some steps have been timed, so that
    the learning rate depends on the step alone; and made anew only where the machine has become so much faster or
    slower that it would end more than 3 % early or late.
    """

    steps: int | None
    minutes: float | None = None
    spent: float = 0.0
    planned_at: tuple[int, float] | None = None

    def check(self) -> None:
        """Raise `ValueError` where these are no numbers that a plan can have."""
        steps, minutes = self.steps, self.minutes
        known = isinstance(steps, int) and steps > 0
        if not (known or steps is None) or not isinstance(self.spent, float) or not 0 <= self.spent < math.inf:
            raise ValueError("the plan is damaged")
        if not (minutes is None and known) and not (isinstance(minutes, float) and 0 < minutes < math.inf):
            raise ValueError("the plan is damaged")

    def progress(self, step: int) -> float:
        """How much of the training is behind `step` steps, 0 to 1."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        return 0.0

    def is_done(self, step: int) -> bool:
        """Whether there is nothing more to do after `step` steps."""
        return self.steps is not None and step >= self.steps

    def learning_rate(self, step: int) -> float:
        """The share of the full learning rate at a step, from 0: a short rise, then a cosine down."""
        rise = min(1.0, (step + 1) / WARM_UP)
        return rise * (LAST_SHARE + (1 - LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * self.progress(step))))

    def plain(self, step: int) -> float:
        """The share of crops that are not varied at a step: more and more towards the end.

        So the codebooks settle on the recordings themselves.
        """
        return PLAIN_AT_END * max(0.0, (self.progress(step) - VARIED) / (1 - VARIED))

    def plan(self, step: int) -> None:
        """Plan by what the steps so far have taken, if that is known and the plan is off."""
        if self.minutes is None or step < MEASURED:
            return
        if self.planned_at is None:  # the first steps are slow: what comes from here on is timed
            self.planned_at = (step, self.spent)
            each = self.spent / step
        else:
            since, spent = self.planned_at
            if step - since < MEASURED:
                return
            each = (self.spent - spent) / (step - since)
        left = 60 * self.minutes - self.spent
        steps = step + max(1, round(left / each))
        if self.steps is None or abs(steps - self.steps) * each > OFF * 60 * self.minutes:
            self.steps = max(steps, step + 1)

    def seconds_left(self, step: int) -> float | None:
        """How long it will take from here, None where that is not known yet."""
        if self.steps is None or not step:
            return None
        return self.spent / step * (self.steps - step)
