"""What a model's sliders are called, from its header alone. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distill import CheckpointHeader
from distill.checkpoint import whole_number
from distill.errors import RequestError
from distill.text import clean, near

POSITION = 10
"""Sliders stand from -10 to 10."""

MOST_SLIDERS = 2**14

Slider = int | str
"""A slider as it is called on the command line: by index, from 0 on, or by name."""


@dataclass(frozen=True)
class Labels:
    """The sliders of the model `model`, by index: its own labels, and those it suggests."""

    model: str
    own: tuple[str, ...]
    suggested: tuple[str, ...]

    @classmethod
    def of(cls, header: CheckpointHeader) -> Labels:
        """Those of the checkpoint, none where it has no latent analysis.

        Raises `CheckpointError` where that is damaged.
        """
        analysis = header.fields.get("latent_analysis")
        if not isinstance(analysis, dict):
            return cls(header.name, (), ())
        count = whole_number(analysis, "n_active_components", low=0, high=MOST_SLIDERS)
        return cls(
            header.name, _texts(analysis, "component_labels", count), _texts(analysis, "suggested_labels", count)
        )

    def __len__(self) -> int:
        return len(self.own)

    def find(self, slider: Slider) -> int | None:
        """The index of `slider`; None where the model has it not.

        Names are those in `own` or `suggested`, in any case; spaces, hyphens and underscores are alike. Raises
        `RequestError` where several sliders have the name.
        """
        if isinstance(slider, int):
            return slider if slider < len(self) else None
        for labels in (self.own, self.suggested):
            found = [index for index, label in enumerate(labels) if _folded(label) == _folded(slider)]
            if len(found) > 1:
                numbers = ", ".join(map(str, found))
                raise RequestError(
                    f"--slider: {self.model} has several sliders {clean(slider)!r}: {numbers}. Give one."
                )
            if found:
                return found[0]
        return None

    def instead(self, slider: Slider) -> str:
        """What there is in place of a `slider` that the model has not: those near it, else what it has."""
        if isinstance(slider, int):
            return f"{self.model} has sliders 0 to {len(self) - 1}"
        names = {_folded(label): label for label in (*self.suggested, *self.own)}.values()
        found = near(slider, names)
        return f"near it: {', '.join(found)}" if found else f"{self.model} has: {', '.join([*names][:8])}"


def positions(labels: Labels, given: Iterable[tuple[Slider, int]]) -> dict[int, int]:
    """The positions by index that `given` says, of those sliders that the model has.

    Raises `RequestError` where one is given twice.
    """
    found: dict[int, int] = {}
    for slider, position in given:
        index = labels.find(slider)
        if index is None:
            continue
        if index in found:
            raise RequestError(f"--slider: slider {index} of {labels.model} is given twice; once is allowed.")
        found[index] = position
    return found


def require_sliders(given: Iterable[tuple[Slider, int]], models: Sequence[Labels]) -> None:
    """Raise `RequestError` for a slider that is `given` and that none of the `models` has; one at least has sliders."""
    having = [labels for labels in models if len(labels)]
    for slider, _ in given:
        if all(labels.find(slider) is None for labels in having):
            called = f"slider {slider}" if isinstance(slider, int) else f"slider named {clean(slider)!r}"
            listed = ", ".join(labels.model for labels in models)
            none = f"none of {listed} has a" if len(models) > 1 else f"{listed} has no"
            raise RequestError(f"--slider: {none} {called}; {having[0].instead(slider)}.")


def _texts(analysis: Mapping[str, Any], name: str, count: int) -> tuple[str, ...]:
    """`count` labels in the list `name`, fit to be shown; where it has none, the component's number, from 1 on."""
    value = analysis.get(name)
    found = value if isinstance(value, list) else []
    texts = (
        clean(found[index], 40) if index < len(found) and isinstance(found[index], str) else ""
        for index in range(count)
    )
    return tuple(text or f"Axis {index}" for index, text in enumerate(texts, 1))


def _folded(label: str) -> str:
    return " ".join(label.replace("-", " ").replace("_", " ").casefold().split())
