"""Logits to a token: the filters mean what they mean elsewhere, and draws follow the odds that they leave."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from distill.errors import NotFiniteError
from distill.sampling import Odds, candidates, columns, entropy, filter_logits, odds, sample

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0, 1.0]])


def plainly(
    logits: list[float], temperature: float, top_k: int, top_p: float, min_p: float
) -> tuple[dict[int, float], float]:
    """The probability of each token that may be drawn, one filter after the other, as its definition says.

    And how near a filter was to deciding otherwise: the least distance of a sum from `top_p`, or a ratio from `min_p`.
    """
    left = {token: logit / temperature for token, logit in enumerate(logits)}
    margin = 1.0
    if top_k:
        kth = sorted(left.values(), reverse=True)[: min(top_k, len(left))][-1]
        left = {token: logit for token, logit in left.items() if logit >= kth}

    def probabilities() -> dict[int, float]:
        top = max(left.values())
        total = math.fsum(math.exp(logit - top) for logit in left.values())
        return {token: math.exp(logit - top) / total for token, logit in left.items()}

    if 0 < top_p < 1:
        found = probabilities()
        kept: list[int] = []
        for token in sorted(left, key=lambda token: (-left[token], token)):
            reached = math.fsum(found[t] for t in kept)
            margin = min(margin, abs(reached - top_p))
            if reached < top_p:
                kept.append(token)
        left = {token: left[token] for token in kept}
    if min_p:
        found = probabilities()
        ratios = {token: p / max(found.values()) for token, p in found.items()}
        margin = min([margin, *(abs(ratio - min_p) for ratio in ratios.values() if ratio < 1)])
        left = {token: left[token] for token, ratio in ratios.items() if ratio >= min_p}
    return probabilities(), margin


# Of few bits, so that ties are common and dividing them by a temperature makes none.
some_logits = st.lists(st.integers(-64, 64).map(lambda eighths: eighths / 8), min_size=1, max_size=24)
some_settings = st.tuples(
    st.floats(0.1, 2.0), st.integers(0, 30), st.sampled_from([0.0, 1.0]) | st.floats(0, 1), st.floats(0, 1)
)


@given(some_logits, some_settings)
@settings(max_examples=500, deadline=None)
def test_what_may_be_drawn_and_how_often_is_what_the_definitions_say(
    logits: list[float], how: tuple[float, int, float, float]
) -> None:
    expected, margin = plainly(logits, *how)
    assume(margin > 1e-9)  # nearer than that, rounding may decide
    found = odds(torch.tensor([logits]), *how)
    probabilities = (found.weights / found.weights.sum())[0].tolist()
    by_token = {token: p for token, p in zip(found.tokens[0].tolist(), probabilities, strict=True) if p}
    assert by_token == pytest.approx({token: p for token, p in expected.items() if p > 1e-300}, rel=1e-9)
    assert candidates(found.weights).item() == len(by_token) > 0
    bits = -math.fsum(p * math.log2(p) for p in by_token.values())
    assert entropy(found.weights).item() == pytest.approx(bits, abs=1e-9)


@given(some_logits, some_settings)
@settings(max_examples=200, deadline=None)
def test_filtered_logits_are_the_odds_as_logits(logits: list[float], how: tuple[float, int, float, float]) -> None:
    allowed = odds(torch.tensor([logits]), *how)
    kept = set(allowed.tokens[0][allowed.weights[0] > 0].tolist())
    filtered = filter_logits(torch.tensor([logits]), *how)[0]
    assert {i for i in range(len(logits)) if filtered[i] > -math.inf} == kept
    for token in kept:
        assert filtered[token].item() == pytest.approx(logits[token] / how[0], rel=1e-6)


@given(some_logits, some_settings, st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_token_that_was_filtered_out_is_never_drawn(
    logits: list[float], how: tuple[float, int, float, float], seed: int
) -> None:
    allowed = odds(torch.tensor([logits]).expand(66, -1), *how)
    uniforms = torch.rand(66, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    uniforms[:2] = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    kept = set(allowed.tokens[0][allowed.weights[0] > 0].tolist())
    assert set(allowed.draw(uniforms).tolist()) <= kept
    assert set(sample(filter_logits(torch.tensor([logits]).expand(66, -1), *how), uniforms).tolist()) <= kept


@pytest.mark.parametrize("how", [(1.0, 0, 0.0, 0.0), (0.7, 12, 0.0, 0.0), (1.3, 0, 0.9, 0.0), (2.0, 20, 0.95, 0.1)])
@pytest.mark.parametrize("drawing", ["odds", "sample"])
def test_draws_follow_the_filtered_distribution(how: tuple[float, int, float, float], drawing: str) -> None:
    """By a chi-square test: a right implementation fails it once in ten thousand seeds, and this seed it does not."""
    generator = torch.Generator().manual_seed(4)
    logits = 2 * torch.randn(1, 30, generator=generator)
    draws = 50_000
    uniforms = torch.rand(draws, dtype=torch.float64, generator=generator)
    many = logits.expand(draws, -1)
    tokens = odds(many, *how).draw(uniforms) if drawing == "odds" else sample(filter_logits(many, *how), uniforms)
    assert chi_square(tokens, plainly(logits[0].tolist(), *how)[0]) > 1e-4


def chi_square(tokens: torch.Tensor, expected: dict[int, float]) -> float:
    """The probability that draws of the `expected` probabilities are as far from them as `tokens` are."""
    counts = torch.bincount(tokens, minlength=max(expected) + 1).double()
    wanted = torch.zeros_like(counts)
    wanted[list(expected)] = torch.tensor(list(expected.values()), dtype=torch.float64) * len(tokens)
    assert not counts[wanted == 0].any()
    rare = wanted < 10  # lumped together: the test wants no small counts
    found, due = (torch.cat([x[~rare], x[rare].sum()[None]]) for x in (counts, wanted))
    found, due = found[due > 0], due[due > 0]
    statistic = ((found - due) ** 2 / due).sum()
    return float(torch.special.gammaincc(torch.tensor((len(due) - 1) / 2).double(), statistic / 2))


def test_the_chi_square_test_sees_a_wrong_distribution() -> None:
    uniforms = torch.rand(50_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    tokens = sample(torch.tensor([[0.30, 0.30, 0.40]]).log().expand(50_000, -1), uniforms)
    assert chi_square(tokens, {0: 0.30, 1: 0.30, 2: 0.40}) > 1e-4
    assert chi_square(tokens, {0: 0.31, 1: 0.30, 2: 0.39}) < 1e-4


def kept(logits: torch.Tensor) -> list[int]:
    return torch.isfinite(logits[0]).nonzero()[:, 0].tolist()


def test_nothing_is_filtered_by_default() -> None:
    assert torch.equal(filter_logits(LOGITS), LOGITS)


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


def test_top_p_keeps_no_more_once_p_is_reached() -> None:
    assert kept(filter_logits(torch.zeros(1, 4), top_p=0.5)) == [0, 1]


@pytest.mark.parametrize(("p", "expected"), [(0.0, [0, 1, 2]), (0.4, [0, 1, 2]), (0.6, [0, 1]), (1.0, [0])])
def test_min_p_is_a_share_of_the_largest_probability(p: float, expected: list[int]) -> None:
    logits = torch.tensor([[0.4, 0.32, 0.18]]).log()
    assert kept(filter_logits(logits, min_p=p)) == expected


def test_top_p_counts_what_top_k_left() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    assert kept(filter_logits(logits, top_k=2, top_p=0.55)) == [0]  # 0.4 of 0.7 is more than 0.55


def test_the_argument_is_left_as_it_is() -> None:
    logits = LOGITS.clone()
    filter_logits(logits, temperature=0.3, top_k=1, top_p=0.5, min_p=0.5)
    odds(logits, temperature=0.3, top_k=1, top_p=0.5, min_p=0.5)
    assert torch.equal(logits, LOGITS)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 3])
def test_logits_that_are_not_finite_are_refused(bad: float, place: int) -> None:
    logits = torch.zeros(2, 4)
    logits[1, place] = bad
    for refusing in (filter_logits, odds):
        with pytest.raises(NotFiniteError, match="logits that are not finite: its weights are damaged"):
            refusing(logits)


def test_logits_whose_sum_alone_is_not_finite_are_taken() -> None:
    assert candidates(odds(torch.full((1, 4), 3e38)).weights).item() == 4


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53, 1.0])
def test_a_draw_at_the_very_end_is_of_a_token_that_may_be(uniform: float) -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.1, -math.inf]])
    assert sample(logits, torch.tensor([uniform], dtype=torch.float64)).item() in (1, 3)


@pytest.mark.parametrize(("uniform", "token"), [(0.0, 0), (0.25 - 2**-50, 0), (0.25, 1), (0.75, 3)])
def test_a_token_has_the_uniforms_from_its_lower_bound_to_below_its_upper(uniform: float, token: int) -> None:
    assert odds(torch.zeros(1, 4)).draw(torch.tensor([uniform], dtype=torch.float64)).item() == token


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(16, 50, generator=generator)
    uniforms = torch.rand(16, dtype=torch.float64, generator=generator)

    def drawn(rows: slice) -> tuple[torch.Tensor, Odds]:
        allowed = odds(logits[rows], 0.9, 20, 0.9, 0.01)
        return allowed.draw(uniforms[rows]), allowed

    together, of_all = drawn(slice(None))
    for row in range(16):
        alone, of_one = drawn(slice(row, row + 1))
        assert torch.equal(alone[0], together[row])
        assert torch.equal(entropy(of_one.weights)[0], entropy(of_all.weights)[row])


def test_rows_with_settings_of_their_own_have_the_odds_that_they_have_alone() -> None:
    rng = np.random.default_rng(5)
    logits = torch.from_numpy(rng.normal(0, 3, (60, 50)).astype(np.float32))
    logits[:, 10:14] = 1.5  # ties
    each = [
        (
            float(rng.choice([0.1, 0.7, 1.0, 2.0])),
            int(rng.choice([0, 1, 7, 12, 49, 50, 90])),
            float(rng.choice([0.0, 0.3, 0.95, 1.0])),
            float(rng.choice([0.0, 0.05, 1.0])),
        )
        for _ in logits
    ]
    together = odds(logits, *columns(each))
    for row, settings_ in enumerate(each):
        alone = odds(logits[row : row + 1], *settings_)
        assert torch.equal(together.tokens[row], alone.tokens[0])
        assert torch.equal(together.weights[row], alone.weights[0]), settings_
