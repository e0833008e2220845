"""The prior: a causal transformer over one chunk's codes, with cached keys and values."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.checkpoint import load_weights, malformed, whole_number


class Past(NamedTuple):
    """What a layer's attention looks back on: keys and values, `both [2, rows, heads, length, width / heads]`.

    `keys` and `values [rows * heads, length, width / heads]` are views of the two.
    """

    both: Tensor
    keys: Tensor
    values: Tensor


Cache = list[Past]
"""The past of each layer."""


class Prior:
    """Logits for the next of a chunk's flattened codes, `[pos0_q0, pos0_q1, ..., pos1_q0, ...]`.

    Every operation has a shape that depends on the number of rows and the position alone, and none mixes rows; columns
    are padded with zeros. So what a row gives does not depend on the others nor on its place, as long as there are
    always as many (docs/decisions/equal-bytes.md).
    """

    def __init__(self, network: PriorNetwork) -> None:
        self.vocabulary, self.width = network.token_emb.weight.shape
        self.head_size = _rounded(self.width // network.heads)
        self.length = len(network.pos_emb.weight)
        self.quantizers = len(network.level_emb.weight)
        self.heads = network.heads
        self.device = "cpu"
        columns = _rounded(self.width)
        self._tokens = _padded(network.token_emb.weight, columns)
        levels = torch.arange(self.length) % self.quantizers
        self._places = _padded(network.pos_emb.weight + network.level_emb.weight[levels], columns)  # [length, width]
        self._layers = [_Layer.of(layer, network.heads) for layer in network.layers]
        self._norm = _Norm.of(network.ln_f)
        self._head = _padded(network.head.weight.T, _rounded(self.vocabulary))

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
        """The prior of a checkpoint, on the CPU, as `load_network` gives it."""
        return cls(load_network(tensors, config, vocabulary=vocabulary, quantizers=quantizers, positions=positions))

    def to(self, device: str, dtype: torch.dtype = torch.float32) -> Prior:
        """The same prior on `device`, computing in `dtype`; its logits are float32 all the same."""
        moved = object.__new__(Prior)
        moved.__dict__.update(self.__dict__, device=device)
        for name in ("_tokens", "_places", "_head"):
            setattr(moved, name, getattr(self, name).to(device, dtype))
        moved._norm = self._norm.to(device, dtype)
        moved._layers = [layer.to(device, dtype) for layer in self._layers]
        return moved

    def cache_bytes(self, rows: int) -> int:
        """The size of a cache for `rows`."""
        width = self.heads * self.head_size
        return 2 * len(self._layers) * rows * self.length * width * self._tokens.element_size()

    def new_cache(self, rows: int) -> Cache:
        """An empty cache for `rows`."""
        shape = (2, rows, self.heads, self.length, self.head_size)
        both = [self._tokens.new_empty(shape) for _ in self._layers]
        return [Past(one, *one.flatten(1, 2)) for one in both]

    def __call__(self, tokens: Tensor, start: int, cache: Cache) -> Tensor:
        """Logits `float32 [rows, new, vocabulary]` after each of `tokens [rows, new]`, which stand from `start` on.

        `cache` holds the positions before `start`, and these afterwards.
        """
        rows, new = tokens.shape
        x = F.embedding(tokens, self._tokens).add_(self._places[start : start + new]).view(rows * new, -1)
        for layer, past in zip(self._layers, cache, strict=True):
            x.add_(layer.out(self._attend(layer.into(layer.norm1(x)), start, past)))
            x.add_(layer.linear2(layer.linear1(layer.norm2(x)).relu_()))
        logits = self._norm(x) @ self._head
        return logits.view(rows, new, -1)[..., : self.vocabulary].float()

    def _attend(self, projected: Tensor, start: int, past: Past) -> Tensor:
        """What `projected [rows * new, 3 * heads * size]` attends to up to itself, `[rows * new, heads * size]`.

        Written out as matrix products: a fused kernel mixes the order of sums between rows.
        """
        _, rows, heads, _, size = past.both.shape
        new = len(projected) // rows
        end = start + new
        parts = projected.view(rows, new, 3, heads, size).permute(2, 0, 3, 1, 4)
        past.both.narrow(3, start, new).copy_(parts[1:])
        query = parts[0].mul(1.0 / math.sqrt(self.width // heads)).reshape(rows * heads, new, size)
        scores = torch.bmm(query, past.keys.narrow(1, 0, end).mT)
        if new > 1:
            ahead = torch.ones(new, end, dtype=torch.bool, device=scores.device).triu(start + 1)
            scores.masked_fill_(ahead, -torch.inf)
        mixed = torch.bmm(scores.softmax(dim=-1), past.values.narrow(1, 0, end))
        if new > 1:
            mixed = mixed.view(rows, heads, new, size).transpose(1, 2)
        return mixed.reshape(rows * new, heads * size)


def _rounded(columns: int) -> int:
    """The next multiple of 16. Products with other numbers of columns can have other bits in other rows."""
    return -(-columns // 16) * 16


def _padded(tensor: Tensor, columns: int, rows: int | None = None) -> Tensor:
    """`tensor [rows, columns]` with zeros after its columns, and after its rows, up to so many."""
    below = 0 if rows is None else rows - len(tensor)
    return F.pad(tensor, (0, columns - tensor.shape[1], 0, below)).contiguous()


class _Norm(NamedTuple):
    """A layer norm over the columns that it has weights for; what `x` has more is padding."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, norm: nn.LayerNorm) -> _Norm:
        return cls(norm.weight, norm.bias)

    def __call__(self, x: Tensor) -> Tensor:
        width = len(self.bias)
        return torch.layer_norm(x if x.shape[1] == width else x[:, :width], self.bias.shape, self.weight, self.bias)

    def to(self, device: str, dtype: torch.dtype) -> _Norm:
        return _Norm(self.weight.to(device, dtype), self.bias.to(device, dtype))


