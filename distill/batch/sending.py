"""What the workers of a Dask cluster must have: distill of this version, and the models, if they are sent."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed import Client, Worker, WorkerPlugin, get_worker

from distill import outputs
from distill.batch.work import Outcome, Task, make
from distill.errors import DistillError
from distill.text import clean, describe

SECONDS_TO_ANSWER = 60
FOLDER = "distill-models"


def threads(client: Client) -> int:
    """How many tasks the cluster works on at once; one, while it has no workers."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return max(1, sum(int(worker["nthreads"]) for worker in workers))


def check(client: Any) -> None:
    """Raise `DistillError` where there are no workers, or what they have is no distill of this version."""
    began = time.monotonic()
    while not client.scheduler_info(n_workers=-1)["workers"]:
        if time.monotonic() - began > SECONDS_TO_ANSWER:
            raise DistillError("--scheduler: it has no workers. Start some: dask worker ADDRESS --nthreads 1.")
        time.sleep(0.2)
    here = importlib.metadata.version("distill")
    asked = {
        address: client.submit(importlib.metadata.version, "distill", workers=[address], pure=False)
        for address in client.scheduler_info(n_workers=-1)["workers"]
    }
    began = time.monotonic()
    while any(future.status == "pending" for future in asked.values()):
        if time.monotonic() - began > SECONDS_TO_ANSWER:
            break  # one hangs, which the scheduler will notice
        time.sleep(0.05)
    for address, future in asked.items():
        if future.status == "error":
            said = describe(future.exception())
            raise DistillError(f"--scheduler: the worker at {clean(address)} cannot run distill ({said}). Install it.")
        if future.status == "finished" and future.result() != here:
            there = clean(future.result())
            raise DistillError(
                f"--scheduler: the worker at {clean(address)} has distill {there}, this is {here}. "
                "Install one version everywhere."
            )


class _Models(WorkerPlugin):
    """Writes checkpoints into the folder of each worker, once, those that come later included."""

    def __init__(self, models: dict[tuple[str, str], bytes]) -> None:
        self.name = f"distill-models-{'-'.join(f'{sha256[:8]}-{name}' for sha256, name in models)}"
        self._models = models

    def setup(self, worker: Worker) -> None:
        for (sha256, name), contents in self._models.items():
            path = Path(worker.local_directory) / FOLDER / sha256 / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                outputs.replace(path, contents)


def send(client: Client, models: Iterable[tuple[Path, str]]) -> None:
    """Have all workers keep these checkpoints, given as paths and their SHA-256."""
    client.register_plugin(_Models({(sha256, path.name): path.read_bytes() for path, sha256 in models}))


def make_with_sent(task: Task) -> Outcome:
    """Work on `task` with the checkpoint that was sent to this worker."""
    path = Path(get_worker().local_directory) / FOLDER / task.sha256 / task.model.name
    return make(replace(task, model=path))
