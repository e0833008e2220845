"""The prior: which codes come after which. Causal in time over frames, and within a frame from coarse to fine.

A transformer over the frames, each of whose layers looks back over a window (sliding-window attention, Beltagy et al.,
arXiv 2004.05150), says what it knows of the next frame; a small network for each level, given that and the codes of the
levels before, gives the odds of the level's code (Lee et al., RQ-Transformer, arXiv 2203.01941). How far back a frame
lies is all that is known of where it lies (Shaw et al., arXiv 1803.02155), so a stream may be of any length.

What a frame is to the network is its latent, the sum of its codebook entries, and no embeddings of codes: near codes
are near from the first step on, and there is little to learn by heart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.checkpoint import load_weights, malformed
from distill.devices import require_memory
from distill_codec.prior_shape import PriorShape

EXPANSION = 4
"""How much wider than the rest the middle of a layer is."""
RARE = -5.0
"""The logit of an end, to begin with."""


class Layer(nn.Module):
    """A pre-norm transformer layer over frames."""

    def __init__(self, shape: PriorShape, dropout: float) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.norm1 = nn.LayerNorm(width)
        self.into = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.nearness = nn.Parameter(torch.zeros(shape.heads, shape.window))  # added to scores, by frames back
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, EXPANSION * width)
        self.contract = nn.Linear(EXPANSION * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, back: Tensor, masked: Tensor) -> Tensor:
        """`x [batch, frames, width]` to the same, with `back [frames, frames]` and `masked [batch, 1, ...]`."""
        batch, frames, width = x.shape
        query, key, value = self.projected(x).unbind(0)
        scores = self.nearness[:, back].masked_fill(masked, -torch.inf)
        dropout = self.dropout.p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, scores, dropout)
        return self.fed(x, mixed.transpose(1, 2).reshape(batch, frames, width))

    def projected(self, x: Tensor) -> Tensor:
        """Queries, keys and values of `x [batch, frames, width]`: `[3, batch, heads, frames, size]`."""
        batch, frames, _ = x.shape
        out: Tensor = self.into(self.norm1(x)).view(batch, frames, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return out

    def fed(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The layer's output for `x [..., width]`, once attention has `mixed` the values."""
        x = x + self.dropout(self.out(mixed))
        out: Tensor = x + self.dropout(self.contract(F.gelu(self.expand(self.norm2(x)))))
        return out


class Level(nn.Module):
    """The odds of one level's code, given what the transformer says of the frame and the levels before."""

    def __init__(self, width: int, latent_dim: int, codes: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.known = nn.Linear(2 * latent_dim, width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)
        self.last_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, codes)
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.zero_()

    def forward(self, hidden: Tensor, known: Tensor) -> Tensor:
        """Logits `[..., codes]` for `hidden [..., width]` and what is `known [..., 2 * latent_dim]`."""
        x = self.hidden(hidden) + self.known(known)
        x = x + self.contract(self.dropout(F.gelu(self.expand(self.norm(x)))))
        out: Tensor = self.head(self.last_norm(x))
        return out


