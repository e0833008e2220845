"""How large a model may be, and that it is asked before anything is made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from checkpoints import codec_prior_contents, save
from program import Cli

from distill import limits
from distill.checkpoint import load_contents, read_header
from distill.errors import CheckpointError, RequestError
from distill.sizes import parse, readable


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("500", 500), ("500M", 500 * 10**6), ("1.5G", 1_500_000_000), ("8 gb", 8 * 10**9), ("2T", 2 * 10**12),
     (" 3k ", 3000), ("1B", 1)],
)  # fmt: skip
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert parse(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "1e9", "1GiB", "1 000", "nan", "inf", "9" * 20, "1G1", "٣G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="500M or 1.5G"):
        parse(text)


def test_what_is_allowed_goes_as_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(limits.VARIABLE, raising=False)
    assert limits.max_model_size() == limits.DEFAULT
    with limits.allowing(5):
        assert limits.max_model_size() == 5
        with limits.allowing(7):
            assert os.environ[limits.VARIABLE] == "7"  # as a process that is started here finds it
        assert limits.max_model_size() == 5
    assert limits.VARIABLE not in os.environ


def test_a_variable_that_says_no_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limits.VARIABLE, "much")
    with pytest.raises(RequestError, match="^DISTILL_MAX_MODEL_SIZE: 'much' is no size"):
        limits.max_model_size()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return save(codec_prior_contents(), tmp_path / "small.distill")


@pytest.mark.parametrize("before", [True, False])
def test_a_model_over_the_ceiling_is_refused_with_what_allows_it(
    cli: Cli, small: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    ceiling, command = ("--max-model-size", "10k"), ("generate", small, "-d", "0.1", "--quiet")
    done = cli(*ceiling, *command) if before else cli(*command, *ceiling)
    size = sum(t.nbytes for t in tensors(small))
    assert (done.code, done.out) == (1, "")
    assert done.errors == [
        f"Error: {small} holds a model of {readable(size)}; at most 10.0 kB are loaded. If you trust it, "
        "--max-model-size 1M or DISTILL_MAX_MODEL_SIZE=1M allows it."
    ]
    assert cli(*command, "--max-model-size", "1M").code == 0
    monkeypatch.setenv(limits.VARIABLE, "10k")
    assert cli(*command).code == 1
    assert cli(*command, "--max-model-size", "1M").code == 0  # the command line goes before the environment
    assert os.environ[limits.VARIABLE] == "10k"


def tensors(path: Path) -> list[torch.Tensor]:
    """The tensors of a checkpoint."""
    found, waiting = [], [load(path)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            found.append(value.float() if value.element_size() < 4 else value)
        elif isinstance(value, dict):
            waiting += value.values()
    return found


def load(path: Path) -> object:
    header = read_header(path)
    assert header is not None
    return load_contents(header)


def test_it_is_asked_before_torch_reads_the_file(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was loaded"))
    with limits.allowing(10_000), pytest.raises(CheckpointError, match="at most 10"):
        load(small)


def test_each_use_of_a_record_counts(tmp_path: Path) -> None:
    """A network copies its weights: a record of a megabyte that a thousand tensors share is a gigabyte there."""
    shared = torch.zeros(10**6)
    contents = {"format": "distill_model", "version": 1, "w": {str(n): shared for n in range(1000)}}
    path = save(contents, tmp_path / "shared.distill")
    assert path.stat().st_size < 5 * 10**6
    with limits.allowing(3_999_999_999), pytest.raises(CheckpointError, match=r"holds a model of 4\.0 GB"):
        load(path)
    with limits.allowing(4_000_000_000):
        load(path)


@pytest.mark.parametrize("command", ["batch", "replay", "models verify"])
def test_every_command_that_loads_has_the_option(cli: Cli, small: Path, command: str) -> None:
    assert cli("generate", small, "-d", "0.1", "-s", "1", "--quiet").code == 0
    arguments = {
        "batch": ("batch", small, "--seeds", "1", "-d", "0.1", "-o", "out", "--workers", "1", "--quiet"),
        "replay": ("replay", "murmur-1.wav", "--check", "--quiet"),
        "models verify": ("models", "verify", small, "--quiet"),
    }[command]
    assert cli(*arguments).code == 0
    refused = cli(*(one if one != "out" else "other" for one in arguments), "--max-model-size", "10k")
    assert refused.code == 1
    assert "at most 10.0 kB are loaded" in refused.out + refused.err


def test_a_size_that_is_none_is_a_usage_error(cli: Cli, small: Path) -> None:
    done = cli("generate", small, "--max-model-size", "huge")
    assert done.code == 2
    assert done.errors == [
        "Error: Invalid value for '--max-model-size': 'huge': a size is a number with K, M, G or T behind it, such as "
        "500M or 1.5G."
    ]
