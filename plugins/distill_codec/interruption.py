"""Ctrl+C and SIGTERM while a training runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from distill.errors import Terminated


class Interruption:
    """Ctrl+C and SIGTERM while a training runs: noted, for the step under way to end. A second Ctrl+C is not."""

    def __init__(self) -> None:
        self.by: signal.Signals | None = None

    def _note(self, number: int, _frame: object) -> None:
        if self.by is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.by = signal.Signals(number)

    def check(self) -> None:
        """Raise `KeyboardInterrupt` or `Terminated` where one was noted."""
        if self.by is not None:
            raise Terminated if self.by == signal.SIGTERM else KeyboardInterrupt

    @contextmanager
    def noted(self) -> Iterator[None]:
        """While this lasts, interruptions are noted."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
