"""A batch on the workers of a Dask cluster of processes: what they make when some are lost, and what they must have."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from processes import HANG, Quick, audio, check_done, check_whole, files_in, sidecars, stamps, started, wait_for

pytest.importorskip("distributed", reason="Dask is not installed")

SECONDS_TO_LOSE_A_WORKER = "5s"


@dataclass
class Cluster:
    """A scheduler, and the workers that are started for it, each a process in the folder `folder`."""

    folder: Path
    stack: ExitStack
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        file = self.folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file))
        wait_for(lambda: file.exists() and file.read_text().endswith("}"), "the scheduler")
        self.address: str = json.loads(file.read_text())["address"]

    @property
    def log(self) -> str:
        """What the scheduler and the workers have said."""
        return (self.folder / "log").read_text()

    def add_worker(self, *python: str, **environment: str) -> None:
        """Start a worker; `python` are options of the interpreter."""
        self.workers.append(
            self._start("worker", self.address, "--nthreads", "1", "--no-nanny", python=python, **environment)
        )

    def _start(self, *command: str, python: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[bytes]:
        losing = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": SECONDS_TO_LOSE_A_WORKER}
        log = self.stack.enter_context((self.folder / "log").open("ab"))
        process = subprocess.Popen(
            [sys.executable, *python, "-m", "dask", *command, "--no-dashboard"],
            cwd=self.folder, env=os.environ | losing | environment, stdout=log, stderr=log,
        )  # fmt: skip
        self.stack.callback(process.wait, HANG)
        self.stack.callback(process.kill)
        return process


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that has no workers yet."""
    (tmp_path / "cluster").mkdir()
    with ExitStack() as stack:
        yield Cluster(tmp_path / "cluster", stack)


ASKED = "--seeds", "1-32", "-d", "1"
FEW = "--seeds", "1-3", "-d", "0.1"


@dataclass(frozen=True)
class Lossy:
    """What came of a run one of whose workers was killed, while another was `stopped`, which still is."""

    folder: Path
    code: int
    err: str
    stopped: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def lossy(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lossy]:
    folder = tmp_path_factory.mktemp("lossy")
    with ExitStack() as stack:
        cluster = Cluster(folder, stack)
        for _ in range(3):
            cluster.add_worker()
        wait_for(lambda: cluster.log.count("Register worker") == 3, "three workers")
        killed, stopped, _ = cluster.workers
        with started(model, *ASKED, "-o", folder / "out", "--scheduler", cluster.address) as process:
            wait_for(lambda: files_in(folder / "out") or process.poll() is not None, "the first file")
            killed.kill()
            stopped.send_signal(signal.SIGSTOP)
            _, err = process.communicate(timeout=HANG)
        yield Lossy(folder / "out", process.returncode, err, stopped)


def test_one_worker_killed_and_one_stopped_the_result_is_that_of_one_process(lossy: Lossy, alone: Path) -> None:
    assert lossy.code == 0, lossy.err
    check_done(lossy.folder, alone)


def test_a_stopped_worker_that_goes_on_after_the_end_changes_nothing(lossy: Lossy) -> None:
    before = stamps(lossy.folder)
    lossy.stopped.send_signal(signal.SIGCONT)
    lossy.stopped.wait(HANG)  # it finds itself given up, and ends
    assert stamps(lossy.folder) == before
    assert not (lossy.folder / ".distill-batch").exists()


def test_a_lost_scheduler_is_one_line_and_what_is_made_is_kept(
    cluster: Cluster, model: Path, alone: Path, quick: Quick, tmp_path: Path
) -> None:
    cluster.add_worker()
    with started(model, *ASKED, "-o", tmp_path / "out", "--scheduler", cluster.address) as process:
        wait_for(lambda: files_in(tmp_path / "out") or process.poll() is not None, "the first file")
        cluster.scheduler.kill()
        _, err = process.communicate(timeout=HANG)
    lost = f"--scheduler {cluster.address}: the connection is lost. Finished files are kept; run it again."
    assert (process.returncode, err) == (1, f"Error: {lost}\n")
    cluster.workers[0].kill()
    cluster.workers[0].wait()
    check_whole(tmp_path / "out", alone)
    assert quick(model, *ASKED, "-o", tmp_path / "out").code == 0
    check_done(tmp_path / "out", alone)


def test_workers_may_come_later(cluster: Cluster, model: Path, tmp_path: Path) -> None:
    with started(model, *FEW, "-o", tmp_path / "out", "--scheduler", cluster.address) as process:
        wait_for(lambda: "Receive client connection" in cluster.log, "the batch to be there")
        cluster.add_worker()
        _, err = process.communicate(timeout=HANG)
    assert (process.returncode, files_in(tmp_path / "out")) == (0, 3), err


ELSEWHERE = Path("/proc/self/cwd")
"""A folder that is another one for each process."""


@pytest.mark.skipif(not ELSEWHERE.exists(), reason="needs a path that leads each process to another place")
def test_models_that_workers_cannot_read_are_sent_to_them(
    cluster: Cluster, model: Path, quick: Quick, tmp_path: Path
) -> None:
    cluster.add_worker()
    there = replace(quick, folder=model.parent)
    path = ELSEWHERE / model.name
    arguments = path, *FEW, "-o", tmp_path / "out", "--scheduler", cluster.address
    refused = there(*arguments)
    assert refused.code == 1
    assert f"{path} is not there. Share its folder, or --send-models." in refused.err
    done = there(*arguments, "--send-models")
    assert (done.code, files_in(tmp_path / "out")) == (0, 3), done.err
    assert {one["model"]["path"] for one in sidecars(tmp_path / "out").values()} == {str(path)}


def test_sent_models_make_what_models_do_that_are_read_in_place(
    cluster: Cluster, model: Path, alone: Path, quick: Quick, tmp_path: Path
) -> None:
    cluster.add_worker()
    done = quick(model, *ASKED, "-o", tmp_path / "out", "--scheduler", cluster.address, "--send-models")
    assert done.code == 0, done.err
    check_done(tmp_path / "out", alone)


def test_where_no_scheduler_is_it_says_so_in_one_line(model: Path, quick: Quick, tmp_path: Path) -> None:
    done = quick(model, *FEW, "-o", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    [line] = done.err.splitlines()
    assert (done.code, audio(tmp_path / "out")) == (1, {})
    assert line.startswith("Error: --scheduler tcp://127.0.0.1:1: there is no Dask scheduler (")


def test_workers_without_distill_are_one_line(cluster: Cluster, model: Path, quick: Quick, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "distill" not in path.name:
            (bare / path.name).symlink_to(path)
    cluster.add_worker("-S", PYTHONPATH=str(bare))  # no site-packages but those
    done = quick(model, *FEW, "-o", tmp_path / "out", "--scheduler", cluster.address)
    [line] = done.err.splitlines()
    assert (done.code, audio(tmp_path / "out")) == (1, {})
    assert line.startswith("Error: --scheduler: the worker at tcp://127.0.0.1:")
    assert "cannot run distill (PackageNotFoundError" in line
    assert line.endswith("Install it.")
