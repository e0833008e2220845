"""The report is one page that needs nothing else, says what the figures say, and lets one hear it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from checkpoints import codec
from numpy.typing import NDArray
from recordings import sound, write

from distill_codec import evaluation
from distill_codec.corpus import Corpus, read, split
from distill_codec.evaluation import Figures, evaluate
from distill_codec.networks import Codec
from distill_codec.processes import Alone
from distill_codec.report import page
from distill_codec.shape import Shape
from distill_codec.training import Training
from distill_codec.training_settings import TrainingSettings

SHAPE = Shape(width=16, latent_dim=8, codebook_size=16, num_quantizers=2, encoder_blocks=(0, 1), decoder_blocks=(1, 0))
SETTINGS = TrainingSettings(None, 1, batch_size=4, crop_frames=8)


class Page(HTMLParser):
    """The text of a page, what its tags hold, and which are left open."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def corpus_of(folder: Path, names: Sequence[str], seconds: float = 3.0) -> Corpus:
    for number, name in enumerate(names):
        write(folder / name, sound(seconds, pitch=200 + 50 * number, seed=number))
    return read(folder, 48000, 1, folder.parent)


@pytest.fixture
def training(tmp_path: Path) -> Training:
    corpus = corpus_of(tmp_path / "sounds", ["a & <b>.wav", "c.wav", "d.wav"])
    made = Training(SETTINGS, SHAPE, corpus, split(corpus, 0.1, 0), tmp_path / "t.training", "id", Alone("cpu"))
    made.run(lambda _: None)
    return made


def figures_of(training: Training) -> Figures:
    return evaluate(training.settled(), training.corpus, training.split.training, training.split.held_out)


def test_it_says_what_the_figures_say(training: Training) -> None:
    figures = figures_of(training)
    shown = " ".join(Page(page("hum", training, training.settled(), figures)).text.split())
    assert f"distance from the recordings{figures.distance:.3f}" in shown
    assert figures.held_out is not None
    assert f"from what was held out{figures.held_out:.3f}" in shown
    for level, used in enumerate(figures.used, start=1):
        assert f"{level}{used} of 16" in shown
    for warning in figures.warnings:
        assert warning in shown


def test_it_has_originals_beside_reconstructions_to_hear_and_see(training: Training) -> None:
    found = Page(page("hum", training, training.settled(), figures_of(training)))
    sounds = [str(one["src"]).removeprefix("data:audio/flac;base64,") for one in found.all("audio")]
    pictures = found.all("canvas")
    assert len(sounds) == len(pictures) == 2 * (3 + 3)  # ends that were held out, and what was trained on
    originals = []
    for number, encoded in enumerate(sounds):
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
        assert rate == 48000
        assert np.abs(samples).max() > 0
        if number % 2 == 0:
            originals.append(len(samples))
        levels = base64.b64decode(str(pictures[number]["data-levels"]))
        assert len(levels) == 96 * int(str(pictures[number]["width"]))
        assert len(set(levels)) > 10
    assert originals == [14400] * 3 + [129600] * 3


def test_it_needs_nothing_from_elsewhere_and_runs_nothing_of_a_file_name(training: Training) -> None:
    source = page("<script>alert(1)</script>", training, training.settled(), figures_of(training))
    assert not re.findall(r"(?:src|href)=\"(?!data:)", source)
    assert "<script>alert" not in source
    assert "a &amp; &lt;b&gt;.wav" in source
    assert len(source) < 12e6


def test_its_curve_goes_down_where_the_distance_does(training: Training) -> None:
    training.history.distance[:] = list(np.geomspace(1.0, 0.1, 2000))
    training.history.loss[:] = list(np.geomspace(1.1, 0.2, 2000))
    training.steps = 2000
    [_, curve, *_] = Page(page("hum", training, training.settled(), figures_of(training))).all("polyline")
    points = np.array([list(map(float, pair.split(","))) for pair in str(curve["points"]).split()])
    assert len(points) <= 400
    assert (np.diff(points[:, 0]) > 0).all()
    assert (np.diff(points[:, 1]) > 0).all()  # down, on a screen
    assert points[:, 1].min() >= 0
    assert points[:, 1].max() <= 220


def test_figures_are_the_mean_over_files_and_the_codes_of_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = corpus_of(tmp_path / "sounds", [f"{number:02}.wav" for number in range(20)], 0.5)
    codes = iter(np.arange(20 * 24 * 2).reshape(20, 24, 2) % 5)

    def reconstruct(codec: Codec, wave: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return 2 * wave, next(codes)

    monkeypatch.setattr(evaluation, "reconstruct", reconstruct)
    parts = split(corpus, 0.1, 0)
    found = evaluate(codec(SHAPE), corpus, parts.training, parts.held_out)
    assert found.distance == pytest.approx(np.log10(2), rel=1e-3)
    assert found.held_out == pytest.approx(np.log10(2), rel=1e-3)
    assert found.used == [5, 5]
    assert found.perplexity == pytest.approx([5, 5], rel=1e-2)
    assert [warning.split(":")[0] for warning in found.warnings] == [
        "Level 1 uses 5 of 16 codes", "Level 2 uses 5 of 16 codes",
    ]  # fmt: skip


def test_what_is_not_learnt_or_learnt_by_heart_is_warned_of() -> None:
    def warned(distance: float, held_out: float | None) -> list[str]:
        return evaluation._warnings(Figures(distance, held_out, [200], [150.0], 256))

    assert warned(0.2, 0.3) == warned(0.2, None) == []
    assert "it has not learnt these sounds yet" in warned(0.6, 0.6)[0]
    assert "2.5 times further away" in warned(0.2, 0.5)[0]


def test_a_page_without_anything_held_out_says_so(training: Training) -> None:
    training.split = split(training.corpus, 0.0, 0)
    figures = figures_of(training)
    assert figures.held_out is None
    assert "Nothing was held out" in page("hum", training, training.settled(), figures)
    assert torch.is_grad_enabled()
