"""What a generative model is worth beside the recordings it learnt from: bits, likeness, novelty, speed.

python tests/benchmarks/generation.py MODEL DATASET [--seconds 100] [--set novelty=0.8]

Bits: what a frame of held-out codes costs the prior, and who counts codes; for models that can say so. The held-out
sounds are those that the model's own training held out, if it says which; what is fitted to them is fitted to one half
and measured on the other.

Likeness: the Fréchet distance between Gaussians fitted to log-mel frames (as Heusel et al., arXiv 1706.08500, do to
Inception features, and Kilgour et al., arXiv 1812.08466, to VGGish's): generated sound and the recordings; and, for a
scale, the recordings' two halves, every other one in each, and as a mean over ten draws by chance.

Speed: seconds of sound made in a second, writing nothing: one file, and twenty.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distill import GenerationRequest, GenerativeModel, devices, library, registry
from distill.audio.mel import Spectrogram
from distill.audio.resampling import resample
from distill.cli.generate import own_parameters
from distill.errors import CheckpointError
from distill.plugins import Plugins, discover
from distill.registry import Claim
from distill_codec.corpus import Corpus, Split, read, split
from distill_codec.passages import encode
from distill_codec.prior_training import held_out_bits, unigram_bits

RATE, BANDS = 48000, 64
EACH = 10  # seconds of each generated file
BATCH = 20
FLOOR = 1e-5

Frames = NDArray[np.float64]


def log_mel(sound: NDArray[np.float32], sample_rate: int) -> Frames:
    """Frames `[frames, BANDS]` of `sound [channels, samples]`, mixed to mono: log10 of magnitudes."""
    mono = np.concatenate(list(resample([sound.mean(axis=0, keepdims=True)], sample_rate, RATE, 1)), axis=1)[0]
    padded = torch.from_numpy(np.pad(mono, (0, max(0, 2048 - len(mono)))))
    mel = Spectrogram(RATE, 2048, 512, BANDS, power=1.0).mel(padded)
    frames: Frames = mel.clamp(min=FLOOR).log10().T.double().numpy()
    return frames


def frechet(one: Frames, other: Frames) -> float:
    """The Fréchet distance between Gaussians fitted to two sets of frames."""
    means, covariances = zip(*((x.mean(axis=0), np.cov(x, rowvar=False)) for x in (one, other)), strict=True)
    roots = np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(min=0)
    apart = np.square(means[0] - means[1]).sum()
    return float(apart + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.sqrt(roots).sum())


def halves(recordings: Sequence[Frames]) -> tuple[float, float]:
    """The distance between every other recording and the rest; and the mean over ten draws of half of them."""

    def between(numbers: Iterable[int]) -> float:
        chosen = set(numbers)
        return frechet(*(np.concatenate([x for i, x in enumerate(recordings) if (i in chosen) == which])
                         for which in (True, False)))  # fmt: skip

    rng = np.random.default_rng(0)
    count = len(recordings)
    draws = [between(rng.permutation(count)[: count // 2].tolist()) for _ in range(10)]
    return between(range(0, count, 2)), float(np.mean(draws))


def generated(model: GenerativeModel, options: Mapping[str, Any], seeds: Iterable[int]) -> tuple[list[Any], float]:
    """Sounds and their statistics, of ten seconds each, and the seconds it took; in threads, as the program does."""
    requests = [GenerationRequest(seed, EACH * model.sample_rate, options) for seed in seeds]
    began = time.perf_counter()

    def whole(generation: Any) -> tuple[NDArray[np.float32], Mapping[str, float]]:
        return np.concatenate(list(generation.chunks), axis=1), generation.statistics()

    with ThreadPoolExecutor(devices.threads() if model.concurrent else 1) as pool:
        found = list(pool.map(whole, list(model.generate_batch(requests))))
    return found, time.perf_counter() - began


def bits(claim: Claim, corpus: Corpus, parts: Split) -> None:
    """Print what held-out codes cost."""
    try:
        learner = claim.loader.load_prior_learner(claim.header, "cpu", corpus.seconds)
    except CheckpointError as error:
        print(f"{'bits':<22}{error}")
        return
    material = encode(learner.tokenizer, corpus, parts, 0, augmentation=False)
    cost, counted = held_out_bits(learner, material.held_out), unigram_bits(learner, material)
    rows = [("bits a frame", cost.sum(), counted.sum())]
    rows += [(f"  level {n}", *both) for n, both in enumerate(zip(cost, counted, strict=True), start=1)]
    for name, mine, theirs in rows:
        print(f"{name:<22}{mine:.2f}, counting {theirs:.2f}: {100 * (1 - mine / theirs):.1f} % fewer")


def options_of(plugins: Plugins, claim: Claim, changes: Sequence[str]) -> dict[str, Any]:
    """What the options are without being asked for, and `changes`, "name=value" each."""
    options = dict(plugins.generation_options(own_parameters())[claim.plugin].defaults)
    for change in changes:
        name, _, value = change.partition("=")
        options[name] = type(options[name])(value)
    return options


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seconds", type=int, default=100, help="how much to generate")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an option of the model")
    arguments = parser.parse_args()
    plugins = discover()
    claim = registry.claim(plugins, registry.identify(plugins, library.resolve(arguments.model, plugins.bundled())))
    own = claim.header.fields.get("training_config") or {}
    tokenizer = claim.loader.load_tokenizer(claim.header, "cpu")
    corpus = read(arguments.dataset, tokenizer.sample_rate, tokenizer.channels, Path.cwd())
    parts = split(corpus, own.get("hold_out", 0.1), own.get("seed", 0))
    print(f"{claim.header.name}, {devices.threads()} threads")
    if parts.held_out:
        bits(claim, corpus, parts)
    recordings = [log_mel(corpus.of(one), corpus.sample_rate) for one in corpus.recordings]
    model = claim.loader.load(claim.header, "cpu")
    options = options_of(plugins, claim, arguments.set)
    made, _ = generated(model, options, range(arguments.seconds // EACH))
    far = frechet(np.concatenate([log_mel(sound, model.sample_rate) for sound, _ in made]), np.concatenate(recordings))
    alternating, drawn = halves(recordings)
    print(f"{'Fréchet distance':<22}{far:.2f} from the recordings")
    print(f"{'  of their halves':<22}{alternating:.2f}; of halves by chance {drawn:.2f}")
    for name in made[0][1]:
        values = [told[name] for _, told in made]
        print(f"{name:<22}mean {np.mean(values):.3f}, most {np.max(values):.3f}")
    for count in (1, BATCH):
        _, seconds = generated(model, options, range(count))
        print(f"{'speed':<22}{count * EACH / seconds:.1f} times real time, {count} at once")


if __name__ == "__main__":
    main()
