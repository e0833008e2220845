"""Loader plugin for version 2 of the format: a VQ-VAE with its autoregressive prior. Hooks and options only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from distill import CheckpointHeader, GenerativeModel, ModelLoader, PriorLearner, Tokenizer, hookimpl, options
from distill.errors import CheckpointError

PLUGIN_API = 1


class VqvaeLoader(ModelLoader):
    """Loads version 2 checkpoints of `model_type` "vqvae"."""

    name = "vqvae"
    kind = "VQ-VAE"

    def check(self, header: CheckpointHeader, options: Mapping[str, Any]) -> None:
        if not header.fields.get("has_prior") or "prior_state_dict" not in header.fields:
            raise CheckpointError("Model has no trained prior. Run 'distill train-prior' first.")

    def load(self, header: CheckpointHeader, device: str) -> GenerativeModel:
        from distill_vqvae.model import VqvaeModel

        return VqvaeModel.load(header, device)

    def load_tokenizer(self, header: CheckpointHeader, device: str) -> Tokenizer:
        from distill_vqvae.tokenizer import VqvaeTokenizer

        return VqvaeTokenizer.load(header, device)

    def load_prior_learner(self, header: CheckpointHeader, device: str, seconds: float) -> PriorLearner:
        from distill_vqvae.prior_learner import VqvaePriorLearner

        return VqvaePriorLearner.load(header, device)


@hookimpl
def claim_checkpoint(header: CheckpointHeader) -> ModelLoader | None:
    if header.version == 2 and header.model_type == "vqvae":
        return VqvaeLoader()
    return None


@hookimpl
def claimed_types() -> list[tuple[int, str | None]]:
    return [(2, "vqvae")]


@hookimpl
def generation_options() -> list[click.Option]:
    return [options.temperature(), options.top_k(), options.top_p(), options.min_p(), options.overlap()]
