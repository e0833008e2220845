"""How finished files are asked for: format, space, level, names, tags. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distill.audio import tags
from distill.audio.space import Space
from distill.errors import RequestError
from distill.text import has_control_characters

NORMALIZATIONS = ("peak", "loudness", "batch", "none")
"""What sets the level of a file: its own loudest sample, its loudness, the loudest sample of its batch, or nothing."""
LUFS = -16.0
NAME = "{model}-{seed}"
OWN_TAGS = ("seed", "model", "loader", "distill")
"""Tags that say how a file was made, which are not for others to set."""


def check_tags(asked: Mapping[str, str]) -> None:
    """Raise `RequestError` where one of these tags is not for anybody to ask for, or cannot be written."""
    tags.check(asked)
    for name, text in asked.items():
        if name in OWN_TAGS:
            raise RequestError(f"--tag: {name} says how the file was made; choose another key.")
        if has_control_characters(text):
            raise RequestError(f"--tag: the text of {name!r} has control characters. Leave them out.")


@dataclass(frozen=True)
class Output:
    """What to make of the sound that a model gives. None is the default of the format, or the model's own.

    `name` is a template (`distill.naming`). `sample_rate` in Hz; `quality` 0 to 10; `compression` 0 to 8. `space` None:
    the model's own channels. `two_seeds`: left and right are two files of a mono model. `lufs` counts where the
    level is set by loudness; a `gain` that is given sets it instead, as it came of a run of `level_seeds`: the
    first, how many. `tags` stand beside, or in place of, those that every file gets. `plot`: a picture of each.
    """

    directory: Path = Path()
    name: str = NAME
    overwrite: bool = False
    format: str = "wav"
    sample_rate: int | None = None
    bit_depth: str | None = None
    quality: float | None = None
    compression: int | None = None
    space: Space | None = None
    two_seeds: bool = False
    normalize: str = "peak"
    lufs: float = LUFS
    gain: float | None = None
    level_seeds: tuple[int, int] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    plot: bool = False
