"""Draw docs/pictures/first-minute.svg: the first minute as a terminal shows it. `python docs/pictures/terminal.py`."""

from __future__ import annotations

import os
import re
import sys
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pexpect
import pyte
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
COLUMNS, LINES = 84, 60
COMMANDS = [
    "distill generate starter -s 7",
    "distill generate starter -s 1 -n 4 -d 3 -o takes --stats",
    "distill report takes",
    "distill replay takes/starter-2.wav --check",
    "distill generate starter --temprature 0.8",
]


def shown(command: str, folder: str) -> list[str]:
    """The lines that a terminal shows once `command` has run in it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    screen = pyte.Screen(COLUMNS, LINES)
    child = pexpect.spawn(
        "/bin/sh", ["-c", command], cwd=folder, dimensions=(LINES, COLUMNS), timeout=120,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", "TERM": "xterm"},
    )  # fmt: skip
    child.expect(pexpect.EOF)
    pyte.ByteStream(screen).feed(child.before)
    lines = [line.rstrip() for line in screen.display]
    return lines[: 1 + max((number for number, line in enumerate(lines) if line), default=-1)]


def main() -> None:
    """Run the commands and draw what is seen."""
    console = Console(record=True, width=COLUMNS, file=StringIO())
    with TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            for line in shown(command, folder):
                console.print(Text(line), soft_wrap=True)
    drawn = console.export_svg(title="distill", unique_id="distill")
    fonts = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # which would be fetched from elsewhere
    (HERE / "first-minute.svg").write_text(fonts.sub("", drawn))


if __name__ == "__main__":
    main()
