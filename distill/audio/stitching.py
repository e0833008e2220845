"""Joins between chunks, made in the mel domain before inversion, so that phase runs on across a seam.

Fading waveforms that were inverted apart lets their partials beat against each other; fading powers does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def crossfade(chunks: Iterable[Tensor], overlap: int) -> Iterator[Tensor]:
    """Join mel power spectra `[n_mels, frames]`, each fading into the next over `overlap` frames.

    Gives as many blocks as there are chunks; the last `overlap` frames of a chunk come with the block after.
    The weights are sin² and cos² of one angle: they sum to one, so the power of unlike sounds stays level.
    Every chunk must have at least twice `overlap` frames.
    """
    rising = torch.sin(math.pi / 2 * torch.arange(1, overlap + 1) / (overlap + 1)).square()
    tail: Tensor | None = None
    chunks = iter(chunks)
    chunk = next(chunks, None)
    while chunk is not None:
        following = next(chunks, None)
        if tail is not None and overlap:
            up = rising.to(chunk)
            chunk = torch.cat([tail * (1 - up) + chunk[:, :overlap] * up, chunk[:, overlap:]], dim=1)
        keep = chunk.shape[1] if following is None else chunk.shape[1] - overlap
        tail = chunk[:, keep:]
        yield chunk[:, :keep]
        chunk = following


def overlap_add(chunks: Iterable[Tensor], hop: int) -> Iterator[Tensor]:
    """Join spectra `[n_mels, frames]` of one length, a chunk every `hop` frames, under Hann windows.

    The sum is divided by the sum of the windows. Gives as many blocks as there are chunks: `hop` frames each, the
    last one all that is left; together (count - 1) * hop + frames.
    """
    total: Tensor | None = None
    chunks = iter(chunks)
    chunk = next(chunks, None)
    while chunk is not None:
        following = next(chunks, None)
        window = torch.hann_window(chunk.shape[1]).to(chunk)
        weighted = torch.stack([chunk * window, window.expand_as(chunk)])
        if total is not None:
            overlapping = chunk.shape[1] - hop
            weighted[..., :overlapping] += total[..., :overlapping]
        keep = chunk.shape[1] if following is None else hop
        done, total = weighted[..., :keep], weighted[..., keep:]
        yield done[0] / done[1].clamp(min=1e-8)
        chunk = following
