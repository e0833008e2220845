"""The VQ-VAE and its prior compute what the program that wrote the file computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distill.checkpoint import read_header
from distill_vqvae.model import VqvaeModel

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture(scope="module")
def model(reference: Path) -> VqvaeModel:
    header = read_header(reference / "v2-vqvae-prior.distill")
    assert header is not None
    return VqvaeModel.load(header, "cpu")


@pytest.fixture(scope="module")
def expected(reference: Path) -> dict[str, Any]:
    with np.load(reference / "v2-expected.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


def test_codes_become_the_expected_embeddings(model: VqvaeModel, expected: dict[str, Any]) -> None:
    torch.testing.assert_close(model.vqvae.embed(expected["codes"]), expected["embeddings"], **TOLERANCE)


def test_embeddings_become_the_expected_mel(model: VqvaeModel, expected: dict[str, Any]) -> None:
    torch.testing.assert_close(model.vqvae.decode(expected["embeddings"]), expected["mel"], **TOLERANCE)


def test_a_waveform_becomes_the_expected_log_mel(model: VqvaeModel, expected: dict[str, Any]) -> None:
    log_mel = model.spectrogram.log_mel(expected["wave"])[None, None]
    torch.testing.assert_close(log_mel, expected["wave_log_mel"], **TOLERANCE)


def test_a_log_mel_becomes_the_expected_codes(model: VqvaeModel, expected: dict[str, Any]) -> None:
    assert torch.equal(model.vqvae.encode(expected["wave_log_mel"]), expected["wave_codes"].long())


def test_a_waveform_is_reconstructed_as_expected(model: VqvaeModel, expected: dict[str, Any]) -> None:
    codes = model.vqvae.encode(model.spectrogram.log_mel(expected["wave"])[None, None])
    torch.testing.assert_close(model.vqvae.decode(model.vqvae.embed(codes)), expected["wave_recon_mel"], **TOLERANCE)


def test_the_prior_gives_the_expected_logits(model: VqvaeModel, expected: dict[str, Any]) -> None:
    tokens = expected["tokens"].long()
    torch.testing.assert_close(
        model.prior(tokens, 0, model.prior.new_cache(len(tokens))), expected["logits"], **TOLERANCE
    )


def test_the_cached_prior_continues_greedily_as_expected(model: VqvaeModel, expected: dict[str, Any]) -> None:
    greedy = expected["greedy"].long()
    cache = model.prior.new_cache(len(greedy))
    tokens = greedy[:, :1]
    for position in range(greedy.shape[1] - 1):
        logits = model.prior(tokens[:, -1:], position, cache)[:, -1]
        tokens = torch.cat([tokens, logits.argmax(dim=-1, keepdim=True)], dim=1)
    assert torch.equal(tokens, greedy)
