"""The one family of errors. Raised where the cause is known, shown as one line by the CLI alone.

A message says what was found, what is allowed, and what would help.
"""

from __future__ import annotations

import os


def traceback_wanted() -> bool:
    """Whether `DISTILL_TRACEBACK` in the environment asks where errors come from."""
    return bool(os.environ.get("DISTILL_TRACEBACK"))


class DistillError(Exception):
    """Something a user can cause or mend. `exit_code` is what the program ends with: 1, failed."""

    exit_code = 1


class RequestError(DistillError):
    """The command line asks for what cannot be: exit code 2, as for any other usage error."""

    exit_code = 2


class CheckpointError(DistillError):
    """A file is no checkpoint, is damaged, or does not hold what its own header promises."""


class PluginError(DistillError):
    """A plugin broke its contract, or no plugin, or more than one, answers for a checkpoint."""


class NotFiniteError(DistillError):
    """A model gives `what`, logits or samples, that are not finite numbers; who knows the `model`'s name adds it."""

    def __init__(self, what: str, model: str = "The model") -> None:
        super().__init__(f"{model} gives {what} that are not finite: its weights are damaged. Get or train it anew.")
        self.what = what


class Terminated(BaseException):
    """The program was asked to end (SIGTERM). Like KeyboardInterrupt, no error, and not to be caught as one."""


INTERRUPTIONS: tuple[type[BaseException], ...] = (KeyboardInterrupt, Terminated)
"""What passes through everything that contains a plugin's breakage."""


class DistillWarning(UserWarning):
    """What a user should know but need not act on: `warnings.warn(message, DistillWarning)` shows it as one line."""


class CountedWarning(DistillWarning):
    """A warning that `count` of the files of a run are as `what` says, which is `option`'s doing. Several add up."""

    def __init__(self, option: str, count: int, of: int, what: str) -> None:
        super().__init__(f"{option}: {count} of {of} files {what}")
        self.option, self.count, self.what = option, count, what
