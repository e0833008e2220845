"""The end of a training: the codebooks are fitted to the recordings once more, now that the networks stand still."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from distill.seeding import stream
from distill_codec.networks import Codec

ITERATIONS, LAST = 20, 3
"""Of Lloyd's algorithm for each level; in the last of them no code is moved elsewhere."""
USED = 0.75
"""The share of a level's codes that the recordings should use."""
VARIED_WEIGHT = 0.3
"""What all varied frames weigh together, beside those of the recordings."""


@torch.no_grad()
def settle(codec: Codec, recordings: Tensor, varied: Tensor, seed: int) -> None:
    """Fit the codebooks of `codec` to latents `[frames, latent_dim]`: of the `recordings`, and of `varied` crops.

    By k-means, level after level, from where the codebooks are (Lloyd, IEEE Trans. Inf. Theory 28, 1982). Averages over
    the last batches are rough where there are as many codes as frames in a batch, and of those that stand for varied
    sound some stand for nothing else. While the recordings use less than three quarters of a level, the codes that
    they use least are moved to frames that are badly met, with odds by the square of their distance (k-means++, Arthur
    and Vassilvitskii, 2007).
    """
    count = len(recordings)
    residual = torch.cat([recordings, varied])
    weights = torch.ones(len(residual), device=residual.device)
    weights[count:] = VARIED_WEIGHT * count / max(1, len(varied))
    for level in range(len(codec.codebooks)):
        codebook = codec.codebooks[level].clone()
        rng = stream(seed, "settling", level)
        for iteration in range(ITERATIONS):
            far, nearest = torch.cdist(residual, codebook).min(dim=1)
            used = torch.bincount(nearest[:count], minlength=len(codebook))
            weight = torch.zeros_like(codebook[:, 0]).index_add_(0, nearest, weights)
            summed = torch.zeros_like(codebook).index_add_(0, nearest, residual * weights[:, None])
            codebook = torch.where(weight[:, None] > 0, summed / weight[:, None].clamp(min=1e-9), codebook)
            if iteration < ITERATIONS - LAST:
                _move_unused(codebook, used, weight, recordings=residual[:count], far=far[:count], rng=rng)
        codec.codebooks[level] = codebook
        residual = residual - codebook[torch.cdist(residual, codebook).argmin(dim=1)]


def _move_unused(
    codebook: Tensor, used: Tensor, weight: Tensor, *, recordings: Tensor, far: Tensor, rng: np.random.Generator
) -> None:
    """Move as many unused codes as it takes to frames of the `recordings` which are `far` from their codes."""
    unused = (used == 0).nonzero()[:, 0]
    odds = far.double().square().cpu().numpy()
    missing = int(USED * len(codebook)) - (len(codebook) - len(unused))
    moved = min(missing, len(unused), int(np.count_nonzero(odds)))
    if moved <= 0:
        return
    frames = rng.choice(len(odds), moved, replace=False, p=odds / odds.sum())
    least = unused[weight[unused].argsort(stable=True)[:moved]]
    codebook[least] = recordings[torch.from_numpy(frames).to(recordings.device)]
