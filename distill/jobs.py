"""What is asked of a model: `Job`, and what can be refused of it before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distill import naming
from distill.audio.formats import OutputFormat, output_format
from distill.checkpoint import CheckpointHeader
from distill.errors import RequestError
from distill.output import Output
from distill.registry import Claim

MAX_SEED = 2**63 - 1
RATE_OF_ALL = 48000
"""A sample rate that every format can have, in Hz."""


@dataclass(frozen=True)
class Job:
    """What was asked for: a file for each of `seeds`. `duration` in seconds.

    `options` are those of the claiming plugin, by parameter name. `models` are other checkpoints that they draw in.
    `batch_size` None: what memory allows. `date` is for the tags, None for today. `described` is what sidecars say of
    the models, where that is known already.
    """

    claim: Claim
    options: Mapping[str, Any]
    duration: float
    seeds: Sequence[int]
    output: Output = field(default_factory=Output)
    device: str = "auto"
    precision: str = "float32"
    batch_size: int | None = None
    distribution: str | None = None
    models: Sequence[CheckpointHeader] = ()
    date: str | None = None
    described: Mapping[str, Any] | None = None

    @property
    def has_common_level(self) -> bool:
        """Whether the level of each file depends on all of them."""
        return self.output.normalize == "batch" and self.output.gain is None

    def check(self) -> None:
        """Raise `DistillError` for what cannot be, as far as that is told without the model."""
        output = self.output
        check_output(output)
        naming.check(output.name)
        if output.overwrite and len(self.seeds) > 1 and not naming.tells_files_apart(output.name):
            raise RequestError(
                "--overwrite: the files of a run would overwrite each other. Put {seed} or {index} in --name."
            )


def check_output(output: Output) -> None:
    """Raise `DistillError` where no file can be made as asked, as far as that is told without the model."""
    file_format(output, output.sample_rate or RATE_OF_ALL)
    if output.plot:
        from distill.audio import pictures

        pictures.check()
    if output.space is not None and output.space.mode == "binaural":
        from distill.audio import hrtf

        hrtf.load(output.space.hrtf)


def file_format(output: Output, sample_rate: int) -> OutputFormat:
    """The format of files at `sample_rate` Hz. Raises `RequestError` where there is none of that kind."""
    return output_format(output.format, sample_rate, output.bit_depth, output.quality, output.compression)
