"""The prior says the same frame by frame as all at once, and looks back exactly as far as it should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import SMALL_CODEC, SMALL_PRIOR, codec_prior_contents
from torch import Tensor

from distill.errors import CheckpointError
from distill_codec.networks import Codec
from distill_codec.prior import Prior, Stream
from distill_codec.prior_learner import shape_for
from distill_codec.prior_shape import PriorShape

REACH = SMALL_PRIOR.window * SMALL_PRIOR.layers


def prior(**changes: Any) -> Prior:
    contents = codec_prior_contents()
    tensors = contents["prior_state_dict"]
    torch.manual_seed(0)
    nearness = {name: torch.randn_like(tensor) for name, tensor in tensors.items() if name.endswith("nearness")}
    return Prior.load(tensors | nearness | changes, contents["prior_config"], contents["model_state_dict"]["codebooks"])


def frames(count: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(SMALL_CODEC.codebook_size, size=(count, SMALL_CODEC.num_quantizers)))


def at_once(network: Prior, codes: Tensor, starts: list[int], variation: float = 0.0) -> list[Tensor]:
    """The logits `[frames, codes]` of each level for a row of `codes` in which recordings start at `starts`."""
    first = torch.zeros(len(codes), dtype=torch.bool)
    first[starts] = True
    before = torch.cat([codes[:1], codes[:-1]])
    with torch.inference_mode():
        logits = network(
            before[None], codes[None], first[None], first.cumsum(0)[None], torch.full((1, len(codes)), variation)
        )
    return [level[0] for level in logits]


@pytest.mark.parametrize("variation", [0.0, 0.7])
def test_frame_by_frame_is_as_all_at_once(variation: float) -> None:
    """Far beyond the window, with another recording starting in one row and not in the other."""
    network = prior(certainty=torch.tensor([0.9, 0.5, 0.2]))
    length = 3 * REACH
    starts = [0, length // 2]
    codes = torch.stack([frames(length, seed=row) for row in range(2)])
    stream = Stream(network, 2)
    before = torch.zeros_like(codes[:, 0])
    wanted = [at_once(network, codes[0], starts, variation), at_once(network, codes[1], [0], variation)]
    for step in range(length):
        first = torch.tensor([step in starts, step == 0])
        with torch.inference_mode():
            frame = stream.next(before, first, torch.full((2,), variation))
            for level in range(network.quantizers):
                logits = frame.next(codes[:, step, level])
                for row in range(2):
                    torch.testing.assert_close(logits[row], wanted[row][level][step], atol=1e-4, rtol=1e-4)
        before = codes[:, step]


def test_it_looks_back_as_far_as_its_windows_reach_and_not_ahead() -> None:
    network = prior()
    codes = frames(REACH + 20)
    logits = at_once(network, codes, [0])
    at = 10
    other = codes.clone()
    other[at] = (other[at] + 1) % SMALL_CODEC.codebook_size
    moved = [(a - b).abs().amax(dim=-1) > 1e-6 for a, b in zip(logits, at_once(network, other, [0]), strict=True)]
    coarsest = moved[0].nonzero()[:, 0].tolist()
    assert min(coarsest) == at + 1
    assert max(coarsest) == at + REACH - SMALL_PRIOR.layers + 1
    for finer in moved[1:]:
        assert finer[at]  # it is told of the levels before it
        assert not finer[:at].any()


def test_where_a_recording_starts_what_was_before_is_forgotten() -> None:
    network = prior()
    codes = frames(30)
    for logits, alone in zip(at_once(network, codes, [0, 12]), at_once(network, codes[12:], [0]), strict=True):
        torch.testing.assert_close(logits[12:], alone, atol=1e-5, rtol=1e-5)


def test_it_is_the_less_sure_the_less_certain_and_the_more_varied() -> None:
    codes = frames(5)
    sure = at_once(prior(variation=torch.zeros(32)), codes, [0], 1.0)
    unsure = at_once(prior(variation=torch.zeros(32), certainty=torch.tensor([1.0, 0.5, 0.25])), codes, [0], 1.0)
    for factor, one, other in zip((1.0, 0.5, 0.25), sure, unsure, strict=True):
        torch.testing.assert_close(other, one * factor)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"heads": 3}, "3 heads, which do not divide its width 32"),
        ({"width": "32"}, "width is '32'"),
        ({"window": 0}, "window is 0"),
        ({"width": 2**13}, "of shape"),
    ],
)
def test_a_damaged_configuration_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    contents = codec_prior_contents()
    codebooks = contents["model_state_dict"]["codebooks"]
    with pytest.raises(CheckpointError, match=said):
        Prior.load(contents["prior_state_dict"], contents["prior_config"] | change, codebooks)


def test_tensors_missing_surplus_or_misshapen_are_refused_by_name() -> None:
    contents = codec_prior_contents()
    tensors, config = contents["prior_state_dict"], contents["prior_config"]
    codebooks = contents["model_state_dict"]["codebooks"]
    for change, said in (
        ({name: tensor for name, tensor in tensors.items() if name != "start"}, "lacks the tensor start"),
        (tensors | {"more": torch.zeros(1)}, "a tensor too many, more"),
        (tensors | {"start": torch.zeros(3)}, "start of shape"),
        (tensors | {"certainty": torch.zeros(3)}, "certainty"),
        (tensors | {"certainty": torch.full((3,), float("nan"))}, "certainty"),
    ):
        with pytest.raises(CheckpointError, match=said):
            Prior.load(change, config, codebooks)


@pytest.mark.parametrize(("width", "minutes", "wanted"), [(128, 60, 128), (192, 19, 160), (192, 20, 320)])
def test_a_new_prior_is_as_large_as_its_codec_and_recordings_ask(width: int, minutes: float, wanted: int) -> None:
    shape = shape_for(Codec(replace(SMALL_CODEC, width=width)), 60 * minutes)
    assert shape == PriorShape(width=wanted, layers=4, heads=wanted // 32, window=128)
