"""What finishing costs: ten files of 10 s with each option beside ten without, whole processes, taken in turn.

python tests/benchmarks/finishing.py MODEL [--rounds N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILES, SECONDS = 10, 10
PLAIN = "plain: WAV, mono"
KINDS = {
    PLAIN: [],
    "--spatial-mode stereo": ["--spatial-mode", "stereo"],
    "--spatial-mode binaural": ["--spatial-mode", "binaural"],
    "--lufs -30": ["--lufs", "-30"],
    "--sample-rate 44100": ["--sample-rate", "44100"],
    "-f flac": ["-f", "flac"],
    "-f ogg": ["-f", "ogg"],
    "-f opus": ["-f", "opus"],
    "-f mp3": ["-f", "mp3"],
    "--plot": ["--plot"],
}


def seconds(model: Path, options: list[str]) -> float:
    """The wall time of one run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "distill", "generate", model, "-q", "-s", "1", "-o", folder, *options]
        began = time.perf_counter()
        subprocess.run([*command, "-d", str(SECONDS), "-n", str(FILES)], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(arguments.rounds):
        for kind, options in KINDS.items():
            taken[kind].append(seconds(arguments.model, options))
    print(f"{FILES} files of {SECONDS} s{'':>12}{'whole, s':>12}{'to plain':>12}{'ms a file':>12}")
    for kind, times in taken.items():
        pairs = list(zip(times, taken[PLAIN], strict=True))
        ratio = statistics.median(one / plain for one, plain in pairs)
        more = statistics.median(one - plain for one, plain in pairs) / FILES * 1000
        print(f"{kind:<28}{statistics.median(times):>12.2f}{ratio:>11.2f}x{more:>+12.0f}")


if __name__ == "__main__":
    main()
