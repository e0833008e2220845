"""Request in, finished audio out, whatever model makes it; and what happens when a model breaks its word."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from sidecars import sidecar_of
from tones import Chunks, Tone, TonePlugin

from distill import CheckpointHeader, Generation, GenerationRequest, generation, registry
from distill.audio import files
from distill.audio.space import Space
from distill.errors import DistillError, DistillWarning, PluginError, RequestError
from distill.generation import GeneratedFile
from distill.jobs import Job
from distill.output import Output
from distill.plugins import Plugins

DEFAULTS: dict[str, Any] = {"options": {}, "duration": 0.5, "seed": 3, "device": "cpu"}
OUTPUT = {field.name for field in fields(Output)}


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "hum.tone"
    path.parent.mkdir()
    path.write_text("any")
    return path


@pytest.fixture
def made(model_file: Path, tmp_path: Path) -> Callable[..., list[GeneratedFile]]:
    """Generate with a tone plugin; returns the finished files."""

    def call(plugin: TonePlugin | None = None, **settings: Any) -> list[GeneratedFile]:
        plugins = Plugins()
        plugins.register(plugin or TonePlugin(), "tones")
        claim = registry.claim(plugins, registry.identify(plugins, model_file))
        asked = DEFAULTS | {"directory": tmp_path / "out"} | settings
        output = Output(**{name: asked.pop(name) for name in list(asked) if name in OUTPUT})
        first = asked.pop("seed")
        seeds = range(first, first + asked.pop("count", 1))
        job = Job(claim=claim, output=output, seeds=seeds, **asked)
        return list(generation.generate([job], lambda *_: None))

    return call


Made = Callable[..., list[GeneratedFile]]


@pytest.mark.parametrize("level", [0.004, 0.5, 1.23, 40.0])
def test_the_peak_is_brought_to_minus_1_dbfs(made: Made, level: float) -> None:
    [file] = made(TonePlugin(level=level), bit_depth="32-bit-float")
    samples, _ = soundfile.read(file.file)
    assert 20 * np.log10(np.abs(samples).max()) == pytest.approx(-1.0, abs=1e-4)


def noise(chunks: Chunks) -> Chunks:
    """Noise at full scale, which lossy formats give back louder than it was."""
    rng = np.random.default_rng(0)
    for chunk in chunks:
        yield rng.uniform(-1, 1, chunk.shape).astype(np.float32)


@pytest.mark.parametrize("form", ["ogg", "mp3"])
def test_what_a_lossy_file_gives_back_is_not_over_minus_1_dbfs(made: Made, form: str) -> None:
    [file] = made(TonePlugin(spoil=noise), duration=2.0, format=form)
    level = 20 * np.log10(np.abs(soundfile.read(file.file)[0]).max())
    assert -1.5 < level <= -1.0
    said = json.loads(Path(file.file).with_suffix(".json").read_text())["level"]["after"]["peak_dbfs"]
    assert said == pytest.approx(level, abs=1e-4)


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
def test_silence_stays_silent(made: Made, form: str) -> None:
    [file] = made(TonePlugin(level=0.0), format=form)
    samples, _ = soundfile.read(file.file)
    assert len(samples) == 24000
    assert not samples.any()


@pytest.mark.parametrize("rate", [8000, 44100, 96000, 192000])
def test_a_tone_keeps_its_pitch_at_another_rate(made: Made, rate: int) -> None:
    [file] = made(duration=1.0, sample_rate=rate)  # seed 3: 400 Hz
    samples, written = soundfile.read(file.file)
    assert (written, len(samples)) == (rate, rate)
    assert np.abs(np.fft.rfft(samples)).argmax() == 400


def test_stereo_is_written_as_stereo(made: Made) -> None:
    [file] = made(TonePlugin(channels=2), sample_rate=44100)
    samples, _ = soundfile.read(file.file)
    assert samples.shape == (22050, 2)


def test_chunk_lengths_do_not_show_in_the_file(made: Made) -> None:
    files = [made(TonePlugin(chunk=chunk), sample_rate=44100)[0].file for chunk in (100, 7777, 10**6)]
    whole, *others = [soundfile.read(f)[0] for f in files]
    for other in others:
        np.testing.assert_allclose(other, whole, atol=2**-22)


def test_a_batch_has_one_seed_a_file_and_comes_one_by_one(made: Made, tmp_path: Path) -> None:
    files = made(count=3)
    assert [f.seed for f in files] == [3, 4, 5]
    assert [Path(f.file).name for f in files] == ["hum-3.wav", "hum-4.wav", "hum-5.wav"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        f"hum-{seed}.{suffix}" for seed, suffix in itertools.product((3, 4, 5), ("json", "wav"))
    )


def test_what_is_said_of_a_file_is_true_of_it(made: Made) -> None:
    [file] = made(duration=0.33336, sample_rate=44100, format="flac")  # 14701 samples, of 16001.1
    read = soundfile.info(file.file)
    assert {field.name: getattr(file, field.name) for field in fields(file) if field.name != "sidecar"} == {
        "file": file.file,
        "seed": 3,
        "duration": read.frames / read.samplerate,
        "sample_rate": read.samplerate,
        "format": read.format.lower(),
        "model": "hum",
        "loader": "tone",
        "stats": {"mean_pitch": 400.0},
    }


def test_the_sidecar_says_how_the_file_was_made(made: Made, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "other.tone").write_bytes(b"another")
    other = CheckpointHeader(tmp_path / "other.tone", 2, None, {"metadata": {"model_id": "id\x1b", "name": "hiss"}})
    [file] = made(
        options={"pitch": "high"},
        sample_rate=44100,
        distribution="tones 1.0",
        models=[other],
        tags={"mood": "low"},
        date="2026-01-31",
    )
    said = sidecar_of(file.file)
    program = said.pop("program")
    assert set(program) == {"distill", "torch", "numpy", "soundfile", "soxr", "python", "platform"}
    level = said.pop("level")
    assert level.pop("before") == {
        "peak_dbfs": pytest.approx(-6.02, abs=0.01), "true_peak_dbtp": pytest.approx(-6.02, abs=0.02),
        "loudness_lufs": None,
    }  # fmt: skip
    assert level.pop("after") == {
        "peak_dbfs": pytest.approx(-1.0), "true_peak_dbtp": pytest.approx(-1.0, abs=0.02), "loudness_lufs": None,
    }  # fmt: skip
    gain = pytest.approx(10 ** (5.02 / 20), rel=1e-3)
    assert level == {"normalize": "peak", "lufs": None, "gain": gain, "clipped_samples": 0}
    samples = soundfile.read(file.file, dtype="int32")[0]
    assert said.pop("audio") == {"sha256": hashlib.sha256(samples.tobytes()).hexdigest()}
    assert said.pop("tags") == {
        "title": "hum 3", "album": "hum", "comment": "Generated by distill with hum, seed 3.", "date": "2026-01-31",
        "encoder": f"distill {program['distill']}", "seed": "3", "model": "hum", "loader": "tone",
        "mood": "low",
    }  # fmt: skip
    assert said == {
        "schema": 2,
        "picture": None,
        "file": "hum-3.wav",
        "model": {
            "name": "hum",
            "id": None,
            "path": str(model_file),
            "sha256": hashlib.sha256(b"any").hexdigest(),
            "version": 1,
            "model_type": "tone",
            "loader": "tone",
            "plugin": "tones",
            "distribution": "tones 1.0",
        },
        "other_models": [
            {
                "name": "hiss",
                "id": "id",
                "path": str(other.path),
                "sha256": hashlib.sha256(b"another").hexdigest(),
                "version": 2,
                "model_type": None,
            }
        ],
        "device": "cpu",
        "precision": "float32",
        "seed": 3,
        "options": {"pitch": "high"},
        "duration": 0.5,
        "samples": 22050,
        "sample_rate": 44100,
        "channels": 1,
        "format": "wav",
        "bit_depth": "24-bit",
        "quality": None,
        "compression": None,
        "two_seeds": False,
        "space": None,
        "asked_tags": {"mood": "low"},
        "stats": {"mean_pitch": 400.0},
    }


def replaced(second: NDArray[Any]) -> Callable[[Chunks], Chunks]:
    """Chunks whose second is another one."""

    def spoil(chunks: Chunks) -> Chunks:
        yield next(chunks)
        next(chunks)
        yield second
        yield from chunks

    return spoil


def raising(error: Exception) -> Callable[[Chunks], Chunks]:
    """Chunks that end in `error`."""

    def spoil(chunks: Chunks) -> Iterator[NDArray[Any]]:
        yield next(chunks)
        raise error

    return spoil


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (replaced(np.full((1, 4800), np.nan, np.float32)), DistillError, "samples that are not finite"),
        (replaced(np.full((1, 4800), np.inf, np.float32)), DistillError, "samples that are not finite"),
        (replaced(np.zeros((1, 4800))), PluginError, r"a chunk is float64 \[1, 4800\]"),
        (replaced(np.zeros(4800, np.float32)), PluginError, r"a chunk is float32 \[4800\]"),
        (replaced(np.zeros((2, 4800), np.float32)), PluginError, r"a chunk is float32 \[2, 4800\]"),
        (replaced(np.zeros((1, 4799), np.float32)), PluginError, "23999 samples came where 24000 were asked for"),
        (replaced(np.zeros((1, 4801), np.float32)), PluginError, "24001 samples came where 24000 were asked for"),
        (replaced([0.0]), PluginError, "broke while generating with hum"),  # type: ignore[arg-type]
        (raising(ZeroDivisionError("by\x1b[0m zero")), PluginError, r"ZeroDivisionError: by \[0m zero"),
        (raising(DistillError("its own clear word")), DistillError, "^its own clear word$"),
    ],
)
def test_a_model_that_breaks_its_word_is_named_and_leaves_nothing(
    made: Made, tmp_path: Path, spoil: Callable[[Chunks], Chunks], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        made(TonePlugin(chunk=4800, spoil=spoil))
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "mp3", "sample_rate": 96000}, "--sample-rate: mp3 cannot hold 96000 Hz; it can hold 8000, 11025"),
        ({"format": "ogg", "bit_depth": "16-bit"}, "--bit-depth: ogg has no bit depth"),
        ({"duration": 1e-6}, "--duration: 1e-06 s is less than one sample at 48000 Hz"),
        ({"duration": 86400.0}, "--duration: wav files hold at most 4 GiB"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    made: Made, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        made(**settings)
    assert not any((tmp_path / "out").glob("*"))


def test_files_finished_before_a_failure_stay(made: Made, tmp_path: Path) -> None:
    calls = itertools.count()

    def fails_in_the_second_file(chunks: Chunks) -> Chunks:
        if next(calls) == 1:
            raise ZeroDivisionError
        return chunks

    with pytest.raises(PluginError):
        made(TonePlugin(spoil=fails_in_the_second_file), count=3)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["hum-3.json", "hum-3.wav"]


def test_progress_counts_the_chunks_of_each_file(model_file: Path, tmp_path: Path) -> None:
    plugins = Plugins()
    plugins.register(TonePlugin(chunk=12000), "tones")
    claim = registry.claim(plugins, registry.identify(plugins, model_file))
    seen: list[tuple[int, int, int]] = []
    job = Job(claim=claim, options={}, duration=0.75, seeds=[1, 2], output=Output(tmp_path))
    list(generation.generate([job], lambda *step: seen.append(step)))
    assert seen == [(index, done, 3) for index in (0, 1) for done in (0, 1, 2, 3)]


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_files_of_a_concurrent_model_are_made_side_by_side_and_given_in_order(made: Made, tmp_path: Path) -> None:
    first_waits, both = threading.Event(), threading.Barrier(2, timeout=30)
    numbers = itertools.count()

    def paced(number: int, chunks: Chunks) -> Chunks:
        if number < 2:
            both.wait()  # breaks unless two are made at once
        if number == 0:
            assert first_waits.wait(timeout=30)
        else:
            first_waits.set()
        yield from chunks

    def slowest_first(chunks: Chunks) -> Chunks:
        return paced(next(numbers), chunks)

    files = made(TonePlugin(spoil=slowest_first, concurrent=True), count=5)
    assert [f.seed for f in files] == [3, 4, 5, 6, 7]
    alone = made(count=5, directory=tmp_path / "alone")
    for one, other in zip(files, alone, strict=True):
        assert Path(one.file).read_bytes() == Path(other.file).read_bytes()
        assert sidecar_of(one.file) == sidecar_of(other.file)


@pytest.mark.usefixtures("two_threads")
def test_a_file_that_fails_leaves_those_before_it_and_nothing_of_those_after(made: Made, tmp_path: Path) -> None:
    numbers = itertools.count()
    others_are_whole = threading.Semaphore(0)

    def paced(number: int, chunks: Chunks) -> Chunks:
        yield from chunks
        if number == 2:
            assert others_are_whole.acquire(timeout=30)
            time.sleep(0.2)  # for the next one to be written
            raise ZeroDivisionError
        if number > 2:
            others_are_whole.release()

    def fails(chunks: Chunks) -> Chunks:
        return paced(next(numbers), chunks)

    with pytest.raises(PluginError, match="ZeroDivisionError"):
        made(TonePlugin(spoil=fails, concurrent=True), count=9)
    left = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert left == ["hum-3.json", "hum-3.wav", "hum-4.json", "hum-4.wav"]


@pytest.mark.usefixtures("two_threads")
def test_progress_is_that_of_the_first_file_that_is_not_finished(model_file: Path, tmp_path: Path) -> None:
    plugins = Plugins()
    plugins.register(TonePlugin(chunk=2400, concurrent=True), "tones")
    claim = registry.claim(plugins, registry.identify(plugins, model_file))
    seen: list[tuple[int, int, int]] = []
    job = Job(claim=claim, options={}, duration=0.75, seeds=[1, 2, 3, 4], output=Output(tmp_path))
    for number, _ in enumerate(generation.generate([job], lambda *step: seen.append(step))):
        assert {index for index, _, _ in seen} <= set(range(number + 1))
    assert [index for index, _, _ in seen] == sorted(index for index, _, _ in seen)
    assert {total for _, _, total in seen} == {15}


def test_a_model_that_gives_too_few_files_is_named(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tone, "generate_batch", lambda *_: iter([]))
    with pytest.raises(PluginError, match="generate_batch gave None for file 1"):
        made()


class Closing:
    """A batch of the tone plugin whose `close` is watched."""

    def __init__(self, generations: Iterator[Generation], close: Callable[[], object]) -> None:
        self._generations = generations
        self.close = close

    def __iter__(self) -> Closing:
        return self

    def __next__(self) -> Generation:
        return next(self._generations)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("concurrent", [False, True])
def test_a_model_is_told_once_when_no_more_is_wanted_of_a_batch(
    made: Made, monkeypatch: pytest.MonkeyPatch, concurrent: bool
) -> None:
    closed: list[bool] = []
    batch = Tone.generate_batch
    monkeypatch.setattr(Tone, "generate_batch", lambda *a: Closing(batch(*a), lambda: closed.append(True)))
    made(TonePlugin(concurrent=concurrent), count=2)
    assert closed == [True]


def test_a_batch_that_breaks_in_its_close_is_named(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Tone.generate_batch
    monkeypatch.setattr(Tone, "generate_batch", lambda *a: Closing(batch(*a), lambda: 1 / 0))
    with pytest.raises(PluginError, match="Loader tone of plugin tones broke while generating with hum: ZeroDivision"):
        made()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "many"])
def test_statistics_that_are_no_numbers_are_named(made: Made, monkeypatch: pytest.MonkeyPatch, value: object) -> None:
    def batch(self: Tone, requests: Iterator[GenerationRequest], _: int | None) -> Iterator[Generation]:
        for request in requests:
            yield Generation(self.generate(request), lambda: {"odd": value})  # type: ignore[dict-item]

    monkeypatch.setattr(Tone, "generate_batch", batch)
    with pytest.raises(PluginError, match="broke while generating with hum"):
        made()


@pytest.mark.parametrize("precisions", [None, "float32", ["bf16"]])
def test_precisions_without_float32_are_named(made: Made, monkeypatch: pytest.MonkeyPatch, precisions: object) -> None:
    monkeypatch.setattr(Tone, "precisions", precisions)
    with pytest.raises(PluginError, match="broke while loading hum: the model has precisions"):
        made()


@pytest.mark.usefixtures("two_threads")
def test_a_file_that_is_no_longer_wanted_is_not_encoded_to_its_end(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding, numbers = threading.Event(), itertools.count()
    encoded: list[int] = []
    write = files.write

    def slow_write(path: Path, blocks: Iterator[Any], *rest: Any) -> None:
        def slowly() -> Iterator[Any]:
            for block in blocks:
                encoding.set()
                time.sleep(0.05)
                encoded.append(block.shape[1])
                yield block

        write(path, slowly(), *rest)

    def paced(number: int, chunks: Chunks) -> Chunks:
        yield from chunks
        if number == 0:
            assert encoding.wait(timeout=30)
            raise ZeroDivisionError

    monkeypatch.setattr(files, "write", slow_write)
    with pytest.raises(PluginError):
        made(TonePlugin(spoil=lambda c: paced(next(numbers), c), concurrent=True), count=2, duration=60.0)
    assert 0 < sum(encoded) < 60 * 48000
    assert not list((tmp_path / "out").iterdir())


def test_memory_that_runs_out_in_a_model_is_no_breakage_of_the_plugin(made: Made) -> None:
    with pytest.raises(DistillError, match="^Memory ran out, even with a --batch-size of 1"):
        made(TonePlugin(spoil=raising(RuntimeError("DefaultCPUAllocator: can't allocate memory"))), batch_size=1)


def test_a_precision_that_the_model_has_not_is_warned_about_once(made: Made) -> None:
    said = r"^--precision bf16 is not supported for TONE models on cpu\. Ignored\.$"
    with pytest.warns(DistillWarning, match=said) as warned:
        files = made(count=2, precision="bf16")
    assert len(warned) == 1
    assert json.loads(Path(files[1].file).with_suffix(".json").read_text())["precision"] == "float32"


@pytest.mark.parametrize(("mode", "channels"), [(None, 2), ("mono", 1), ("stereo", 2), ("binaural", 2)])
def test_a_stereo_model_is_put_in_every_space(made: Made, mode: str | None, channels: int) -> None:
    def one_sided(chunks: Chunks) -> Chunks:
        return (chunk * np.array([[1.0], [0.2]], np.float32) for chunk in chunks)

    space = None if mode is None else Space(mode)
    [file] = made(TonePlugin(channels=2, spoil=one_sided), space=space)
    samples = soundfile.read(file.file, always_2d=True)[0]
    assert samples.shape == (24000, channels)
    if channels == 2:
        left, right = np.square(samples).sum(axis=0)
        assert left > 1.5 * right


def test_depth_is_told_to_do_nothing_to_a_stereo_model(made: Made) -> None:
    with pytest.warns(DistillWarning, match="--spatial-depth: this model is stereo already"):
        made(TonePlugin(channels=2), space=Space("stereo", depth=0.9))


def test_two_seeds_of_a_stereo_model_are_refused(made: Made) -> None:
    with pytest.raises(RequestError, match="--stereo dual_seed: this model is stereo already"):
        made(TonePlugin(channels=2), two_seeds=True)


def test_a_batch_at_one_gain_that_fails_leaves_nothing(made: Made, tmp_path: Path) -> None:
    calls = itertools.count()

    def fails_in_the_third_file(chunks: Chunks) -> Chunks:
        if next(calls) == 2:
            raise ZeroDivisionError
        return chunks

    with pytest.raises(PluginError):
        made(TonePlugin(spoil=fails_in_the_third_file), count=4, normalize="batch")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("concurrent", [False, True])
def test_a_batch_at_one_gain_is_finished_in_order(made: Made, concurrent: bool) -> None:
    files = made(TonePlugin(concurrent=concurrent), count=5, normalize="batch")
    assert [file.seed for file in files] == [3, 4, 5, 6, 7]
    assert len({file.sidecar["level"]["gain"] for file in files}) == 1


def test_samples_beyond_full_scale_are_counted_and_told(made: Made) -> None:
    with pytest.warns(DistillWarning, match="--normalize none: 2 of 2 files have samples beyond full scale"):
        files = made(TonePlugin(level=1.5), count=2, normalize="none", bit_depth="16-bit")
    for file in files:
        level = file.sidecar["level"]
        assert 0 < level["clipped_samples"] < file.sidecar["samples"]
        assert (level["gain"], level["after"]["peak_dbfs"]) == (1.0, pytest.approx(0.0, abs=1e-3))
