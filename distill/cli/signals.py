"""Ctrl+C and SIGTERM: each ends the program by an exception, through `finally`, so that temporary files go."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from _thread import start_new_thread
from types import FrameType

from distill.errors import Terminated

PATIENCE_S = 1.0
"""Who presses Ctrl+C again sooner would break off the cleaning up, which is what the first does."""
_AGAIN_S = 0.02


class _Ending:
    """What a signal of `number` does: it raises `error`, once nothing is being opened or closed, or has long been."""

    def __init__(self, number: signal.Signals, error: type[BaseException]) -> None:
        self.number, self.error = number, error
        self._raised = -math.inf
        self._waits_since = math.inf

    def __call__(self, _number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._raised <= PATIENCE_S:
            return
        if _is_opening_or_closing(frame):
            self._waits_since = min(self._waits_since, now)
            if now - self._waits_since <= PATIENCE_S:
                self._send_again()
                return
        self._waits_since = math.inf
        self._raised = now
        raise self.error

    def not_heard(self) -> None:
        """It was raised where nothing can be: raise it once more."""
        self._raised = -math.inf
        self._send_again()

    def _send_again(self) -> None:
        start_new_thread(self._send_later, ())  # no Thread: a signal may come while one is started, which takes a lock

    def _send_later(self) -> None:
        time.sleep(_AGAIN_S)
        os.kill(os.getpid(), self.number)


def _is_opening_or_closing(frame: FrameType | None) -> bool:
    """Whether a context manager is being entered or left: broken off there, it leaves behind what it would remove."""
    while frame is not None:
        if frame.f_code.co_name in ("__enter__", "__exit__"):
            return True
        frame = frame.f_back
    return False


def heed() -> None:
    """Have both signals end the program; Ctrl+C only where it is not ignored, as in a shell's background job."""
    endings = [_Ending(signal.SIGTERM, Terminated)]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        endings.append(_Ending(signal.SIGINT, KeyboardInterrupt))
    for ending in endings:
        signal.signal(ending.number, ending)

    def unraisable(raised: sys.UnraisableHookArgs) -> None:
        """What Python does with an exception where there is nobody to catch it, as while an object is taken away."""
        for ending in endings:
            if raised.exc_type is ending.error:
                ending.not_heard()
                return
        sys.__unraisablehook__(raised)

    sys.unraisablehook = unraisable
