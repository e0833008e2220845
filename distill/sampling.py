"""From logits to a token: temperature, then top-k, then top-p. The only place that does it."""

from __future__ import annotations

import torch
from torch import Tensor

from distill.errors import DistillError


def filter_logits(logits: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 0.0) -> Tensor:
    """`logits [..., vocabulary]` with what is not to be drawn at -inf; the argument is left as it is.

    The order and the meaning are those of the logits warpers in Hugging Face transformers: the logits are
    divided by `temperature` (> 0); `top_k` keeps the k largest and all that tie with the k-th (0: all); `top_p`
    keeps the fewest most probable whose sum reaches p, the one that crosses it included (0 and 1: all; nucleus
    sampling, arXiv 1904.09751). At least one token is always left.

    Raises `DistillError` where the logits are not finite.
    """
    if not torch.isfinite(logits).all():
        raise DistillError("The model's logits are not finite numbers: its weights are damaged.")
    logits = logits / temperature
    if 0 < top_k < logits.shape[-1]:
        kth = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < kth, -torch.inf)
    if 0.0 < top_p < 1.0:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        probabilities = ordered.softmax(dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        beyond = (before >= top_p).scatter(-1, order, before >= top_p)
        logits = logits.masked_fill(beyond, -torch.inf)
    return logits


def sample(logits: Tensor, uniforms: Tensor) -> Tensor:
    """One token per row, `int64 [rows]`, from `logits [rows, vocabulary]` and `uniforms [rows]` in [0, 1).

    The inverse of the cumulative distribution, in double precision: a row's token depends on its own logits
    and its own uniform alone, and a token at -inf is never drawn.
    """
    cumulative = logits.double().softmax(dim=-1).cumsum(dim=-1)
    drawn = torch.searchsorted(cumulative, uniforms.double()[:, None] * cumulative[:, -1:], right=True)[:, 0]
    # Rounding can put the threshold at the very end: then the last token that has any probability is meant.
    possible = torch.isfinite(logits)
    last = possible.shape[-1] - 1 - possible.flip(-1).int().argmax(dim=-1)
    return torch.minimum(drawn, last)
