"""Where a codec starts from: its linear maps set by what the recordings are, so that it need not learn that first."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from distill_codec.networks import Codec

QUIET = 0.1
"""What the blocks add at first is turned down by this."""
TONAL = -2.0
"""At first noise turns phases by a tenth of a half turn: the logit of their noisiness."""
SPREAD = 2.0
"""Latents start with a standard deviation of about one over this."""


@torch.no_grad()
def start(codec: Codec, waves: Tensor) -> None:
    """Set the linear maps of `codec` by `waves [crops, channels, samples]`, as those to be learnt from.

    The encoder's becomes the principal components of the log-mel frames of a code (Jolliffe, Principal Component
    Analysis, 2002); the decoder's the way back, each bin between the two mel bands beside it.
    """
    shape = codec.shape
    log_mel = codec.log_mel(waves)
    frames = log_mel.reshape(-1, shape.stride * log_mel.shape[2])
    mean = frames.mean(dim=0)
    _, sizes, components = torch.linalg.svd(frames - mean, full_matrices=False)
    kept = min(shape.latent_dim, len(components))
    scale = SPREAD * float(sizes[:kept].mean()) / math.sqrt(len(frames))
    basis = torch.zeros(shape.latent_dim, frames.shape[1], device=frames.device)
    basis[:kept] = components[:kept]

    encoder, decoder = codec.encoder, codec.decoder
    encoder.linear.weight.copy_(basis / scale)
    encoder.linear.bias.copy_(-(basis @ mean) / scale)
    encoder.project.weight.mul_(QUIET)
    encoder.project.bias.zero_()

    bands, offset = _bands_to_bins(codec.mel_filters)

    def to_bins(log_mel: Tensor) -> Tensor:
        """From `[..., stride * channels * n_mels]` to `[..., stride * channels * bins]`."""
        split: Tensor = log_mel.view(*log_mel.shape[:-1], -1, shape.n_mels) @ bands.T
        return split.flatten(-2)

    natural = math.log(10)
    decoder.linear.weight.copy_(natural * to_bins(2.0 * scale * basis).T)
    bias = to_bins(2.0 * mean - 1.0).view(-1, shape.bins) - offset
    decoder.linear.bias.copy_(natural * bias.flatten())
    decoder.noisiness.weight.mul_(QUIET)
    decoder.noisiness.bias.fill_(TONAL)
    decoder.magnitude.weight.mul_(QUIET)
    decoder.magnitude.bias.zero_()


def _bands_to_bins(filters: Tensor) -> tuple[Tensor, Tensor]:
    """Weights `[bins, n_mels]` that put each bin between the centres of two bands, and what to take off `[bins]`.

    A band's log10 magnitude is that of its bins and of its width, which the offset takes off. Bands narrower than a bin
    may have nothing in them; they are passed over.
    """
    widths = filters.sum(dim=1)
    there = (widths > 1e-3).nonzero()[:, 0]
    bins = torch.arange(filters.shape[1], device=filters.device, dtype=torch.float32)
    centres = (filters @ bins)[there] / widths[there]
    above = torch.searchsorted(centres, bins).clamp(1, len(centres) - 1)
    below = above - 1
    share = ((bins - centres[below]) / (centres[above] - centres[below])).clamp(0, 1)
    weights = torch.zeros(filters.shape[1], filters.shape[0], device=filters.device)
    rows = torch.arange(len(bins), device=filters.device)
    weights[rows, there[below]] = 1 - share
    weights[rows, there[above]] = share
    return weights, weights @ torch.where(widths > 1e-3, widths, 1.0).log10()
