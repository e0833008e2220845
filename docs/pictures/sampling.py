"""Draw the pictures of docs/sampling.md, from the model that comes with distill: `python docs/pictures/sampling.py`."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
import numpy as np
import soundfile
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch.distributions import Categorical

from distill.cli import run
from distill.plugins import discover
from distill.sampling import filter_logits
from distill_codec import sampling

HERE = Path(__file__).parent
SEED, BITS = 3, 4.5
"""Of which file the odds are shown, at the frame where the model is nearest to being so uncertain."""
SHOWN = 45
LEVELS = 6
"""Codes of a frame, the coarsest first."""
DPI, COLOURS = 80, 48
INK, ACCENT = "#1f2933", "#c2410c"
SETTINGS: list[tuple[str, list[dict[str, Any]]]] = [
    ("temperature: steeper or flatter", [{"temperature": 0.5}, {}, {"temperature": 1.5}]),
    ("top-k: the K likeliest", [{"top_k": 40}, {"top_k": 10}, {"top_k": 3}]),
    ("top-p: the fewest that reach P", [{"top_p": 0.95}, {"top_p": 0.8}, {"top_p": 0.5}]),
    ("min-p: at least this share of the likeliest", [{"min_p": 0.02}, {"min_p": 0.1}, {"min_p": 0.4}]),
]
HEARD = ["-t 0.5", "-t 1", "-t 1.5", "--top-k 5", "--top-p 0.5"]


def generate(folder: str, *arguments: str) -> Path:
    """The file that `distill generate starter` makes."""
    command = ["generate", "starter", "-o", folder, "--quiet", "--name", "-".join(arguments) or "plain", *arguments]
    assert run(discover, command) == 0
    return max(Path(folder).glob("*.wav"), key=lambda path: path.stat().st_mtime_ns)


def logits_at_the_moment(folder: str) -> torch.Tensor:
    """What the prior says of the coarsest code of a frame `[codes]`."""
    kept: list[torch.Tensor] = []
    odds = sampling.odds

    def keep(logits: torch.Tensor, *settings: Any) -> Any:
        kept.append(logits[0].clone())
        return odds(logits, *settings)

    sampling.odds = keep
    generate(folder, "-s", str(SEED), "-d", "2")
    sampling.odds = odds
    return min(kept[::LEVELS], key=lambda one: abs(float(Categorical(logits=one).entropy()) / math.log(2) - BITS))


def draw_odds(logits: torch.Tensor) -> None:
    """Twelve small pictures: what is left of the odds, and how they are shared out, under twelve settings."""
    plain = torch.softmax(logits, -1)
    order = plain.argsort(descending=True)[:SHOWN]
    figure, rows = plt.subplots(4, 3, figsize=(9, 8.4), sharex=True, sharey=True)
    for (title, settings), row in zip(SETTINGS, rows, strict=True):
        for setting, axes in zip(settings, row, strict=True):
            after = torch.softmax(filter_logits(logits, **setting), -1)
            draw_bars(axes, plain[order].numpy(), after[order].numpy())
            left = int((after > 0).sum())
            said = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in setting.items()) or "as it is"
            axes.text(
                0.98, 0.9, f"{said}\n{left} codes left", fontsize=9, transform=axes.transAxes, ha="right", va="top"
            )
        row[0].set_title(title, fontsize=10, loc="left", color=INK)
        row[0].set_ylabel("probability", fontsize=8)
    for axes in rows[-1]:
        axes.set_xlabel("codes, the likeliest first", fontsize=8)
    figure.tight_layout()
    save(figure, "sampling-odds.png")


def draw_bars(axes: Axes, before: np.ndarray, after: np.ndarray) -> None:
    """The odds `before` a setting, pale, and `after` it."""
    ranks = np.arange(len(before))
    axes.bar(ranks, after, width=0.9, color=ACCENT)
    axes.step(ranks, before, where="mid", color=INK, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def draw_sounds(folder: str) -> None:
    """The spectrograms of one seed under several settings."""
    figure, rows = plt.subplots(len(HEARD), 1, figsize=(9, 8), sharex=True)
    for said, axes in zip(HEARD, rows, strict=True):
        samples, rate = soundfile.read(generate(folder, "-s", str(SEED), "-d", "8", *said.split()))
        axes.specgram(samples + 1e-6, NFFT=2048, noverlap=512, Fs=rate, cmap="magma", vmin=-120, vmax=-20)
        axes.set_ylim(0, 12_000)
        axes.yaxis.set_major_formatter(lambda hertz, _: f"{hertz / 1000:.0f}")
        axes.set_ylabel("kHz", fontsize=8)
        axes.set_title(said, fontsize=9, loc="left", family="monospace")
    rows[-1].set_xlabel("seconds", fontsize=8)
    figure.tight_layout()
    save(figure, "sampling-sound.png")


def save(figure: Figure, name: str) -> None:
    """Write it in few colours, which takes a fifth of the room."""
    drawn = BytesIO()
    figure.savefig(drawn, dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(HERE / name, optimize=True)


def main() -> None:
    """Draw both."""
    mpl.use("Agg")
    with TemporaryDirectory() as folder:
        draw_odds(logits_at_the_moment(folder))
        draw_sounds(folder)


if __name__ == "__main__":
    main()
