"""Work done side by side in threads, its results in order. What must not depend on the threads is not decided here."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

T = TypeVar("T")


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class UnwantedError(Exception):
    """Raised in work that ends because its results are no longer wanted."""


def in_order(
    tasks: Iterable[Callable[[Event], T]], workers: int, stop: Callable[[], object] = lambda: None
) -> Generator[T, None, None]:
    """The results of `tasks`, in order, each run in one of `workers` threads.

    Up to twice as many as there are workers are under way or wait to be taken. A task is given an event: once it is
    set, because the results are no longer wanted, the task should end soon, by `UnwantedError`; closing the generator
    waits for that, after a call of `stop`, which may hasten it. What a task raises is raised here in its turn, and so
    is what `tasks` raise instead of one.
    """
    unwanted = Event()
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for task in _or_error(tasks):
                waiting.append(pool.submit(task, unwanted))
                if len(waiting) == 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            unwanted.set()
            for future in waiting:
                future.cancel()
            stop()


def _or_error(tasks: Iterable[Callable[[Event], T]]) -> Iterator[Callable[[Event], T]]:
    """`tasks`, and if they end in an error, a last one that raises it."""
    try:
        yield from tasks
    except Exception as error:
        failure = error

        def fail(_unwanted: Event) -> T:
            raise failure

        yield fail
