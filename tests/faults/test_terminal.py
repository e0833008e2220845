"""A terminal after Ctrl+C in the middle of a bar: as it was, with the prompt on a line of its own."""

from __future__ import annotations

import os
import sys
import termios
from pathlib import Path

import pexpect
import pytest
from checkpoints import save, vqvae_contents
from processes import HANG
from recordings import corpus

COMMANDS = {
    "generate": ("generate", "m.distill", "-s", "1", "-n", "500", "-d", "2"),
    "batch": ("batch", "m.distill", "--seeds", "1-500", "-d", "2", "-o", "out", "--workers", "1"),
    "train": ("train", "sounds", "--name", "hum", "--no-prior", "--minutes", "30"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_in_a_bar_leaves_the_terminal_as_it_was(tmp_path: Path, command: str) -> None:
    save(vqvae_contents(), tmp_path / "m.distill")
    if command == "train":
        corpus(tmp_path / "sounds", files=6)
    arguments = ["-m", "distill", *COMMANDS[command]]
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONUNBUFFERED": "1"}
    child = pexpect.spawn(
        sys.executable, arguments, cwd=str(tmp_path), env=environment, timeout=HANG, encoding="utf-8"
    )  # fmt: skip
    before = termios.tcgetattr(child.child_fd)
    child.expect(r"\d+%|\d+/\d+|step \d+|\d+ of \d+")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.wait()
    said = str(child.before)
    assert child.exitstatus == 130, said
    assert "Traceback" not in said
    assert said.endswith("\n")
    assert said.count("\x1b[?25l") <= said.count("\x1b[?25h")  # a cursor that was hidden is shown again
    assert "\x1b[?1049h" not in said
    assert termios.tcgetattr(child.child_fd) == before
