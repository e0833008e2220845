"""How fast and how exact the engine is: each figure beside that of the slow path, both taken in this one run.

    python tests/benchmarks/engine.py MODEL [PART ...] [--recordings FILE ...]

MODEL is a version 2 checkpoint. Parts, all of them by default:

inversion  mel to sound against clamped least squares and 128 iterations of Griffin-Lim, a second at a time
sampling   a chunk's codes from the prior against the whole prefix for each token, one chunk at a time
job        `distill generate -n 20 -d 10`, the whole process, against the slow path in a process
startup    `distill generate -d 1`, the whole process, against `import torch`
memory     the most memory that `distill generate` takes for 600 s, against 60 s
batch      what the fixed blocks cost: chunks a second at several batch sizes

The slow path is `slow_path.py` beside this file.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import slow_path
import soundfile
import soxr
import torch
from torch import Tensor

from distill import GenerationRequest
from distill.audio.inversion import MelInverter
from distill.audio.mel import Spectrogram
from distill.checkpoint import read_header
from distill.seeding import stream
from distill_vqvae.dealing import Dealer
from distill_vqvae.model import VqvaeModel

SETTINGS = Spectrogram()
RATE = SETTINGS.sample_rate
FLOOR = 1e-6  # of mel power, so that silence is not compared with silence
OPTIONS = {"temperature": 1.0, "top_k": 0, "top_p": 0.9, "min_p": 0.0, "overlap": 50.0}


def row(*cells: object) -> None:
    """Print one row of a table: a name, then figures."""
    print(f"{cells[0]!s:<34}" + "".join(f"{cell!s:>14}" for cell in cells[1:]), flush=True)


def shortest(run: Callable[[], object], times: int) -> float:
    """The least of so many times in seconds that `run` takes."""
    return min(seconds(run) for _ in range(times))


def seconds(run: Callable[[], object]) -> float:
    """The time `run` takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compared(slow: list[float], fast: list[float], *forms: str) -> list[str]:
    """The medians of both sides, and that of the ratios of the runs that stood next to each other."""
    medians = (f"{statistics.median(side):{form}}" for side, form in zip((slow, fast), forms, strict=True))
    return [*medians, f"{statistics.median(a / b for a, b in zip(slow, fast, strict=True)):.1f}"]


def sounds(recordings: list[str]) -> dict[str, Tensor]:
    """Six seconds each of tones, noise, drums, all three together, and the first six of recordings; `[samples]`."""
    t = np.arange(6 * RATE) / RATE
    beat = t % 0.5
    rng = np.random.default_rng(0)
    partials = [(440, 0.3), (1234, 0.2), (110, 0.2), (3000, 0.05)]
    tones = sum(level * np.sin(2 * np.pi * frequency * t) for frequency, level in partials)
    noise = 0.1 * rng.standard_normal(len(t))
    kick = 0.8 * np.exp(-12 * beat) * np.sin(2 * np.pi * (50 * beat - 4 * np.exp(-30 * beat)))
    snare = 0.3 * np.exp(-25 * ((t + 0.25) % 0.5)) * rng.standard_normal(len(t))
    found = {"tones": tones, "noise": noise, "drums": kick + snare, "mix": (tones + 0.2 * noise + kick + snare) / 2}
    for path in recordings:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        found[Path(path).name] = soxr.resample(samples.mean(axis=1), rate, RATE)[: 6 * RATE]
    return {name: torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32)) for name, wave in found.items()}


def error(wanted: Tensor, wave: Tensor) -> float:
    """Mean log-mel error in dB."""
    found = SETTINGS.mel(wave)[:, : wanted.shape[1]]
    return float(10 * ((found + FLOOR) / (wanted[:, : found.shape[1]] + FLOOR)).log10().abs().mean())


