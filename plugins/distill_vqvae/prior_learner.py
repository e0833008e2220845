"""How a VQ-VAE's prior learns: the codes of a chunk one after the other, position by position and level by level.

The network is the one the format describes, `torch.nn.TransformerEncoder` with a causal mask; a chunk's first code has
nothing before it, so it is drawn by its use in training and not learnt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from distill import CheckpointHeader, Passage, PriorLearner
from distill.checkpoint import load_contents, section
from distill_vqvae.prior import LayerNetwork, PriorNetwork, load_network
from distill_vqvae.tokenizer import VqvaeTokenizer

ROWS = 16
WIDTH, LAYERS, HEADS = 128, 4, 4
DROPOUT = 0.3
SPREAD = 0.02
"""Standard deviation of embeddings to begin with."""


class VqvaePriorLearner(PriorLearner):
    """The prior of a VQ-VAE. A step of codes is a chunk, `int64 [positions, quantizers]`."""

    def __init__(self, tokenizer: VqvaeTokenizer, network: PriorNetwork, device: str) -> None:
        self.tokenizer: VqvaeTokenizer = tokenizer
        self.network: PriorNetwork = network.to(device)
        self._levels, self._size, _ = tokenizer.vqvae.codebooks.shape
        self._length = len(network.pos_emb.weight)
        self._device = device

    @classmethod
    def load(cls, header: CheckpointHeader, device: str) -> VqvaePriorLearner:
        """The prior of a checkpoint, or a new one for its VQ-VAE."""
        tokenizer = VqvaeTokenizer.load(header, device)
        levels, size, _ = tokenizer.vqvae.codebooks.shape
        height, width = tokenizer.vqvae.picture.grid
        covered = {"vocabulary": size, "quantizers": levels}
        if header.fields.get("has_prior"):
            contents = load_contents(header)
            network = load_network(
                section(contents, "prior_state_dict"), section(contents, "prior_config"), **covered,
                positions=height * width,
            )  # fmt: skip
            return cls(tokenizer, network.requires_grad_(True), device)
        network = PriorNetwork(**covered, length=height * width * levels, width=WIDTH, layers=LAYERS, heads=HEADS)
        _begin(network)
        return cls(tokenizer, network, device)

    def batch(self, passages: Sequence[Passage], odds: NDArray[np.float64], rng: np.random.Generator) -> Tensor:
        chosen = rng.choice(len(passages), size=ROWS, p=odds)
        rows = [passages[one].codes[rng.integers(len(passages[one].codes))].reshape(-1) for one in chosen]
        return torch.from_numpy(np.stack(rows))

    def loss(self, batch: Tensor) -> Tensor:
        tokens = batch.to(self._device)
        costs = F.cross_entropy(self._logits(tokens).flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum")
        return costs * self._levels / tokens.numel()

    def bits(self, passage: Passage) -> NDArray[np.float64]:
        self.network.eval()
        tokens = torch.from_numpy(passage.codes[passage.first :]).flatten(1).to(self._device)
        with torch.inference_mode():
            costs = F.cross_entropy(self._logits(tokens).transpose(1, 2), tokens[:, 1:], reduction="none")
        first = torch.full((len(tokens), 1), math.log(self._size), device=costs.device)
        by_level = torch.cat([first, costs], dim=1).view(-1, self._levels)
        found: NDArray[np.float64] = by_level.double().cpu().numpy() / math.log(2)
        return found

    def levels(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
        return codes.reshape(-1, self._levels), self._size

    def contents(self, recordings: Sequence[Passage], steps: int) -> Mapping[str, Any]:
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
        ahead = torch.ones(self._length, self._length, dtype=torch.bool).triu(1)
        chunks = sum(len(one.codes) for one in recordings)
        return {
            "prior_config": {
                "hidden_size": self.network.token_emb.weight.shape[1], "num_layers": len(self.network.layers),
                "num_heads": self.network.heads, "dropout": DROPOUT, "batch_size": ROWS, "seq_len": self._length,
                "num_quantizers": self._levels,
            },
            "prior_state_dict": {**tensors, "causal_mask": ahead},
            "prior_metadata": {"epochs_trained": -(-steps * ROWS // chunks)},
        }  # fmt: skip

    def _logits(self, tokens: Tensor) -> Tensor:
        """Logits `[rows, length - 1, vocabulary]` of each of `tokens [rows, length]` but the first."""
        network = self.network
        places = torch.arange(self._length - 1, device=tokens.device)
        x = F.embedding(tokens[:, :-1], network.token_emb.weight)
        x = x + network.pos_emb.weight[:-1] + network.level_emb.weight[places % self._levels]
        x = self._dropped(x)
        for layer in network.layers:
            x = self._layer(layer, x)
        out: Tensor = network.head(network.ln_f(x))
        return out

    def _layer(self, layer: LayerNetwork, x: Tensor) -> Tensor:
        """A pre-norm layer of `torch.nn.TransformerEncoderLayer`, causal."""
        rows, length, _ = x.shape
        attention = layer.self_attn
        projected = F.linear(layer.norm1(x), attention.in_proj_weight, attention.in_proj_bias)
        query, key, value = projected.view(rows, length, 3, self.network.heads, -1).permute(2, 0, 3, 1, 4)
        dropout = DROPOUT if self.network.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        x = x + self._dropped(attention.out_proj(mixed.transpose(1, 2).reshape(rows, length, -1)))
        return x + self._dropped(layer.linear2(self._dropped(F.relu(layer.linear1(layer.norm2(x))))))

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, DROPOUT, self.network.training)


def _begin(network: PriorNetwork) -> None:
    """Give the parameters that were left empty values to begin with."""
    for table in (network.token_emb, network.pos_emb, network.level_emb):
        nn.init.normal_(table.weight, std=SPREAD)
    for layer in network.layers:
        nn.init.xavier_uniform_(layer.self_attn.in_proj_weight)
        nn.init.zeros_(layer.self_attn.in_proj_bias)
