"""Chunks join in the mel domain: lengths add up, levels stay, and the old fades into the new."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from distill.audio.stitching import crossfade, overlap_add


def chunks(count: int, frames: int = 20, bands: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(count)
    return [torch.rand(bands, frames, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("overlap", [0, 1, 5, 10])
def test_a_cross_fade_gives_a_block_a_chunk_and_loses_only_the_overlaps(count: int, overlap: int) -> None:
    blocks = list(crossfade(chunks(count), overlap))
    assert len(blocks) == count
    assert sum(b.shape[1] for b in blocks) == count * 20 - (count - 1) * overlap


@pytest.mark.parametrize("overlap", [1, 2, 5, 10])
def test_a_cross_fade_keeps_a_constant_level(overlap: int) -> None:
    joined = torch.cat(list(crossfade([torch.ones(3, 20)] * 4, overlap)), dim=1)
    torch.testing.assert_close(joined, torch.ones_like(joined))


def test_no_overlap_puts_chunks_end_to_end() -> None:
    made = chunks(3)
    assert torch.equal(torch.cat(list(crossfade(made, 0)), dim=1), torch.cat(made, dim=1))


def test_the_old_chunk_fades_out_while_the_new_one_fades_in() -> None:
    joined = torch.cat(list(crossfade([torch.zeros(1, 20), torch.ones(1, 20)], 6)), dim=1)[0]
    fade = joined[13:21]
    assert (fade[0], fade[-1]) == (0, 1)
    assert fade.diff().min() > 0
    torch.testing.assert_close(fade + fade.flip(0), torch.ones(8))


@pytest.mark.parametrize(("frames", "hop"), [(20, 10), (21, 10), (94, 47)])
def test_an_overlap_add_is_the_sum_of_windowed_chunks_over_the_sum_of_windows(frames: int, hop: int) -> None:
    made = chunks(5, frames)
    window = np.hanning(frames + 1)[:-1]
    total, weights = np.zeros((3, 4 * hop + frames)), np.zeros(4 * hop + frames)
    for i, chunk in enumerate(made):
        total[:, i * hop : i * hop + frames] += chunk.numpy() * window
        weights[i * hop : i * hop + frames] += window
    blocks = list(overlap_add(made, hop))
    assert [b.shape[1] for b in blocks] == [hop] * 4 + [frames]
    joined = torch.cat(blocks, dim=1).numpy()[:, 1:]  # the first frame has no weight
    np.testing.assert_allclose(joined, (total / np.maximum(weights, 1e-8))[:, 1:], atol=1e-5)


@pytest.mark.parametrize("join", [crossfade, overlap_add])
def test_joining_reads_one_chunk_ahead_and_no_more(join: object) -> None:
    taken = 0

    def counted() -> Iterator[Tensor]:
        nonlocal taken
        for chunk in chunks(10):
            taken += 1
            yield chunk

    for given, _ in enumerate(join(counted(), 10), start=1):  # type: ignore[operator]
        assert taken <= given + 1


@pytest.mark.parametrize("join", [crossfade, overlap_add])
def test_no_chunks_make_no_blocks(join: object) -> None:
    assert list(join([], 5)) == []  # type: ignore[operator]
