"""The codec while it learns: the same networks, with a residual quantizer that follows what it quantizes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from vector_quantize_pytorch import ResidualVQ

from distill_codec.networks import Codec
from distill_codec.shape import Shape

EMA_DECAY = 0.98
"""How much of a code's place stays at each step."""
DEAD = 0.3
"""A code that fewer vectors of a batch than this fall to, in the mean, is put where one of the batch is."""
KMEANS_ITERATIONS = 10


class Learner(nn.Module):
    """A codec whose codebooks are learnt by moving averages, dead codes revived (van den Oord et al., arXiv 1711.00937;
    Zeghidour et al., SoundStream, arXiv 2107.03312, by vector-quantize-pytorch).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.codec = Codec(shape)
        self.quantizer = ResidualVQ(
            dim=shape.latent_dim, num_quantizers=shape.num_quantizers, codebook_size=shape.codebook_size,
            kmeans_init=True, kmeans_iters=KMEANS_ITERATIONS, decay=EMA_DECAY, threshold_ema_dead_code=DEAD,
            rotation_trick=True,
        )  # fmt: skip

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Two reconstructions of `wave [batch, channels, samples]`, which differ in their noise, and the commitment.

        That is how far latents are from their codes.
        """
        latents = self.codec.latents(wave)
        quantized, _, commitment = self.quantizer(latents.float())
        spectra = self.codec.decoder(quantized)
        one, other = (
            self.codec.decoder.sound(spectra, torch.rand_like(spectra.phase) * 2 - 1) for _ in range(2)
        )  # fmt: skip
        return one, other, commitment.sum()

    @torch.no_grad()
    def export(self) -> Codec:
        """The codec as it is now: its networks, not copied, with the codebooks learnt so far."""
        self.codec.codebooks = torch.cat([layer._codebook.embed for layer in self.quantizer.layers]).clone()
        return self.codec

    @torch.no_grad()
    def perplexity(self) -> list[float]:
        """Of each level, how many codes it uses in effect: e to the entropy of their use of late."""
        uses = torch.cat([layer._codebook.cluster_size for layer in self.quantizer.layers]).clamp(min=0)
        odds = uses / uses.sum(dim=1, keepdim=True).clamp(min=1e-9)
        found: list[float] = torch.special.entr(odds).sum(dim=1).exp().tolist()
        return found
