"""A complete loader plugin for `.safetensors` checkpoints: noise with the changing spectrum of one recording.

`distill make-texture rain.wav rain.safetensors`, then `distill generate rain.safetensors`. The container (specified at
https://huggingface.co/docs/safetensors) is the length of a JSON header in eight bytes, the header, and the weights.
"""

import json
from pathlib import Path
from typing import Any

import click

from distill import CheckpointHeader, GenerationRequest, GenerativeModel, ModelLoader, hookimpl, options
from distill.errors import CheckpointError

PLUGIN_API = 1
MAX_HEADER_BYTES = 2**20
HOP, FRAME = 2048, 4096


@hookimpl
def read_header(path: Path) -> CheckpointHeader | None:
    with path.open("rb") as file:
        start = file.read(9)
        length = int.from_bytes(start[:8], "little")
        if start[8:] != b"{" or not 2 <= length <= MAX_HEADER_BYTES:
            return None
        text = b"{" + file.read(length - 1)
    try:
        header = json.loads(text)
        said = header.pop("__metadata__")
        version, model_type = int(said["version"]), said["model_type"]
    except (KeyError, TypeError):
        return None  # a safetensors file of some other program
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is a safetensors file that is cut short or damaged.") from error
    return CheckpointHeader(path, version, model_type, {"metadata": said, "tensors": header})


@hookimpl
def claim_checkpoint(header: CheckpointHeader) -> ModelLoader | None:
    return TextureLoader() if (header.version, header.model_type) == (1, "texture") else None


@hookimpl
def claimed_types() -> list[tuple[int, str | None]]:
    return [(1, "texture")]


@hookimpl
def generation_options() -> list[click.Option]:
    return [options.number("--tilt", default=0.0, low=-12.0, high=12.0, unit="dB an octave", help="Dark to bright.")]


@hookimpl
def register_commands(cli: click.Group) -> None:
    @cli.command("make-texture")
    @click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.argument("model", type=click.Path(dir_okay=False, path_type=Path))
    def make_texture(recording: Path, model: Path) -> None:
        """Make a texture MODEL (*.safetensors) of one RECORDING."""
        import numpy as np
        import soundfile
        from safetensors.numpy import save_file

        if model.exists():
            raise click.ClickException(f"{model} is there already. Give another name.")
        samples, rate = soundfile.read(recording, dtype="float32", always_2d=True)
        mono = np.pad(samples.mean(axis=1), (0, max(0, FRAME - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(mono, FRAME)[::HOP] * np.hanning(FRAME)
        said = {"version": "1", "model_type": "texture", "name": recording.stem, "sample_rate": str(rate)}
        save_file({"spectra": np.abs(np.fft.rfft(frames)).astype(np.float32)}, model, said)
        click.echo(model)


class TextureLoader(ModelLoader):
    """Loads version 1, "texture": `spectra [frames, bins]`, magnitudes."""

    name = "texture"
    kind = "TEXTURE"

    def load(self, header: CheckpointHeader, device: str) -> GenerativeModel:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            spectra, rate = load_file(header.path)["spectra"], int(header.metadata["sample_rate"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(f"{header.name} does not hold a texture: {error}") from error
        if spectra.ndim != 2 or spectra.shape[1] != HOP + 1:
            raise CheckpointError(f"{header.name} has spectra {list(spectra.shape)}; [frames, {HOP + 1}] is needed.")
        return Texture(spectra, rate)


class Texture(GenerativeModel):
    """A chunk is the spectrum of some frame of the recording, its phases random, overlapped by half with the next."""

    def __init__(self, spectra: Any, sample_rate: int) -> None:
        self.spectra, self.sample_rate = spectra, sample_rate

    def count_chunks(self, request: GenerationRequest) -> int:
        return -(-request.samples // HOP)

    def generate(self, request: GenerationRequest) -> Any:
        before = self._frame(request, 0)
        for index in range(self.count_chunks(request)):
            frame = self._frame(request, index + 1)
            yield (before[HOP:] + frame[:HOP])[None, : request.samples - index * HOP]
            before = frame

    def _frame(self, request: GenerationRequest, index: int) -> Any:
        import numpy as np

        from distill.seeding import stream

        chance = stream(request.seed, "frame", index)  # of its own for each frame: no frame needs those before it
        octaves = np.log2(np.maximum(np.arange(self.spectra.shape[1]), 1) * self.sample_rate / FRAME / 1000)
        magnitudes = chance.choice(self.spectra) * 10 ** (request.options["tilt"] * octaves / 20)
        noise = np.fft.irfft(magnitudes * np.exp(2j * np.pi * chance.random(len(magnitudes))))
        return (noise * np.sqrt(np.hanning(FRAME))).astype(np.float32)
