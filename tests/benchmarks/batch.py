"""What a batch gains and what it costs: workers, grouping, Dask, a long manifest. Whole processes, in one run.

python tests/benchmarks/batch.py [MODEL] [--rounds 3] [--files 96] [--seconds 5] [--calls 200]

Workers: two processes of one thread each against one, confined to one processor.
Grouping: 200 jobs across 4 settings in one batch against as many calls of `generate`, `--calls` of which are made.
Dask: a scheduler with two workers against two processes of this machine. Its workers are started once, before.
Manifest: 100,000 rows, each another setting, of which the last is wrong, so that checking is all that is done.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = [sys.executable, "-m", "distill"]
ROWS = 100_000


def run(*arguments: object, processors: set[int] | None = None, ends: int = 0) -> float:
    """How many seconds the program takes, confined to some `processors`, to end with exit code `ends`."""
    began = time.monotonic()
    confine = (lambda: os.sched_setaffinity(0, processors)) if processors else None
    done = subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, preexec_fn=confine)
    assert done.returncode == ends, done.stderr
    return time.monotonic() - began


def made(folder: Path, manifest: Path, *arguments: object, processors: set[int] | None = None) -> float:
    """How many seconds the batch of a `manifest` takes, in a `folder` that is empty before and after."""
    try:
        return run("batch", manifest, "-o", folder, "--quiet", *arguments, processors=processors)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[str]:
    """The address of a Dask scheduler with so many workers."""
    file = folder / "scheduler.json"
    dask = [str(Path(sys.executable).with_name("dask"))]
    common = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen([*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                                   "--scheduler-file", str(file)], **common)]  # fmt: skip
    try:
        while not (file.exists() and file.read_text().endswith("}")):
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        processes += [
            subprocess.Popen([*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"],
                             **common, cwd=folder)
            for _ in range(workers)
        ]  # fmt: skip
        time.sleep(5)
        yield address
    finally:
        for process in processes[::-1]:
            process.terminate()
            process.wait()


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tell(what: str, one: list[float], other: list[float], target: str) -> None:
    """A line: medians of both sides, and the median of the ratios of neighbouring runs."""
    ratios = [a / b for a, b in zip(one, other, strict=True)]
    spread = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(
        f"{what}: {statistics.median(one):.1f} s against {statistics.median(other):.1f} s, "
        f"{statistics.median(ratios):.2f} times ({spread}); {target}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="starter")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=96)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--only", choices=["workers", "grouping", "dask", "manifest"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / "out"
        rows: list[dict[str, object]]
        rows = [{"model": asked.model, "seed": seed, "duration": asked.seconds} for seed in range(asked.files)]
        files = write(folder / "files.jsonl", rows)
        if asked.only in (None, "workers"):
            first = {min(os.sched_getaffinity(0))}
            pairs = [
                (made(out, files, "--workers", 1, processors=first), made(out, files, "--workers", 2))
                for _ in range(asked.rounds)
            ]
            one, two = map(list, zip(*pairs, strict=True))
            tell(f"{asked.files} files of {asked.seconds:g} s, one worker and two", one, two, "at least 1.7")
        if asked.only in (None, "grouping"):
            settings = [{"temperature": t, "top_k": k} for t in (0.8, 1.1) for k in (0, 50)]
            rows = [
                {"model": asked.model, "seed": seed, "duration": 2.0, **one} for seed in range(50) for one in settings
            ]
            whole = made(out, write(folder / "settings.jsonl", rows))
            calls = 0.0
            for row in rows[: asked.calls]:
                options = ["-s", row["seed"], "-d", row["duration"], "-t", row["temperature"], "--top-k", row["top_k"]]
                calls += run("generate", asked.model, *options, "-o", out, "--quiet")
            shutil.rmtree(out)
            tell(f"{asked.calls} calls, and a batch of 200", [calls * 200 / asked.calls], [whole], "at least 5")
        if asked.only in (None, "dask"):
            with cluster(folder, 2) as address:
                made(out, files, "--scheduler", address)  # its workers have imported torch then, and loaded the model
                pairs = [
                    (made(out, files, "--scheduler", address), made(out, files, "--workers", 2))
                    for _ in range(asked.rounds)
                ]
            there, here = map(list, zip(*pairs, strict=True))
            tell("Dask's two workers and two of this machine", there, here, "at most 1.2")
        if asked.only in (None, "manifest"):
            rng = random.Random(1)
            rows = [
                {"model": asked.model, "seed": number, "duration": rng.choice([1, 2, 5]), "name": f"take-{number}",
                 "temperature": rng.uniform(0.5, 1.5), "top_k": rng.randrange(200), "top_p": rng.random()}
                for number in range(ROWS - 1)
            ]  # fmt: skip
            manifest = write(folder / "long.jsonl", [*rows, {"model": asked.model, "seed": -1}])
            times = [run("batch", manifest, "-o", out, ends=2) for _ in range(asked.rounds)]
            most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            shown = ", ".join(f"{seconds:.1f}" for seconds in times)
            print(f"{ROWS} rows checked: {shown} s; the largest process so far {most:.0f} MiB; at most 10 s, 500 MB")


if __name__ == "__main__":
    main()
