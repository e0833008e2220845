"""The bundled plugin passes those checks of any loader that need no prior."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoints import codec_contents, save

from distill.testing import Subject, checks


@pytest.fixture(scope="module")
def subject() -> Subject:
    def small_checkpoint(folder: Path) -> Path:
        return save(codec_contents(), folder / "small.distill")

    return Subject("codec", small_checkpoint)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_host_has_no_complaint,
        checks.check_claims,
        checks.check_header_is_pure,
        checks.check_imports_are_light,
        checks.check_codes_are_streamed,
    ],
)
def test_it_keeps_the_contract(subject: Subject, check: Callable[[Subject], None]) -> None:
    check(subject)
