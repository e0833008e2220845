"""The conformance kit: checks that any loader plugin must pass, for plugin authors and for the bundled ones alike.

In a test suite, one test a check:

    from distill.testing import parametrize_with_checks

    @parametrize_with_checks("sines", make_checkpoint)
    def test_it_keeps_the_contract(check):
        check()

All at once, anywhere: `check_loader("sines", "small.distill")`.

The checks generate some minutes of sound in all: give them a small checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

from distill.testing.checks import CHECKS
from distill.testing.subject import Checkpoint, ConformanceError, Subject
from distill.text import describe

if TYPE_CHECKING:
    import pytest

__all__ = ["CHECKS", "ConformanceError", "Subject", "check_loader", "parametrize_with_checks"]


def check_loader(
    loader: str | ModuleType, checkpoint: Checkpoint, examples: Mapping[str, Sequence[object]] | None = None
) -> None:
    """Run every check; the arguments are those of `Subject`.

    Raises `ConformanceError` with a line for each check that fails.
    """
    subject = Subject(loader, checkpoint, examples)
    failed = []
    for check in CHECKS:
        try:
            check(subject)
        except ConformanceError as error:
            failed.append(f"{check.__name__}: {error}")
        except Exception as error:  # whatever a loader breaks with, the other checks go on
            failed.append(f"{check.__name__}: {describe(error)}")
    if failed:
        listed = "".join(f"\n  {line}" for line in failed)
        raise ConformanceError(f"{subject.name} fails {len(failed)} of {len(CHECKS)} checks:{listed}")


def parametrize_with_checks(
    loader: str | ModuleType, checkpoint: Checkpoint, examples: Mapping[str, Sequence[object]] | None = None
) -> pytest.MarkDecorator:
    """A pytest decorator that runs a test once for each check, given as its argument `check`, to be called.

    The arguments are those of `Subject`.
    """
    import pytest

    subject = Subject(loader, checkpoint, examples)
    return pytest.mark.parametrize(
        "check", [pytest.param(partial(check, subject), id=check.__name__) for check in CHECKS]
    )
