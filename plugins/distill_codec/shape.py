"""The sizes of a codec: what a checkpoint's `codec_config` says, checked. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from distill.checkpoint import malformed, whole_number


@dataclass(frozen=True)
class Shape:
    """The sizes of a codec.

    `sample_rate` in Hz; `n_fft` and `hop_length` in samples, of the head's inverse STFT; `mel_n_fft`, `mel_hop_length`
    and `n_mels` of the log-mel frames that the encoder sees. A frame of codes is `stride` frames of either.
    `encoder_blocks` are those before and after the stride, `decoder_blocks` likewise, in the order of data. `kernel`,
    in frames, is odd.
    """

    sample_rate: int = 48000
    channels: int = 1
    n_fft: int = 2048
    hop_length: int = 512
    mel_n_fft: int = 2048
    mel_hop_length: int = 512
    n_mels: int = 128
    stride: int = 2
    width: int = 256
    kernel: int = 7
    encoder_blocks: tuple[int, int] = (3, 3)
    decoder_blocks: tuple[int, int] = (4, 4)
    latent_dim: int = 64
    num_quantizers: int = 6
    codebook_size: int = 256

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Shape:
        """The shape in a checkpoint's dictionary. Raises `CheckpointError` naming a setting that is missing or odd."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            low, high = _RANGES[field.name]
            if isinstance(field.default, tuple):
                values[field.name] = _pair(config, field.name, low, high)
            else:
                values[field.name] = whole_number(config, field.name, high, low)
        shape = cls(**values)
        if shape.n_fft % 2 or shape.hop_length > shape.n_fft // 2 or shape.mel_hop_length > shape.mel_n_fft // 2:
            raise malformed("The checkpoint's codec has a hop_length over half of its n_fft, or an odd n_fft.")
        if (shape.n_fft - shape.hop_length) % 2 or (shape.mel_n_fft - shape.mel_hop_length) % 2:
            raise malformed("The checkpoint's codec has a hop_length that does not centre in its n_fft.")
        if shape.hop_length != shape.mel_hop_length:
            raise malformed("The checkpoint's codec has a hop_length that is not its mel_hop_length.")
        if shape.kernel % 2 == 0:
            raise malformed(f"The checkpoint's kernel is {shape.kernel}; an odd number is needed.")
        return shape

    def config(self) -> dict[str, Any]:
        """What a checkpoint says of this shape: plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def bins(self) -> int:
        """Frequency bins of the head's spectrum."""
        return self.n_fft // 2 + 1

    @property
    def frame_length(self) -> int:
        """Samples of a frame of codes."""
        return self.stride * self.hop_length

    @property
    def frame_rate(self) -> float:
        """Frames of codes a second."""
        return self.sample_rate / self.frame_length

    @property
    def encoder_context(self) -> int:
        """How many frames of codes on either side a code can depend on."""
        fine, coarse = self.encoder_blocks
        reach = self.kernel // 2
        spectra = -(-(self.mel_n_fft - self.mel_hop_length) // (2 * self.mel_hop_length))
        return -(-(reach * (1 + fine) + spectra) // self.stride) + reach * coarse

    @property
    def decoder_context(self) -> int:
        """How many frames of codes on either side a frame's samples can depend on."""
        coarse, fine = self.decoder_blocks
        reach = self.kernel // 2
        spectra = -(-(self.n_fft - self.hop_length) // (2 * self.hop_length))
        return reach * (1 + coarse) + -(-(reach * fine + spectra) // self.stride)


_RANGES = {
    "sample_rate": (1000, 768000), "channels": (1, 2), "n_fft": (16, 16384), "hop_length": (1, 8192),
    "mel_n_fft": (16, 16384), "mel_hop_length": (1, 8192), "n_mels": (1, 1024), "stride": (1, 64),
    "width": (1, 2**14), "kernel": (1, 255), "encoder_blocks": (0, 256), "decoder_blocks": (0, 256),
    "latent_dim": (1, 2**14), "num_quantizers": (1, 64), "codebook_size": (2, 2**16),
}  # fmt: skip


def _pair(config: Mapping[str, Any], name: str, low: int, high: int) -> tuple[int, int]:
    value = config.get(name)
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise malformed(f"The checkpoint's {name} are {type(value).__name__}; two whole numbers are needed.")
    first, second = (whole_number({name: one}, name, high, low) for one in value)
    return first, second
