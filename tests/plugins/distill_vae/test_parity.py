"""The VAE computes what the program that wrote the file computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distill.audio.stitching import overlap_add
from distill.checkpoint import read_header
from distill_vae.latents import slerp, trajectory
from distill_vae.networks import Vae

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture(scope="module")
def model(reference: Path) -> Vae:
    header = read_header(reference / "v1-vae-sliders.distill")
    assert header is not None
    return Vae.load(header, "cpu")


@pytest.fixture(scope="module")
def expected(reference: Path) -> dict[str, Any]:
    with np.load(reference / "v1-expected.npz") as arrays:
        return dict(arrays)


def test_latents_become_the_expected_mel(model: Vae, expected: dict[str, Any]) -> None:
    mel = model.decoder(torch.from_numpy(expected["z"]))
    torch.testing.assert_close(mel, torch.from_numpy(expected["mel"]), **TOLERANCE)


def test_slider_positions_become_the_expected_latents(model: Vae, expected: dict[str, Any]) -> None:
    assert model.sliders is not None
    latents = [model.sliders.latent(dict(enumerate(row))) for row in expected["slider_positions"].tolist()]
    np.testing.assert_allclose(latents, expected["slider_latents"], **TOLERANCE)


def test_slerp_gives_the_expected_points(expected: dict[str, Any]) -> None:
    start, end = expected["z"][:2].astype(np.float64)
    points = [slerp(start, end, t) for t in expected["slerp_t"].tolist()]
    np.testing.assert_allclose(points, expected["slerp"], **TOLERANCE)


def test_anchors_become_the_expected_trajectory(expected: dict[str, Any]) -> None:
    anchors = expected["z"].astype(np.float64)
    points = list(trajectory(lambda i: anchors[i], anchors=4, points=9))
    np.testing.assert_allclose(points, expected["trajectory"], **TOLERANCE)


def test_a_trajectory_becomes_the_expected_mel(model: Vae, expected: dict[str, Any]) -> None:
    mel = torch.cat(list(overlap_add(map(model.decode, expected["trajectory"]), model.hop)), dim=1)
    torch.testing.assert_close(mel, torch.from_numpy(expected["continuous_mel"])[0, 0], **TOLERANCE)


def test_parallel_vectors_are_joined_by_a_straight_line() -> None:
    start, end = np.array([1.0, 0.0]), np.array([3.0, 0.0])
    np.testing.assert_allclose(slerp(start, end, 0.25), [1.5, 0.0])


def test_a_zero_vector_has_no_direction_and_is_left_on_a_straight_line() -> None:
    np.testing.assert_allclose(slerp(np.zeros(2), np.array([0.0, 2.0]), 0.5), [0.0, 1.0])
