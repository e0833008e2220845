"""A VQ-VAE checkpoint generates chunk by chunk, and a chunk is the same in whatever company it is made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import save, vqvae_contents

from distill import GenerationRequest
from distill.checkpoint import read_header
from distill.errors import CheckpointError
from distill.sampling import filter_logits, sample
from distill.seeding import stream
from distill_vqvae.model import ROWS, VqvaeModel
from distill_vqvae.prior import token_uniforms

OPTIONS = {"temperature": 1.0, "top_k": 0, "top_p": 0.9, "overlap": 50.0}


def load(path: Path) -> VqvaeModel:
    header = read_header(path)
    assert header is not None
    return VqvaeModel.load(header, "cpu")


@pytest.fixture(scope="module")
def model(vqvae_file: Path) -> VqvaeModel:
    return load(vqvae_file)


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> VqvaeModel:
    """A prior of 4 layers and width 256."""
    contents = vqvae_contents(codebook_size=128, width=256, layers=4, heads=8)
    return load(save(contents, tmp_path_factory.mktemp("models") / "wide.distill"))


def asking(seconds: float, **options: float) -> GenerationRequest:
    return GenerationRequest(seed=3, samples=round(seconds * 48000), options=OPTIONS | options)


@pytest.mark.parametrize("overlap", [0.0, 50.0, 500.0])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 1.01, 1.9, 5.0])
def test_as_many_chunks_come_as_were_announced(model: VqvaeModel, seconds: float, overlap: float) -> None:
    asked = asking(seconds, overlap=overlap)
    chunks = list(model.generate(asked))
    assert len(chunks) == model.count_chunks(asked)
    assert sum(chunk.shape[1] for chunk in chunks) == asked.samples


@pytest.mark.parametrize("name", ["model", "wide_model"])
def test_a_chunk_is_the_same_bits_in_a_short_file_and_in_a_long_one(name: str, request: pytest.FixtureRequest) -> None:
    made: VqvaeModel = request.getfixturevalue(name)
    long = list(made._mel_chunks(asking(3 * ROWS)))
    for chunks in (1, 2, 3, ROWS, ROWS + 3):
        short = list(made._mel_chunks(asking(0.9 * chunks)))
        assert all(torch.equal(a, b) for a, b in zip(short, long, strict=False))


def test_a_rows_logits_do_not_depend_on_what_is_in_the_other_rows(wide_model: VqvaeModel) -> None:
    prior = wide_model.prior
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(prior.vocabulary, (ROWS, 20), generator=generator)
    for row in range(ROWS):
        alone = torch.zeros_like(tokens)
        alone[row] = tokens[row]
        caches = prior.new_cache(ROWS), prior.new_cache(ROWS)
        for t in range(20):
            together, apart = (prior(x[:, t : t + 1], t, c)[row] for x, c in zip((tokens, alone), caches, strict=True))
            assert torch.equal(together, apart)


def test_a_last_block_that_is_not_full_is_filled_up(model: VqvaeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    generate = model.prior.generate
    monkeypatch.setattr(
        model.prior, "generate", lambda uniforms, *rest: (rows.append(len(uniforms)), generate(uniforms, *rest))[1]
    )
    list(model._mel_chunks(asking(0.9 * (ROWS + 2))))
    assert rows == [ROWS, ROWS]


def test_codes_drawn_from_the_cache_are_those_drawn_from_the_whole_prefix(wide_model: VqvaeModel) -> None:
    prior = wide_model.prior
    uniforms = token_uniforms([stream(1, "tokens", row) for row in range(2)], prior.length, 2)
    cached = prior.generate(uniforms, 0.9, 20, 0.95).flatten(1)
    for position in (1, 2, prior.length // 2, prior.length - 1):
        logits = prior(cached[:, :position], 0, prior.new_cache(2))[:, -1]
        assert torch.equal(sample(filter_logits(logits, 0.9, 20, 0.95), uniforms[:, position]), cached[:, position])


def test_the_first_code_is_drawn_uniformly_from_the_codebook(model: VqvaeModel) -> None:
    size = model.prior.vocabulary
    uniforms = torch.zeros(size, model.prior.length, dtype=torch.float64)
    uniforms[:, 0] = (torch.arange(size) + 0.5) / size
    assert model.prior.generate(uniforms, 0.1, 1, 0.0)[:, 0, 0].tolist() == list(range(size))


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
    with pytest.raises(CheckpointError, match=message):
        load(save(changed(change), tmp_path / "m.distill"))
