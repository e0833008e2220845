"""Memory that runs out while files are made: smaller batches, the same files, one warning."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch
from program import Cli
from tones import Chunks, Tone, ToneLoader, TonePlugin

from distill import CheckpointHeader, Generation, GenerationRequest, GenerativeModel, hookimpl
from distill.plugins import Plugins
from distill_vqvae import dealing
from distill_vqvae.blocks import Row, sample_block

TOLD = "Warning: Memory ran out: going on with smaller batches. A smaller --batch-size begins with them."
ERRORS: list[Callable[[], Exception]] = [
    MemoryError,
    lambda: RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
]


class Greedy(Tone):
    """A tone that has no memory for a batch of more than `most` chunks, which it notices `after` so many files."""

    def __init__(self, plugin: GreedyPlugin) -> None:
        super().__init__(plugin)
        self._most, self._after, self._error, self.sizes = plugin.most, plugin.after, plugin.error, plugin.sizes

    def generate_batch(
        self, requests: Iterable[GenerationRequest], batch_size: int | None = None
    ) -> Iterator[Generation]:
        self.sizes.append(batch_size)
        left = self._after
        for made in super().generate_batch(requests, batch_size):
            fails = left == 0 and (batch_size is None or batch_size > self._most)
            left -= 1
            yield Generation(self._failing(made.chunks), made.statistics) if fails else made

    def _failing(self, chunks: Chunks) -> Chunks:
        yield next(chunks)
        raise self._error()


class GreedyPlugin(TonePlugin):
    def __init__(
        self, most: int, after: int = 0, error: Callable[[], Exception] = MemoryError, *, concurrent: bool = False
    ) -> None:
        super().__init__(chunk=1000, concurrent=concurrent)
        self.most, self.after, self.error = most, after, error
        self.sizes: list[int | None] = []

    @hookimpl
    def claim_checkpoint(self, header: CheckpointHeader) -> ToneLoader:
        return GreedyLoader(self)


class GreedyLoader(ToneLoader):
    def __init__(self, plugin: GreedyPlugin) -> None:
        super().__init__(plugin)
        self._greedy = plugin

    def load(self, header: CheckpointHeader, device: str) -> GenerativeModel:
        return Greedy(self._greedy)


def generated(cli: Cli, tmp_path: Path, plugin: TonePlugin, *arguments: str) -> tuple[int, list[str], list[str]]:
    """What `generate` ends with and says, and the fingerprints of the files it leaves."""
    plugins = Plugins()
    plugins.register(plugin, "tones")
    (tmp_path / "hum.tone").touch()
    done = cli("generate", "hum.tone", "-s", "1", "-n", "5", "-d", "0.1", *arguments, plugins=plugins)
    files = [hashlib.sha256((tmp_path / one).read_bytes()).hexdigest() for one in done.files]
    assert len(list(tmp_path.rglob("*.wav"))) == len(files)
    assert not list(tmp_path.rglob(".distill*"))
    for path in tmp_path.rglob("hum*.*[!e]"):
        path.unlink()
    return done.code, done.errors, files


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize("concurrent", [False, True])
def test_it_goes_on_with_smaller_batches_and_says_so_once(
    cli: Cli, tmp_path: Path, error: Callable[[], Exception], after: int, concurrent: bool
) -> None:
    undisturbed = generated(cli, tmp_path, TonePlugin(chunk=1000))
    plugin = GreedyPlugin(4, after, error, concurrent=concurrent)
    code, said, files = generated(cli, tmp_path, plugin)
    assert (code, said) == (0, [TOLD])
    assert files == undisturbed[2]
    assert plugin.sizes == ([None, 16, 8, 4] if after == 0 else [None, 16, 8])  # five files: the third fails twice
    assert len(files) == 5


def test_a_batch_size_that_is_given_is_halved(cli: Cli, tmp_path: Path) -> None:
    plugin = GreedyPlugin(3)
    assert generated(cli, tmp_path, plugin, "--batch-size", "6")[:2] == (0, [TOLD])
    assert plugin.sizes == [6, 3]


@pytest.mark.parametrize("level", ["peak", "batch"])
def test_where_one_chunk_is_too_much_it_ends_in_a_line(cli: Cli, tmp_path: Path, level: str) -> None:
    plugin = GreedyPlugin(0)
    code, said, files = generated(cli, tmp_path, plugin, "--normalize", level, "--batch-size", "2")
    assert (code, files, plugin.sizes) == (1, [], [2, 1])
    assert said == [
        "Error: Memory ran out, even with a --batch-size of 1. End other programs, or choose another --device."
    ]


def test_files_of_a_common_level_get_it_all_the_same(cli: Cli, tmp_path: Path) -> None:
    undisturbed = generated(cli, tmp_path, TonePlugin(chunk=1000), "--normalize", "batch")
    code, said, files = generated(cli, tmp_path, GreedyPlugin(8, 3), "--normalize", "batch")
    assert (code, said, files) == (0, [TOLD], undisturbed[2])


def test_another_error_is_no_matter_of_memory(cli: Cli, tmp_path: Path) -> None:
    plugin = GreedyPlugin(1, error=lambda: RuntimeError("odd"))
    code, [said], _ = generated(cli, tmp_path, plugin)
    assert code == 1
    assert "broke while generating" in said
    assert plugin.sizes == [None]


def test_a_vqvae_that_ran_out_of_memory_makes_the_same_files(
    cli: Cli, tmp_path: Path, vqvae_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "generate", vqvae_file, "-s", "1", "-n", "3", "-d", "1", "--quiet"
    assert cli(*asked, "-o", "undisturbed").code == 0
    fails = iter([False, True])

    def sampling(*arguments: object) -> list[Row]:
        if next(fails, False):
            raise MemoryError
        return sample_block(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(dealing, "sample_block", sampling)
    done = cli(*asked, "-o", "disturbed", "--batch-size", "4")
    assert (done.code, done.errors) == (0, [TOLD])
    for name in ("pebbles-1.wav", "pebbles-2.wav", "pebbles-3.wav"):
        assert (tmp_path / "disturbed" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


def test_a_model_that_needs_more_than_there_is_is_refused_before_the_system_is_asked(
    cli: Cli, vqvae_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.devices.memory_free", lambda _device: 1000)
    done = cli("generate", vqvae_file, "-d", "1", "--quiet")
    assert done.code == 1
    assert done.errors[-1].startswith("Error: Memory ran out, even with a --batch-size of 1.")
