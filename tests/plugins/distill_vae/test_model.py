"""A VAE checkpoint generates along a path through its latent space, which sliders steer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import save, vae_contents

from distill import GenerationRequest
from distill.checkpoint import read_header
from distill.errors import CheckpointError
from distill_vae.latents import Sliders, slerp
from distill_vae.model import VaeModel

Asking = Callable[..., GenerationRequest]


def load(path: Path) -> VaeModel:
    header = read_header(path)
    assert header is not None
    return VaeModel.load(header, "cpu")


@pytest.fixture(scope="module")
def model(vae_file: Path) -> VaeModel:
    return load(vae_file)


def points(model: VaeModel, request: GenerationRequest) -> list[Any]:
    """The points of the latent space that a file of one model goes through."""
    [part] = model.parts(request)
    return list(part.vae.path(request.samples, request.seed, part.positions, request.options["evolution"]))


@pytest.mark.parametrize("seconds", [0.01, 1.0, 1.01, 1.9, 5.0])
def test_as_many_chunks_come_as_were_announced(model: VaeModel, asking: Asking, seconds: float) -> None:
    asked = asking(seconds)
    chunks = list(model.generate(asked))
    assert len(chunks) == model.count_chunks(asked)
    assert sum(chunk.shape[1] for chunk in chunks) == asked.samples


@pytest.mark.parametrize("evolution", [0.0, 0.5, 1.0])
def test_the_path_starts_on_the_way_from_the_sliders_to_chance(
    model: VaeModel, asking: Asking, evolution: float
) -> None:
    assert model.vae.sliders is not None
    centre = model.vae.sliders.latent({0: 10, 1: -10})
    steered = {"slider": ((0, 10), (1, -10)), "evolution": evolution}
    starts = [points(model, asking(5, seed, **steered))[0] for seed in range(20)]
    free = [points(model, asking(5, seed))[0] for seed in range(20)]
    np.testing.assert_allclose(starts, [slerp(centre, f, evolution) for f in free])


def test_without_evolution_the_path_stays_where_the_sliders_are(model: VaeModel, asking: Asking) -> None:
    assert model.vae.sliders is not None
    stays = points(model, asking(30, slider=((2, 4),), evolution=0.0))
    np.testing.assert_allclose(stays, [model.vae.sliders.latent({2: 4})] * len(stays))


def test_the_path_moves_on(model: VaeModel, asking: Asking) -> None:
    moves = np.diff(np.array(points(model, asking(30))), axis=0)
    assert np.linalg.norm(moves, axis=1).min() > 0.01


def test_every_seed_has_a_path_of_its_own(model: VaeModel, asking: Asking) -> None:
    starts = {points(model, asking(1, seed))[0].tobytes() for seed in range(50)}
    assert len(starts) == 50


def test_drawn_sliders_are_within_the_safe_range_all_of_it_and_the_seeds_own(model: VaeModel, asking: Asking) -> None:
    drawn = [model.parts(asking(1, seed, randomize_sliders=True))[0].positions for seed in range(200)]
    assert {position for one in drawn if one for position in one.values()} == set(range(-8, 7))
    assert drawn[7] == model.parts(asking(2, 7, randomize_sliders=True))[0].positions
    assert len({str(one) for one in drawn}) > 190


def test_a_slider_that_is_set_is_not_drawn(model: VaeModel, asking: Asking) -> None:
    for seed in range(20):
        [part] = model.parts(asking(1, seed, randomize_sliders=True, slider=((1, 10),)))
        assert part.positions is not None
        assert (sorted(part.positions), part.positions[1]) == ([0, 1, 2], 10)


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
        (lambda c: c["latent_analysis"].update(safe_min=np.zeros(2)), r"no finite safe_min of shape \[3\]"),
        (lambda c: c["latent_analysis"].update(explained_variance_ratio="x"), "no finite explained_variance_ratio"),
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
    assert made.vae.sliders is not None
    assert made.vae.sliders.components.shape == (2, 8)


@pytest.mark.parametrize(
    ("step", "low", "high", "expected"),
    [
        (0.3, -2.4, 1.8, (-8, 6)),
        (0.3, -2.5, 1.9, (-8, 6)),  # whole positions inside the range
        (0.37319517, -4.324943, 3.1389604, (-10, 8)),  # not further than sliders go
        (0.1, -0.09999999, 0.29999998, (-1, 3)),  # what single precision takes away is given back
        (0.3, 0.1, 0.2, (0, 0)),
        (-0.3, -2.4, 1.8, (-6, 8)),
        (0.0, -2.4, 1.8, (-10, 10)),
        (1e-300, -1e300, 1e300, (-10, 10)),
    ],
)
def test_ranges_of_the_file_are_distances_and_become_positions(
    step: float, low: float, high: float, expected: tuple[int, int]
) -> None:
    analysis = vae_contents(sliders=1)["latent_analysis"]
    analysis |= {"step_size": np.array([step]), "safe_min": np.array([low]), "safe_max": np.array([high])}
    assert Sliders.from_analysis(analysis, 8).safe == (expected,)


def test_an_analysis_that_says_no_ranges_makes_all_positions_safe() -> None:
    analysis = vae_contents()["latent_analysis"]
    for name in ("safe_min", "safe_max", "warning_min", "explained_variance_ratio", "feature_correlations"):
        del analysis[name]
    sliders = Sliders.from_analysis(analysis, 8)
    assert (sliders.safe, sliders.warning) == (((-10, 10),) * 3,) * 2
    assert (sliders.variance, sliders.correlations) == (None, {})


def test_memory_does_not_grow_with_duration(vae_file: Path, tmp_path: Path) -> None:
    """A minute and a half takes no more memory than ten seconds do."""
    measure = "import resource, sys; from distill.cli import run; from distill.plugins import discover; "
    measure += "run(discover, sys.argv[1:]); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    peaks = []
    for seconds in ("10", "90"):
        command = [sys.executable, "-c", measure, "generate", vae_file, "-d", seconds, "-o", seconds, "-q"]
        command += ["--blend", f"{vae_file}:20", "--blend-mode", "audio", "--slider", "0:3"]
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
        assert made[0].endswith(".wav")
        peaks.append(int(made[1]))
    assert peaks[1] < peaks[0] + 8_000  # kB; a minute and a half of samples are 17,000
