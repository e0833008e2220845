"""What installed plugins cost `distill --help`: its time with many against its time with none but the bundled.

    python tests/benchmarks/plugins.py [PLUGINS [RUNS]]

Generates 50 plugins, each of its own distribution with hooks, options and a command, and puts them on the path; runs
the sides in turn, 20 times each, and prints a row a side: the shortest and the median time, the ratio of the shortest,
and the median of the ratios to the run with none next to it. A third side has as many distributions that are no plugins
of ours: what Python's own look at their metadata costs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLUGIN = '''"""Loader plugin for version 7, "{name}". Hooks and options only."""

from __future__ import annotations

import click

from distill import CheckpointHeader, GenerativeModel, ModelLoader, hookimpl, options

PLUGIN_API = 1


class Loader(ModelLoader):
    name = "{name}"
    kind = "{name}"

    def load(self, header: CheckpointHeader, device: str) -> GenerativeModel:
        raise NotImplementedError


@hookimpl
def claim_checkpoint(header: CheckpointHeader) -> ModelLoader | None:
    return Loader() if (header.version, header.model_type) == (7, "{name}") else None


@hookimpl
def claimed_types() -> list[tuple[int, str | None]]:
    return [(7, "{name}")]


@hookimpl
def generation_options() -> list[click.Option]:
    return [options.temperature(), options.number("--{name}", default=0.0, low=0.0, high=1.0, help="Amount.")]


@hookimpl
def register_commands(cli: click.Group) -> None:
    @cli.command("make-{name}")
    def make() -> None:
        """Make one."""
'''


def install(folder: Path, count: int, group: str) -> Path:
    """Lay out in `folder` what pip leaves of `count` plugins, each with an entry point of `group`."""
    for name in (f"made{number:03}" for number in range(count)):
        info = folder / f"distill_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: distill-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = distill_{name}\n")
        package = folder / f"distill_{name}"
        package.mkdir()
        (package / "__init__.py").write_text(PLUGIN.format(name=name))
    return folder


def seconds(path: Path | None, commands: int) -> float:
    """The time of one `distill --help` with `path` on the path; `commands` of its plugins must be in the help."""
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "distill", "--help"], env=environment, capture_output=True, text=True, check=True
    )
    took = time.perf_counter() - start
    assert done.stderr == ""
    assert done.stdout.count("make-made") == commands
    return took


def main(count: int = 50, runs: int = 20) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "no plugins": (None, 0),
            f"{count} distributions that are no plugins": (install(Path(folder, "others"), count, "others"), 0),
            f"{count} plugins": (install(Path(folder, "plugins"), count, "distill"), count),
        }
        times: dict[str, list[float]] = {side: [] for side in sides}
        for run in range(runs + 1):
            for side, arguments in sides.items():
                took = seconds(*arguments)
                if run:  # the first writes the compiled files
                    times[side].append(took)
    base = times["no plugins"]
    print(f"{'distill --help with':<45} {'shortest':>10} {'median':>10} {'ratio':>6} {'paired':>7}")
    for side, taken in times.items():
        paired = statistics.median(one / none for one, none in zip(taken, base, strict=True))
        shortest, median = min(taken), statistics.median(taken)
        row = f"{side:<45} {shortest * 1000:>7.0f} ms {median * 1000:>7.0f} ms"
        print(f"{row} {shortest / min(base):>6.2f} {paired:>7.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
