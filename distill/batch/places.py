"""Where tasks are worked on: processes of this machine, or a Dask cluster. Each is a `concurrent.futures.Executor`."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill import devices
from distill.batch.work import Outcome, Task, make
from distill.batch.workers import Workers
from distill.concurrency import processors
from distill.errors import DistillError
from distill.text import clean, describe

BYTES_OF_TORCH = 2**30
"""What a process takes before it has loaded a model, amply."""
EXTRA = "pip install 'distill[distributed]'"
SECONDS_TO_CONNECT = 5


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


def fitting(used: Iterable[str], largest: int) -> int:
    """How many processes of this machine suit jobs that compute on the devices `used`, as options name them.

    A GPU is filled by one. Otherwise it is one for each processor, as far as memory goes: a thread more in one process
    gains little, because much of what it does is Python's. `largest`: bytes of the largest checkpoint.
    """
    if any(device != "cpu" and (device != "auto" or _may_have_gpu()) for device in used):
        return 1
    free = devices.memory_free("cpu")
    return max(1, processors() if free is None else min(processors(), free // (BYTES_OF_TORCH + 2 * largest)))


def _may_have_gpu() -> bool:
    """Whether this machine seems to have one; torch, which knows, takes a second to say so."""
    return Path("/dev/nvidiactl").exists() or (sys.platform == "darwin" and platform.machine() == "arm64")


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
