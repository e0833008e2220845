"""Processes of this machine as a `concurrent.futures.Executor`. One that ends takes its own task along and no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

_CONTEXT = multiprocessing.get_context("spawn")  # torch does not go on well in a fork


class Workers(Executor):
    """So many processes, `threads` of torch in each. Each is started when it is first needed, and again when it ended.

    A task whose process ends raises `BrokenExecutor`. `concurrent.futures.ProcessPoolExecutor` gives up all tasks then,
    and does not tell which it was. Processes end with this one, whatever ends it.
    """

    def __init__(self, workers: int, threads: int) -> None:
        self._pool = ThreadPoolExecutor(workers)
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._all = [_Worker(threads) for _ in range(workers)]
        for worker in self._all:
            self._idle.put(worker)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        return self._pool.submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        worker = self._idle.get()
        try:
            result: T = worker.run(fn, args, kwargs)
            return result
        finally:
            self._idle.put(worker)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes: once what is under way is done if `wait`, else at once."""
        if not wait:
            for worker in self._all:
                worker.end()
        self._pool.shutdown(wait=True, cancel_futures=cancel_futures)
        for worker in self._all:
            worker.end()


class _Worker:
    """One process, which does one thing at a time."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._ended = False
        self._starting = threading.Lock()

    def run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What `fn` gives in the process. Raises `BrokenExecutor` where the process ends meanwhile."""
        with self._starting:
            if self._ended:
                raise BrokenExecutor("the worker was told to end")
            if self._process is None or not self._process.is_alive():
                self._start()
        assert self._pipe is not None
        try:
            self._pipe.send((fn, args, kwargs))
            succeeded, result = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise BrokenExecutor(self._epitaph()) from error
        if not succeeded:
            raise result
        return result

    def _start(self) -> None:
        resource_tracker.ensure_running()  # which lifts the block, once
        if hasattr(signal, "pthread_sigmask"):  # a process that is not ready to ignore Ctrl+C inherits this thread's
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, self._threads), daemon=True)
        self._process.start()
        theirs.close()

    def _epitaph(self) -> str:
        assert self._process is not None
        self._process.join(5)
        code = self._process.exitcode
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        helps = ". Memory may have run out" if code == -signal.SIGKILL else ""
        return f"its worker process ended ({how}){helps}"

    def end(self) -> None:
        """End the process at once, and start none again."""
        with self._starting:
            self._ended = True
        process = self._process
        if process is not None:
            process.kill()
            process.join()


def _serve(pipe: Connection, threads: int) -> None:
    """What a worker process runs: one task after another, until nobody sends any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl+C to all; who started this one decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read when torch is imported
    if sys.stdin is not None:
        sys.stdin.close()
    while True:
        try:
            fn, args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            answer = True, fn(*args, **kwargs)
        except Exception as error:  # which is the caller's
            answer = False, error
        pipe.send(answer)


def _end_with_parent() -> None:
    """Wait for the process that started this one to end, then end too: nobody would know of what is made."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
