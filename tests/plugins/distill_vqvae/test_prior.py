"""The prior: what its cache holds is what the prefix gives, and a row is the same whatever the others are."""

from __future__ import annotations

import gc
import sys

import pytest
import torch
from checkpoints import randomise
from torch import nn

from distill_vqvae.blocks import ROWS
from distill_vqvae.model import DTYPES, VqvaeModel
from distill_vqvae.prior import Prior, PriorNetwork


def random_tokens(prior: Prior, rows: int, length: int) -> torch.Tensor:
    return torch.randint(prior.vocabulary, (rows, length), generator=torch.Generator().manual_seed(0))


def step_by_step(prior: Prior, tokens: torch.Tensor) -> torch.Tensor:
    """Logits `[rows, length, vocabulary]`, a token at a time from the cache."""
    cache = prior.new_cache(len(tokens))
    return torch.cat([prior(tokens[:, t : t + 1], t, cache) for t in range(tokens.shape[1])], dim=1)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_step_from_the_cache_gives_what_the_whole_prefix_gives(wide_model: VqvaeModel, rows: int) -> None:
    prior = wide_model.prior
    tokens = random_tokens(prior, rows, prior.length)
    whole = prior(tokens, 0, prior.new_cache(rows))
    torch.testing.assert_close(step_by_step(prior, tokens), whole, atol=1e-4, rtol=1e-4)


def test_a_later_part_of_the_prefix_may_come_at_once(wide_model: VqvaeModel) -> None:
    prior = wide_model.prior
    tokens = random_tokens(prior, 2, 20)
    cache = prior.new_cache(2)
    parts = [prior(tokens[:, :7], 0, cache), prior(tokens[:, 7:], 7, cache)]
    whole = prior(tokens, 0, prior.new_cache(2))
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)


def any_prior(width: int, heads: int, vocabulary: int, layers: int = 2) -> PriorNetwork:
    """The parameters of a prior of any size, at random."""
    network = PriorNetwork(vocabulary=vocabulary, length=24, quantizers=2, width=width, layers=layers, heads=heads)
    network.load_state_dict(randomise(network, 5))
    return network.requires_grad_(False)


SIZES = [(256, 8, 128), (16, 2, 16), (50, 2, 16), (7, 1, 5), (33, 3, 9), (10, 5, 7), (30, 3, 11), (64, 4, 6)]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(("width", "heads", "vocabulary"), SIZES)
def test_a_row_gives_the_same_bits_wherever_it_stands_and_whatever_the_others_are(
    width: int, heads: int, vocabulary: int, precision: str
) -> None:
    prior = Prior(any_prior(width, heads, vocabulary)).to("cpu", DTYPES[precision])
    tokens = random_tokens(prior, ROWS, 8)
    together = step_by_step(prior, tokens)
    for row in (0, 1, 2, 7, ROWS - 1):
        for place in (0, 3, row, ROWS - 2):
            alone = torch.zeros_like(tokens)
            alone[place] = tokens[row]
            assert torch.equal(step_by_step(prior, alone)[place], together[row])


@pytest.mark.parametrize(("width", "heads", "vocabulary"), SIZES)
def test_a_prior_of_any_size_computes_what_torchs_own_transformer_computes(
    width: int, heads: int, vocabulary: int
) -> None:
    network = any_prior(width, heads, vocabulary)
    layer = nn.TransformerEncoderLayer(width, heads, 4 * width, batch_first=True, norm_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    encoder.load_state_dict(network.transformer.state_dict())
    tokens = torch.randint(vocabulary, (3, 24), generator=torch.Generator().manual_seed(0))
    positions = torch.arange(24)
    x = network.token_emb.weight[tokens] + network.pos_emb.weight + network.level_emb.weight[positions % 2]
    mask = torch.ones(24, 24, dtype=torch.bool).triu(1)
    expected = network.head(network.ln_f(encoder(x, mask=mask)))
    torch.testing.assert_close(step_by_step(Prior(network), tokens), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_lower_precision_is_near_and_its_logits_are_float32(wide_model: VqvaeModel, precision: str) -> None:
    tokens = random_tokens(wide_model.prior, 4, 20)
    exact = step_by_step(wide_model.prior, tokens)
    found = step_by_step(wide_model.prior.to("cpu", DTYPES[precision]), tokens)
    assert found.dtype == torch.float32
    assert not torch.equal(found, exact)
    assert (found - exact).norm() < 0.05 * exact.norm()


def test_nothing_is_kept_that_grows_with_the_prefix_but_the_cache(wide_model: VqvaeModel) -> None:
    """A step calls as many functions at every position, Python's and those in C."""
    prior = wide_model.prior
    cache = prior.new_cache(ROWS)
    tokens = random_tokens(prior, ROWS, 1)

    def calls(position: int) -> int:
        seen = []
        gc.disable()
        sys.setprofile(lambda frame, event, argument: seen.append(event))
        try:
            prior(tokens, position, cache)
        finally:
            sys.setprofile(None)
            gc.enable()
        return len(seen)

    assert 100 < calls(1) == calls(prior.length // 2) == calls(prior.length - 1)
