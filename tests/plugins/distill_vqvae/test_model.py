"""A VQ-VAE checkpoint generates chunk by chunk, and a chunk is the same in whatever company it is made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import save, vqvae_contents

from distill import GenerationRequest
from distill.checkpoint import read_header
from distill.errors import CheckpointError
from distill_vqvae.model import VqvaeModel

OPTIONS = {"temperature": 1.0, "top_k": 0, "top_p": 0.9, "min_p": 0.0, "overlap": 50.0}


def asking(seconds: float, **options: float) -> GenerationRequest:
    return GenerationRequest(seed=3, samples=round(seconds * 48000), options=OPTIONS | options)


@pytest.mark.parametrize("overlap", [0.0, 50.0, 500.0])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 1.01, 1.9, 5.0])
def test_as_many_chunks_come_as_were_announced(model: VqvaeModel, seconds: float, overlap: float) -> None:
    asked = asking(seconds, overlap=overlap)
    chunks = list(model.generate(asked))
    assert len(chunks) == model.count_chunks(asked)
    assert sum(chunk.shape[1] for chunk in chunks) == asked.samples


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_a_file_of_a_batch_is_the_file_made_alone(model: VqvaeModel, batch_size: int) -> None:
    requests = [GenerationRequest(seed, 90_000, OPTIONS) for seed in range(4)]
    together = [list(made.chunks) for made in model.generate_batch(requests, batch_size)]
    for request, chunks in zip(requests, together, strict=True):
        for one, other in zip(model.generate(request), chunks, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_file_does_not_depend_on_the_number_of_threads(model: VqvaeModel, threads: int) -> None:
    expected = np.concatenate(list(model.generate(asking(3))), axis=1)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = np.concatenate(list(model.generate(asking(3))), axis=1)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(found, expected)


def test_another_precision_is_another_sound_that_its_seed_makes_again(wide_model: VqvaeModel) -> None:
    sounds = [
        np.concatenate(list(wide_model.generate(GenerationRequest(3, 40_000, OPTIONS, how))), axis=1)
        for how in ("bf16", "bf16", "float32")
    ]
    np.testing.assert_array_equal(sounds[0], sounds[1])
    assert not np.array_equal(sounds[0], sounds[2])


def test_leaving_a_file_half_made_leaves_no_threads(model: VqvaeModel) -> None:
    before = threading.active_count()
    chunks = model.generate(asking(200))
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    contents = vqvae_contents()
    change(contents)
    return contents


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("vqvae_config"), "has no vqvae_config"),
        (lambda c: c["vqvae_config"].update(codebook_size=0), "codebook_size is 0; 1 to"),
        (lambda c: c["vqvae_config"].update(codebook_size=17), r"no tensor quantizer.* of shape \[1, 17, 8\]"),
        (lambda c: c["vqvae_config"].update(num_quantizers=3), "no tensor quantizer.rvq.layers.2"),
        (lambda c: c["vqvae_config"].update(chunk_duration_s="1"), "chunk_duration_s is '1'"),
        (lambda c: c["vqvae_config"].update(chunk_duration_s=2.0), "prior is for 2 levels in 24 codes"),
        (
            lambda c: c["vqvae_config"].update(chunk_duration_s=600.0) or c["spectrogram_config"].update(hop_length=8),
            "chunks are 32 bands of 3600001 frames; at most 4194304 values",
        ),
        (lambda c: c["spectrogram_config"].update(n_fft=65536, n_mels=257), "257 bands of 32769 bins; at most 8388608"),
        (lambda c: c["prior_config"].update(num_heads=3), "3 heads, which do not divide its width 16"),
        (lambda c: c["prior_config"].update(num_layers=2), "prior lacks the tensor transformer.layers.1"),
        (lambda c: c["prior_config"].update(hidden_size=True), "hidden_size is True"),
        (lambda c: c["spectrogram_config"].update(hop_length=2048), "hop_length over half of n_fft"),
        (lambda c: c["model_state_dict"].pop("decoder.proj.bias"), "VQ-VAE lacks the tensor decoder.proj.bias"),
        (lambda c: c["model_state_dict"].update(extra=torch.zeros(1)), "VQ-VAE has a tensor too many, extra"),
    ],
)
def test_what_does_not_fit_together_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    header = read_header(save(changed(change), tmp_path / "m.distill"))
    assert header is not None
    with pytest.raises(CheckpointError, match=message):
        VqvaeModel.load(header, "cpu")
