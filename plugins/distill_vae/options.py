"""What version 1 models understand in `distill generate`, and how it is spelled. Imports nothing heavy."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click

from distill import options
from distill.text import clean
from distill_vae.labels import POSITION, Slider

BLEND_MODES = ("latent", "audio")
WEIGHT = 50.0
"""The weight of MODEL in a blend, where `--weight` gives none."""
EVOLUTION = 0.5
"""How far a file wanders from its sliders' position, where `--evolution` does not say."""


class SliderPosition(click.ParamType[tuple[Slider, int]]):
    """SLIDER:POSITION: a slider by index or name, and a whole number from -10 to 10."""

    name = "slider"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Slider, int]:
        if isinstance(value, tuple):
            return value
        slider, _, position = value.rpartition(":")
        index, stands = _whole(slider), _whole(position)
        if not slider.strip() or stands is None or abs(stands) > POSITION or (index or 0) < 0:
            self.fail(
                f"{clean(value)!r} is not INDEX:VALUE or NAME:VALUE, a slider from 0 on or by its name "
                f"and a whole number from -{POSITION} to {POSITION}.",
                param,
                ctx,
            )
        return (slider.strip() if index is None else index), stands


class BlendPart(click.ParamType[tuple[Path, float]]):
    """MODEL:WEIGHT: another model and how much of it, a number of 0 or more."""

    name = "blend"
    _model = options.Model()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, float]:
        if isinstance(value, tuple):
            return value
        model, _, said = value.rpartition(":")
        try:
            weight = float(said)
        except ValueError:
            weight = math.nan
        if not (model and math.isfinite(weight) and weight >= 0):
            self.fail(f"{clean(value)!r} is not MODEL:WEIGHT, a model and a number of 0 or more.", param, ctx)
        return self._model.convert(model, param, ctx), weight


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\s*[+-]?[0-9]{1,9}\s*", text) else None


def slider(default_means: str = "random latents") -> click.Option:
    """`--slider`, repeatable; `default_means` says what it is to give none."""
    return click.Option(
        ["--slider"], type=SliderPosition(), multiple=True, metavar="INDEX:VALUE",
        help=f"Set a slider of the latent space, by index or name; repeatable.  [-10 to 10; default {default_means}]",
    )  # fmt: skip


def generation_options() -> list[click.Option]:
    """All of them."""
    return [
        slider(),
        options.flag(
            "--randomize-sliders", help="Draw a position for each slider from its safe range, anew for each seed."
        ),
        options.number(
            "--evolution", default=None, low=0.0, high=1.0, default_means=f"default {EVOLUTION:g}",
            help="How far a file wanders from its sliders' position: 0 stays there, 1 goes anywhere.",
        ),
        click.Option(
            ["--preset"], metavar="NAME",
            help="Saved slider positions, and their seed if they have one; --slider changes single ones.  "
            "[default none]",
        ),
        click.Option(
            ["--blend"], type=BlendPart(), multiple=True, metavar="MODEL:WEIGHT",
            help="Mix in another model; repeatable, up to three.  [0 or more; default none]",
        ),
        options.number(
            "--weight", default=None, low=0.0, high=math.inf, default_means=f"default {WEIGHT:g}",
            help="How much of MODEL is in a blend.",
        ),
        click.Option(
            ["--blend-mode"], type=click.Choice(BLEND_MODES),
            help="What is averaged in a blend.  [default latent where all latents have one size, else audio]",
        ),
    ]  # fmt: skip
