"""Codes for the chunks of many files: sampled together in blocks, dealt out to each file in order.

A block has always the same number of rows, whatever is asked for, and is computed by one thread: so a chunk's codes do
not depend on how many others are made with it. Rows that are left over are sampled for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from distill.devices import single_threaded
from distill.sampling import Odds, candidates, columns, entropy, odds
from distill_vqvae.prior import Prior

ROWS = 32
"""Rows of a block on a CPU: with more, the keys and values of small priors no longer stay in its cache."""
ROWS_OF_GPU = 128
MOST_CACHE_BYTES = 2**28
"""A prior whose keys and values would take more than this has blocks of fewer rows."""
TOLD_TOGETHER = 16
"""Draws whose candidates and entropy are found at once: to do so for each alone takes a tenth of its time."""
FEWEST_ROWS = 4
"""Fewer are computed by other kernels, with other bits in the same row."""


def rows_of(prior: Prior) -> int:
    """How many rows a block of `prior` has. It depends on the prior and the kind of device alone."""
    rows = ROWS if prior.device == "cpu" else ROWS_OF_GPU
    while rows > FEWEST_ROWS and prior.cache_bytes(rows) > MOST_CACHE_BYTES:
        rows //= 2
    return rows


class Settings(NamedTuple):
    """How tokens are drawn: what `distill.sampling.odds` is given."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.0
    min_p: float = 0.0


class FirstCode(NamedTuple):
    """What a chunk's first code is drawn from, having no context: `codes int64 [n]` and their `logits [n]`.

    `filtered` says whether temperature and filters apply to them, as they do to all that follow.
    """

    codes: Tensor
    logits: Tensor
    filtered: bool

    @classmethod
    def uniform(cls, vocabulary: int) -> FirstCode:
        """Any code, each as likely as another."""
        return cls(torch.arange(vocabulary), torch.zeros(vocabulary), filtered=False)

    @classmethod
    def as_used(cls, uses: Tensor, dead_at: float) -> FirstCode:
        """Each code as often as training used it: `uses [vocabulary]`, those up to `dead_at` being of dead codes.

        Uniform where that leaves none, or the numbers are no counts.
        """
        codes = (uses > max(dead_at, 0.0)).nonzero()[:, 0]
        if not torch.isfinite(uses).all() or not len(codes):
            return cls.uniform(len(uses))
        return cls(codes, uses[codes].float().log(), filtered=True)

    def odds(self, settings: Sequence[Settings]) -> Odds:
        """The odds in each row, of which each has its own of `settings`."""
        rows = len(settings)
        each = settings if self.filtered else [Settings()] * rows
        found = odds(self.logits.expand(rows, -1), *columns(each, self.logits.device))
        return Odds(self.codes[found.tokens], found.weights)

    def to(self, device: str) -> FirstCode:
        return FirstCode(self.codes.to(device), self.logits.to(device), self.filtered)


class Row(NamedTuple):
    """One chunk's codes, `int64 [length]`; over their draws, the sums of the candidates and of the entropy in bits."""

    codes: Tensor
    candidates: float
    entropy: float


def sample_block(
    prior: Prior, first: FirstCode, uniforms: Tensor, settings: Sequence[Settings],
    check: Callable[[], object] = lambda: None,
) -> list[Row]:  # fmt: skip
    """A chunk for each row of `uniforms float64 [rows, length]` in [0, 1), drawn from that row alone.

    Each row has its own of `settings`. `check` is called before each draw; what it raises ends the sampling.
    Raises `NotFiniteError` for a damaged prior.
    """
    rows, length = uniforms.shape
    device = "cpu" if prior.device == "mps" else prior.device  # which has no double precision to draw with
    with single_threaded(), torch.inference_mode():
        uniforms = uniforms.T.contiguous().to(device)
        first = first.to(device)
        cache = prior.new_cache(rows)
        tokens = torch.empty(length, rows, dtype=torch.int64, device=device)
        drawn: list[Tensor] = []  # the weights of the last draws, whose figures are quicker to tell together
        each = columns(settings, device)
        sums = torch.zeros(2, rows, dtype=torch.float64, device=device)
        for t in range(length):
            check()
            if t == 0:
                allowed = first.odds(settings)
            else:
                last = tokens[t - 1, :, None].to(prior.device)
                allowed = odds(prior(last, t - 1, cache)[:, 0].to(device), *each)
            tokens[t] = allowed.draw(uniforms[t])
            drawn.append(allowed.weights)
            if len(drawn) == TOLD_TOGETHER or t in (0, length - 1):  # the first may be of fewer codes
                weights = torch.stack(drawn)
                sums += torch.stack([candidates(weights).double(), entropy(weights)]).sum(dim=1)
                drawn.clear()
        codes = tokens.T.contiguous().cpu()
    return list(map(Row, codes, *sums.tolist()))
