"""From the options of a command line to what will be generated: names looked up, nonsense refused. Nothing heavy."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from distill import CheckpointHeader, Settings
from distill.errors import DistillError, DistillWarning, RequestError
from distill.options import is_given
from distill.text import clean
from distill_vae.headers import version_1
from distill_vae.labels import Labels, positions, require_sliders
from distill_vae.options import EVOLUTION, WEIGHT
from distill_vae.presets import Preset, Presets

MOST_MODELS = 4
SPECTROGRAM = ("sample_rate", "n_fft", "hop_length", "n_mels", "f_min", "f_max", "power")


def settle(header: CheckpointHeader, options: Mapping[str, Any]) -> Settings:
    """The options that `header`'s model generates with: for each model, where its sliders stand, by index.

    `slider`: pairs of index and position, of MODEL. `blend`: path, weight and such pairs, of each other model.
    Raises `RequestError` for what cannot be met, `DistillError` for models to blend that are none.
    """
    others = _blended(header, options)
    preset = None if options["preset"] is None else Presets.of(header).find(options["preset"])
    stands = _stands([Labels.of(header), *(labels for _, labels, _ in others)], options, preset)
    weight = WEIGHT if options["weight"] is None else options["weight"]
    weighed = [(header, weight), *((other, weight) for other, _, weight in others)]
    settled = {
        "slider": tuple(stands[0].items()),
        "randomize_sliders": options["randomize_sliders"],
        "evolution": EVOLUTION if options["evolution"] is None else options["evolution"],
        "preset": None if preset is None else preset.name,
        "blend": tuple(
            (str(other.path.absolute()), weight, tuple(stand.items()))
            for (other, _, weight), stand in zip(others, stands[1:], strict=True)
        ),
        "weight": weight,
        "blend_mode": _blend_mode(weighed, options["blend_mode"]) if others else None,
    }
    return Settings(settled, None if preset is None else preset.seed, [other for other, _, _ in others])


def _stands(models: Sequence[Labels], options: Mapping[str, Any], preset: Preset | None) -> list[dict[int, int]]:
    """Where the sliders of each model stand, by index; nothing for one that has none, or none that is set."""
    if preset is not None and options["randomize_sliders"]:
        raise RequestError("--randomize-sliders: --preset sets every slider. Leave one of the two out.")
    given = {
        "--slider": bool(options["slider"]),
        "--preset": preset is not None,
        "--randomize-sliders": options["randomize_sliders"],
    }
    steered, evolves = any(given.values()), options["evolution"] is not None
    if not any(map(len, models)):
        flags = [flag for flag, is_given in (given | {"--evolution": evolves}).items() if is_given]
        if flags:
            _warn(f"{', '.join(flags)}: this model has no sliders. Random latents.")
        return [{} for _ in models]
    if evolves and not steered and is_given("evolution"):
        _warn("--evolution: no slider is set, so there is no position to wander from. Ignored.")
    require_sliders(options["slider"], models)
    base = {} if preset is None else dict(enumerate(preset.positions))
    beyond = [index for index, position in base.items() if position and index >= max(map(len, models))]
    if preset is not None and beyond:
        _warn(f"--preset: {preset.name} sets slider {beyond[0]}, which {models[0].model} has not. Ignored.")
    return [
        {index: at for index, at in base.items() if index < len(labels)} | positions(labels, options["slider"])
        for labels in models
    ]


def _blended(header: CheckpointHeader, options: Mapping[str, Any]) -> list[tuple[CheckpointHeader, Labels, float]]:
    """The other models of a blend, what their sliders are called, and their weights."""
    asked: Sequence[tuple[Path, float]] = options["blend"]
    for name in ("weight", "blend_mode"):
        if options[name] is not None and not asked and is_given(name):
            _warn(f"--{name.replace('_', '-')}: nothing is blended. Ignored.")
    if 1 + len(asked) > MOST_MODELS:
        raise RequestError(
            f"--blend: {1 + len(asked)} models are given, MODEL included; at most {MOST_MODELS} can be blended."
        )
    others = [(*_other(path), weight) for path, weight in asked]
    for (one, *_), (another, *_) in combinations(others, 2):
        if one.path.samefile(another.path):
            raise RequestError(f"--blend: {one.name} is given twice; once is allowed. Give it the sum of its weights.")
    for other, *_ in others:
        if other.path.samefile(header.path):
            _warn(f"--blend: {other.name} is MODEL itself, which adds to its weight and changes nothing else.")
    return others


def _other(path: Path) -> tuple[CheckpointHeader, Labels]:
    """The header of a model to blend, and what its sliders are called."""
    whose = ""
    try:
        header = version_1(path)
        whose = f"{header.name}: "  # from here on, errors do not name it
        return header, Labels.of(header)
    except DistillError as error:
        raise type(error)(f"--blend: {whose}{error}") from error


def _blend_mode(weighed: Sequence[tuple[CheckpointHeader, float]], asked: str | None) -> str:
    """What is averaged of the models that have a weight, or, where none has, of all.

    Raises `RequestError` where latents are `asked` for and cannot be.
    """
    first, *others = [header for header, weight in weighed if weight > 0] or [header for header, _ in weighed]
    differs = next((what for other in others if (what := _difference(first, other))), None)
    if asked == "latent" and differs:
        raise RequestError(f"--blend-mode latent: {differs}. Use --blend-mode audio.")
    return asked or ("audio" if differs else "latent")


def _difference(one: CheckpointHeader, other: CheckpointHeader) -> str | None:
    """Why the latents of two models cannot be averaged and decoded as one, in words; None where they can."""
    own, others = _sizes(one), _sizes(other)
    differs = [name for name in own if own[name] != others[name]]
    if not differs:
        return None
    name = differs[0]
    return f"{one.name} has {name} {clean(own[name], 40)}, {other.name} has {clean(others[name], 40)}"


def _sizes(header: CheckpointHeader) -> dict[str, Any]:
    """What must agree for models to share a path and a spectrum, as their configuration says it."""
    spectrogram, training = (
        section if isinstance(section := header.fields.get(name), dict) else {}
        for name in ("spectrogram_config", "training_config")
    )
    sizes = {name: spectrogram.get(name) for name in SPECTROGRAM}
    if sizes["f_max"] is None and isinstance(sizes["sample_rate"], int):
        sizes["f_max"] = sizes["sample_rate"] / 2
    chunk = training.get("chunk_duration_s", 1.0)
    return {"latent_dim": header.fields.get("latent_dim"), **sizes, "chunk_duration_s": chunk}


def _warn(message: str) -> None:
    warnings.warn(message, DistillWarning, 3)
