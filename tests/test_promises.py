"""What must be true of every file, whichever model made it; the defects named are those of the program we follow."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from checkpoints import save, vae_contents, vqvae_contents
from numpy.typing import NDArray
from program import Cli
from sidecars import sidecar_of

from distill import GenerationRequest
from distill.checkpoint import read_header
from distill_vqvae.dealing import Dealer
from distill_vqvae.model import VqvaeModel

KINDS = {"vqvae": vqvae_contents, "vae": vae_contents}


@pytest.fixture(scope="session", params=KINDS)
def model_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(KINDS[request.param](), tmp_path_factory.mktemp("models") / f"{request.param}.distill")


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("duration", [0.1, 0.5, 1.0, 1.7, 10.0, 61.0])
def test_duration_times_rate_samples_are_in_the_file_under_its_own_rate(
    cli: Cli, model_file: Path, rate: int, duration: float
) -> None:
    """Defects 2 and 5: overlaps that shorten a file; a header whose rate is not the samples' own."""
    path = cli("generate", model_file, "-d", duration, "--sample-rate", rate, "-s", 1).files[0]
    info = soundfile.info(path)
    assert (info.frames, info.samplerate) == (round(duration * rate), rate)


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
def test_file_three_of_a_batch_is_the_file_its_seed_makes_alone(cli: Cli, model_file: Path, form: str) -> None:
    batch = cli("generate", model_file, "-d", 2.3, "-n", 3, "-s", 7, "-o", "batch", "-f", form).files
    alone = cli("generate", model_file, "-d", 2.3, "-s", 9, "-o", "alone", "-f", form).files
    assert alone[0].read_bytes() == batch[2].read_bytes()
    assert sidecar_of(alone[0]) == sidecar_of(batch[2])


def test_no_two_files_of_a_batch_share_a_chunk(vqvae_file: Path) -> None:
    """Defect 3: chunk j of file i seeded with a sum, so that files share chunks."""
    header = read_header(vqvae_file)
    assert header is not None
    model = VqvaeModel.load(header, "cpu")
    options = {"temperature": 1.0, "top_k": 0, "top_p": 0.9, "min_p": 0.0, "overlap": 50.0}
    requests = [GenerationRequest(seed=seed, samples=10 * 48000, options=options) for seed in range(7, 12)]
    files = Dealer(map(model.ask, requests), model.first, batch_size=None, threads=2)
    chunks = [codes.numpy().tobytes() for file in files for codes in file]
    assert len(chunks) == 5 * 11
    assert len(set(chunks)) == len(chunks)


HOP, FRAMES, OVERLAP = 512, 94, 5
SEAMS = [HOP * (k * (FRAMES - OVERLAP) + end) for k in range(1, 10) for end in (0, OVERLAP)]
"""Where the cross-fades of the first ten chunks of 94 frames begin and end, 50 ms (5 frames) apart, in samples."""


def seam_steps(samples: NDArray[Any]) -> float:
    """The largest sample-to-sample change at a seam against the largest elsewhere, each relative to 25 ms around it."""
    change = np.abs(np.diff(samples))
    usual = np.sqrt(np.convolve(change**2, np.full(2401, 1 / 2401), "same"))
    relative = change / np.maximum(usual, 1e-6)
    at_seam = np.zeros(len(change), bool)
    for seam in SEAMS:
        at_seam[seam - 16 : seam + 16] = True
    return float(relative[at_seam].max() / relative[~at_seam].max())


@pytest.mark.parametrize("seed", range(3))
def test_there_is_no_step_at_a_seam(cli: Cli, vqvae_file: Path, seed: int) -> None:
    """Defect 1: swapped fades, with two steps a seam of up to 50 times the local change."""
    samples, _ = soundfile.read(cli("generate", vqvae_file, "-d", 10, "-s", seed).files[0])
    assert seam_steps(samples) < 1.5


def test_the_measure_of_a_step_sees_a_swapped_cross_fade() -> None:
    first, second = (np.sin(2 * np.pi * 200 * np.arange(480000) / 48000 + phase) for phase in (0, 1))
    begin, end = SEAMS[:2]
    new = np.clip((np.arange(480000) - begin) / (end - begin), 0, 1)
    swapped = np.where((new > 0) & (new < 1), 1 - new, new)
    assert seam_steps(first * (1 - new) + second * new) < 1.5
    assert seam_steps(first * (1 - swapped) + second * swapped) > 5


@pytest.mark.parametrize("depth", ["16-bit", "24-bit", "32-bit-float"])
def test_no_sample_is_over_minus_1_dbfs(cli: Cli, model_file: Path, depth: str) -> None:
    """Defect 4: peaks of 1.23 that the export clips."""
    path = cli("generate", model_file, "-d", 3, "-s", 1, "--bit-depth", depth).files[0]
    peak = np.abs(soundfile.read(path)[0]).max()
    assert 20 * np.log10(peak) == pytest.approx(-1.0, abs=0.001)


