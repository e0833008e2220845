"""What starting costs: heavy imports, and what a plugin adds to every command."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


def keep_idle_threads_quiet() -> None:
    """Have torch's idle threads not spin, or runs side by side take ten times as long. Before torch is imported."""
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


@contextmanager
def building() -> Iterator[None]:
    """For heavy imports and large tables: have nothing collected meanwhile, and what they made left alone after that.

    They make much that stays. Looking at it again and again is an eighth of the time that torch takes.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


HEAVY = ("numpy", "torch")
"""What a plugin must not import before it loads a model: these take longer than all else that a light command does."""

_MEASURE = """
import json, sys, time
sys.path[:] = json.loads(sys.argv[1])
from importlib.metadata import EntryPoint
import click
from distill.plugins import Plugins

name, value, *heavy = sys.argv[2:]
plugins = Plugins()
start = time.perf_counter()
plugins.load(EntryPoint(name, value, "distill"))
plugins.register_commands(click.Group("distill"))
seconds = time.perf_counter() - start
print(json.dumps([seconds, [name for name in heavy if name in sys.modules]] if plugins.names else None))
"""


@dataclass(frozen=True)
class StartupCost:
    """The `seconds` that a plugin adds to every command, and what of `HEAVY` it imports."""

    seconds: float
    heavy: list[str]


def measure(name: str, value: str) -> StartupCost | None:
    """The cost of the plugin `name` at the entry point `value`, in an interpreter of its own; None if it fails."""
    try:
        cost = json.loads(run_fresh(_MEASURE, name, value, *HEAVY).splitlines()[-1])
    except (subprocess.CalledProcessError, ValueError, IndexError):
        return None
    return StartupCost(*cost) if cost else None


def run_fresh(program: str, *arguments: str) -> str:
    """What `program` prints in a fresh interpreter; its argv[1] is this one's `sys.path` in JSON, then `arguments`.

    Raises `subprocess.CalledProcessError`, its stderr with it, where the program fails.
    """
    command = [sys.executable, "-c", program, json.dumps(sys.path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
