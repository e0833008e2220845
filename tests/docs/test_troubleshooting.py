"""The messages that the page on trouble explains are those of the program."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUOTED = re.findall(r'"([^"\n]+)"', "\n".join(
    line for line in (ROOT / "docs/troubleshooting.md").read_text().splitlines() if line.startswith("**")
))  # fmt: skip


def texts() -> str:
    """All constant text in the code, that of one expression in one piece, what is filled in left out."""
    found = []
    for path in [*(ROOT / "distill").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(one.value if isinstance(one, ast.Constant) else "…" for one in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


TEXTS = texts()


def test_there_are_such_messages() -> None:
    assert len(QUOTED) > 20


@pytest.mark.parametrize("message", QUOTED)
def test_each_is_said_somewhere(message: str) -> None:
    parts = [part.strip() for part in message.split("…") if part.strip()]
    assert parts
    assert any(all(part in line for part in parts) for line in TEXTS.split("\n")), message
