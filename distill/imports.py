"""What importing a plugin costs, found out in an interpreter of its own, where nothing is imported yet."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

HEAVY = ("numpy", "torch")
"""What a plugin's top module must not import: these take longer than all else that a light command does."""

_MEASURE = """
import importlib, json, sys, time
sys.path[:] = json.loads(sys.argv[1])
import distill
start = time.perf_counter()
importlib.import_module(sys.argv[2])
print(json.dumps([time.perf_counter() - start, [name for name in sys.argv[3:] if name in sys.modules]]))
"""


@dataclass(frozen=True)
class ImportCost:
    """The `seconds` that an import takes after distill's own, and what of `HEAVY` it imports."""

    seconds: float
    heavy: list[str]


def measure(module: str) -> ImportCost | None:
    """The cost of importing `module`; None where it cannot be imported."""
    try:
        seconds, heavy = json.loads(run_fresh(_MEASURE, module, *HEAVY).splitlines()[-1])
    except (subprocess.CalledProcessError, ValueError, IndexError):
        return None
    return ImportCost(seconds, heavy)


def run_fresh(program: str, *arguments: str) -> str:
    """What `program` prints in a fresh interpreter; its argv[1] is this one's `sys.path` in JSON, then `arguments`.

    Raises `subprocess.CalledProcessError`, its stderr with it, where the program fails.
    """
    command = [sys.executable, "-c", program, json.dumps(sys.path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
