"""Checkpoints made on the spot: the two kinds of the format at small sizes, with random weights."""

from __future__ import annotations

import enum
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distill.audio.mel import Spectrogram
from distill_mel2d.networks import Picture
from distill_vae.model import Decoder
from distill_vqvae.networks import Vqvae
from distill_vqvae.prior import Prior

SMALL = {
    "sample_rate": 48000, "n_fft": 2048, "hop_length": 512, "n_mels": 32, "f_min": 0.0, "f_max": None, "power": 2.0,
}  # fmt: skip


def randomise(network: torch.nn.Module, seed: int) -> OrderedDict[str, torch.Tensor]:
    """Random weights of a size that lets sound vary, as a state dict."""
    generator = torch.Generator().manual_seed(seed)
    state = OrderedDict()
    for name, tensor in network.state_dict().items():
        if tensor.dtype != torch.float32:
            state[name] = torch.zeros(tensor.shape, dtype=tensor.dtype)
            continue
        value = torch.randn(tensor.shape, generator=generator) * 0.3
        state[name] = value.abs() + 0.5 if name.endswith("running_var") else value
    return state


def vqvae_contents(*, codebook_size: int = 16, dim: int = 8, quantizers: int = 2, width: int = 16, layers: int = 1,
                   heads: int = 2, prior: bool = True, name: str = "pebbles", **spectrogram: Any) -> dict[str, Any]:  # fmt: skip
    """The dictionary of a version 2 checkpoint."""
    settings = SMALL | spectrogram
    shape = Picture.of_chunk(Spectrogram(**settings), {})
    height, columns = shape.grid
    state = randomise(Vqvae(shape, quantizers, codebook_size, dim), 1)
    codebooks = state.pop("codebooks") * 5
    for level, codebook in enumerate(codebooks):
        root = f"quantizer.rvq.layers.{level}._codebook"
        state[f"{root}.initted"] = torch.tensor(True)
        state[f"{root}.cluster_size"] = torch.ones(1, codebook_size)
        state[f"{root}.embed_avg"] = codebook[None].clone()
        state[f"{root}.embed"] = codebook[None].clone()
    contents = {
        "format": "distill_model",
        "version": 2,
        "model_type": "vqvae",
        "model_state_dict": state,
        "vqvae_config": {
            "codebook_size": codebook_size, "codebook_dim": dim, "num_quantizers": quantizers, "chunk_duration_s": 1.0,
        },
        "spectrogram_config": settings,
        "training_config": {},
        "metadata": {"name": name, "model_id": "11111111-2222-3333-4444-555555555555"},
        "has_prior": False,
    }  # fmt: skip
    if prior:
        length = height * columns * quantizers
        network = Prior(
            vocabulary=codebook_size, length=length, quantizers=quantizers, width=width, layers=layers, heads=heads
        )
        contents |= {
            "has_prior": True,
            "prior_state_dict": randomise(network, 2)
            | {"causal_mask": torch.ones(length, length, dtype=torch.bool).triu(1)},
            "prior_config": {
                "hidden_size": width, "num_layers": layers, "num_heads": heads, "seq_len": length,
                "num_quantizers": quantizers,
            },
        }  # fmt: skip
    return contents


def vae_contents(*, latent_dim: int = 8, sliders: int | None = 3, name: str = "fog", **spectrogram: Any) -> dict[str, Any]:
    """The dictionary of a version 1 checkpoint, its foreign enum included; `sliders` None leaves the analysis out."""
    settings = SMALL | spectrogram
    decoder = randomise(Decoder(Picture.of_chunk(Spectrogram(**settings), {}), latent_dim), 3)
    rng = np.random.default_rng(4)
    analysis = None if sliders is None else {
        "version": 1,
        "n_active_components": sliders,
        "pca_components": rng.standard_normal((sliders, latent_dim)).astype(np.float32),
        "pca_mean": rng.standard_normal(latent_dim).astype(np.float32),
        "step_size": np.full(sliders, 0.3, np.float32),
        "latent_dim": latent_dim,
    }  # fmt: skip
    return {
        "format": "distill_model",
        "version": 1,
        "model_state_dict": OrderedDict((f"decoder.{n}", t) for n, t in decoder.items()),
        "latent_dim": latent_dim,
        "spectrogram_config": settings,
        "latent_analysis": analysis,
        "training_config": {"chunk_duration_s": 1.0, "preset": foreign_enum()("conservative")},
        "metadata": {"name": name, "final_train_loss": np.float64(7.4)},
    }


def foreign_enum() -> Any:
    """An enum of a package that is not installed; pickles name it `distill.training.config.OverfittingPreset`."""
    module = types.ModuleType("distill.training.config")
    preset = enum.Enum("OverfittingPreset", {"CONSERVATIVE": "conservative"}, module=module.__name__)
    module.OverfittingPreset = preset  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    return preset


def save(contents: dict[str, Any], path: Path) -> Path:
    """Write a checkpoint as the reference program does; nothing that helped to write it stays importable."""
    torch.save(contents, path)
    sys.modules.pop("distill.training.config", None)
    return path