class Prior(nn.Module):
    """The prior of a codec with `codebooks [num_quantizers, codebook_size, latent_dim]`.

    A recording is a row of frames after a start; where it ends, the coarsest level has the code `end`, one more than
    the codebook holds, and another may start. `variation`, 0 to 1, says how far what is said was varied from the
    recordings: as they are, up to transposed and mixed (Karras et al., arXiv 2206.00364, condition on augmentation).
    The further, the less sure it is of itself: by `certainty`, which is 1 for what it knows by training.

    The codebooks are the codec's own; `scales` are those of each level's entries, `scale` that of latents.
    """

    def __init__(self, shape: PriorShape, codebooks: Tensor, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.quantizers, self.end, latent_dim = codebooks.shape
        self.dropout = nn.Dropout(dropout)
        self.latent = nn.Linear(latent_dim, shape.width)
        self.start = nn.Parameter(torch.zeros(shape.width))
        self.variation = nn.Parameter(torch.zeros(shape.width))
        self.layers = cast("Sequence[Layer]", nn.ModuleList([Layer(shape, dropout) for _ in range(shape.layers)]))
        self.norm = nn.LayerNorm(shape.width)
        codes = [self.end + 1] + [self.end] * (self.quantizers - 1)
        levels = [Level(shape.width, latent_dim, number, dropout) for number in codes]
        self.levels = cast("Sequence[Level]", nn.ModuleList(levels))
        with torch.no_grad():
            self.levels[0].head.bias[self.end] = RARE
        self.register_buffer("certainty", torch.ones(self.quantizers))
        self.certainty: Tensor
        self.register_buffer("codebooks", codebooks, persistent=False)
        self.codebooks: Tensor
        self.register_buffer("scales", codebooks.flatten(1).std(dim=1).clamp(min=1e-6), persistent=False)
        self.scales: Tensor
        self.register_buffer("scale", self.scales.square().sum().sqrt(), persistent=False)
        self.scale: Tensor
        self.register_buffer("entries", codebooks / self.scales[:, None, None], persistent=False)
        self.entries: Tensor

    @classmethod
    def load(cls, tensors: dict[str, Tensor], config: dict[str, Any], codebooks: Tensor, dropout: float = 0.0) -> Prior:
        """The prior of a checkpoint's `prior_state_dict` and `prior_config`, on the CPU.

        Raises `CheckpointError` naming a setting out of range, or a tensor that is missing, surplus or misshapen.
        """
        shape = PriorShape.from_config(config)
        with torch.device("meta"):  # so that sizes are compared with the file's before anything is allocated
            network = cls(shape, codebooks, dropout)
        load_weights(network, tensors, "prior")
        if not ((network.certainty > 0) & (network.certainty <= 1)).all():
            raise malformed("The checkpoint's prior has a certainty that is not over 0 and up to 1.")
        return network

    def forward(self, before: Tensor, now: Tensor, starts: Tensor, segments: Tensor, variation: Tensor) -> list[Tensor]:
        """Logits `[batch, frames, codes]` of each level, for each frame given those before it in its segment.

        `now int64 [batch, frames, num_quantizers]` are the frames, and `before` those one frame earlier; `starts bool
        [batch, frames]` are true where a recording starts; `segments int64` and `variation`, of that shape, say of each
        frame to which recording it belongs, and how varied it is.
        """
        heard = self.heard(before, starts)
        frame = Frame(self, self.hidden(heard, starts, segments, variation), variation)
        return [frame.next(now[..., number]) for number in range(self.quantizers)]

    def heard(self, before: Tensor, starts: Tensor) -> Tensor:
        """The latents `[..., latent_dim]` of the frames `before`, at scale 1; nothing where a recording starts."""
        levels = torch.arange(self.quantizers, device=before.device)
        latents = self.codebooks[levels, before].sum(dim=-2) / self.scale
        return latents.masked_fill(starts[..., None], 0.0)

    def hidden(self, heard: Tensor, starts: Tensor, segments: Tensor, variation: Tensor) -> Tensor:
        """What the transformer says of each frame, `[batch, frames, width]`, having `heard` the one before."""
        x = self.dropout(self.embed(heard, starts, variation))
        time = torch.arange(x.shape[1], device=x.device)
        back = time[:, None] - time
        masked = ((back < 0) | (back >= self.shape.window)) | (segments[:, :, None] != segments[:, None, :])
        back = back.clamp(0, self.shape.window - 1)
        for layer in self.layers:
            x = layer(x, back, masked[:, None])
        out: Tensor = self.norm(x)
        return out

    def embed(self, heard: Tensor, starts: Tensor, variation: Tensor) -> Tensor:
        """What goes into the transformer, `[..., width]`."""
        x = self.latent(heard) + starts[..., None] * self.start
        out: Tensor = x + variation[..., None] * self.variation
        return out


class Frame:
    """The levels of frames, one after the other: for each its logits, and then its codes, which the next is told.

    `hidden [..., width]` is what the transformer says of the frames.
    """

    def __init__(self, prior: Prior, hidden: Tensor, variation: Tensor) -> None:
        self._prior, self._hidden = prior, hidden
        self._unsure = variation[..., None]
        self._latent = self._last = hidden.new_zeros(*hidden.shape[:-1], prior.codebooks.shape[-1])
        self._level = 0

    def logits(self) -> Tensor:
        """Of the level that is next, `[..., codes]`."""
        prior, number = self._prior, self._level
        known = torch.cat([self._latent / prior.scale, self._last], dim=-1)
        logits: Tensor = prior.levels[number](self._hidden, known)
        return logits * (1 - self._unsure * (1 - prior.certainty[number]))

    def add(self, codes: Tensor) -> None:
        """Go on to the next level, `codes [...]` being those of this one. What an end is followed by is not told."""
        within = codes.clamp(max=self._prior.end - 1)
        self._last = self._prior.entries[self._level][within]
        self._latent = self._latent + self._prior.codebooks[self._level][within]
        self._level += 1

    def next(self, codes: Tensor) -> Tensor:
        """The logits of a level whose `codes` are known, and on to the next."""
        logits = self.logits()
        self.add(codes)
        return logits


class Stream:
    """A prior that is asked frame by frame, for `rows` side by side, in constant memory and time for each frame."""

    def __init__(self, prior: Prior, rows: int) -> None:
        self.prior, self.rows = prior, rows
        shape = prior.shape
        size = (2, rows, shape.heads, shape.window, shape.width // shape.heads)
        device = prior.start.device
        require_memory(device.type, len(prior.layers) * math.prod(size) * prior.start.element_size())
        self._pasts = [prior.start.new_zeros(size) for _ in prior.layers]
        self._time = 0
        self._age = torch.zeros(rows, dtype=torch.int64, device=device)

    def next(self, before: Tensor, starts: Tensor, variation: Tensor) -> Frame:
        """The next frame of each row.

        `before int64 [rows, num_quantizers]` is the frame before. Where `starts bool [rows]` is true, a recording
        starts, and what was before is forgotten.
        """
        prior, window = self.prior, self.prior.shape.window
        slot = self._time % window
        self._time += 1
        self._age = torch.where(starts, 0, self._age + 1)
        back = (slot - torch.arange(window, device=before.device)) % window
        unseen = (back > self._age[:, None])[:, None, None]
        heard = prior.heard(before, starts)
        x = prior.embed(heard, starts, variation)
        for layer, past in zip(prior.layers, self._pasts, strict=True):
            query, *both = layer.projected(x[:, None]).unbind(0)
            past[0, :, :, slot], past[1, :, :, slot] = both[0][:, :, 0], both[1][:, :, 0]
            scores = query @ past[0].mT * query.shape[-1] ** -0.5 + layer.nearness[:, back][:, None]
            odds = scores.masked_fill(unseen, -torch.inf).softmax(dim=-1)
            x = layer.fed(x, (odds @ past[1]).reshape(self.rows, -1))
        return Frame(prior, prior.norm(x), variation)
