"""Loader plugin for version 3 of the format, a codec trained on the user's own sounds, and its commands. Hooks only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from distill import CheckpointHeader, GenerativeModel, ModelLoader, Tokenizer, hookimpl
from distill.errors import CheckpointError
from distill_codec import code_commands, train_command

PLUGIN_API = 1


class CodecLoader(ModelLoader):
    """Loads version 3 checkpoints of `model_type` "codec"."""

    name = "codec"
    kind = "codec"

    def check(self, header: CheckpointHeader, options: Mapping[str, Any]) -> None:
        raise _without_prior(header)

    def load(self, header: CheckpointHeader, device: str) -> GenerativeModel:
        raise _without_prior(header)

    def load_tokenizer(self, header: CheckpointHeader, device: str) -> Tokenizer:
        from distill_codec.tokenizer import CodecTokenizer

        return CodecTokenizer.load(header, device)


def _without_prior(header: CheckpointHeader) -> CheckpointError:
    return CheckpointError(
        f"{header.name} has no trained prior, and cannot generate without one. "
        "'distill reconstruct', 'encode' and 'decode' work with it."
    )


@hookimpl
def claim_checkpoint(header: CheckpointHeader) -> ModelLoader | None:
    return CodecLoader() if header.version == 3 and header.model_type == "codec" else None


@hookimpl
def claimed_types() -> list[tuple[int, str | None]]:
    return [(3, "codec")]


@hookimpl
def register_commands(cli: click.Group) -> None:
    cli.add_command(train_command.train)
    cli.add_command(code_commands.reconstruct)
    cli.add_command(code_commands.encode)
    cli.add_command(code_commands.decode)
