"""What `distill` is measured against: the same work done slowly, as the program does it that invented the format.

One chunk at a time; every token runs the whole prefix again through torch's own transformer; mel to linear by least
squares, clamped; 128 iterations of fast Griffin-Lim (Perraudin et al., WASPAA 2013, as torchaudio has it: momentum
0.99). It shares no code with `distill` but the mel filters and the codes' decoder, which cost next to nothing.

    python tests/benchmarks/slow_path.py MODEL COUNT SECONDS FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import soundfile
import torch
from torch import Tensor, nn

from distill.audio.mel import Spectrogram
from distill.checkpoint import load_contents, read_header
from distill_mel2d.networks import Picture
from distill_vqvae.networks import Vqvae


class SlowPrior(nn.Module):
    """The prior as `torch.nn.TransformerEncoder` under a causal mask; parameters named as in the file."""

    def __init__(self, config: dict[str, int], vocabulary: int) -> None:
        super().__init__()
        width = config["hidden_size"]
        self.levels = config["num_quantizers"]
        self.token_emb = nn.Embedding(vocabulary, width)
        self.pos_emb = nn.Embedding(config["seq_len"], width)
        self.level_emb = nn.Embedding(self.levels, width)
        layer = nn.TransformerEncoderLayer(width, config["num_heads"], 4 * width, batch_first=True, norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, config["num_layers"], enable_nested_tensor=False)
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.register_buffer("causal_mask", torch.ones(config["seq_len"], config["seq_len"]).triu(1).bool())
        self.causal_mask: Tensor

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits `[rows, length, vocabulary]` after each of `tokens [rows, length]`."""
        length = tokens.shape[1]
        positions = torch.arange(length)
        x = self.token_emb(tokens) + self.pos_emb(positions) + self.level_emb(positions % self.levels)
        x = self.transformer(x, mask=self.causal_mask[:length, :length], is_causal=True)
        out: Tensor = self.head(self.ln_f(x))
        return out

    @torch.inference_mode()
    def generate(self, temperature: float, top_k: int, top_p: float) -> Tensor:
        """The codes of one chunk, `int64 [1, length]`."""
        tokens = torch.randint(self.head.out_features, (1, 1))
        while tokens.shape[1] < self.pos_emb.num_embeddings:
            logits = self(tokens)[:, -1] / temperature
            if 0 < top_k < logits.shape[-1]:
                logits[logits < logits.topk(top_k).values[:, -1:]] = -torch.inf
            if 0.0 < top_p < 1.0:
                ordered, order = logits.sort(descending=True)
                beyond = ordered.softmax(-1).cumsum(-1) > top_p
                beyond = beyond.roll(1, dims=-1)
                beyond[:, 0] = False
                logits[beyond.scatter(1, order, beyond)] = -torch.inf
            tokens = torch.cat([tokens, torch.multinomial(logits.softmax(-1), 1)], dim=1)
        return tokens


def mel_to_power(mel: Tensor, spectrogram: Spectrogram) -> Tensor:
    """Linear power `[bins, frames]` from `mel [n_mels, frames]`: least squares, what is negative set to zero."""
    return torch.linalg.lstsq(spectrogram.filters, mel, driver="gelsd").solution.relu()


def griffin_lim(power: Tensor, spectrogram: Spectrogram, iterations: int = 128, momentum: float = 0.99) -> Tensor:
    """A waveform `[samples]` for `power [bins, frames]`, from random phases."""
    n_fft, hop, window = spectrogram.n_fft, spectrogram.hop_length, spectrogram.window
    magnitude = power.pow(1 / spectrogram.power)
    angles = torch.polar(torch.ones_like(magnitude), 2 * torch.pi * torch.rand_like(magnitude))
    previous = torch.zeros_like(angles)
    for _ in range(iterations):
        wave = torch.istft(magnitude * angles, n_fft, hop, window=window)
        rebuilt = torch.stft(wave, n_fft, hop, window=window, return_complex=True)
        angles = rebuilt - momentum / (1 + momentum) * previous
        angles /= angles.abs().add(1e-16)
        previous = rebuilt
    return torch.istft(magnitude * angles, n_fft, hop, window=window)


def load(path: Path) -> tuple[Vqvae, SlowPrior]:
    """The networks of a version 2 checkpoint."""
    header = read_header(path)
    assert header is not None
    contents = load_contents(header)
    spectrogram = Spectrogram.from_config(contents["spectrogram_config"])
    config = contents["vqvae_config"]
    vqvae = Vqvae.load(contents["model_state_dict"], config, Picture.of_chunk(spectrogram, config))
    prior = SlowPrior(contents["prior_config"], config["codebook_size"])
    prior.load_state_dict(contents["prior_state_dict"])
    return vqvae, prior.eval()


@torch.inference_mode()
def generate(vqvae: Vqvae, prior: SlowPrior, samples: int, overlap: int = 2400) -> Tensor:
    """A waveform `[samples]` of chunks inverted apart and cross-faded over `overlap` samples."""
    spectrogram = vqvae.picture.spectrogram
    rising = torch.linspace(0, torch.pi / 2, overlap).sin()
    joined = torch.zeros(0)
    while len(joined) < samples:
        codes = prior.generate(temperature=1.0, top_k=0, top_p=0.9).view(1, -1, prior.levels)
        mel = torch.expm1(vqvae.decode(vqvae.embed(codes)))[0, 0]
        wave = griffin_lim(mel_to_power(mel, spectrogram), spectrogram)
        if len(joined):
            wave[:overlap] = wave[:overlap] * rising + joined[-overlap:] * rising.flip(0)
        joined = torch.cat([joined[:-overlap], wave])
    return joined[:samples]


def main(model: str, count: str, seconds: str, folder: str) -> None:
    """Write `count` files of `seconds` into `folder`."""
    vqvae, prior = load(Path(model))
    rate = vqvae.picture.spectrogram.sample_rate
    for index in range(int(count)):
        wave = generate(vqvae, prior, round(float(seconds) * rate))
        soundfile.write(Path(folder, f"{index}.wav"), (0.89 / wave.abs().max() * wave).numpy(), rate, "PCM_24")


if __name__ == "__main__":
    main(*sys.argv[1:])
