"""A VAE checkpoint generates along a path through its latent space, which sliders steer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import save, vae_contents

from distill import GenerationRequest
from distill.checkpoint import read_header
from distill.errors import CheckpointError
from distill_vae.latents import slerp
from distill_vae.model import VaeModel

NONE: tuple[tuple[int, int], ...] = ()


def load(path: Path) -> VaeModel:
    header = read_header(path)
    assert header is not None
    return VaeModel.load(header, "cpu")


@pytest.fixture(scope="module")
def model(vae_file: Path) -> VaeModel:
    return load(vae_file)


def asking(seconds: float, sliders: tuple[tuple[int, int], ...] = NONE, seed: int = 3) -> GenerationRequest:
    return GenerationRequest(seed=seed, samples=round(seconds * 48000), options={"slider": sliders})


@pytest.mark.parametrize("seconds", [0.01, 1.0, 1.01, 1.9, 5.0])
def test_as_many_chunks_come_as_were_announced(model: VaeModel, seconds: float) -> None:
    asked = asking(seconds)
    chunks = list(model.generate(asked))
    assert len(chunks) == model.count_chunks(asked)
    assert sum(chunk.shape[1] for chunk in chunks) == asked.samples


def test_the_path_starts_half_way_between_the_sliders_and_chance(model: VaeModel) -> None:
    assert model.sliders is not None
    centre = model.sliders.latent({0: 10, 1: -10})
    starts = [next(model.latents(asking(5, ((0, 10), (1, -10)), seed))) for seed in range(20)]
    free = [next(model.latents(asking(5, seed=seed))) for seed in range(20)]
    np.testing.assert_allclose(starts, [slerp(centre, f, 0.5) for f in free])


def test_the_path_moves_on(model: VaeModel) -> None:
    points = np.array(list(model.latents(asking(30))))
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).min() > 0.01


def test_every_seed_has_a_path_of_its_own(model: VaeModel) -> None:
    starts = {next(model.latents(asking(1, seed=seed))).tobytes() for seed in range(50)}
    assert len(starts) == 50


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    contents = vae_contents()
    change(contents)
    return contents


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(latent_dim=9), r"decoder has fc.weight of shape \[3072, 8\]; \[3072, 9\] is needed"),
        (lambda c: c.update(latent_dim=None), "latent_dim is None; 1 to"),
        (lambda c: c.pop("training_config"), "has no training_config"),
        (lambda c: c["latent_analysis"].pop("pca_mean"), r"no finite pca_mean of shape \[8\]"),
        (lambda c: c["latent_analysis"].update(step_size=np.full(3, np.nan)), "no finite step_size"),
        (lambda c: c["latent_analysis"].update(n_active_components=4), "n_active_components is 4; 0 to 3 is needed"),
        (lambda c: c["latent_analysis"].update(pca_components=np.ones((3, 7))), r"pca_components of shape \[n, 8\]"),
        (lambda c: c["latent_analysis"].update(n_active_components="3"), "n_active_components is '3'; 0 to 3"),
        (lambda c: c.update(model_state_dict={}), "decoder lacks the tensor"),
    ],
)
def test_what_does_not_fit_together_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(save(changed(change), tmp_path / "m.distill"))


def test_components_that_are_not_active_are_no_sliders(tmp_path: Path) -> None:
    made = load(save(changed(lambda c: c["latent_analysis"].update(n_active_components=2)), tmp_path / "m.distill"))
    assert made.sliders is not None
    assert made.sliders.components.shape == (2, 8)
