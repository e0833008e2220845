"""Loader plugin for version 3 of the format, a codec trained on the user's own sounds, its prior, and their commands.

Hooks and options only.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from distill import (
    CheckpointHeader,
    GenerativeModel,
    ModelLoader,
    PriorLearner,
    Settings,
    Tokenizer,
    hookimpl,
    options,
    paths,
)
from distill.errors import CheckpointError, RequestError
from distill.options import is_given
from distill.text import clean
from distill_codec import code_commands, prompts, train_command, train_prior_command

PLUGIN_API = 1


class CodecLoader(ModelLoader):
    """Loads version 3 checkpoints of `model_type` "codec"."""

    name = "codec"
    kind = "codec"

    def check(self, header: CheckpointHeader, options: Mapping[str, Any]) -> Settings | None:
        if not header.fields.get("has_prior") or "prior_state_dict" not in header.fields:
            raise CheckpointError(
                f"{header.name} has no trained prior, and cannot generate without one. Run 'distill train-prior' "
                "first; 'distill reconstruct', 'encode' and 'decode' work without."
            )
        prompt = options.get("prompt")
        if prompt is None:
            if options.get("prompt_seconds") is not None and is_given("prompt_seconds"):
                raise RequestError("--prompt-seconds: there is no --prompt. Give the recording to continue.")
            return None
        path = paths.expand(prompt).absolute()
        if not path.is_file():
            raise RequestError(f"--prompt: {clean(str(prompt), 200)} is no file. Give the recording to continue.")
        return Settings({**options, "prompt": str(path), "prompt_sha256": prompts.fingerprint(str(path))})

    def load(self, header: CheckpointHeader, device: str) -> GenerativeModel:
        from distill_codec.model import CodecModel

        return CodecModel.load(header, device)

    def load_tokenizer(self, header: CheckpointHeader, device: str) -> Tokenizer:
        from distill_codec.tokenizer import CodecTokenizer

        return CodecTokenizer.load(header, device)

    def load_prior_learner(self, header: CheckpointHeader, device: str, seconds: float) -> PriorLearner:
        from distill_codec.prior_learner import CodecPriorLearner

        return CodecPriorLearner.load(header, device, seconds)


@hookimpl
def claim_checkpoint(header: CheckpointHeader) -> ModelLoader | None:
    return CodecLoader() if header.version == 3 and header.model_type == "codec" else None


@hookimpl
def claimed_types() -> list[tuple[int, str | None]]:
    return [(3, "codec")]


@hookimpl
def bundled_checkpoints() -> dict[str, Path]:
    return {"starter": Path(__file__).with_name("data") / "starter.distill"}


@hookimpl
def generation_options() -> list[click.Option]:
    return [
        options.temperature(), options.top_k(), options.top_p(), options.min_p(),
        options.number("--novelty", default=0.5, low=0.0, high=1.0,
                       help="From recombining the recordings, at 0, to keeping away from them, at 1."),
        click.Option(["--prompt"], metavar="FILE",
                     help="Continue this recording: files begin with its end, as the model hears it, and go on."),
        options.number("--prompt-seconds", default=None, low=0.0, high=3600.0, unit="s", metavar="SECONDS",
                       default_means=f"default {prompts.PROMPT_SECONDS:g}",
                       help="How much of the recording's end the files begin with; 0 is nothing of it."),
    ]  # fmt: skip


@hookimpl
def register_commands(cli: click.Group) -> None:
    cli.add_command(train_command.train)
    cli.add_command(train_prior_command.train_prior)
    cli.add_command(code_commands.reconstruct)
    cli.add_command(code_commands.encode)
    cli.add_command(code_commands.decode)
