"""From logits to a token: temperature, then top-k, then top-p, then min-p. The only place that does it.

Every filter keeps the most probable tokens, so all of them cut one list that is sorted once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.errors import NotFiniteError


@dataclass(frozen=True)
class Odds:
    """What may be drawn, the most probable first: `tokens int64 [..., vocabulary]` and their `weights`.

    `weights float64 [..., vocabulary]` are probabilities but for a factor; those of tokens filtered out are zero and
    come last.
    """

    tokens: Tensor
    weights: Tensor

    def draw(self, uniforms: Tensor) -> Tensor:
        """One token a row, `int64 [rows]`, for `uniforms float64 [rows]` in [0, 1), by the inverse of the cumulative.

        A row's token depends on its own logits and its own uniform alone. One of weight zero is never drawn: a number
        under 1 times the last sum is under it, in double precision too, and so is before the last weight's end.
        """
        cumulative = self.weights.cumsum(dim=-1)
        index = torch.searchsorted(cumulative, cumulative[:, -1:] * uniforms[:, None], right=True)
        return self.tokens.gather(-1, index)[:, 0]


def candidates(weights: Tensor) -> Tensor:
    """How many tokens may be drawn of those with `weights [..., vocabulary]`, `int64 [...]`."""
    return (weights > 0.0).sum(dim=-1)


def entropy(weights: Tensor) -> Tensor:
    """The entropy in bits of draws with `weights float64 [..., vocabulary]`, `float64 [...]`."""
    total = weights.sum(dim=-1)
    nats: Tensor = torch.special.entr(weights).sum(dim=-1) / total + total.log()
    return nats / math.log(2)


Setting = float | Tensor
"""A number for all rows, or a column `[rows, 1]` with one for each."""


def odds(
    logits: Tensor, temperature: Setting = 1.0, top_k: Setting = 0, top_p: Setting = 0.0, min_p: Setting = 0.0
) -> Odds:
    """The odds of each token after `logits [..., vocabulary]`, which are left as they are.

    The order and the meaning are those of the logits warpers in Hugging Face transformers: the logits are divided by
    `temperature` (> 0); `top_k` keeps the k largest and all that tie with the k-th (0: all); `top_p` keeps the fewest
    most probable whose sum reaches p, the one that crosses it included (0 and 1: all; nucleus sampling, arXiv
    1904.09751); `min_p` keeps those with at least that share of the largest probability (0: all; arXiv 2407.01082).
    Each counts what the one before has left; at least one token always is. In double precision, on the CPU where a
    device has none. Rows may have settings of their own (`columns`): a row's odds are those that it has alone.

    Raises `NotFiniteError` where the logits are not finite.
    """
    # The sum of numbers one of which is not finite is not finite, and quicker to look at than each.
    if not math.isfinite(logits.sum().item()) and not torch.isfinite(logits).all():
        raise NotFiniteError("logits")
    if logits.device.type == "mps":
        logits = logits.cpu()
    ordered, tokens = logits.sort(dim=-1, descending=True, stable=True)
    ordered = ordered.double()
    weights = ((ordered - ordered[..., :1]) / temperature).exp_()
    if isinstance(top_k, Tensor):
        least = ordered.gather(-1, (top_k - 1).clamp(0, logits.shape[-1] - 1))
        weights.masked_fill_((ordered < least) & (top_k > 0), 0.0)
    elif 0 < top_k < logits.shape[-1]:
        weights.masked_fill_(ordered < ordered[..., int(top_k) - 1, None], 0.0)
    if isinstance(top_p, Tensor) or 0.0 < top_p < 1.0:
        cumulative = weights.cumsum(dim=-1)
        reached = cumulative >= top_p * cumulative[..., -1:]
        weights[..., 1:].masked_fill_(reached[..., :-1], 0.0)
    if isinstance(min_p, Tensor) or min_p > 0.0:
        weights.masked_fill_(weights < min_p, 0.0)  # the largest is 1
    return Odds(tokens, weights)


def columns(
    settings: Sequence[tuple[float, int, float, float]], device: str | torch.device = "cpu"
) -> tuple[Setting, Setting, Setting, Setting]:
    """What `odds` takes on `device` for rows that have each their own temperature, top-k, top-p and min-p.

    What none of them uses is left out. The temperature always is a column: dividing by a number has other bits on some
    devices, and a row must not depend on the others.
    """
    temperatures, top_ks, top_ps, min_ps = zip(*settings, strict=True)
    never = [p if 0.0 < p < 1.0 else math.inf for p in top_ps]

    def column(values: Sequence[float], dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)[:, None]

    return (
        column(temperatures),
        column(top_ks, torch.int64) if any(top_ks) else 0,
        column(never) if any(p < math.inf for p in never) else 0.0,
        column(min_ps) if any(min_ps) else 0.0,
    )


def filter_logits(
    logits: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 0.0, min_p: float = 0.0
) -> Tensor:
    """`logits [..., vocabulary]` divided by `temperature`, what `odds` does not let be drawn at -inf.

    Raises `NotFiniteError` where the logits are not finite.
    """
    allowed = odds(logits, temperature, top_k, top_p, min_p)
    tokens, filtered = (x.to(logits.device) for x in (allowed.tokens, allowed.weights == 0.0))
    return (logits / temperature).masked_fill(filtered.scatter(-1, tokens, filtered), -torch.inf)


def sample(logits: Tensor, uniforms: Tensor) -> Tensor:
    """One token a row, `int64 [rows]`, from `logits [rows, vocabulary]` and `uniforms [rows]` in [0, 1).

    A token at -inf is never drawn. A uniform of 1, to which single precision may round, is taken to be just below.
    """
    weights, tokens = logits.double().softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    return Odds(tokens, weights).draw(uniforms.double().clamp(max=1 - 2**-53))
