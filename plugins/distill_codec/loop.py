"""The loop that every training here is: one step after another, paced, watched, saved, and ended by a signal."""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from functools import partial
from signal import Signals
from threading import Event
from typing import Any, ClassVar, Generic, Self, TypeVar

from distill.checkpoint import whole_number
from distill.concurrency import in_order
from distill_codec.interruption import Interruption
from distill_codec.pace import Pace
from distill_codec.processes import Alone

SAVE_SECONDS = 45
"""A training is saved this often: what a killed one loses is less than a minute."""
MEASURING = 20
"""Between two measurements, at least so many times as long as one takes."""

Batch = TypeVar("Batch")


class TrainingLoop(ABC, Generic[Batch]):
    """A training in one of `processes`, at a `pace`. `steps` says how many it has made."""

    FIRST_WATCH: ClassVar[int]
    """The step after which it is measured first, so that there is soon something to see."""
    WATCH_SECONDS: ClassVar[float]
    """How often it is measured after that, at most."""

    def __init__(self, pace: Pace, processes: Alone) -> None:
        self.pace, self.processes = pace, processes
        self.steps = 0
        self._saved = self._watched = 0.0  # seconds spent
        self._pause = self.WATCH_SECONDS

    @abstractmethod
    def batch(self, step: int) -> Callable[[], Batch]:
        """What makes the batch of a step, beside the step before it."""

    @abstractmethod
    def learn(self, batch: Batch) -> None:
        """Make a step. Raises `NotFiniteError` where the training has gone astray."""

    @abstractmethod
    def measure(self) -> None:
        """Add to the history how good it is by now."""

    @abstractmethod
    def save(self) -> None:
        """Save what is needed to go on."""

    def place(self) -> dict[str, Any]:
        """Where it stands: plain values, for `save`."""
        return {"steps": self.steps, "pace": vars(self.pace)}

    def go_on_from(self, saved: Mapping[str, Any]) -> None:
        """Stand where `place` said that it stood.

        Raises `CheckpointError`, `KeyError`, `TypeError` or `ValueError` where that is damaged.
        """
        self.steps = whole_number(saved, "steps", 2**62, 0)
        self.pace = Pace(**saved["pace"])
        self.pace.check()

    def run(self, watch: Callable[[Self], object]) -> Signals | None:
        """Train to the end, or until an interruption: which one ended it early. What was learnt is saved.

        `watch` is called after every step. Raises `NotFiniteError` where the training has gone astray.
        """
        interruption = Interruption()
        began = time.monotonic() - self.pace.spent
        self._saved = self._watched = self.pace.spent
        with interruption.noted(), closing(self._batches()) as batches:
            for batch in batches:
                if self.processes.any(interruption.by is not None) or self.pace.is_done(self.steps):
                    break
                self.learn(batch)
                self.steps += 1
                self.pace.spent = self.processes.agreed(time.monotonic() - began)
                self._look_after()
                watch(self)
            if self.steps:
                self.measure()
                self.save()
        if self.pace.is_done(self.steps):
            return None
        asked = (
            number for number in (Signals.SIGTERM, Signals.SIGINT) if self.processes.any(interruption.by == number)
        )
        return next(asked, None)  # whichever process was interrupted

    def _batches(self) -> Generator[Batch, None, None]:
        """The batches from the next step on, made while the step before is computed."""

        def made(make: Callable[[], Batch], _unwanted: Event) -> Batch:
            return make()

        def tasks() -> Iterator[Callable[[Event], Batch]]:
            for step in itertools.count(self.steps):
                yield partial(made, self.batch(step))

        return in_order(tasks(), 1)

    def _look_after(self) -> None:
        """What is due now and then: a new plan, a save, a measurement. By a clock on which all processes agree."""
        now = self.pace.spent
        if self.pace.steps is None:
            self.pace.plan(self.steps)
        if now - self._watched >= self._pause or self.steps == self.FIRST_WATCH:
            began = time.monotonic()
            self.measure()
            took = self.processes.agreed(time.monotonic() - began)
            self._pause = max(self.WATCH_SECONDS, MEASURING * took)
            self._watched = now
        if now - self._saved >= SAVE_SECONDS:
            self.pace.plan(self.steps)
            self.save()
            self._saved = now
