"""The VQ-VAE: log-mel pictures to codes and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from distill.checkpoint import load_weights, malformed, whole_number
from distill_mel2d.networks import CHANNELS, Picture, decoder_deconvs, encoder_convs


class Encoder(nn.Module):
    """Padded pictures `[batch, 1, height * 16, width * 16]` to `[batch, codebook_dim, height, width]`."""

    def __init__(self, codebook_dim: int) -> None:
        super().__init__()
        self.convs = encoder_convs()
        self.proj = nn.Conv2d(CHANNELS[-1], codebook_dim, kernel_size=1)

    def forward(self, picture: Tensor) -> Tensor:
        out: Tensor = self.proj(self.convs(picture))
        return out


class Decoder(nn.Module):
    """Embeddings `[batch, codebook_dim, height, width]` to padded pictures."""

    def __init__(self, codebook_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(codebook_dim, CHANNELS[-1], kernel_size=1)
        self.deconvs = decoder_deconvs()

    def forward(self, embeddings: Tensor) -> Tensor:
        out: Tensor = self.deconvs(self.proj(embeddings))
        return out


class Vqvae(nn.Module):
    """A residual-quantized autoencoder of log-mel pictures.

    Codes are `int64 [batch, positions, quantizers]`; positions are the grid of `picture`, row by row:
    frequency first, then time. `codebooks` is `[quantizers, codebook_size, codebook_dim]`.
    """

    def __init__(self, picture: Picture, quantizers: int, codebook_size: int, codebook_dim: int) -> None:
        super().__init__()
        self.picture = picture
        self.encoder = Encoder(codebook_dim)
        self.decoder = Decoder(codebook_dim)
        self.register_buffer("codebooks", torch.zeros(quantizers, codebook_size, codebook_dim))
        self.codebooks: Tensor

    @classmethod
    def load(cls, tensors: dict[str, Tensor], config: dict[str, Any], picture: Picture) -> Vqvae:
        """The network from a checkpoint's `model_state_dict` and `vqvae_config`, on the CPU."""
        quantizers = whole_number(config, "num_quantizers", 64)
        size = whole_number(config, "codebook_size", 2**16)
        dim = whole_number(config, "codebook_dim", 2**14)
        with torch.device("meta"):
            network = cls(picture, quantizers, size, dim)
        embeds = []
        for level in range(quantizers):
            name = f"quantizer.rvq.layers.{level}._codebook.embed"
            embed = tensors.get(name)
            if not isinstance(embed, Tensor) or embed.shape != (1, size, dim):
                raise malformed(f"The checkpoint's VQ-VAE has no tensor {name} of shape {[1, size, dim]}.")
            embeds.append(embed)
        weights = {name: t for name, t in tensors.items() if not name.startswith("quantizer.")}
        load_weights(network, weights | {"codebooks": torch.cat(embeds)}, "VQ-VAE")
        return network

    def encode(self, log_mel: Tensor) -> Tensor:
        """Codes of the pictures `log_mel [batch, 1, n_mels, frames]`: at each level the entry nearest the residual."""
        residual = self.encoder(self.picture.pad(log_mel)).flatten(2).transpose(1, 2)
        codes = []
        for codebook in self.codebooks:
            codes.append(torch.cdist(residual, codebook.expand(len(residual), -1, -1)).argmin(dim=-1))
            residual = residual - codebook[codes[-1]]
        return torch.stack(codes, dim=-1)

    def embed(self, codes: Tensor) -> Tensor:
        """Embeddings `[batch, codebook_dim, height, width]`: the sum over the levels' codebook entries."""
        levels = torch.arange(len(self.codebooks), device=codes.device)
        summed = self.codebooks[levels, codes.long()].sum(dim=2)
        return summed.transpose(1, 2).reshape(len(codes), -1, *self.picture.grid)

    def decode(self, embeddings: Tensor) -> Tensor:
        """Log-mel pictures `[batch, 1, n_mels, frames]`."""
        return self.picture.crop(self.decoder(embeddings))
