"""The sizes of a prior: what a checkpoint's `prior_config` says, checked. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from distill.checkpoint import malformed, whole_number


@dataclass(frozen=True)
class PriorShape:
    """The sizes of a prior.

    `width` of its transformer, of `layers` with `heads` each; `window`, in frames of codes, is how far a layer looks
    back, the frame itself included.
    """

    width: int = 160
    layers: int = 4
    heads: int = 5
    window: int = 128

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> PriorShape:
        """The shape in a checkpoint's dictionary. Raises `CheckpointError` naming a setting that is missing or odd."""
        shape = cls(**{field.name: whole_number(config, field.name, _MOST[field.name]) for field in fields(cls)})
        if shape.width % shape.heads:
            raise malformed(
                f"The checkpoint's prior has {shape.heads} heads, which do not divide its width {shape.width}."
            )
        return shape

    def config(self) -> dict[str, Any]:
        """What a checkpoint says of this shape: plain values."""
        return asdict(self)


_MOST = {"width": 2**14, "layers": 256, "heads": 2**10, "window": 2**14}
