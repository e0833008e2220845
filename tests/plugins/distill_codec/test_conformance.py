"""The bundled plugin passes the checks that any loader must pass."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkpoints import codec_prior_contents, save
from recordings import sound, write

from distill.testing import parametrize_with_checks
from distill_codec import model, sampling, tokenizer

PROMPT = Path(tempfile.gettempdir()) / f"distill-prompt-{os.getpid()}.wav"


@pytest.fixture(scope="module", autouse=True)
def _prompt() -> Iterator[None]:
    write(PROMPT, sound(0.1))
    yield
    PROMPT.unlink()


@pytest.fixture(autouse=True)
def _short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few frames are sampled, and few decoded, at a time: a second has the three chunks that the checks ask for."""
    monkeypatch.setattr(sampling, "PIECE", 16)
    for module in (tokenizer, model):
        monkeypatch.setattr(module, "FRAMES", 16)


def small_checkpoint(folder: Path) -> Path:
    return save(codec_prior_contents(), folder / "small.distill")


EXAMPLES = {"prompt": [PROMPT], "prompt_seconds": [f"0.04 --prompt {PROMPT}"]}


@parametrize_with_checks("codec", small_checkpoint, examples=EXAMPLES)
def test_it_keeps_the_contract(check: Callable[[], None]) -> None:
    check()
