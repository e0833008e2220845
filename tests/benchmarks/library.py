"""What listing a library costs: processes as a user starts them, against `distill --help`, which reads no model.

    python tests/benchmarks/library.py [MODELS,MODELS... [RUNS]]

Makes libraries of so many checkpoints of 5 MB (1,000 and 10,000), each with a header as a version 2 model has it:
104 records, 20 kB. Their weights are zeros that take no room on the disk. Prints a row for each size: the time of
`distill models list` when nothing is known of the files yet, and when its catalogue is there; what each is to
`distill --help` in the same run; and the most memory. A last row has ten checkpoints of 2 GB.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import torch

from distill import archive

NAME = b"model-000000"


def template(folder: Path, size: int) -> Path:
    """A checkpoint of about `size` bytes, with the header of a version 2 model of usual layers."""
    tensors, items = 100, size // 400
    state = {f"encoder.layers.{n}.self_attention.weight": torch.zeros(items) for n in range(tensors)}
    contents = {
        "format": "distill_model", "version": 2, "model_type": "vqvae", "model_state_dict": state, "has_prior": False,
        "training_config": {f"a setting of the training {n}": n / 7 for n in range(60)},
        "metadata": {
            "name": NAME.decode(), "model_id": "11111111-2222-3333-4444-000000000000", "tags": ["one", "two"],
            "save_date": "2026-11-23T15:37:22.397362+00:00", "description": "A library is made of these.",
        },
    }  # fmt: skip
    path = folder / "template"
    torch.save(contents, path)
    return path


def fill(folder: Path, count: int, template: Path) -> None:
    """Make `count` checkpoints in `folder` that differ from `template`, whose weights are zeros, in their names."""
    with template.open("rb") as file:
        directory = archive.read_directory(file)
        [record] = archive.records(directory, b"/data.pkl")
        begin = archive.start(file, record)
        data = archive.read(file, record)
        whole = template.stat().st_size
        after = begin + record.size
        file.seek(0)
        head = bytearray(file.read(begin))
        tail_at = whole - (len(directory) + 200)
        file.seek(tail_at)
        tail = bytearray(file.read())
        headers = [(one.offset, archive.start(file, one)) for one in archive.records(directory) if one.offset >= after]
        pieces = []
        for offset, start in headers:
            file.seek(offset)
            pieces.append((offset, file.read(start - offset)))
        small = [one for one in archive.records(directory) if one.offset >= after and one.size < 100]
        pieces += [(archive.start(file, one), archive.read(file, one)) for one in small]
    crc_at = tail.index(struct.pack("<L", record.crc), tail.index(b"PK\x01\x02"))
    for number in range(count):
        mine = data.replace(NAME, f"model-{number:06}".encode())
        crc = struct.pack("<L", zlib.crc32(mine))
        head[14:18] = tail[crc_at : crc_at + 4] = crc
        with (folder / f"model-{number:06}.distill").open("wb") as file:
            file.truncate(whole)
            file.write(head + mine)
            for offset, piece in pieces:
                file.seek(offset)
                file.write(piece)
            file.seek(tail_at)
            file.write(tail)


def run(*arguments: str, environment: dict[str, str], lines: int = 0) -> float:
    """The seconds that `distill` with `arguments` takes; it must print so many lines."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "distill", *arguments], env=environment, capture_output=True, text=True, check=True
    )
    took = time.perf_counter() - start
    assert not lines or done.stdout.count("\n") == lines, done.stdout[:400] + done.stderr
    return took


MEMORY = """
import re, sys
from distill.cli import run
from distill.plugins import discover
assert run(discover, sys.argv[1:]) == 0
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1], file=sys.stderr)
"""


def memory(*arguments: str, environment: dict[str, str]) -> float:
    """The most memory that `distill` with `arguments` takes, in MiB."""
    command = [sys.executable, "-c", MEMORY, *arguments]
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr) / 1024


def measure(count: int, size: int, runs: int) -> None:
    """Print the row of a library of `count` checkpoints of `size` bytes."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models")
        models.mkdir()
        fill(models, count, template(Path(folder), size))
        time.sleep(2.5)  # until the files are no longer as new as the clock of the disk can tell
        cache = Path(folder, "cache")
        environment = {**os.environ, "DISTILL_LIBRARY": str(models), "XDG_CACHE_HOME": str(cache)}
        most = memory("models", "list", environment=environment)
        helps, cold, cached = [], [], []
        for _ in range(runs):
            (cache / "distill" / "library.json").unlink(missing_ok=True)
            helps.append(run("--help", environment=environment))
            for kept in (cold, cached):
                kept.append(run("models", "list", environment=environment, lines=count + 2))
    cells = [f"{min(took):.2f} s  {min(took) / min(helps):5.1f}" for took in (cold, cached)]
    print(f"{count:>6,} of {size / 1e6:>5,.0f} MB   {'   '.join(cells)}   {most:>5.0f} MiB", flush=True)


def main(counts: str = "1000,10000", runs: int = 3) -> None:
    print("library              cold  ratio   cached  ratio     memory")
    for count in map(int, counts.split(",")):
        measure(count, 5_000_000, runs)
    measure(10, 2_000_000_000, runs)


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))
