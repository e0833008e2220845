"""Where tasks are worked on: processes of this machine, or a Dask cluster. Each is a `concurrent.futures.Executor`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.batch.work import Outcome, Task, make
from distill.batch.workers import Workers
from distill.errors import DistillError
from distill.text import clean, describe

EXTRA = "pip install 'distill[distributed]'"
SECONDS_TO_CONNECT = 10


@dataclass(frozen=True)
class Place:
    """An `executor`, how many tasks it works on at once, and the function that does one."""

    executor: Executor
    slots: Callable[[], int]
    make: Callable[[Task], Outcome] = make


@contextmanager
def local(workers: int) -> Iterator[Place]:
    """So many processes of this machine, its processors divided among them."""
    executor = Workers(workers, max(1, processors() // workers))
    try:
        yield Place(executor, lambda: workers)
    finally:
        executor.shutdown(wait=False)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def dask(address: str, models: Iterable[tuple[Path, str]] = ()) -> Iterator[Place]:
    """The workers of the Dask scheduler at `address`; `models` are sent to each first: paths and their SHA-256.

    Raises `DistillError` where there is no scheduler, or none any more, or its workers have no distill of this version.
    """
    try:
        import distributed
    except ImportError as error:
        raise DistillError(f"--scheduler needs Dask. Install it, here and on the workers: {EXTRA}.") from error
    from distill.batch import sending

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what it logs is told in one line
    try:
        connect: Any = distributed.Client  # which has no types
        client = connect(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise DistillError(
            f"--scheduler {clean(address)}: there is no Dask scheduler ({describe(error)}). Start one: dask scheduler."
        ) from error
    with client:
        sending.check(client)
        sent = list(models)
        if sent:
            sending.send(client, sent)
        executor = client.get_executor(pure=False)
        try:
            yield Place(executor, lambda: sending.threads(client), sending.make_with_sent if sent else make)
        except CancelledError as error:  # as all is that was asked of a scheduler which has gone
            raise DistillError(
                f"--scheduler {clean(address)}: the connection is lost. Finished files are kept; run it again."
            ) from error
