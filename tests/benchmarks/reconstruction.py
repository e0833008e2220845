"""How far what a model makes of recordings is from them: the distance of `distill_codec.distance`, file by file.

python tests/benchmarks/reconstruction.py MODEL FILE_OR_FOLDER ... [--files]

Of each file the first ten seconds, mixed to mono, at 48 kHz; the mean over the files is the figure. For any model with
codes. The last column is what encoding and decoding take, as a share of the sound's duration.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from distill import Tokenizer, devices, library, registry
from distill.audio.recordings import Reader, find
from distill.audio.resampling import resample
from distill.plugins import discover
from distill_codec.distance import FILE_SECONDS, SAMPLE_RATE, file_distance


def first_seconds(path: Path, sample_rate: int, channels: int) -> NDArray[np.float32]:
    """The first ten seconds of the file at `path`, `[channels, samples]`."""
    with Reader(path) as reader:
        blocks = list(reader.blocks(sample_rate, channels))
    return np.concatenate(blocks, axis=1)[:, : FILE_SECONDS * sample_rate]


def at_48_khz(sound: NDArray[np.float32], sample_rate: int) -> torch.Tensor:
    """`sound [channels, samples]` at the rate of the figure."""
    blocks = list(resample([sound], sample_rate, SAMPLE_RATE, sound.shape[0]))
    return torch.from_numpy(np.concatenate(blocks, axis=1))


def measure(tokenizer: Tokenizer, path: Path) -> tuple[float, float, float]:
    """The distance for the file at `path`; the seconds that encoding and decoding took; its duration."""
    sound = first_seconds(path, tokenizer.sample_rate, tokenizer.channels)
    began = time.perf_counter()
    made = np.concatenate(list(tokenizer.decode(tokenizer.encode([sound]), sound.shape[1])), axis=1)
    seconds = time.perf_counter() - began
    rate = tokenizer.sample_rate
    return file_distance(at_48_khz(sound, rate), at_48_khz(made, rate)), seconds, sound.shape[1] / rate


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("recordings", type=Path, nargs="+")
    parser.add_argument("--files", action="store_true", help="a line for each file too")
    arguments = parser.parse_args()
    plugins = discover()
    claim = registry.claim(plugins, registry.identify(plugins, library.resolve(arguments.model)))
    tokenizer = claim.loader.load_tokenizer(claim.header, devices.choose("auto"))
    paths = [file for one in arguments.recordings for file in (find(one) if one.is_dir() else [one])]
    measured = [measure(tokenizer, path) for path in paths]
    if arguments.files:
        for path, (far, _, duration) in zip(paths, measured, strict=True):
            print(f"{path.name:<40}{duration:>8.2f} s{far:>10.3f}")
    far, seconds, duration = (np.array(column) for column in zip(*measured, strict=True))
    share = sum(seconds) / sum(duration)
    print(f"{claim.header.name}: {len(paths)} files, distance {far.mean():.3f}, of real time {share:.3f}")


if __name__ == "__main__":
    main()
