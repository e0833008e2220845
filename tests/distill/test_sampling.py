"""Logits to a token: temperature, top-k and top-p mean what they mean elsewhere, and draws follow the odds."""

from __future__ import annotations

import math

import pytest
import torch

from distill.errors import DistillError
from distill.sampling import filter_logits, sample

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0, 1.0]])


def kept(logits: torch.Tensor) -> list[int]:
    return torch.isfinite(logits[0]).nonzero()[:, 0].tolist()


def test_nothing_is_filtered_by_default() -> None:
    assert torch.equal(filter_logits(LOGITS), LOGITS)


def test_temperature_divides_the_logits() -> None:
    assert torch.equal(filter_logits(LOGITS, temperature=0.5), LOGITS * 2)


@pytest.mark.parametrize(("k", "expected"), [(1, [0]), (2, [0, 1, 4]), (3, [0, 1, 4]), (4, [0, 1, 2, 4])])
def test_top_k_keeps_the_largest_and_all_that_tie_with_the_last(k: int, expected: list[int]) -> None:
    assert kept(filter_logits(LOGITS, top_k=k)) == expected


@pytest.mark.parametrize("k", [0, 5, 10**9])
def test_top_k_of_none_or_all_is_off(k: int) -> None:
    assert kept(filter_logits(LOGITS, top_k=k)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.05, [0]), (0.49, [0]), (0.51, [0, 1]), (0.81, [0, 1, 2]), (0.0, [0, 1, 2, 3]), (1.0, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_token_that_crosses_p(p: float, expected: list[int]) -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert kept(filter_logits(logits, top_p=p)) == expected


def test_top_p_counts_what_top_k_left() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    assert kept(filter_logits(logits, top_k=2, top_p=0.55)) == [0]  # 0.4 of 0.7 is more than 0.55


def test_the_argument_is_left_as_it_is() -> None:
    logits = LOGITS.clone()
    filter_logits(logits, temperature=0.3, top_k=1, top_p=0.5)
    assert torch.equal(logits, LOGITS)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(DistillError, match="not finite"):
        filter_logits(torch.tensor([[0.0, bad]]))


def test_draws_follow_the_distribution() -> None:
    uniforms = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.2])
    tokens = sample(probabilities.log().expand(100_000, 4), uniforms)
    shares = torch.bincount(tokens, minlength=4) / 100_000
    torch.testing.assert_close(shares, probabilities, atol=2e-5, rtol=0)


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53, 1.0])
def test_a_token_that_was_filtered_out_is_never_drawn(uniform: float) -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.1, -math.inf]])
    assert sample(logits, torch.tensor([uniform], dtype=torch.float64)).item() in (1, 3)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    logits, uniforms = (
        torch.randn(16, 50, generator=torch.Generator().manual_seed(0)),
        torch.rand(16, dtype=torch.float64),
    )
    together = sample(logits, uniforms)
    alone = torch.cat([sample(logits[i : i + 1], uniforms[i : i + 1]) for i in range(16)])
    assert torch.equal(together, alone)