def test_the_rate_in_the_header_is_the_rate_of_the_samples(cli: Cli, model_file: Path) -> None:
    """Defect 5: 48 kHz samples under a 44.1 kHz header. The same sound at both rates has its partials at one pitch."""
    own, other = (
        cli("generate", model_file, "-d", 2, "-s", 1, "--bit-depth", "32-bit-float", "--sample-rate", rate).files[0]
        for rate in (48000, 44100)
    )
    spectra = [np.abs(np.fft.rfft(soundfile.read(path)[0]))[: 2 * 15000] for path in (own, other)]  # bins of 0.5 Hz
    assert np.corrcoef(*spectra)[0, 1] > 0.9999


def test_two_runs_at_once_keep_all_they_make(cli: Cli, vqvae_file: Path, tmp_path: Path) -> None:
    """Defect 7: names of seconds and seeds, by which two runs overwrite each other."""
    command = [sys.executable, "-m", "distill", "generate", vqvae_file, "-d", "0.1", "-s", "5", "-n", "2", "--json"]
    runs = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    files = sorted(p.name for p in tmp_path.glob("*.wav"))
    assert files == sorted(f"pebbles-{seed}{number}.wav" for seed in (5, 6) for number in ("", "-2", "-3"))


class Runs:
    """An object whose pickle runs a program when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self._canary),)


def test_a_checkpoint_runs_nothing(cli: Cli, tmp_path: Path) -> None:
    """Defect 8: unpickling that runs what a file says."""
    canary = tmp_path / "canary"
    for contents in KINDS.values():
        path = save({"first": Runs(canary)} | contents(), tmp_path / "m.distill")
        result = cli("generate", path, "-d", 0.1)
        assert result.code == 1
        assert len(result.errors) == 1
        assert not canary.exists()
        with contextlib.suppress(ModuleNotFoundError):  # of the foreign enum in one of the two
            torch.load(path, weights_only=False)  # the trap is real
        assert canary.exists()
        canary.rmdir()


def test_a_bare_pickle_runs_nothing(cli: Cli, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "m.distill").write_bytes(pickle.dumps(Runs(canary)))
    assert cli("generate", "m.distill").code == 1
    assert not canary.exists()


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("vqvae", {"codebook_size": 128, "dim": 32, "quantizers": 3, "width": 256, "layers": 4, "heads": 4}),
        ("vqvae", {"codebook_size": 2, "dim": 1, "quantizers": 1, "width": 2, "heads": 1}),
        ("vqvae", {"chunk_duration_s": 0.5}),
        ("vqvae", {"sample_rate": 22050, "n_mels": 80, "n_fft": 1024, "hop_length": 256, "f_min": 20.0, "f_max": 9e3}),
        ("vqvae", {"power": 1.0}),
        ("vae", {"sliders": None}),
        ("vae", {"latent_dim": 32, "sliders": 17}),
        ("vae", {"sample_rate": 16000, "n_mels": 64, "n_fft": 800, "hop_length": 200}),
    ],
    ids=[
        "codebook of 128, prior of 4 layers and width 256", "smallest", "half-second chunks", "22050 Hz", "magnitudes",
        "no analysis", "17 sliders", "16000 Hz, n_fft no power of two",
    ],
)  # fmt: skip
def test_other_sizes_generate(cli: Cli, tmp_path: Path, kind: str, sizes: dict[str, Any]) -> None:
    contents = KINDS[kind](**sizes)
    result = cli("generate", save(contents, tmp_path / "m.distill"), "-d", 2.2, "-s", 1)
    assert (result.code, result.err) == (0, "")
    samples, rate = soundfile.read(result.files[0])
    assert (len(samples), rate) == (round(2.2 * rate), contents["spectrogram_config"]["sample_rate"])
    assert all(np.abs(half).max() > 0.01 for half in np.array_split(samples, 2))


@pytest.mark.parametrize(
    ("name", "options", "files", "seconds"),
    [
        ("v2-vqvae-prior", "--temperature 0.8 --top-k 50 --top-p 0.95 -d 10 -n 3 -s 7", 3, 10),
        ("v1-vae-sliders", "--slider 0:5 --slider 1:-3 -d 5", 1, 5),
    ],
)
def test_real_checkpoints_make_sound_that_never_stops_or_clips(
    cli: Cli, reference: Path, name: str, options: str, files: int, seconds: int
) -> None:
    result = cli("generate", reference / f"{name}.distill", *options.split())
    assert (result.code, result.err, len(result.files)) == (0, "", files)
    for path in result.files:
        samples, rate = soundfile.read(path)
        assert (len(samples), rate) == (seconds * 48000, 48000)
        assert np.abs(samples).max() == pytest.approx(10 ** (-1 / 20), abs=1e-6)
        tenths = np.sqrt(np.square(samples).reshape(-1, 4800).mean(axis=1))
        assert 20 * np.log10(tenths.min()) > -60
        assert seam_steps(samples) < 1.5
