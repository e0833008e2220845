"""Loader plugin for version 1 of the format: a latent VAE explored by sliders. Hooks and options only."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import click

from distill import CheckpointHeader, GenerativeModel, ModelLoader, hookimpl
from distill.checkpoint import whole_number
from distill.errors import DistillWarning, RequestError

PLUGIN_API = 1

SLIDER_RANGE = 10


class SliderPosition(click.ParamType[tuple[int, int]]):
    """INDEX:VALUE, a slider and its position: whole numbers, the position from -10 to 10."""

    name = "slider"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        index, _, position = value.partition(":")
        try:
            pair = int(index), int(position)
        except ValueError:
            pair = (-1, 0)
        if pair[0] < 0 or abs(pair[1]) > SLIDER_RANGE:
            self.fail(
                f"{value!r} is not INDEX:VALUE, a slider from 0 on and a whole number from -10 to 10.",
                param,
                ctx,
            )
        return pair


class VaeLoader(ModelLoader):
    """Loads version 1 checkpoints, whose `model_type` is absent or "vae"."""

    name = "vae"
    kind = "VAE"

    def check(self, header: CheckpointHeader, options: Mapping[str, Any]) -> None:
        for name in ("preset", "blend"):
            if options[name]:
                raise RequestError(f"--{name} is not available in this version of distill. Leave it out.")
        positions: tuple[tuple[int, int], ...] = options["slider"]
        if not positions:
            return
        analysis = header.fields.get("latent_analysis")
        sliders = whole_number(analysis, "n_active_components", low=0) if isinstance(analysis, dict) else 0
        if not sliders:
            warnings.warn("--slider: this model has no sliders. Random latents.", DistillWarning, 2)
            return
        given = [index for index, _ in positions]
        for index in given:
            if index >= sliders:
                raise RequestError(f"--slider: this model has no slider {index}; it has sliders 0 to {sliders - 1}.")
            if given.count(index) > 1:
                raise RequestError(f"--slider: slider {index} is given {given.count(index)} times; once is allowed.")

    def load(self, header: CheckpointHeader, device: str) -> GenerativeModel:
        from distill_vae.model import VaeModel

        return VaeModel.load(header, device)


@hookimpl
def claim_checkpoint(header: CheckpointHeader) -> ModelLoader | None:
    if header.version == 1 and header.model_type in (None, "vae"):
        return VaeLoader()
    return None


@hookimpl
def claimed_types() -> list[tuple[int, str | None]]:
    return [(1, None), (1, "vae")]


@hookimpl
def generation_options() -> list[click.Option]:
    return [
        click.Option(
            ["--slider"], type=SliderPosition(), multiple=True, metavar="INDEX:VALUE",
            help="Set a slider of the latent space; repeatable.  [-10 to 10; default random latents]",
        ),
        click.Option(
            ["--preset"], metavar="NAME", help="Saved slider positions (not available yet).  [default none]"
        ),
        click.Option(
            ["--blend"], multiple=True, metavar="MODEL:WEIGHT",
            help="Mix in another model; repeatable (not available yet).  [default none]",
        ),
    ]  # fmt: skip
