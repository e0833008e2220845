"""What a training is asked for, in plain values that its files carry. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from distill.checkpoint import whole_number
from distill_codec.shape import Shape

SECONDS_PER_MINUTE = 60


@dataclass(frozen=True)
class TrainingSettings:
    """What a training is asked for.

    `minutes` of training or `epochs` of the corpus, the other is None. A batch is `batch_size` crops of `crop_frames`
    frames of codes. `hold_out` is the share of the corpus that is not trained on, 0 to 0.5. All chance comes from
    `seed`.
    """

    minutes: float | None
    epochs: int | None
    batch_size: int
    crop_frames: int
    learning_rate: float = 1e-3
    hold_out: float = 0.1
    augmentation: bool = True
    adversarial: bool = False
    seed: int = 0

    def config(self) -> dict[str, Any]:
        """What a checkpoint says of these settings: plain values."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainingSettings:
        """The settings in a training's file.

        Raises `CheckpointError`, `KeyError`, `TypeError` or `ValueError` where they are none.
        """
        whole_number(config, "batch_size", 2**16)
        whole_number(config, "crop_frames", 2**16)
        if not 0 <= config["hold_out"] <= 0.5 or not 0 < config["learning_rate"] < 1:
            raise ValueError("the settings are out of range")
        return cls(**config)


@dataclass(frozen=True)
class Sizes:
    """The `shape` of a codec to train, and of its batches: crops, and frames of codes in each."""

    shape: Shape
    batch_size: int
    crop_frames: int


SIZES = ("auto", "small")
SMALL_WIDTH = 176
"""Half the parameters of the width that suits a CPU."""


def sizes_for(seconds: float, channels: int, device: str, size: str = "auto") -> Sizes:
    """The sizes that suit a corpus of so many `seconds` on a `device`, or a `size` of `SIZES`.

    On a CPU time is what limits a training, and a wider network is slower in the same measure; on a GPU it costs
    little. What little audio needs is not width (docs/decisions/codec.md).
    """
    if device == "cpu" or size == "small":
        width = SMALL_WIDTH if size == "small" else Shape.width
        return Sizes(Shape(channels=channels, width=width), batch_size=12, crop_frames=24)
    width = 384 if seconds < 20 * SECONDS_PER_MINUTE else 512
    return Sizes(Shape(channels=channels, width=width), batch_size=32, crop_frames=48)


def minutes_for(seconds: float, device: str) -> float:
    """How long to train on a corpus of so many `seconds`, where nobody says: half an hour for a minute of audio.

    Twice that for 16 times the audio; half of it on a GPU.
    """
    minutes = 30 * max(1.0, seconds / SECONDS_PER_MINUTE) ** 0.25
    return float(round(minutes if device == "cpu" else minutes / 2))
