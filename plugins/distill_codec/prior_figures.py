"""What a prior is worth in figures: what codes it has never met cost it, and when it began to learn by heart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill_codec.prior_training import PriorTraining


@dataclass(frozen=True)
class PriorFigures:
    """What a prior is worth.

    By level, coarsest first: what a held-out code costs it in `bits`, and what it costs to count codes (`unigram`);
    both empty where nothing was held out. `warnings` are in plain words.
    """

    bits: Sequence[float]
    unigram: Sequence[float]
    warnings: Sequence[str] = field(default_factory=list)

    @property
    def saved(self) -> float | None:
        """The share of bits that it saves over counting, all levels together."""
        return 1 - sum(self.bits) / sum(self.unigram) if self.bits else None

    @property
    def saved_coarsest(self) -> float | None:
        """The same, at the coarsest level."""
        return 1 - self.bits[0] / self.unigram[0] if self.bits else None

    def config(self) -> dict[str, Any]:
        """What a checkpoint says of these figures: plain values."""
        return asdict(self)

    @classmethod
    def of(cls, training: PriorTraining) -> PriorFigures:
        """The figures of what `training` has kept."""
        history = training.history
        best = history.best
        if best is None:
            return cls([], [])
        figures = cls(history.held_out[best], training.unigram.tolist())
        warnings = []
        saved = figures.saved
        if saved is not None and saved <= 0:
            warnings.append(
                "On sounds that it was not trained on, it is no better than counting how often each code comes: it "
                "knows these recordings, and little beside them. More recordings would help most."
            )
        if history.memorises:
            warnings.append(
                f"It began to learn the recordings by heart: sounds that were held out were told best after step "
                f"{history.steps[best]} of {training.steps}. What it was then is what is kept; a shorter training "
                "would have done."
            )
        return cls(figures.bits, figures.unigram, warnings)
