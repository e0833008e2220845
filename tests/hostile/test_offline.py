"""Nothing is downloaded, nothing is sent: no command uses the network but those that are told an address."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from forking import USED_A_SOCKET, Nursery
from recordings import corpus

ROOT = Path(__file__).parents[2]
NETWORK = {
    "aiohttp", "asyncio", "ftplib", "http", "huggingface_hub", "httpx", "requests", "smtplib", "socket", "ssl",
    "urllib.request", "urllib3", "xmlrpc",
}  # fmt: skip
ADDRESSED = {"distributed", "fsspec"}
"""What uses an address that the user gave: of a folder such as s3://bucket, or of a scheduler."""


@pytest.mark.parametrize(
    "arguments",
    [
        ("batch", "starter", "--seeds", "1", "-o", "http://127.0.0.1:9/x"),
        ("batch", "starter", "--seeds", "1", "-o", "x", "--scheduler", "tcp://127.0.0.1:9"),
    ],
)
def test_a_use_of_the_network_would_be_seen(forked: Nursery, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """All runs of these tests are in such processes, and so is every command in `test_text`."""
    done = forked.run(*arguments, cwd=tmp_path)
    assert done.code == USED_A_SOCKET, done.err


def test_training_and_its_report_send_nothing(forked: Nursery, tmp_path: Path) -> None:
    corpus(tmp_path / "sounds", files=3, seconds=0.9)
    done = forked.run(
        "train", "sounds", "--name", "hum", "--epochs", "1", "--no-prior", cwd=tmp_path, prepared=["small_codec"]
    )
    assert done.code == 0, done.err
    page = (tmp_path / "hum-report.html").read_text()
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|\b(?:fetch|XMLHttpRequest|WebSocket|sendBeacon)\b", page)
    assert not re.findall(r'\b(?:src|href|action)="?(?!["]|data:|#)', page)


def imported(path: Path) -> set[str]:
    """The packages that a module imports, anywhere in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name if name.startswith("urllib.") else name.partition(".")[0] for name in found}


def test_only_batches_use_the_network_and_only_by_what_is_given_an_address() -> None:
    paths = [path for folder in ("distill", "plugins") for path in (ROOT / folder).rglob("*.py")]
    found = {path: used for path in paths if (used := imported(path) & (NETWORK | ADDRESSED))}
    assert set.union(*found.values()) == ADDRESSED
    assert {path.parent for path in found} == {ROOT / "distill" / "batch"}
