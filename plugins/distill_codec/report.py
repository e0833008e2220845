"""The report of a training, one page of HTML that needs nothing else: curves, codebook use, sounds to compare."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from distill.audio.mel import Spectrogram
from distill.text import clean
from distill_codec.corpus import spread
from distill_codec.distance import file_distance
from distill_codec.evaluation import Figures, reconstruct
from distill_codec.networks import Codec

if TYPE_CHECKING:
    from distill_codec.training import Training

EXAMPLES, EXAMPLE_SECONDS = 5, 6
"""So many sounds that were held out, and as many that were trained on, of so many seconds at most."""
POINTS = 400
"""A curve is drawn with at most so many."""
WIDTH, HEIGHT = 720, 220
TICKS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 60.0)
PICTURE_BANDS, PICTURE_COLUMNS = 96, 360


Curve = Sequence[tuple[float, float]]
"""Steps, and a value at each."""


def page(name: str, training: Training, codec: Codec, figures: Figures) -> str:
    """The page, for the `codec` called `name` that came of a `training`."""
    history, corpus = training.history, training.corpus
    measured = [(step, far) for step, far in zip(history.steps, history.held_out, strict=True) if math.isfinite(far)]
    return rendered(
        "report.html",
        name=clean(name),
        figures=figures,
        corpus=corpus,
        skipped=[(clean(one.name, 200), one.reason) for one in corpus.skipped],
        settings=training.settings,
        shape=training.shape,
        split=training.split,
        steps=training.steps,
        planned=training.pace.steps,
        minutes=training.pace.spent / 60,
        curves=curves(
            {"loss": averaged(history.loss), "training": averaged(history.distance), "held_out": measured},
            training.steps,
        ),
        levels=list(zip(figures.used, figures.perplexity, strict=True)),
        examples=list(_examples(training, codec)),
    )


def rendered(template: str, **values: Any) -> str:
    """The page that a `template` of this package makes of `values`."""
    folder = jinja2.PackageLoader("distill_codec", "data")
    environment = jinja2.Environment(loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template(template).render(width=WIDTH, height=HEIGHT, **values)


def curves(by_name: Mapping[str, Curve], steps: int, extra: float | None = None) -> dict[str, Any]:
    """Curves in the picture's coordinates, by name, and where its `lines` are; `extra` is a value with a line."""
    values = [value for curve in by_name.values() for _, value in curve] + ([] if extra is None else [extra]) or [1.0]
    low, high = math.log10(min(values)) - 0.03, math.log10(max(values)) + 0.03

    def y(value: float) -> float:
        return HEIGHT * (high - math.log10(value)) / (high - low)

    def points(curve: Curve) -> str:
        return " ".join(f"{WIDTH * step / max(1, steps):.1f},{y(value):.1f}" for step, value in curve)

    lines = [(f"{v:g}", y(v)) for v in TICKS if low < math.log10(v) < high]
    return {name: points(curve) for name, curve in by_name.items()} | {
        "lines": lines, "extra": None if extra is None else y(extra),
    }  # fmt: skip


def averaged(values: Sequence[float]) -> list[tuple[float, float]]:
    """At most `POINTS` means of neighbouring values, each with the step in their middle."""
    if not values:
        return []
    pieces = np.array_split(np.array(values), min(POINTS, len(values)))
    ends = np.cumsum([len(piece) for piece in pieces])
    return [(float(end - len(p) / 2), float(max(p.mean(), 1e-4))) for end, p in zip(ends, pieces, strict=True)]


def _examples(training: Training, codec: Codec) -> Iterator[dict[str, Any]]:
    """Originals and reconstructions."""
    corpus = training.corpus
    for kind, parts in (("held out", training.split.held_out), ("trained on", training.split.training)):
        for part in spread(parts, EXAMPLES):
            sound = corpus.of(part, 0, EXAMPLE_SECONDS * corpus.sample_rate)
            made, _ = reconstruct(codec, sound)
            yield {
                "name": clean(part.name, 120),
                "kind": kind,
                "seconds": sound.shape[1] / corpus.sample_rate,
                "distance": file_distance(torch.from_numpy(sound), torch.from_numpy(made)),
                "sounds": [
                    (what, audio(one, corpus.sample_rate), *picture(one, corpus.sample_rate))
                    for what, one in (("original", sound), ("reconstruction", made))
                ],
            }


def audio(sound: NDArray[np.float32], sample_rate: int) -> str:
    """`sound [channels, samples]` as FLAC in base64."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(sound, -1, 1).T, sample_rate, format="FLAC", subtype="PCM_16")
    return base64.b64encode(file.getvalue()).decode()


def picture(sound: NDArray[np.float32], sample_rate: int) -> tuple[int, str]:
    """A spectrogram of `sound`: how many columns, and `PICTURE_BANDS` bytes for each in base64, the lowest band first.

    A byte is a level, 0 for -90 dB and 255 for 0 dB of a sine at full scale.
    """
    mono = torch.from_numpy(sound.mean(axis=0))
    hop = max(256, -(-len(mono) // PICTURE_COLUMNS))
    padded = torch.nn.functional.pad(mono, (0, max(0, 2048 - len(mono))))
    spectrogram = Spectrogram(sample_rate, 2048, min(hop, 1024), PICTURE_BANDS, power=1.0)
    mel = spectrogram.mel(padded) / (2048 / 4)
    columns = mel[:, :: max(1, hop // 1024)]
    levels = (20 * columns.clamp(min=1e-9).log10() / 90 + 1).clamp(0, 1) * 255
    return columns.shape[1], base64.b64encode(levels.T.to(torch.uint8).numpy().tobytes()).decode()
