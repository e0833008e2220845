"""The report of a prior's training, one page of HTML that needs nothing else: curves, bits by level, sounds it made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from distill import GenerationRequest
from distill.cli.generate import own_parameters
from distill.declarations import Declared
from distill.plugins import Plugins
from distill.registry import Claim
from distill.text import clean
from distill_codec import report
from distill_codec.corpus import Corpus, Split, spread
from distill_codec.prior_figures import PriorFigures

if TYPE_CHECKING:
    from distill_codec.prior_training import PriorTraining

EXAMPLES, EXAMPLE_SECONDS = 4, 8
"""So many sounds that were generated, and as many recordings, of so many seconds at most."""


def page(
    plugins: Plugins, claim: Claim, corpus: Corpus, parts: Split, training: PriorTraining, figures: PriorFigures
) -> str:
    """The page, for the model of `claim`, which a `training` on `parts` of `corpus` has just given a prior."""
    history = training.history
    held_out = [sum(bits) for bits in history.held_out]
    return report.rendered(
        "prior_report.html",
        name=claim.header.name,
        figures=figures,
        corpus=corpus,
        split=parts,
        settings=training.settings,
        steps=training.steps,
        kept=history.steps[history.best] if history.best is not None else training.steps,
        minutes=training.pace.spent / 60,
        levels=list(zip(figures.bits, figures.unigram, strict=True)),
        curves=report.curves(
            {"loss": report.averaged(history.loss), "held_out": list(zip(history.steps, held_out, strict=True))},
            training.steps,
            extra=float(training.unigram.sum()) if figures.bits else None,
        ),
        examples=[*_generated(plugins, claim), *_recordings(corpus, parts)],
    )


def _generated(plugins: Plugins, claim: Claim) -> Iterator[dict[str, Any]]:
    model = claim.loader.load(claim.header, "cpu")
    options = plugins.generation_options(own_parameters()).get(claim.plugin, Declared()).defaults
    samples = EXAMPLE_SECONDS * model.sample_rate
    requests = [GenerationRequest(seed, samples, options) for seed in range(1, 1 + EXAMPLES)]
    for request, generation in zip(requests, model.generate_batch(requests), strict=True):
        sound = np.concatenate(list(generation.chunks), axis=1)
        told = ", ".join(
            f"{clean(name).replace('_', ' ')} {value:.3g}" for name, value in generation.statistics().items()
        )
        yield _example(f"seed {request.seed}", f"generated. {told}", sound, model.sample_rate)


def _recordings(corpus: Corpus, parts: Split) -> Iterator[dict[str, Any]]:
    for part in spread(parts.training, EXAMPLES):
        sound = corpus.of(part, 0, EXAMPLE_SECONDS * corpus.sample_rate)
        yield _example(clean(part.name, 120), "recording", sound, corpus.sample_rate)


def _example(name: str, kind: str, sound: NDArray[np.float32], sample_rate: int) -> dict[str, Any]:
    louder = sound / max(1e-6, float(np.abs(sound).max()))
    columns, levels = report.picture(louder, sample_rate)
    return {
        "name": name,
        "kind": kind,
        "audio": report.audio(louder, sample_rate),
        "columns": columns,
        "levels": levels,
    }
