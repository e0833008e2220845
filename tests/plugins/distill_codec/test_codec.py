"""The networks: what is streamed is what is computed at once, codes are those of training, files are checked."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import SMALL_CODEC as SMALL
from checkpoints import codec, save
from checkpoints import codec_contents as contents
from numpy.typing import NDArray
from recordings import sound

from distill.checkpoint import read_header
from distill.errors import CheckpointError, RequestError
from distill_codec import CodecLoader, tokenizer
from distill_codec.learner import Learner
from distill_codec.networks import Codec, InverseStft
from distill_codec.shape import Shape
from distill_codec.start import start
from distill_codec.tokenizer import CodecTokenizer

SHAPES = [
    SMALL,
    replace(SMALL, channels=2),
    replace(SMALL, kernel=3, encoder_blocks=(2, 0), decoder_blocks=(0, 3)),
    replace(SMALL, n_fft=1024, mel_n_fft=1024, hop_length=256, mel_hop_length=256, stride=4),
    replace(SMALL, stride=1, kernel=5),
]


def pieces(wave: NDArray[Any], sizes: list[int]) -> Iterator[NDArray[Any]]:
    """`wave [..., any]` cut into pieces of `sizes`, over and over."""
    position = number = 0
    while position < wave.shape[-1]:
        size = sizes[number % len(sizes)]
        yield wave[..., position : position + size]
        position, number = position + size, number + 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("frames", [1, 7, 150])
def test_streamed_is_equal_to_all_at_once(shape: Shape, frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "FRAMES", frames)
    network = codec(shape)
    wave = np.tile(sound(2.5, seed=3), (shape.channels, 1)) * np.array([[1.0], [0.5]], np.float32)[: shape.channels]
    stream = CodecTokenizer(network, "cpu")

    codes = np.concatenate(list(stream.encode(pieces(wave, [1000, 1, 30000]))))
    padded = np.pad(wave, ((0, 0), (0, -wave.shape[1] % shape.frame_length)))
    with torch.inference_mode():
        whole = network.encode(torch.from_numpy(padded)[None])[0].numpy()
        expected = network.decode(torch.from_numpy(whole)[None])[0].numpy()[:, : wave.shape[1]]
    assert codes.shape == (-(-wave.shape[1] // shape.frame_length), shape.num_quantizers)
    assert (codes == whole).mean() > 0.999  # two entries may be as near as each other, to the last bit

    blocks = [one.T for one in pieces(whole.T, [1, 5, 40])]
    made = np.concatenate(list(stream.decode(blocks, wave.shape[1])), axis=1)
    assert made.shape == wave.shape
    np.testing.assert_allclose(made, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_context_is_no_shorter_than_what_reaches_into_a_frame(shape: Shape) -> None:
    network, at = codec(shape), 60
    far = {"encoder": shape.encoder_context, "decoder": shape.decoder_context}
    generator = torch.Generator().manual_seed(1)
    wave = torch.randn(1, shape.channels, 2 * at * shape.frame_length, generator=generator)
    with torch.inference_mode():
        latents = network.latents(wave)
        changed = wave.clone()
        changed[..., at * shape.frame_length : (at + 1) * shape.frame_length] += 1
        moved = (network.latents(changed) - latents).abs().amax(dim=(0, 2)) > 1e-6
        assert not moved[: at - far["encoder"]].any()
        assert not moved[at + far["encoder"] + 1 :].any()
        made = network.decode_latents(latents)
        other = latents.clone()
        other[:, at] += 1
        heard = (network.decode_latents(other) - made).abs().amax(dim=1).view(-1, shape.frame_length).amax(dim=1) > 1e-6
        assert not heard[: at - far["decoder"]].any()
        assert not heard[at + far["decoder"] + 1 :].any()


def test_the_inverse_undoes_an_stft_with_frames_in_the_middle_of_hops() -> None:
    wave = torch.from_numpy(sound(0.5))[:, : 40 * 512]
    padded = torch.nn.functional.pad(wave, (768, 768))
    spectrum = torch.stft(padded, 2048, 512, window=torch.hann_window(2048), center=False, return_complex=True)
    made = InverseStft(2048, 512)(spectrum.transpose(1, 2)[None])[0]
    torch.testing.assert_close(made, wave, atol=1e-5, rtol=0)


def test_codes_are_those_of_the_quantizer_that_learnt_them() -> None:
    torch.manual_seed(0)
    learner = Learner(SMALL)
    wave = torch.from_numpy(sound(6.0)).view(12, 1, -1)[..., : 20 * 1024]
    learner.train()
    for _ in range(3):
        learner(wave)
    learner.eval()
    latents = learner.codec.latents(wave)
    quantized, codes, _ = learner.quantizer(latents)
    network = learner.export()
    assert torch.equal(network.quantize(latents), codes)
    torch.testing.assert_close(network.embed(codes), quantized, atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_codec_starts_with_the_magnitudes_of_the_recordings(channels: int) -> None:
    """Its linear maps alone, from log-mel to latents to bins, give back the log-mel."""
    shape = replace(SMALL, latent_dim=64, channels=channels)
    network = Codec(shape)
    waves = torch.from_numpy(np.stack([sound(0.43, pitch=100 + 40 * n, channels=channels, seed=n) for n in range(12)]))
    waves = waves[..., : 20 * 1024]
    with torch.inference_mode():
        start(network, waves)
        frames = network.log_mel(waves)
        latents = network.encoder.linear(frames.reshape(12, 20, -1))
        magnitude = network.decoder.linear(latents).exp().view(12, 40, channels, -1)
        made = (magnitude @ network.mel_filters.T).clamp(min=1e-5).log10().flatten(2)
        there = (network.mel_filters.sum(dim=1) > 1e-3).repeat(channels)
        assert float((made - (2 * frames - 1))[..., there].abs().mean()) < 0.1


def test_two_channels_come_back_as_two() -> None:
    shape = replace(SMALL, channels=2)
    wave = np.concatenate([sound(1.0), sound(1.0, pitch=330)])
    stream = CodecTokenizer(codec(shape), "cpu")
    made = np.concatenate(list(stream.decode(stream.encode([wave]), wave.shape[1])), axis=1)
    assert made.shape == wave.shape
    assert np.abs(made[0] - made[1]).max() > 1e-3


def refused(tmp_path: Path, changed: dict[str, Any]) -> str:
    """What loading a file with `changed` contents is refused with."""
    header = read_header(save(changed, tmp_path / "m.distill"))
    assert header is not None
    with pytest.raises(CheckpointError) as error:
        CodecLoader().load_tokenizer(header, "cpu")
    return str(error.value)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    changed = contents()
    del changed["model_state_dict"]["decoder.phase.bias"]
    assert "lacks the tensor decoder.phase.bias" in refused(tmp_path, changed)


def test_a_surplus_tensor_is_named(tmp_path: Path) -> None:
    changed = contents()
    changed["model_state_dict"]["decoder.third"] = torch.zeros(3)
    assert "a tensor too many, decoder.third" in refused(tmp_path, changed)


def test_a_misshapen_tensor_is_named(tmp_path: Path) -> None:
    changed = contents()
    changed["model_state_dict"]["codebooks"] = torch.zeros(3, 16, 9)
    assert "codebooks of shape [3, 16, 9]; [3, 16, 8] is needed" in refused(tmp_path, changed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0), ("width", 10**9), ("kernel", 4), ("channels", 3), ("stride", True), ("n_fft", "2048"),
        ("hop_length", 1500), ("mel_hop_length", 256), ("encoder_blocks", 3), ("decoder_blocks", [1, 10**6]),
        ("codebook_size", None), ("n_fft", 2047),
    ],
)  # fmt: skip
def test_an_odd_setting_is_named(tmp_path: Path, name: str, value: object) -> None:
    changed = contents()
    changed["codec_config"][name] = value
    assert name in refused(tmp_path, changed)


def test_sizes_that_the_file_does_not_hold_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    """As many parameters as take 70 GB, in a file of some kB."""
    changed = contents()
    changed["codec_config"] |= {"width": 16384, "encoder_blocks": [16, 16], "latent_dim": 16384}
    tracemalloc.start()
    assert "is needed" in refused(tmp_path, changed)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    assert resident < 4 * 2**30


def test_a_file_without_a_configuration_is_refused(tmp_path: Path) -> None:
    changed = contents()
    del changed["codec_config"]
    assert "no codec_config" in refused(tmp_path, changed)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((4, 2), np.int64),
        np.full((4, 3), 16),
        np.full((4, 3), -1),
        np.zeros((4, 3), np.float32),
        np.zeros(4, np.int64),
    ],
)
def test_codes_of_another_kind_are_refused(codes: NDArray[Any]) -> None:
    with pytest.raises(RequestError, match="codes"):
        list(CodecTokenizer(codec(), "cpu").decode([codes], 4096))


def test_too_few_codes_are_refused() -> None:
    with pytest.raises(RequestError, match="short"):
        list(CodecTokenizer(codec(), "cpu").decode([np.zeros((3, 3), np.int64)], 4096))