class _Linear(NamedTuple):
    """`weight [inward, outward]`, padded: so laid out, the product of few rows is quicker."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor, inward: int | None = None) -> _Linear:
        """The layer with `weight [outward, inward]` and `bias [outward]`, for input padded to `inward` columns."""
        outward = _rounded(len(bias))
        return cls(_padded(weight.T, outward, inward), _padded(bias[None], outward)[0])

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)

    def to(self, device: str, dtype: torch.dtype) -> _Linear:
        return _Linear(self.weight.to(device, dtype), self.bias.to(device, dtype))


class _Layer(NamedTuple):
    """The parameters of a pre-norm transformer layer, as they are computed with."""

    norm1: _Norm
    into: _Linear
    out: _Linear
    norm2: _Norm
    linear1: _Linear
    linear2: _Linear

    @classmethod
    def of(cls, layer: LayerNetwork, heads: int) -> _Layer:
        attention = layer.self_attn
        width = len(attention.out_proj.bias)
        more = 0, _rounded(width // heads) - width // heads
        # The columns of each head, of each of query, key and value, are padded one by one.
        into = F.pad(attention.in_proj_weight.view(3 * heads, -1, width), (0, 0, *more)).flatten(0, 1)
        into_bias = F.pad(attention.in_proj_bias.view(3 * heads, -1), more).flatten()
        out = F.pad(attention.out_proj.weight.view(width, heads, -1), more).flatten(1)
        return cls(
            _Norm.of(layer.norm1),
            _Linear.of(into, into_bias),
            _Linear.of(out, attention.out_proj.bias),
            _Norm.of(layer.norm2),
            _Linear.of(layer.linear1.weight, layer.linear1.bias),
            _Linear.of(layer.linear2.weight, layer.linear2.bias, _rounded(4 * width)),
        )

    def to(self, device: str, dtype: torch.dtype) -> _Layer:
        norms = (norm.to(device, dtype) for norm in (self.norm1, self.norm2))
        into, out, linear1, linear2 = (
            linear.to(device, dtype) for linear in (self.into, self.out, self.linear1, self.linear2)
        )
        norm1, norm2 = norms
        return _Layer(norm1, into, out, norm2, linear1, linear2)


class PriorNetwork(nn.Module):
    """The parameters as the file names them, which are those of `torch.nn.TransformerEncoder`. `Prior` computes."""

    def __init__(self, *, vocabulary: int, length: int, quantizers: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.token_emb = _Table(vocabulary, width)
        self.pos_emb = _Table(length, width)
        self.level_emb = _Table(quantizers, width)
        self.layers = [LayerNetwork(width) for _ in range(layers)]
        self.transformer = nn.ModuleDict({"layers": nn.ModuleList(self.layers)})
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)


def load_network(
    tensors: dict[str, Tensor], config: dict[str, Any], *, vocabulary: int, quantizers: int, positions: int
) -> PriorNetwork:
    """The prior of a checkpoint's `prior_state_dict` and `prior_config`, on the CPU.

    `vocabulary`, `quantizers` and `positions` are the VQ-VAE's, whose codes the prior must cover one by one.
    """
    width = whole_number(config, "hidden_size", 2**14)
    heads = whole_number(config, "num_heads", width)
    layers = whole_number(config, "num_layers", 1024)
    length = whole_number(config, "seq_len")
    found = whole_number(config, "num_quantizers", 64)
    if length != positions * quantizers or found != quantizers:
        raise malformed(
            f"The checkpoint's prior is for {found} levels in {length} codes; "
            f"its VQ-VAE has {quantizers} levels at each of {positions} positions."
        )
    if width % heads:
        raise malformed(f"The checkpoint's prior has {heads} heads, which do not divide its width {width}.")
    with torch.device("meta"):
        network = PriorNetwork(
            vocabulary=vocabulary,
            length=length,
            quantizers=quantizers,
            width=width,
            layers=layers,
            heads=heads,
        )
    load_weights(network, {n: t for n, t in tensors.items() if n != "causal_mask"}, "prior")
    return network


class LayerNetwork(nn.Module):
    """The parameters of `torch.nn.TransformerEncoderLayer`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = _Attention(width)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)


class _Table(nn.Module):
    """The parameter of `torch.nn.Embedding`, which itself imports torch's compiler to initialise it: a second more."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, width))
