"""A clock that is wrong, or set while something runs: files, what is remembered, and trainings do not mind."""

from __future__ import annotations

import itertools
import json
import os
import time
from datetime import datetime
from pathlib import Path

import pytest
from checkpoints import save, vqvae_contents
from program import Cli
from recordings import corpus
from small_codec import use

JUMPS = [0.0, 4e9, 1.0, 9e9, -3600.0, 1.7e9]
"""Seconds since 1970 that a clock shows one after another."""


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is set at every look."""
    shown = itertools.cycle(JUMPS)
    monkeypatch.setattr(time, "time", lambda: next(shown))
    monkeypatch.setattr(time, "time_ns", lambda: int(next(shown) * 10**9))


@pytest.mark.usefixtures("jumping")
def test_generating_does_not_look_at_the_clock(cli: Cli, vqvae_file: Path, tmp_path: Path) -> None:
    assert cli("generate", vqvae_file, "-s", "1", "-n", "3", "-d", "0.1", "--quiet").code == 0
    for path in tmp_path.glob("*.json"):
        assert all(seconds >= 0 for seconds in json.loads(path.read_bytes())["timings"].values())
    assert cli("replay", "pebbles-1.wav", "--check", "--quiet").code == 0
    assert cli("batch", vqvae_file, "--seeds", "1-3", "-d", "0.1", "-o", "out", "--workers", "1", "--quiet").code == 0


@pytest.mark.parametrize("stamp", [-(10**9), 0, 4 * 10**9, 10**10])
def test_a_model_from_another_century_is_listed_and_read_again_when_it_changes(
    cli: Cli, tmp_path: Path, stamp: int
) -> None:
    library = tmp_path / "models"
    library.mkdir()
    path = save(vqvae_contents(name="one"), library / "m.distill")
    os.utime(path, (stamp, stamp))
    for name in ("one", "two"):
        save(vqvae_contents(name=name), path)
        os.utime(path, (stamp, stamp))
        for _ in range(2):
            listed = cli("models", "list", "--library", library)
            assert (listed.code, listed.err) == (0, "")
            assert name in listed.out


@pytest.mark.usefixtures("jumping")
def test_training_keeps_its_minutes_by_a_clock_that_nobody_sets(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch.setattr)
    corpus(tmp_path / "sounds")
    assert cli("train", "sounds", "--name", "hum", "--no-prior", "--minutes", "0.1", "--quiet").code == 0
    said = json.loads(cli("models", "info", "hum.distill", "--json").out)["metadata"]
    assert 3 < said["training_seconds"] < 60
    assert datetime.fromisoformat(said["training_date"])
