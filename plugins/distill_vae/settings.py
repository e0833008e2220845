"""From the options of a command line to what will be generated: names looked up, nonsense refused. Nothing heavy."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from distill import CheckpointHeader, Settings
from distill.errors import DistillError, DistillWarning, RequestError
from distill.text import clean
from distill_vae.headers import version_1
from distill_vae.labels import Labels, positions, require_sliders
from distill_vae.options import EVOLUTION, WEIGHT
from distill_vae.presets import Preset, Presets

MOST_MODELS = 4


def settle(header: CheckpointHeader, options: Mapping[str, Any]) -> Settings:
    """The options that `header`'s model generates with: for each model, where its sliders stand, by index.

    `slider`: pairs of index and position, of MODEL. `blend`: path, weight and such pairs, of each other model.
    Raises `RequestError` for what cannot be met, `DistillError` for models to blend that are none.
    """
    others = _blended(header, options)
    preset = Presets.of(header).find(options["preset"]) if options["preset"] else None
    headers = [header, *(other for other, _ in others)]
    stands = _stands(headers, options, preset)
    steered = options["randomize_sliders"] or any(stands)
    if options["evolution"] is not None and not steered:
        _warn("--evolution: no slider is set, so there is no position to wander from. Ignored.")
    settled = {
        "slider": tuple(stands[0].items()),
        "randomize_sliders": options["randomize_sliders"],
        "evolution": EVOLUTION if options["evolution"] is None else options["evolution"],
        "preset": None if preset is None else preset.name,
        "blend": tuple(
            (str(other.path.absolute()), weight, tuple(stand.items()))
            for (other, weight), stand in zip(others, stands[1:], strict=True)
        ),
        "weight": WEIGHT if options["weight"] is None else options["weight"],
        "blend_mode": _blend_mode(headers, options["blend_mode"]) if others else None,
    }
    return Settings(settled, None if preset is None else preset.seed, headers[1:])


def _stands(
    headers: Sequence[CheckpointHeader], options: Mapping[str, Any], preset: Preset | None
) -> list[dict[int, int]]:
    """Where the sliders of each model stand, by index; nothing for one that has none, or none that is set."""
    flags = ["--slider"] * bool(options["slider"]) + ["--preset"] * (preset is not None)
    flags += ["--randomize-sliders"] * options["randomize_sliders"]
    if preset is not None and options["randomize_sliders"]:
        raise RequestError("--randomize-sliders: --preset sets every slider. Leave one of the two out.")
    models = [Labels.of(header) for header in headers]
    if not any(map(len, models)):
        if flags:
            _warn(f"{', '.join(flags)}: this model has no sliders. Random latents.")
        return [{} for _ in models]
    require_sliders(options["slider"], models)
    base = {} if preset is None else dict(enumerate(preset.positions))
    beyond = [index for index, position in base.items() if position and index >= max(map(len, models))]
    if preset is not None and beyond:
        _warn(f"--preset: {preset.name} sets slider {beyond[0]}, which {headers[0].name} has not. Ignored.")
    return [
        {index: at for index, at in base.items() if index < len(labels)} | positions(labels, options["slider"])
        for labels in models
    ]


def _blended(header: CheckpointHeader, options: Mapping[str, Any]) -> list[tuple[CheckpointHeader, float]]:
    """The other models of a blend and their weights."""
    asked: Sequence[tuple[str, float]] = options["blend"]
    for name in ("weight", "blend_mode"):
        if options[name] is not None and not asked:
            _warn(f"--{name.replace('_', '-')}: nothing is blended. Ignored.")
    if 1 + len(asked) > MOST_MODELS:
        raise RequestError(
            f"--blend: {1 + len(asked)} models are given, MODEL included; at most {MOST_MODELS} can be blended."
        )
    others = [(_other(reference), weight) for reference, weight in asked]
    for (one, _), (another, _) in combinations(others, 2):
        if one.path.samefile(another.path):
            raise RequestError(f"--blend: {one.name} is given twice; once is allowed. Give it the sum of its weights.")
    for other, _ in others:
        if other.path.samefile(header.path):
            _warn(f"--blend: {other.name} is MODEL itself, which adds to its weight and changes nothing else.")
    return others


def _other(reference: str) -> CheckpointHeader:
    try:
        return version_1(reference)
    except DistillError as error:
        raise type(error)(f"--blend: {error}") from error


def _blend_mode(headers: Sequence[CheckpointHeader], asked: str | None) -> str:
    """What is averaged. Raises `RequestError` where latents are `asked` for and cannot be."""
    differs = next((what for other in headers[1:] if (what := _difference(headers[0], other))), None)
    if asked == "latent" and differs:
        raise RequestError(f"--blend-mode latent: {differs}. Use --blend-mode audio.")
    return asked or ("audio" if differs else "latent")


def _difference(one: CheckpointHeader, other: CheckpointHeader) -> str | None:
    """Why the latents of two models cannot be averaged and decoded as one, in words; None where they can."""
    for what, found, sought in (
        ("latents of size", one.fields.get("latent_dim"), other.fields.get("latent_dim")),
        *((f"a {key} of", *pair) for key, pair in _paired("spectrogram_config", one, other).items()),
        ("chunks of", *_paired("training_config", one, other).get("chunk_duration_s", (1.0, 1.0))),
    ):
        if found != sought:
            return f"{one.name} has {what} {clean(found)}, {other.name} of {clean(sought)}"
    return None


def _paired(section: str, *headers: CheckpointHeader) -> dict[str, list[Any]]:
    """The values that headers have for each key of a section of theirs."""
    found = [value if isinstance(value := header.fields.get(section), dict) else {} for header in headers]
    return {key: [values.get(key) for values in found] for key in {key: None for values in found for key in values}}


def _warn(message: str) -> None:
    warnings.warn(message, DistillWarning, 3)
