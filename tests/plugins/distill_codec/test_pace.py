"""How many steps a training has, and how large each is."""

from __future__ import annotations

import pytest

from distill_codec.pace import MEASURED, WARM_UP, Pace


def run(pace: Pace, seconds_a_step: list[float], save_every: float = 45.0) -> int:
    """The steps made until the end, the last of `seconds_a_step` repeated; plans are made as a training makes them."""
    step, saved = 0, 0.0
    while not pace.is_done(step):
        pace.spent += seconds_a_step[min(step, len(seconds_a_step) - 1)]
        step += 1
        if pace.steps is None:
            pace.plan(step)
        if pace.spent - saved >= save_every:
            pace.plan(step)
            saved = pace.spent
    return step


def test_asked_for_in_steps_it_has_so_many() -> None:
    assert run(Pace(70), [5.0]) == 70


@pytest.mark.parametrize("seconds_a_step", [[0.25], [3.0, 0.25], [0.01]])
def test_asked_for_in_minutes_it_takes_so_long(seconds_a_step: list[float]) -> None:
    pace = Pace(None, 10.0)
    run(pace, seconds_a_step)
    assert pace.spent == pytest.approx(600, rel=0.04)


def test_a_machine_that_becomes_slower_ends_on_time_with_fewer_steps() -> None:
    pace = Pace(None, 10.0)
    steps = run(pace, [0.2] * 1000 + [0.6])
    assert pace.spent == pytest.approx(600, rel=0.05)
    assert steps < 2000


def test_a_plan_that_holds_is_not_made_anew() -> None:
    pace = Pace(None, 10.0)
    plans = set()
    for step in range(1, 2000):
        pace.spent += 0.25 * (1.01 if step % 2 else 0.99)
        pace.plan(step)
        plans.add(pace.steps)
    assert len(plans - {None}) == 1


def test_the_learning_rate_rises_and_then_falls_to_almost_nothing() -> None:
    pace = Pace(1000)
    rates = [pace.learning_rate(step) for step in range(1000)]
    top = rates.index(max(rates))
    assert WARM_UP - 2 <= top <= WARM_UP + 10
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] < 0.05
    assert rates[-1] == pytest.approx(0.02, abs=0.001)


def test_what_is_left_is_not_known_before_there_is_a_plan() -> None:
    pace = Pace(None, 10.0)
    assert pace.seconds_left(MEASURED - 1) is None
    pace = Pace(100, spent=10.0)
    assert pace.seconds_left(20) == pytest.approx(40.0)
