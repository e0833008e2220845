"""A block of chunks: drawn right, its first codes as training used them; and fewer at once when memory runs out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from checkpoints import save, vqvae_contents

from distill.checkpoint import load_contents, read_header
from distill.errors import NotFiniteError
from distill.sampling import candidates, entropy, odds
from distill.seeding import stream
from distill_vqvae.blocks import (
    FEWEST_ROWS,
    MOST_CACHE_BYTES,
    ROWS,
    ROWS_OF_GPU,
    FirstCode,
    Settings,
    rows_of,
    sample_block,
)
from distill_vqvae.model import VqvaeModel
from distill_vqvae.prior import Prior

SETTINGS = Settings(0.9, 20, 0.95, 0.01)


def uniforms(rows: int, prior: Prior) -> torch.Tensor:
    return torch.from_numpy(np.stack([stream(1, "tokens", row).random(prior.length) for row in range(rows)]))


def test_codes_are_drawn_from_what_the_whole_prefix_gives(wide_model: VqvaeModel) -> None:
    prior, given = wide_model.prior, uniforms(4, wide_model.prior)
    codes = torch.stack([row.codes for row in sample_block(prior, wide_model.first, given, [SETTINGS] * 4)])
    for position in (1, 2, prior.length // 2, prior.length - 1):
        logits = prior(codes[:, :position], 0, prior.new_cache(4))[:, -1]
        assert torch.equal(odds(logits, *SETTINGS).draw(given[:, position]), codes[:, position])


def test_candidates_and_entropy_are_summed_over_the_draws(wide_model: VqvaeModel) -> None:
    prior, given = wide_model.prior, uniforms(4, wide_model.prior)
    rows = sample_block(prior, wide_model.first, given, [SETTINGS] * 4)
    codes = torch.stack([row.codes for row in rows])
    after = odds(prior(codes, 0, prior.new_cache(4))[:, :-1], *SETTINGS)
    first = wide_model.first.odds([SETTINGS] * 4)
    for i, row in enumerate(rows):
        assert row.candidates == pytest.approx(
            int(candidates(after.weights[i]).sum() + candidates(first.weights[i])), rel=0.01
        )
        assert row.entropy == pytest.approx(
            float(entropy(after.weights[i]).sum() + entropy(first.weights[i])), rel=1e-3
        )


def test_without_filters_all_codes_are_candidates(model: VqvaeModel) -> None:
    [row] = sample_block(model.prior, model.first, uniforms(1, model.prior), [Settings()])
    assert row.candidates == model.prior.length * model.prior.vocabulary


def first_codes(first: FirstCode, prior: Prior, settings: Settings, draws: int) -> list[int]:
    """The first codes drawn for as many uniforms, evenly spaced."""
    given = torch.zeros(draws, prior.length, dtype=torch.float64)
    given[:, 0] = (torch.arange(draws) + 0.5) / draws
    return [int(row.codes[0]) for row in sample_block(prior, first, given, [settings] * draws)]


def test_the_first_code_is_uniform_where_the_file_does_not_say_how_codes_were_used(model: VqvaeModel) -> None:
    size = model.prior.vocabulary
    first = FirstCode.uniform(size)
    assert sorted(first_codes(first, model.prior, Settings(0.1, 1, 0.5, 1.0), size)) == list(range(size))


def test_the_first_code_is_drawn_as_often_as_training_used_it_and_never_a_dead_one(model: VqvaeModel) -> None:
    uses = torch.full((model.prior.vocabulary,), 2.0)
    uses[[3, 5]] = torch.tensor([30.0, 10.0])
    first = FirstCode.as_used(uses, dead_at=2.0)
    drawn = first_codes(first, model.prior, Settings(), 100)
    assert (drawn.count(3), drawn.count(5)) == (75, 25)
    assert set(first_codes(first, model.prior, Settings(top_k=1), 20)) == {3}


@pytest.mark.parametrize("use", [2.0, math.nan, math.inf, -1.0])
def test_uses_that_tell_nothing_make_the_first_code_uniform(use: float) -> None:
    first = FirstCode.as_used(torch.full((5,), use), dead_at=2.0)
    assert (first.codes.tolist(), first.filtered) == ([0, 1, 2, 3, 4], False)


def test_the_use_of_codes_is_read_from_the_checkpoint(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    contents = vqvae_contents()
    name = "quantizer.rvq.layers.0._codebook.cluster_size"
    contents["vqvae_config"]["threshold_ema_dead_code"] = 2
    contents["model_state_dict"][name] = torch.tensor([[2.0, 8.0, 4.0, *[2.0] * 13]])
    assert read(contents, tmp_path_factory).codes.tolist() == [1, 2]
    for nothing_told in (torch.ones(1, 3), torch.ones(16), "many"):
        contents["model_state_dict"][name] = nothing_told
        assert not read(contents, tmp_path_factory).filtered
    contents["model_state_dict"].pop(name)
    assert read(contents, tmp_path_factory).codes.tolist() == list(range(16))


@pytest.mark.parametrize(("dead_at", "codes"), [(-1, [1, 2]), (10**400, None), ("2", None), (math.nan, None)])
def test_an_odd_threshold_of_dead_codes_is_no_damage(
    tmp_path_factory: pytest.TempPathFactory, dead_at: object, codes: list[int] | None
) -> None:
    contents = vqvae_contents()
    contents["vqvae_config"]["threshold_ema_dead_code"] = dead_at
    name = "quantizer.rvq.layers.0._codebook.cluster_size"
    contents["model_state_dict"][name] = torch.tensor([[0.0, 8.0, 4.0, *[0.0] * 13]])
    first = read(contents, tmp_path_factory)
    assert (first.codes.tolist(), first.filtered) == (codes or list(range(16)), codes is not None)


def read(contents: dict[str, object], folder: pytest.TempPathFactory) -> FirstCode:
    header = read_header(save(contents, folder.mktemp("models") / "m.distill"))
    assert header is not None
    return VqvaeModel.load(header, "cpu").first


def test_a_prior_whose_logits_are_not_finite_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    contents = vqvae_contents()
    contents["prior_state_dict"]["head.weight"][3, 3] = math.nan
    header = read_header(save(contents, tmp_path_factory.mktemp("models") / "m.distill"))
    assert header is not None
    assert load_contents(header)
    damaged = VqvaeModel.load(header, "cpu")
    with pytest.raises(NotFiniteError, match="logits"):
        sample_block(damaged.prior, damaged.first, uniforms(1, damaged.prior), [SETTINGS])


def test_a_block_has_fewer_rows_where_a_prior_is_large_whatever_the_memory(model: VqvaeModel) -> None:
    class Large(Prior):
        def __init__(self, device: str, bytes_of_a_row: int) -> None:
            self.device, self._bytes = device, bytes_of_a_row

        def cache_bytes(self, rows: int) -> int:
            return rows * self._bytes

    assert rows_of(model.prior) == ROWS
    assert rows_of(Large("cpu", MOST_CACHE_BYTES // ROWS)) == ROWS
    assert rows_of(Large("cpu", MOST_CACHE_BYTES // ROWS + 1)) == ROWS // 2
    assert rows_of(Large("cpu", MOST_CACHE_BYTES)) == FEWEST_ROWS
    assert rows_of(Large("cuda", 1)) == ROWS_OF_GPU
