"""The prior: which codes come after which. Causal in time over frames, and within a frame from coarse to fine.

A transformer over the frames, each of whose layers looks back over a window (sliding-window attention, Beltagy et al.,
arXiv 2004.05150), says what it knows of the next frame; a small network for each level, given that and the codes of the
levels before, gives the odds of the level's code (Lee et al., RQ-Transformer, arXiv 2203.01941). How far back a frame
lies is all that is known of where it lies (Shaw et al., arXiv 1803.02155), so a stream may be of any length.

What a frame is to the network is its latent, the sum of its codebook entries, and no embeddings of codes: near codes
are near from the first step on, and there is little to learn by heart.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.checkpoint import load_weights
from distill_codec.prior_shape import PriorShape

EXPANSION = 4
"""How much wider than the rest the middle of a layer is."""


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
    """

    def __init__(self, shape: PriorShape, codebooks: Tensor, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.quantizers, self.end, latent_dim = codebooks.shape
        self.dropout = nn.Dropout(dropout)
        self.latent = nn.Linear(latent_dim, shape.width)
        self.start = nn.Parameter(torch.zeros(shape.width))
        self.variation = nn.Parameter(torch.zeros(shape.width))
        self.layers = nn.ModuleList([Layer(shape, dropout) for _ in range(shape.layers)])
        self.norm = nn.LayerNorm(shape.width)
        self.levels = nn.ModuleList([
            Level(shape.width, latent_dim, self.end + (level == 0), dropout) for level in range(self.quantizers)
        ])  # fmt: skip
        self.register_buffer("codebooks", codebooks, persistent=False)
        self.codebooks: Tensor
        self.register_buffer("scales", None, persistent=False)
        self.scales: Tensor
        self.register_buffer("scale", None, persistent=False)
        self.scale: Tensor
        self.set_codebooks(codebooks)

    @classmethod
    def load(cls, tensors: dict[str, Tensor], config: dict[str, Any], codebooks: Tensor) -> Prior:
        """The prior of a checkpoint's `prior_state_dict` and `prior_config`, on the CPU.

        Raises `CheckpointError` naming a setting out of range, or a tensor that is missing, surplus or misshapen.
        """
        shape = PriorShape.from_config(config)
        with torch.device("meta"):  # so that sizes are compared with the file's before anything is allocated
            network = cls(shape, torch.empty(codebooks.shape))
        load_weights(network, tensors, "prior")
        network.set_codebooks(codebooks)
        return network

    def set_codebooks(self, codebooks: Tensor) -> None:
        """Have the codec's codebooks, which it shares, and their scales: of each level's entries, and of latents."""
        self.codebooks = codebooks
        self.scales = codebooks.flatten(1).std(dim=1).clamp(min=1e-6)
        self.scale = self.scales.square().sum().sqrt()

    def forward(self, before: Tensor, now: Tensor, starts: Tensor, segments: Tensor, variation: Tensor) -> list[Tensor]:
        """Logits `[batch, frames, codes]` of each level, for each frame given those before it in its segment.

        `now int64 [batch, frames, num_quantizers]` are the frames, and `before` those one frame earlier; `starts bool
        [batch, frames]` are true where a recording starts; `segments int64` and `variation`, of that shape, say of each
        frame to which recording it belongs, and how varied it is.
        """
        hidden = self.hidden(before, starts, segments, variation)
        logits = []
        latent = torch.zeros_like(self.codebooks[0, 0])
        last = latent
        for number, level in enumerate(self.levels):
            logits.append(level(hidden, self.known(latent.expand(*now.shape[:2], -1), last.expand(*now.shape[:2], -1))))
            last, latent = self.add(number, now[..., number], latent)
        return logits

    def hidden(self, before: Tensor, starts: Tensor, segments: Tensor, variation: Tensor) -> Tensor:
        """What the transformer says of each frame, `[batch, frames, width]`; `before` are the codes one frame back."""
        x = self.dropout(self.embed(before, starts, variation))
        time = torch.arange(x.shape[1], device=x.device)
        back = time[:, None] - time
        masked = ((back < 0) | (back >= self.shape.window)) | (segments[:, :, None] != segments[:, None, :])
        back = back.clamp(0, self.shape.window - 1)
        for layer in self.layers:
            x = layer(x, back, masked[:, None])
        out: Tensor = self.norm(x)
        return out

    def embed(self, before: Tensor, starts: Tensor, variation: Tensor) -> Tensor:
        """What goes into the transformer, `[..., width]`."""
        levels = torch.arange(self.quantizers, device=before.device)
        x = self.latent(self.codebooks[levels, before].sum(dim=-2) / self.scale)
        return torch.where(starts[..., None], self.start, x) + variation[..., None] * self.variation

    def known(self, latent: Tensor, last: Tensor) -> Tensor:
        """What a level is told of those before it: the `latent [..., latent_dim]` so far, and their `last` entry."""
        return torch.cat([latent / self.scale, last], dim=-1)

    def add(self, level: int, codes: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The entries of `codes [...]` at a `level`, at scale 1, and `latent` with them added. Of an end, any."""
        entry = self.codebooks[level][codes.clamp(max=self.end - 1)]
        return entry / self.scales[level], latent + entry


class Stream:
    """A prior that is asked frame by frame, for `rows` side by side, in constant memory and time for each frame."""

    def __init__(self, prior: Prior, rows: int) -> None:
        self.prior, self.rows = prior, rows
        shape = prior.shape
        size = (2, rows, shape.heads, shape.window, shape.width // shape.heads)
        self._pasts = [prior.start.new_zeros(size) for _ in prior.layers]
        self._time = 0
        self._age = torch.zeros(rows, dtype=torch.int64, device=prior.start.device)

    def next(self, before: Tensor, starts: Tensor, variation: Tensor) -> Tensor:
        """What the transformer says of the next frame, `[rows, width]`.

        `before int64 [rows, num_quantizers]` is the frame before. Where `starts bool [rows]` is true, a recording
        starts, and what was before is forgotten.
        """
        prior, window = self.prior, self.prior.shape.window
        slot = self._time % window
        self._time += 1
        self._age = torch.where(starts, 0, self._age + 1)
        back = (slot - torch.arange(window, device=before.device)) % window
        unseen = (back > self._age[:, None])[:, None, None]
        x = prior.embed(before, starts, variation)
        for layer, past in zip(prior.layers, self._pasts, strict=True):
            query, *both = layer.projected(x[:, None]).unbind(0)
            past[0, :, :, slot], past[1, :, :, slot] = both[0][:, :, 0], both[1][:, :, 0]
            scores = query @ past[0].mT * query.shape[-1] ** -0.5 + layer.nearness[:, back][:, None]
            odds = scores.masked_fill(unseen, -torch.inf).softmax(dim=-1)
            x = layer.fed(x, (odds @ past[1]).reshape(self.rows, -1))
        out: Tensor = prior.norm(x)
        return out
