"""A complete loader plugin for `.safetensors` checkpoints: noise with the changing spectrum of one recording.

The container, https://huggingface.co/docs/safetensors: a length in eight bytes, a JSON header of it, the weights.
"""

import json
from pathlib import Path
from typing import Any

import click

from distill import CheckpointHeader, GenerationRequest, GenerativeModel, ModelLoader, hookimpl, options
from distill.errors import CheckpointError, RequestError

PLUGIN_API = 1
MAX_HEADER_BYTES = 2**20
HOP, FRAME = 2048, 4096


@hookimpl
def read_header(path: Path) -> CheckpointHeader | None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(min(length, MAX_HEADER_BYTES))
    if length > MAX_HEADER_BYTES or not text.startswith(b"{"):
        return None
    try:
        header = json.loads(text)
        said = header.pop("__metadata__", {})
        if said.get("model_type") != "texture":
            return None  # of some other program: its plugin may know it
        return CheckpointHeader(path, int(said["version"]), "texture", {"metadata": said, "tensors": header})
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} is a safetensors file that is cut short or damaged.") from error


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
        from safetensors.numpy import save

        try:
            samples, rate = soundfile.read(recording, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise RequestError(f"{recording} cannot be read: {error.error_string}") from error
        mono = np.pad(samples.mean(axis=1), (0, max(0, FRAME - len(samples))))
        frames = np.lib.stride_tricks.sliding_window_view(mono, FRAME)[::HOP] * np.hanning(FRAME)
        said = {"version": "1", "model_type": "texture", "name": recording.stem, "sample_rate": str(rate)}
        with model.open("xb") as file:  # x: a file that is there already is left as it is
            file.write(save({"spectra": np.abs(np.fft.rfft(frames)).astype(np.float32)}, said))
        click.echo(model)


class TextureLoader(ModelLoader):
    """Loads version 1, "texture": `spectra [frames, bins]`, magnitudes."""

    name = "texture"
    kind = "TEXTURE"

    def load(self, header: CheckpointHeader, device: str) -> GenerativeModel:
        import safetensors.numpy

        try:
            spectra, rate = safetensors.numpy.load_file(header.path)["spectra"], int(header.metadata["sample_rate"])
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{header.name} does not hold a texture: {error}") from error
        if spectra.shape[1:] != (HOP + 1,) or not len(spectra) or not 8000 <= rate <= 192000:
            raise CheckpointError(
                f"{header.name} has spectra {list(spectra.shape)} at {rate} Hz, which are no texture."
            )
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