def inversion(_model: Path, recordings: list[str]) -> None:
    """Errors of both sides, and how many times faster ours is."""
    row("inversion", "slow, dB", "ours, dB", "slow, s/s", "ours, s/s", "times")
    slow_times, times = [], []
    for name, wave in sounds(recordings).items():
        mel = SETTINGS.mel(wave)
        made: dict[str, Tensor] = {}

        def slowly(mel: Tensor = mel, made: dict[str, Tensor] = made) -> None:
            # Whole, so that joins do not tell on its error; then chunk by chunk, for its time.
            made["slow"] = slow_path.griffin_lim(slow_path.mel_to_power(mel, SETTINGS), SETTINGS)

        def by_chunks(mel: Tensor = mel) -> None:
            for chunk in mel.split(94, dim=1):
                if chunk.shape[1] == 94:
                    slow_path.griffin_lim(slow_path.mel_to_power(chunk, SETTINGS), SETTINGS)

        def ours(mel: Tensor = mel, made: dict[str, Tensor] = made) -> None:
            inverter = MelInverter(SETTINGS, stream(1, "phase"))
            made["ours"] = torch.cat([*(inverter.push(m) for m in mel.split(94, dim=1)), inverter.finish()])

        slowly()
        slow = seconds(by_chunks) / (mel.shape[1] // 94)
        fast = shortest(ours, 2) / (len(wave) / RATE)
        slow_times.append(slow)
        times.append(fast)
        figures = (f"{error(mel, made[side]):.2f}" for side in ("slow", "ours"))
        row(name, *figures, f"{slow:.4f}", f"{fast:.4f}", f"{slow / fast:.1f}")
    row("inversion, all", "", "", "", "", f"{sum(slow_times) / sum(times):.1f}")


def loaded(path: Path) -> VqvaeModel:
    """The model in `path`, on the CPU."""
    header = read_header(path)
    assert header is not None
    return VqvaeModel.load(header, "cpu")


def sample(model: VqvaeModel, chunks: int, batch_size: int | None = None) -> None:
    """Have the codes of so many chunks sampled, in files of ten."""
    requests = [GenerationRequest(seed, 9 * RATE, OPTIONS) for seed in range(chunks // 10)]
    for file in Dealer(map(model.ask, requests), model.first, batch_size, torch.get_num_threads()):
        for _ in file:
            pass


def sampling(path: Path, _recordings: list[str]) -> None:
    """Seconds a chunk of both sides."""
    model, (_, prior) = loaded(path), slow_path.load(path)
    sample(model, 10)
    slow, fast = [], []
    for _ in range(7):
        slow.append(statistics.mean(seconds(lambda: prior.generate(1.0, 0, 0.9)) for _ in range(5)))
        fast.append(seconds(lambda: sample(model, 320)) / 320)
    row("sampling", "slow, s/chunk", "ours, s/chunk", "times")
    row("codes of a chunk", *compared(slow, fast, ".4f", ".5f"))


def batch(path: Path, _recordings: list[str]) -> None:
    """Seconds a chunk at several batch sizes."""
    model = loaded(path)
    sample(model, 10)
    row("fixed blocks: --batch-size", "s/chunk", "of default")
    usual = seconds(lambda: sample(model, 320)) / 320
    row("default", f"{usual:.5f}", "1.0")
    for size in (1, 4, 16, 32, 64):
        chunks = max(20, min(320, 20 * size))
        took = seconds(lambda size=size, chunks=chunks: sample(model, chunks, size)) / chunks
        row(str(size), f"{took:.5f}", f"{took / usual:.1f}")


def distill(folder: str, *arguments: object) -> list[str]:
    """The command that runs `distill generate` with its output in `folder`."""
    return [str(Path(sys.executable).with_name("distill")), "generate", *map(str, arguments), "-q", "-o", folder]


def process(command: list[str]) -> float:
    """The seconds that a process takes, which must succeed."""
    return seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def job(path: Path, _recordings: list[str]) -> None:
    """Twenty files of ten seconds."""
    with tempfile.TemporaryDirectory() as folder:

        def slowly(files: int) -> float:
            return process([sys.executable, slow_path.__file__, str(path), str(files), "10", folder])

        # The machine's speed drifts in the minutes that twenty files take slowly: so four at a time, ours between.
        start = slowly(0)
        slow, ours = [], []
        for _ in range(5):
            slow.append(start + 5 * (slowly(4) - start))
            ours.append(process(distill(folder, path, "-n", 20, "-d", 10)))
    row("job: 20 files of 10 s", "slow, s", "ours, s", "times")
    row("whole process", *compared(slow, ours, ".1f", ".2f"))


def startup(path: Path, _recordings: list[str]) -> None:
    """One file of a second."""
    bare, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(7):
            bare.append(process([sys.executable, "-c", "import torch"]))
            ours.append(process(distill(folder, path, "-d", 1)))
    row("startup", "import torch", "generate -d 1", "difference, s")
    medians = statistics.median(bare), statistics.median(ours)
    row("whole process, median of 7", *(f"{x:.2f}" for x in medians), f"{medians[1] - medians[0]:+.2f}")


def memory(path: Path, _recordings: list[str]) -> None:
    """The largest resident size of a process."""
    row("memory: largest resident size", "60 s, MiB", "600 s, MiB", "times")
    for count in (1, 2):
        peaks = []
        with tempfile.TemporaryDirectory() as folder:
            for duration in (60, 600):
                command = distill(folder, path, "-d", duration, "-n", count)
                with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
                    _, status, usage = os.wait4(running.pid, 0)
                    running.returncode = os.waitstatus_to_exitcode(status)
                assert running.returncode == 0
                peaks.append(usage.ru_maxrss / 1024)
        row(f"files: {count}", *(f"{peak:.0f}" for peak in peaks), f"{peaks[1] / peaks[0]:.2f}")


PARTS = {part.__name__: part for part in (inversion, sampling, job, startup, memory, batch)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--recordings", nargs="*", default=[], metavar="FILE")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, torch {torch.__version__} with {torch.get_num_threads()} threads")
    for part in arguments.parts or PARTS:
        print()
        PARTS[part](arguments.model, arguments.recordings)


if __name__ == "__main__":
    main()
