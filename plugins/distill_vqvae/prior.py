"""The prior: a causal transformer over one chunk's codes, with cached keys and values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.checkpoint import load_weights, whole_number
from distill.errors import CheckpointError
from distill.sampling import filter_logits, sample


class Attention(nn.Module):
    """Causal self-attention, parameters laid out as in `torch.nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, start: int, cache: Tensor) -> Tensor:
        """`x [rows, new, width]` at positions from `start` on; its keys and values go into `cache`.

        `cache [2, rows, heads, length, width / heads]` holds those of every position before `start`. Attention is
        written out as matrix products: a fused kernel mixes the order of sums between rows.
        """
        rows, new, width = x.shape
        projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = projected.view(rows, new, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        end = start + new
        cache[0, :, :, start:end] = key
        cache[1, :, :, start:end] = value
        keys, values = cache[:, :, :, :end]
        scores = query @ keys.transpose(-2, -1) / math.sqrt(width // self.heads)
        if new > 1:
            ahead = torch.ones(new, end, dtype=torch.bool, device=x.device).triu(start + 1)
            scores = scores.masked_fill(ahead, -torch.inf)
        mixed = scores.softmax(dim=-1) @ values
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(rows, new, width))
        return out


class Layer(nn.Module):
    """A pre-norm transformer layer, parameters named as in `torch.nn.TransformerEncoderLayer`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, start: int, cache: Tensor) -> Tensor:
        x = x + self.self_attn(self.norm1(x), start, cache)
        out: Tensor = x + self.linear2(F.relu(self.linear1(self.norm2(x))))
        return out


class Prior(nn.Module):
    """Logits for the next of a chunk's flattened codes, `[pos0_q0, pos0_q1, ..., pos1_q0, ...]`."""

    def __init__(self, *, vocabulary: int, length: int, quantizers: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.vocabulary, self.length, self.quantizers = vocabulary, length, quantizers
        self.token_emb = nn.Embedding(vocabulary, width)
        self.pos_emb = nn.Embedding(length, width)
        self.level_emb = nn.Embedding(quantizers, width)
        self._layers = [Layer(width, heads) for _ in range(layers)]
        self.transformer = nn.ModuleDict({"layers": nn.ModuleList(self._layers)})
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    @classmethod
    def load(
        cls,
        tensors: dict[str, Tensor],
        config: dict[str, Any],
        *,
        vocabulary: int,
        quantizers: int,
        positions: int,
    ) -> Prior:
        """The network from a checkpoint's `prior_state_dict` and `prior_config`, on the CPU.

        `vocabulary`, `quantizers` and `positions` are the VQ-VAE's, whose codes the prior must cover one by one.
        """
        width = whole_number(config, "hidden_size", 2**14)
        heads = whole_number(config, "num_heads", width)
        layers = whole_number(config, "num_layers", 1024)
        length = whole_number(config, "seq_len")
        found = whole_number(config, "num_quantizers", 64)
        if length != positions * quantizers or found != quantizers:
            raise CheckpointError(
                f"The checkpoint's prior is for {found} levels in {length} codes; "
                f"its VQ-VAE has {quantizers} levels at each of {positions} positions."
            )
        if width % heads:
            raise CheckpointError(f"The checkpoint's prior has {heads} heads, which do not divide its width {width}.")
        with torch.device("meta"):
            network = cls(
                vocabulary=vocabulary,
                length=length,
                quantizers=quantizers,
                width=width,
                layers=layers,
                heads=heads,
            )
        load_weights(network, {n: t for n, t in tensors.items() if n != "causal_mask"}, "prior")
        return network

    def new_cache(self, rows: int) -> list[Tensor]:
        """An empty cache of keys and values for `rows`, a tensor a layer."""
        width = self.token_emb.embedding_dim
        heads = self._layers[0].self_attn.heads
        shape = (2, rows, heads, self.length, width // heads)
        return [self.head.weight.new_zeros(shape) for _ in self._layers]

    def forward(self, tokens: Tensor, start: int, cache: list[Tensor]) -> Tensor:
        """Logits `[rows, new, vocabulary]` after each of `tokens [rows, new]`, which stand at positions from `start`.

        `cache` holds the positions before `start`, and these afterwards.
        """
        positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        x = self.token_emb(tokens) + self.pos_emb(positions) + self.level_emb(positions % self.quantizers)
        for layer, past in zip(self._layers, cache, strict=True):
            x = layer(x, start, past)
        out: Tensor = self.head(self.ln_f(x))
        return out

    @torch.inference_mode()
    def generate(self, uniforms: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
        """Codes `int64 [rows, positions, quantizers]`, drawn with `uniforms [rows, length]` in [0, 1).

        The first code has no context in this format; it is drawn uniformly from the codebook.
        """
        rows = len(uniforms)
        cache = self.new_cache(rows)
        tokens = torch.empty(rows, self.length, dtype=torch.int64, device=uniforms.device)
        tokens[:, 0] = sample(uniforms.new_zeros(rows, self.vocabulary), uniforms[:, 0])
        for t in range(1, self.length):
            logits = self(tokens[:, t - 1 : t], t - 1, cache)[:, 0]
            tokens[:, t] = sample(filter_logits(logits, temperature, top_k, top_p), uniforms[:, t])
        return tokens.view(rows, -1, self.quantizers)


def token_uniforms(streams: list[np.random.Generator], length: int, rows: int) -> Tensor:
    """`float64 [rows, length]` in [0, 1): a row a stream, zeros in the rows that are left over."""
    uniforms = np.zeros((rows, length))
    for row, generator in enumerate(streams):
        uniforms[row] = generator.random(length)
    return torch.from_numpy(uniforms)
