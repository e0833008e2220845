"""Work side by side, its results in order; what is no longer wanted ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from threading import Event

import pytest

from distill.concurrency import UnwantedError, in_order


def giving(value: int, after: float = 0.0) -> Callable[[Event], int]:
    def task(_: Event) -> int:
        time.sleep(after)
        return value

    return task


def test_results_come_in_order_whichever_is_done_first() -> None:
    tasks = [giving(0, 0.1), giving(1), giving(2, 0.05), giving(3), giving(4)]
    assert list(in_order(tasks, 3)) == [0, 1, 2, 3, 4]


def test_as_many_run_at_once_as_there_are_workers() -> None:
    together = threading.Barrier(3, timeout=30)  # breaks unless three are there at once

    def task(_: Event) -> int:
        return together.wait()

    assert sorted(in_order([task] * 6, 3)) == [0, 0, 1, 1, 2, 2]


def test_tasks_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def endless() -> Iterator[Callable[[Event], int]]:
        while True:
            taken.append(len(taken))
            yield giving(taken[-1])

    results = in_order(endless(), 2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(taken) <= 5 + 4
    results.close()


def test_an_error_comes_in_its_turn_and_ends_the_others() -> None:
    ended = threading.Semaphore(0)

    def failing(_: Event) -> int:
        raise ZeroDivisionError

    def waiting(unwanted: Event) -> int:
        assert unwanted.wait(timeout=30)
        ended.release()
        raise UnwantedError

    stopped: list[bool] = []
    results = in_order([giving(0, 0.1), failing, waiting], 3, stop=lambda: stopped.append(True))
    assert next(results) == 0
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert ended.acquire(timeout=0)  # it has ended by then
    assert stopped == [True]


def test_closing_waits_for_what_is_under_way_and_leaves_no_threads() -> None:
    before = threading.active_count()

    def task(unwanted: Event) -> int:
        unwanted.wait(timeout=30)
        return 0

    results = in_order([giving(0), task, task, task, task], 2)
    next(results)
    results.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("before", [0, 1, 3, 9])
def test_an_error_in_place_of_a_task_is_raised_in_its_turn(before: int) -> None:
    def tasks() -> Iterator[Callable[[Event], int]]:
        for number in range(before):
            yield giving(number, 0.01)
        raise ZeroDivisionError

    results = in_order(tasks(), 2)
    assert [next(results) for _ in range(before)] == list(range(before))
    with pytest.raises(ZeroDivisionError):
        next(results)
