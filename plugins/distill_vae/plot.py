"""A picture of what each slider does: strips of mel spectrograms. Needs matplotlib, the extra `plot`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from distill import outputs
from distill.audio import pictures
from distill.errors import DistillError, DistillWarning, NotFiniteError, RequestError
from distill_vae.labels import Labels
from distill_vae.latents import Sliders
from distill_vae.networks import Vae

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("png", "pdf", "svg")
STEPS = 3
"""Positions shown of each slider on either side of 0, to the end of its safe range."""
GAP = 6
"""Frames between two spectrograms of a strip."""
MOST_ROWS = 64
ROW_INCHES, WIDTH_INCHES, MARGIN_INCHES = 1.15, 16.0, 1.5


@dataclass(frozen=True)
class Sweep:
    """A slider moved over its safe range, the others at 0: its `positions`, and what it gives at each.

    `decibels [positions, n_mels, frames]`; `centre [n_mels, frames]` is what it gives at 0.
    """

    positions: list[int]
    decibels: NDArray[np.float32]
    centre: NDArray[np.float32]

    @property
    def change(self) -> NDArray[np.float32]:
        """How each differs from the centre, in dB."""
        return self.decibels - self.centre


def check(path: Path) -> None:
    """Raise `DistillError` where no picture can be drawn at `path`, before anything is computed."""
    if path.suffix.lower().removeprefix(".") not in FORMATS:
        raise RequestError(f"--plot: {path.name} must end in .{', .'.join(FORMATS)}, for a picture of that kind.")
    if not path.parent.is_dir():
        raise DistillError(f"--plot: there is no folder {path.parent}. Make it first.")
    if path.exists():
        raise DistillError(f"--plot: {path} is there already. Give another name.")
    pictures.check()


def sweep(vae: Vae, sliders: Sliders, index: int) -> Sweep:
    """Slider `index` moved over its safe range."""
    positions = sorted({round(end * step / STEPS) for end in sliders.safe[index] for step in range(STEPS + 1)})
    shown = np.stack([_decibels(vae, sliders, {index: position}) for position in positions])
    return Sweep(positions, shown, _decibels(vae, sliders, {}))


def draw(vae: Vae, sliders: Sliders, labels: Labels, path: Path) -> None:
    """Write a picture to `path`, of the kind its suffix says: a row a slider, its sweep and how that changes.

    Left the mel spectrograms at positions over the safe range, right what they have more and less than at 0.
    """
    from matplotlib.figure import Figure

    if len(sliders) > MOST_ROWS:
        warnings.warn(f"--plot: the first {MOST_ROWS} of {len(sliders)} sliders are drawn.", DistillWarning, 2)
    sweeps = [sweep(vae, sliders, index) for index in range(min(MOST_ROWS, len(sliders)))]
    figure = Figure(figsize=(WIDTH_INCHES, MARGIN_INCHES + ROW_INCHES * len(sweeps)), layout="constrained")
    figure.suptitle(
        f"{labels.model}: each slider over its safe range, the others at 0. "
        "Left: mel spectrograms. Right: their difference from position 0.",
        parse_math=False,
    )
    rows = figure.subplots(len(sweeps), 2, squeeze=False)
    for index, (one, (left, right)) in enumerate(zip(sweeps, rows, strict=True)):
        low, high = (float(bound) for bound in np.percentile(one.decibels, [0.5, 99.5]))
        shown = _strip(left, one.positions, one.decibels, vmin=low, vmax=max(high, low + 0.1), cmap="magma")
        span = max(float(np.percentile(np.abs(one.change), 99.5)), 0.1)
        changed = _strip(right, one.positions, one.change, vmin=-span, vmax=span, cmap="RdBu_r")
        names = [labels.own[index], *{labels.suggested[index]} - {labels.own[index]}]
        said = "\n".join([f"slider {index}", *names])
        left.set_ylabel(said, rotation=0, ha="right", va="center", fontsize=9, parse_math=False)
        figure.colorbar(shown, ax=left, label="dB", fraction=0.02, pad=0.01)
        figure.colorbar(changed, ax=right, label="dB", fraction=0.02, pad=0.01)
    with outputs.temporary(path.parent) as draft, draft.open("wb") as file:
        figure.savefig(file, format=path.suffix.lower().removeprefix("."), dpi=100)
        file.flush()
        if not outputs.place(draft, path):
            raise DistillError(f"--plot: {path} is there already. Give another name.")


def _strip(axes: Axes, positions: list[int], pictures: NDArray[np.float32], **colours: Any) -> Any:
    """Show `pictures [positions, n_mels, frames]` beside each other, each with its position under it."""
    frames = pictures.shape[2]
    apart = np.pad(pictures, ((0, 0), (0, 0), (0, GAP)), constant_values=np.nan)
    axes.set_xticks([frames / 2 + (frames + GAP) * place for place in range(len(positions))])
    axes.set_xticklabels([f"{position:+d}" if position else "0" for position in positions], fontsize=8)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return axes.imshow(np.concatenate(apart, axis=1)[:, :-GAP], origin="lower", aspect="auto", **colours)


def _decibels(vae: Vae, sliders: Sliders, positions: dict[int, int]) -> NDArray[np.float32]:
    """The mel power spectrum `[n_mels, frames]` at `positions` of the sliders, in dB."""
    power = torch.expm1(vae.decode(sliders.latent(positions))).cpu().numpy()
    if not np.isfinite(power).all():
        raise NotFiniteError("spectra", vae.name)
    decibels: NDArray[np.float32] = 10 * np.log10(np.maximum(power, 1e-10))
    return decibels
