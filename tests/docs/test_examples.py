"""The plugins in docs/examples do what the guide says of them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import distill_texture
import numpy as np
import pytest
import soundfile
from program import Cli

from distill.errors import CheckpointError
from distill.plugins import Plugins
from distill.testing import parametrize_with_checks

RATE = 22050
TEXTURE = b'{"__metadata__": {"version": "1", "model_type": "texture"}}'


def small_model(folder: Path) -> Path:
    """A texture of 12 frames, whose levels rise."""
    from safetensors.numpy import save_file

    bins = distill_texture.HOP + 1
    spectra = np.linspace(0.1, 1, 12, dtype=np.float32)[:, None] * np.ones(bins, np.float32)
    path = folder / "hiss.safetensors"
    save_file({"spectra": spectra}, path, {"version": "1", "model_type": "texture", "sample_rate": str(RATE)})
    return path


@pytest.fixture
def plugins() -> Plugins:
    made = Plugins()
    made.register(distill_texture, "texture")
    assert made.problems == []
    return made


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A second of noise below 2 kHz, in stereo."""
    noise = np.random.default_rng(1).standard_normal(RATE)
    spectrum = np.fft.rfft(noise)
    spectrum[2000:] = 0
    wave = np.fft.irfft(spectrum)
    path = tmp_path / "low.wav"
    soundfile.write(path, np.stack([wave, wave], 1) * 0.2 / np.abs(wave).max(), RATE)
    return path


@parametrize_with_checks(distill_texture, small_model)
def test_it_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_it_is_at_most_120_lines() -> None:
    assert len(Path(distill_texture.__file__).read_text().splitlines()) <= 120


def test_a_texture_of_a_recording_has_its_spectrum(cli: Cli, plugins: Plugins, recording: Path) -> None:
    made = cli("make-texture", recording, "low.safetensors", plugins=plugins)
    assert (made.code, made.out, made.err) == (0, "low.safetensors\n", "")
    generated = cli("generate", "low.safetensors", "-d", 2, "-s", 1, plugins=plugins)
    assert (generated.code, generated.err) == (0, "")
    samples, rate = soundfile.read(generated.files[0])
    assert (rate, len(samples)) == (RATE, 2 * RATE)
    power = np.abs(np.fft.rfft(samples)) ** 2
    assert power[: 2 * 2000].sum() > 0.99 * power.sum()


def test_a_model_in_place_is_not_overwritten(cli: Cli, plugins: Plugins, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_text("mine")
    refused = cli("make-texture", recording, "mine.safetensors", plugins=plugins)
    assert (refused.code, refused.errors) == (
        1, ["Error: File exists (mine.safetensors)."]
    )  # fmt: skip
    assert (tmp_path / "mine.safetensors").read_text() == "mine"


def test_the_header_is_read_without_the_weights(plugins: Plugins, tmp_path: Path) -> None:
    frames = 2**18
    size = 4 * frames * (distill_texture.HOP + 1)
    assert size > 2 * 2**30
    header = {
        "__metadata__": {"version": "1", "model_type": "texture", "name": "Sea", "sample_rate": "48000"},
        "spectra": {"dtype": "F32", "shape": [frames, distill_texture.HOP + 1], "data_offsets": [0, size]},
    }
    text = json.dumps(header).encode()
    path = tmp_path / "sea.safetensors"
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)  # a hole: it takes no room on the disk
    tracemalloc.start()
    try:
        found = plugins.read_header(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found is not None
    assert (found.version, found.model_type, found.name) == (1, "texture", "Sea")
    assert found.fields["tensors"]["spectra"]["shape"] == [frames, distill_texture.HOP + 1]
    assert peak < 2**20


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 9, (2**40).to_bytes(8, "little") + TEXTURE, (2).to_bytes(8, "little") + b"{}",
     (36).to_bytes(8, "little") + b'{"__metadata__": {"version": "1.0"}}',
     (59).to_bytes(8, "little") + b'{"__metadata__": {"version": "1.0", "model_type": "grain"}}',
     (0).to_bytes(8, "little") + TEXTURE],
    ids=["empty", "zeros", "header-of-a-terabyte", "no-metadata", "no-type", "other-type", "header-of-nothing"],
)  # fmt: skip
def test_other_files_are_left_to_others(plugins: Plugins, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    assert plugins.read_header(path) is None
    assert plugins.problems == []


@pytest.mark.parametrize(
    "text", ['{"__metadata__": {"version"', '{"a":' + "[" * 100_000, '{"__metadata__": 1}'], ids=["cut", "deep", "odd"]
)
def test_a_damaged_header_is_refused(plugins: Plugins, tmp_path: Path, text: str) -> None:
    path = tmp_path / "torn.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode())
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        plugins.read_header(path)


@pytest.mark.parametrize(
    ("shape", "rate", "said"),
    [
        ([3, 5], "48000", "odd has spectra [3, 5] at 48000 Hz, which are no texture."),
        ([0, 2049], "48000", "odd has spectra [0, 2049] at 48000 Hz, which are no texture."),
        ([3, 2049], "0", "odd has spectra [3, 2049] at 0 Hz, which are no texture."),
        ([3, 2049], "fast", "odd does not hold a texture: invalid literal for int() with base 10: 'fast'"),
    ],
)
def test_what_is_no_texture_is_refused(
    cli: Cli, plugins: Plugins, tmp_path: Path, shape: list[int], rate: str, said: str
) -> None:
    from safetensors.numpy import save_file

    metadata = {"version": "1", "model_type": "texture", "sample_rate": rate}
    save_file({"spectra": np.zeros(shape, np.float32)}, tmp_path / "odd.safetensors", metadata)
    refused = cli("generate", "odd.safetensors", plugins=plugins)
    assert (refused.code, refused.errors) == (1, [f"Error: {said}"])


def test_what_a_file_says_reaches_the_terminal_clean(cli: Cli, plugins: Plugins, tmp_path: Path) -> None:
    header = {
        "__metadata__": {"version": "1", "model_type": "texture", "sample_rate": "48000"},
        "spectra": {"dtype": "\x1b[2J\n\x07", "shape": [1, 2049], "data_offsets": [0, 0]},
    }
    text = json.dumps(header, ensure_ascii=False).replace("\\u001b", "\x1b").encode()
    (tmp_path / "odd.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    refused = cli("generate", "odd.safetensors", plugins=plugins)
    assert refused.code == 1
    assert len(refused.errors) == 1
    assert refused.err[:-1].isprintable()


def test_a_recording_that_cannot_be_read_is_one_line(cli: Cli, plugins: Plugins, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("text")
    refused = cli("make-texture", "text.wav", "x.safetensors", plugins=plugins)
    assert (refused.code, refused.errors) == (
        2, ["Error: text.wav cannot be read: Format not recognised."]
    )  # fmt: skip
    assert not (tmp_path / "x.safetensors").exists()
