"""Ctrl+C and SIGTERM: each ends the program by an exception, through `finally`, so that temporary files go."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from threading import Timer
from types import FrameType

from distill.errors import Terminated

PATIENCE_S = 1.0
"""Who presses Ctrl+C again sooner would break off the cleaning up, which is what the first does."""
_AGAIN_S = 0.02


class _Ending:
    """What a signal of `number` does: it raises `error`."""

    def __init__(self, number: signal.Signals, error: type[BaseException]) -> None:
        self.number, self.error = number, error
        self._raised = -math.inf

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._raised > PATIENCE_S:
            self._raised = now
            raise self.error

    def again(self) -> None:
        """Send the signal once more: it came where nothing can be raised."""
        self._raised = -math.inf
        Timer(_AGAIN_S, os.kill, (os.getpid(), self.number)).start()


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
                ending.again()
                return
        sys.__unraisablehook__(raised)

    sys.unraisablehook = unraisable
