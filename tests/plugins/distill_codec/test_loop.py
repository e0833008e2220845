"""When a training is measured and saved, by a clock that its steps and measurements move on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from distill_codec import loop
from distill_codec.loop import TrainingLoop
from distill_codec.pace import Pace
from distill_codec.processes import Alone


class Clock:
    """Seconds that pass only where it is said."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Timed(TrainingLoop[int]):
    """A training each of whose steps takes a second, and each measurement `measuring` seconds."""

    FIRST_WATCH = 5
    WATCH_SECONDS = 60

    def __init__(self, clock: Clock, steps: int, measuring: float) -> None:
        super().__init__(Pace(steps), Alone("cpu"))
        self.clock, self.measuring = clock, measuring
        self.learnt: list[int] = []
        self.measured: list[float] = []
        self.saved: list[float] = []

    def batch(self, step: int) -> Callable[[], int]:
        return lambda: step

    def learn(self, batch: int) -> None:
        self.clock.now += 1
        self.learnt.append(batch)

    def measure(self) -> None:
        self.measured.append(self.clock.now)
        self.clock.now += self.measuring

    def save(self) -> None:
        self.saved.append(self.clock.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(loop, "time", one)
    return one


def test_it_is_measured_soon_then_now_and_then_and_at_the_end(clock: Clock) -> None:
    training = Timed(clock, 150, 0)
    assert training.run(lambda _: None) is None
    assert training.learnt == list(range(150))
    assert training.measured == [5, 65, 125, 150]
    assert training.saved == [45, 90, 135, 150]


def test_measuring_takes_a_small_part_of_the_time_however_long_it_takes(clock: Clock) -> None:
    training = Timed(clock, 2000, 10)
    training.run(lambda _: None)
    between = [later - earlier for earlier, later in pairwise(training.measured[:-1])]
    assert len(between) > 5
    assert min(between) >= loop.MEASURING * 10
    assert training.clock.now < 2000 * (1 + 1.5 / loop.MEASURING)


def test_it_goes_on_at_the_step_after_the_last(clock: Clock) -> None:
    training = Timed(clock, 8, 0)
    training.steps = 6
    training.run(lambda _: None)
    assert training.learnt == [6, 7]
