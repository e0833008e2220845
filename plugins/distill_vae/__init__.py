"""Loader plugin for version 1 of the format: a latent VAE explored by sliders. Hooks only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from distill import CheckpointHeader, GenerativeModel, ModelLoader, Settings, hookimpl
from distill_vae import options, presets_command, sliders_command
from distill_vae.headers import is_version_1

PLUGIN_API = 1


class VaeLoader(ModelLoader):
    """Loads version 1 checkpoints, whose `model_type` is absent or "vae"."""

    name = "vae"
    kind = "VAE"

    def check(self, header: CheckpointHeader, options: Mapping[str, Any]) -> Settings:
        from distill_vae.settings import settle

        return settle(header, options)

    def load(self, header: CheckpointHeader, device: str) -> GenerativeModel:
        from distill_vae.model import VaeModel

        return VaeModel.load(header, device)


@hookimpl
def claim_checkpoint(header: CheckpointHeader) -> ModelLoader | None:
    return VaeLoader() if is_version_1(header) else None


@hookimpl
def claimed_types() -> list[tuple[int, str | None]]:
    return [(1, None), (1, "vae")]


@hookimpl
def generation_options() -> list[click.Option]:
    return options.generation_options()


@hookimpl
def register_commands(cli: click.Group) -> None:
    cli.add_command(sliders_command.sliders)
    cli.add_command(presets_command.presets)
