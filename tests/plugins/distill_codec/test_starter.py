"""The model that comes along: small enough, generates right after install, and its card says what it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from program import Cli

from distill.checkpoint import read_header
from distill.plugins import discover

CARD = Path(__file__).parents[3] / "docs" / "starter.md"


def test_it_generates_right_after_install(cli: Cli) -> None:
    result = cli("generate", "starter", "-s", 1, "-d", 3, "--json", "--stats")
    assert result.code == 0, result.err
    [told] = json.loads(result.out)
    assert told["model"] == "starter"
    assert told["stats"]["longest_copy_share"] < 0.2
    sound, rate = soundfile.read(told["file"])
    assert (len(sound), rate) == (3 * 48000, 48000)
    assert 0.8 < np.abs(sound).max() <= 10 ** (-1 / 20) + 1e-3


def test_to_generate_imports_no_compiler(tmp_path: Path) -> None:
    """torch's, which takes two seconds to import, and comes by operations on its meta device."""
    program = (
        "import sys; from distill.cli import run; from distill.plugins import discover\n"
        "assert run(discover, ['generate', 'starter', '-d', '0.1', '--quiet']) == 0\n"
        "print(sorted({'torch._dynamo', 'torch._inductor', 'sympy'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_it_is_small_and_says_what_it_was_trained_on() -> None:
    path = discover().bundled()["starter"]
    assert path.stat().st_size <= 12e6
    header = read_header(path)
    assert header is not None
    assert header.fields["has_prior"]
    figures, metadata = header.fields["prior_figures"], header.metadata
    card = CARD.read_text()
    assert f"{metadata['dataset_file_count']} recordings" in card
    assert f"{sum(figures['bits']):.1f} bits a frame" in card
    assert f"{sum(figures['unigram']):.1f}" in card


def test_it_can_be_prompted_encoded_and_decoded(cli: Cli) -> None:
    made = cli("generate", "starter", "-s", 1, "-d", 1).files[0]
    assert cli("reconstruct", "starter", made, "-o", "again.wav").code == 0
    assert cli("generate", "starter", "-s", 2, "-d", 2, "--prompt", made, "--prompt-seconds", 0.5).code == 0
