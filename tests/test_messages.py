"""What an error says: sentences, in one line, the last of which says what would help or what is allowed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ERRORS = {"DistillError", "RequestError", "CheckpointError", "UnfitError"}
HELPING = re.compile(r"[.?…] ['A-Z-]|: give |; |are allowed|such as|must be|must end in|pip install|…[.)]*$")
"""Another sentence, another half of one, what is allowed, an example, or what is filled in at the end."""


def messages() -> Iterator[tuple[str, str]]:
    """Where each is raised, and what it says, `…` for what is filled in."""
    for path in sorted([*(ROOT / "distill").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
                said = node.args[0]
                parts = said.values if isinstance(said, ast.JoinedStr) else [said]
                text = "".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in parts)
                if text != "…":
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", text


@pytest.mark.parametrize(("where", "said"), list(messages()))
def test_an_error_is_a_line_that_says_what_to_do(where: str, said: str) -> None:
    assert "\n" not in said
    assert said.endswith((".", "…", "?", "-"))
    assert HELPING.search(said), said
