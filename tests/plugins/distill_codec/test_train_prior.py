"""`distill train-prior`: from a model with codes to one that generates, interrupted at will, and nothing lost."""

from __future__ import annotations

import json
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import SMALL_CODEC, codec, codec_contents, save, vqvae_contents
from disk import room_for
from forking import Nursery
from program import Cli
from recordings import corpus, sound, write
from signalled import at_step
from small_codec import start_and_settle_soon
from small_training import learn_soon, six_steps

from distill import Passage
from distill.checkpoint import load_contents, read_header
from distill_codec import loop, passages, prior_learner, prior_training, train, train_prior
from distill_codec.corpus import Corpus, read, split
from distill_codec.passages import encode
from distill_codec.prior_learner import CodecPriorLearner
from distill_codec.prior_shape import PriorShape
from distill_codec.prior_training import PriorTraining, held_out_bits, unigram_bits
from distill_codec.tokenizer import CodecTokenizer
from distill_codec.training import Training
from distill_codec.training_settings import Sizes


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch.setattr)


def make_small(put: Any) -> None:
    start_and_settle_soon(put)
    learn_soon(put)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return corpus(tmp_path / "sounds", seconds=3.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(codec_contents(), tmp_path / "hum.distill")


def contents(path: Path) -> dict[str, Any]:
    header = read_header(path)
    assert header is not None
    return load_contents(header)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"sounds"}


def read_in(folder: Path) -> Corpus:
    return read(folder, 48000, 1, folder.parent)


def test_a_model_gets_a_prior_and_generates(cli: Cli, model: Path, sounds: Path, tmp_path: Path) -> None:
    before = contents(model)
    result = cli("train-prior", "hum.distill", sounds, "--steps", 6)
    assert result.code == 0, result.err
    assert result.files == [Path("hum.distill"), Path("hum-prior-report.html")]
    assert files(tmp_path) == {"hum.distill", "hum-prior-report.html"}
    found = contents(model)
    assert found["has_prior"]
    for name, tensor in before["model_state_dict"].items():
        assert torch.equal(found["model_state_dict"][name], tensor)
    assert found["prior_metadata"]["training_steps"] == 6
    assert len(found["prior_loss_curve_history"]["loss"]) == 6
    assert len(found["prior_figures"]["bits"]) == SMALL_CODEC.num_quantizers
    assert "Held out: 4 ends of recordings, 1.2 s." in result.errors
    assert any("bits a frame" in line for line in result.errors)
    assert cli("generate", "hum.distill", "-d", 1).code == 0
    page = (tmp_path / "hum-prior-report.html").read_text()
    assert page.count("<audio") == 8
    assert "://" not in page


def test_json_tells_files_and_figures(cli: Cli, model: Path, sounds: Path) -> None:
    told = json.loads(cli("train-prior", model, sounds, "--steps", 4, "--json", "--quiet").out)
    assert told["model"] == str(model)
    assert told["steps"] == 4
    assert told["figures"]["bits"] == contents(model)["prior_figures"]["bits"]


def test_another_file_can_be_written_and_weights_halved(cli: Cli, model: Path, sounds: Path, tmp_path: Path) -> None:
    plain = model.read_bytes()
    result = cli("train-prior", model, sounds, "--steps", 3, "-o", "small.distill", "--half")
    assert result.code == 0, result.err
    assert model.read_bytes() == plain
    found = contents(tmp_path / "small.distill")
    assert found["prior_state_dict"]["norm.weight"].dtype == torch.float16
    assert found["model_state_dict"]["codebooks"].dtype == torch.float16
    assert cli("generate", "small.distill", "-d", 1).code == 0


def test_a_version_2_model_gets_the_prior_that_its_format_describes(cli: Cli, sounds: Path, tmp_path: Path) -> None:
    path = save(vqvae_contents(prior=False), tmp_path / "pebbles.distill")
    result = cli("train-prior", path, sounds, "--steps", 4)
    assert result.code == 0, result.err
    found = contents(path)
    reference = vqvae_contents(width=128, layers=4, heads=4)
    assert set(found["prior_state_dict"]) == set(reference["prior_state_dict"])
    for name, tensor in reference["prior_state_dict"].items():
        assert found["prior_state_dict"][name].shape == tensor.shape
    assert torch.equal(found["prior_state_dict"]["causal_mask"], reference["prior_state_dict"]["causal_mask"])
    assert reference["prior_config"].items() <= found["prior_config"].items()
    assert found["has_prior"]
    assert found["prior_metadata"]["epochs_trained"] > 0
    assert cli("generate", path, "-d", 1).code == 0


def test_a_version_2_prior_learns_what_it_then_samples_from(cli: Cli, sounds: Path, tmp_path: Path) -> None:
    """What the learner says of codes is what the loaded prior says."""
    from distill_vqvae.prior import Prior
    from distill_vqvae.prior_learner import VqvaePriorLearner

    path = save(vqvae_contents(prior=False), tmp_path / "pebbles.distill")
    assert cli("train-prior", path, sounds, "--steps", 4).code == 0
    header = read_header(path)
    assert header is not None
    learner = VqvaePriorLearner.load(header, "cpu")
    corpus = read_in(sounds)
    codes = np.concatenate(list(learner.tokenizer.encode([corpus.of(corpus.recordings[0])])))
    found = contents(path)
    sampled = Prior.load(
        found["prior_state_dict"], found["prior_config"], vocabulary=16, quantizers=2, positions=codes.shape[1]
    )
    tokens = torch.from_numpy(codes).flatten(1)
    with torch.inference_mode():
        logits = sampled(tokens, 0, sampled.new_cache(len(tokens)))
    costs = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none")
    told = learner.bits(Passage(codes)).reshape(len(codes), -1)
    np.testing.assert_allclose(told[:, 1:], costs.numpy() / np.log(2), atol=1e-4)
    np.testing.assert_allclose(told[:, 0], np.log2(16))


def test_training_lowers_the_bits_below_counting(cli: Cli, model: Path, sounds: Path) -> None:
    result = cli("train-prior", model, sounds, "--steps", 150, "--json")
    figures = json.loads(result.out)["figures"]
    assert sum(figures["bits"]) < 0.97 * sum(figures["unigram"])


def test_equal_commands_learn_alike(cli: Cli, model: Path, sounds: Path) -> None:
    losses = []
    for number, seed in enumerate((1, 1, 2)):
        assert cli("train-prior", model, sounds, "--steps", 3, "--seed", seed, "-o", f"{number}.distill").code == 0
        losses.append(contents(Path(f"{number}.distill"))["prior_loss_curve_history"]["loss"].tolist())
    assert losses[0] == losses[1] != losses[2]


def test_ctrl_c_ends_early_saves_and_can_be_taken_up(
    cli: Cli, model: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("train-prior", model, sounds, "--steps", 8, "-o", "whole.distill").code == 0
    with monkeypatch.context() as context:
        at_step(context.setattr, PriorTraining, 4, signal.SIGINT)
        result = cli("train-prior", model, sounds, "--steps", 8)
    assert result.code == 130
    assert result.files == [model, tmp_path / "hum-prior-report.html"]
    assert any("--resume" in line for line in result.errors)
    assert {"hum.prior-training", "hum-prior-report.html"} <= files(tmp_path)
    assert cli("generate", model, "-d", 1).code == 0
    result = cli("train-prior", model, sounds, "--resume")
    assert result.code == 0, result.err
    assert "hum.prior-training" not in files(tmp_path)
    one, other = (contents(path) for path in (model, Path("whole.distill")))
    assert torch.equal(one["prior_loss_curve_history"]["loss"], other["prior_loss_curve_history"]["loss"])
    assert torch.equal(one["prior_state_dict"]["norm.weight"], other["prior_state_dict"]["norm.weight"])


def test_sigterm_saves_what_is_needed_to_go_on(
    cli: Cli, model: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        at_step(context.setattr, PriorTraining, 4, signal.SIGTERM)
        result = cli("train-prior", model, sounds, "--steps", 8)
    assert (result.code, result.out) == (143, "")
    assert files(tmp_path) == {"hum.distill", "hum.prior-training"}
    assert not contents(model)["has_prior"]
    assert cli("train-prior", model, sounds, "--resume").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_while_sounds_are_encoded_leaves_nothing(
    cli: Cli, model: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupted(*arguments: Any) -> Any:
        signal.raise_signal(number)
        return original(*arguments)

    original = passages._varied
    monkeypatch.setattr(passages, "_varied", interrupted)
    monkeypatch.setattr(passages, "in_order", lambda tasks, workers: (task(None) for task in tasks))
    assert cli("train-prior", model, sounds, "--steps", 8).code == 128 + number
    assert files(tmp_path) == {"hum.distill"}


def test_a_killed_training_goes_on_with_the_losses_of_one_that_was_not(
    cli: Cli, forked: Nursery, model: Path, sounds: Path, tmp_path: Path
) -> None:
    assert cli("train-prior", model, sounds, "--steps", 8, "-o", "whole.distill").code == 0
    killed = forked.run(
        "train-prior", model, sounds, "--steps", 8, cwd=tmp_path, prepared=["small_training", "signalled"],
        SIGNAL=str(int(signal.SIGKILL)), AT_STEP="5",
    )  # fmt: skip
    assert killed.code == -signal.SIGKILL, killed.err
    assert cli("train-prior", model, sounds, "--resume").code == 0
    one, other = (contents(path)["prior_loss_curve_history"]["loss"] for path in (model, Path("whole.distill")))
    assert torch.equal(one, other)


def test_what_cannot_be_is_refused_and_nothing_is_written(
    cli: Cli, model: Path, sounds: Path, tmp_path: Path, vae_file: Path, vqvae_file: Path
) -> None:
    (tmp_path / "there.distill").touch()
    (tmp_path / "new-prior-report.html").touch()
    there = files(tmp_path)
    for arguments, said in (
        ([model, sounds, "--steps", 2, "--minutes", 1], "--minutes and --steps: give one of them."),
        ([model, sounds, "--resume"], "no training of this prior was interrupted"),
        ([model, sounds, "--resume", "--steps", 2], "--steps: a training that is resumed keeps"),
        ([model, sounds, "-o", "there.distill"], "there.distill is there already"),
        ([model, sounds, "-o", "new.distill"], "new-prior-report.html is there already"),
        ([model, sounds, "--half"], "--half: MODEL would lose half of its precision"),
        (["starter", sounds], "starter came with its plugin. Give an --output FILE"),
        ([model, tmp_path / "none"], "does not exist"),
        ([vae_file, sounds], "has no codes"),
        ([vqvae_file, sounds], "has a prior. --output FILE"),
        (["none.distill", sounds], "none.distill does not exist"),
    ):
        result = cli("train-prior", *arguments)
        assert result.code in (1, 2)
        assert said in result.errors[-1]
    assert files(tmp_path) == there


def test_another_training_of_the_same_prior_is_not_begun(
    cli: Cli, model: Path, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        at_step(context.setattr, PriorTraining, 4, signal.SIGTERM)
        cli("train-prior", model, sounds, "--steps", 8)
    result = cli("train-prior", model, sounds, "--steps", 8)
    assert result.code == 1
    assert "--resume goes on with it" in result.errors[-1]
    write(sounds / "more.wav", sound(1.0))
    result = cli("train-prior", model, sounds, "--resume")
    assert result.code == 1
    assert "the recordings are not those the training began with" in result.errors[-1]


@pytest.mark.parametrize("damage", ["settings", "network", "optimizer", "history", "pace", "cut"])
def test_a_damaged_training_is_refused_in_one_line(
    cli: Cli, model: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    with monkeypatch.context() as context:
        at_step(context.setattr, PriorTraining, 4, signal.SIGTERM)
        cli("train-prior", model, sounds, "--steps", 8)
    path = tmp_path / "hum.prior-training"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-500])
    else:
        saved = torch.load(path, weights_only=True)
        torch.save(saved | {damage: {}}, path)
    plain = model.read_bytes()
    result = cli("train-prior", model, sounds, "--resume")
    assert result.code == 1
    assert "damaged" in result.errors[-1]
    assert model.read_bytes() == plain


@pytest.mark.parametrize("size", [1_000, 200_000])
def test_a_full_disk_ends_in_one_line_and_loses_nothing(
    cli: Cli, model: Path, tmp_path: Path, sounds: Path, size: int
) -> None:
    """No room for what the recordings are decoded to, or for the model."""
    plain = model.read_bytes()
    with room_for(size):
        result = cli("train-prior", model, sounds, "--steps", 3)
    assert result.code == 1
    assert len(result.errors[-1]) < 400
    assert "room" in result.errors[-1] or "could not be written" in result.errors[-1]
    assert model.read_bytes() == plain
    assert files(tmp_path) == {"hum.distill"}


def test_a_file_with_another_programs_objects_is_not_written_anew(cli: Cli, sounds: Path, tmp_path: Path) -> None:
    from checkpoints import foreign_enum

    odd = vqvae_contents(prior=False) | {"training_config": {"preset": foreign_enum()("conservative")}}
    path = save(odd, tmp_path / "odd.distill")
    plain = path.read_bytes()
    result = cli("train-prior", path, sounds, "--steps", 2)
    assert result.code == 1
    assert "holds objects of the program that made it" in result.errors[-1]
    assert path.read_bytes() == plain


def small_sizes(seconds: float, channels: int, device: str, size: str) -> Sizes:
    return Sizes(SMALL_CODEC, batch_size=4, crop_frames=8)


def test_train_goes_on_to_the_prior(cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "sizes_for", small_sizes)
    monkeypatch.setattr(train_prior, "settings_for", six_steps)
    result = cli("train", sounds, "--name", "rain", "--epochs", 1)
    assert result.code == 0, result.err
    assert result.files == [Path("rain.distill"), Path("rain-report.html"), Path("rain-prior-report.html")]
    assert files(tmp_path) == {"rain.distill", "rain-report.html", "rain-prior-report.html"}
    told = json.loads(cli("train", sounds, "--name", "snow", "--epochs", 1, "--json").out)
    assert told["prior"]["steps"] == 6
    assert told["model"] == "snow.distill"
    assert cli("generate", "rain.distill", "-d", 1).code == 0


def test_train_interrupted_at_the_prior_is_taken_up_there(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "sizes_for", small_sizes)
    monkeypatch.setattr(train_prior, "settings_for", six_steps)
    with monkeypatch.context() as context:
        at_step(context.setattr, PriorTraining, 3, signal.SIGTERM)
        result = cli("train", sounds, "--name", "rain", "--epochs", 1)
    assert result.code == 143
    assert result.files == [Path("rain.distill"), Path("rain-report.html")]
    codec_before = contents(Path("rain.distill"))["model_state_dict"]["codebooks"]
    result = cli("train", sounds, "--name", "rain", "--resume")
    assert result.code == 0, result.err
    assert result.files == [Path("rain.distill"), Path("rain-prior-report.html")]
    found = contents(Path("rain.distill"))
    assert found["has_prior"]
    assert torch.equal(found["model_state_dict"]["codebooks"], codec_before)


def test_train_interrupted_before_its_prior_learnt_anything_is_taken_up_there(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "sizes_for", small_sizes)
    monkeypatch.setattr(train_prior, "settings_for", six_steps)
    with monkeypatch.context() as context:
        context.setattr(train_prior, "encode", lambda *_: signal.raise_signal(signal.SIGINT) or time.sleep(60))
        context.setattr(train_prior.Interruption, "noted", nullcontext)
        result = cli("train", sounds, "--name", "rain", "--epochs", 1)
    assert result.code == 130
    assert files(tmp_path) == {"rain.distill", "rain-report.html"}
    result = cli("train", sounds, "--name", "rain", "--resume")
    assert result.code == 0, result.err
    assert contents(Path("rain.distill"))["has_prior"]


def test_a_prior_is_not_resumed_on_other_codes_nor_lost_to_a_codec_that_goes_on(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A codec's training is interrupted; the prior of what it was by then too; then the codec goes on."""
    monkeypatch.setattr(train, "sizes_for", small_sizes)

    with monkeypatch.context() as context:
        at_step(context.setattr, Training, 2, signal.SIGINT)
        assert cli("train", sounds, "--name", "rain", "--epochs", 1).code == 130
    with monkeypatch.context() as context:
        at_step(context.setattr, PriorTraining, 2, signal.SIGTERM)
        assert cli("train-prior", "rain.distill", sounds, "--steps", 5).code == 143
    assert cli("train", sounds, "--name", "rain", "--resume", "--no-prior").code == 0
    result = cli("train-prior", "rain.distill", sounds, "--resume")
    assert result.code == 1
    assert "the training was of another model" in result.errors[-1]

    with monkeypatch.context() as context:
        at_step(context.setattr, Training, 2, signal.SIGINT)
        assert cli("train", sounds, "--name", "snow", "--epochs", 1).code == 130
    assert cli("train-prior", "snow.distill", sounds, "--steps", 3).code == 0
    result = cli("train", sounds, "--name", "snow", "--resume")
    assert result.code == 1
    assert "has a prior by now, which would be lost" in result.errors[-1]
    assert contents(Path("snow.distill"))["has_prior"]


def test_a_prior_that_is_trained_further_holds_out_what_it_held_out_before(cli: Cli, model: Path, sounds: Path) -> None:
    assert cli("train-prior", model, sounds, "--steps", 2, "--hold-out", 0).code == 0
    result = cli("train-prior", model, sounds, "--steps", 2, "-o", "further.distill")
    assert result.code == 0, result.err
    assert any(line.startswith("Held out: nothing") for line in result.errors)
    assert contents(Path("further.distill"))["prior_figures"]["bits"] == []


def test_a_file_that_appears_meanwhile_stays(
    cli: Cli, model: Path, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*arguments: Any) -> Any:
        (tmp_path / "new.distill").write_text("mine")
        return original(*arguments)

    original = train_prior.encode
    monkeypatch.setattr(train_prior, "encode", other)
    result = cli("train-prior", model, sounds, "--steps", 2, "-o", "new.distill")
    assert result.code == 0, result.err
    assert (tmp_path / "new.distill").read_text() == "mine"
    assert result.files == [Path("new-2.distill"), Path("new-2-prior-report.html")]


def test_what_is_held_out_and_too_short_to_be_measured_is_said(cli: Cli, tmp_path: Path) -> None:
    """A tenth of these is within the last chunk of a version 2 model, most of which was trained on."""
    sounds = corpus(tmp_path / "sounds", files=3, seconds=2.3)
    path = save(vqvae_contents(prior=False), tmp_path / "pebbles.distill")
    result = cli("train-prior", path, sounds, "--steps", 2, "--hold-out", 0.12)
    assert result.code == 0, result.err
    assert any("too short to be measured" in line for line in result.errors)


def test_memorising_is_warned_of_in_plain_words(
    cli: Cli, model: Path, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is what told held-out sounds best; the warning names the step."""
    rising = iter([30.0, 20.0, 25.0, 26.0, 27.0])
    monkeypatch.setattr(PriorTraining, "WATCH_SECONDS", 0)
    monkeypatch.setattr(loop, "MEASURING", 0)
    weights = []

    def bits(learner: Any, _held_out: Any) -> Any:
        weights.append(learner.network.norm.weight.detach().clone())
        return np.full(3, next(rising) / 3)

    monkeypatch.setattr(prior_training, "held_out_bits", bits)
    result = cli("train-prior", model, sounds, "--steps", 4)
    assert any("It began to learn the recordings by heart" in line and "after step 2 of 4" in line
               for line in result.errors)  # fmt: skip
    assert contents(model)["prior_figures"]["bits"] == pytest.approx([20 / 3] * 3)
    assert torch.equal(contents(model)["prior_state_dict"]["norm.weight"], weights[1])
    assert not torch.equal(weights[1], weights[-1])


def test_what_is_held_out_is_not_trained_on(sounds: Path) -> None:
    """Held-out passages are the ends, each with what is before it, and training passages stop before them."""
    found = read_in(sounds)
    parts = split(found, 0.1, 0)
    tokenizer = CodecTokenizer(codec(), "cpu")
    material = encode(tokenizer, found, parts, 0, augmentation=True)
    assert len(material.recordings) == 4
    assert len(material.training) == 4 * (1 + 1 + 2)
    assert material.odds.sum() == pytest.approx(1)
    assert material.odds[:4].sum() == pytest.approx(passages.PLAIN_SHARE)
    for one, recording in zip(material.recordings, parts.training, strict=True):
        assert one.starts
        assert not one.ends
        assert one.variation == 0
        whole = np.concatenate(list(tokenizer.encode([found.of(recording)])))
        np.testing.assert_array_equal(one.codes, whole)
    assert [len(shifts) for shifts in material.held_out] == [passages.SHIFTS] * 4
    for one in (one for shifts in material.held_out for one in shifts):
        held = (len(one.codes) - one.first) * SMALL_CODEC.frame_length / 48000
        assert held == pytest.approx(0.3, abs=0.04)
        assert one.variation == passages.HELD_OUT_VARIATION
    assert all(0 < one.variation <= 1 for one in material.training[4:])
    plain = encode(tokenizer, found, parts, 0, augmentation=False)
    assert len(plain.training) == 4


def test_what_is_fitted_to_held_out_sounds_is_measured_on_others(sounds: Path) -> None:
    """Whatever a learner settles on is not what its bits are then asked of."""
    found = read_in(sounds)
    material = encode(CodecTokenizer(codec(), "cpu"), found, split(found, 0.1, 0), 0, augmentation=False)
    settled: list[list[Passage]] = []
    measured: list[Passage] = []

    class Learner(CodecPriorLearner):
        def __init__(self) -> None: ...

        def settle(self, held_out: Any) -> None:
            settled.append(held_out)

        def bits(self, passage: Passage) -> Any:
            assert all(passage is not one for one in settled[-1])
            measured.append(passage)
            return np.ones((2, 3))

    held_out_bits(Learner(), material.held_out)
    assert {id(one) for one in measured} == {id(one) for shifts in material.held_out for one in shifts}
    sounds_of = [{id(one) for one in half} for half in settled]
    for shifts in material.held_out:
        assert sum({id(one) for one in shifts} <= half for half in sounds_of) == 1


def test_bits_do_not_depend_on_how_much_is_measured_at_once(sounds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_in(sounds)
    network = codec()
    prior = prior_learner.Prior(PriorShape(32, 2, 1, 8), network.codebooks)
    learner = CodecPriorLearner(network, prior, "cpu")
    [passage, *_] = encode(learner.tokenizer, found, split(found, 0.5, 0), 0, augmentation=False).held_out[0]
    at_once = learner.bits(passage)
    assert len(at_once) == len(passage.codes) - passage.first > 60
    for block in (7, 1, len(at_once)):
        monkeypatch.setattr(prior_learner, "BLOCK", block)
        np.testing.assert_allclose(learner.bits(passage), at_once, atol=1e-4)


def test_bits_are_those_of_the_model_that_generates(sounds: Path) -> None:
    """A prior that knows nothing costs log2 of the codebook's size; counting costs what counting does."""
    found = read_in(sounds)
    network = codec()
    learner = CodecPriorLearner(network, prior_learner.Prior(PriorShape(32, 1, 1, 8), network.codebooks),
                                "cpu")  # fmt: skip
    for level in learner.network.levels:
        torch.nn.init.zeros_(level.head.weight)
        torch.nn.init.zeros_(level.head.bias)
    material = encode(learner.tokenizer, found, split(found, 0.1, 0), 0, augmentation=False)
    size = SMALL_CODEC.codebook_size
    np.testing.assert_allclose(
        held_out_bits(learner, material.held_out), [np.log2(size + 1), *[np.log2(size)] * 2], atol=1e-5
    )
    counts = np.stack([np.bincount(np.concatenate([p.codes for p in material.recordings])[:, level], minlength=size)
                       for level in range(3)])  # fmt: skip
    held = np.concatenate([p.codes[p.first :] for shifts in material.held_out for p in shifts])
    by_smoothing = []
    for more in prior_training.SMOOTHINGS:
        odds = (counts + more) / (counts + more).sum(axis=1, keepdims=True)
        by_smoothing.append([-np.log2(odds[level, held[:, level]]).mean() for level in range(3)])
    np.testing.assert_allclose(unigram_bits(learner, material), min(by_smoothing, key=sum))


def test_an_end_is_learnt_where_a_recording_ends_and_not_where_it_is_cut(sounds: Path) -> None:
    network = codec()
    learner = CodecPriorLearner(network, prior_learner.Prior(PriorShape(32, 1, 1, 8), network.codebooks),
                                "cpu")  # fmt: skip
    codes = np.random.default_rng(0).integers(16, size=(5, 3))
    for ends in (True, False):
        batch = learner.batch([Passage(codes, ends=ends)], np.ones(1), np.random.default_rng(0))
        wanted = batch.wanted.numpy()
        assert (wanted[..., 0] == 16).any() == ends
        at_end = wanted[..., 0] == 16
        assert (wanted[at_end][:, 1:] == -100).all()
        assert batch.starts[batch.segments > 0].sum() > 0
        after = np.flatnonzero(at_end[0])
        assert all(batch.starts[0, step + 1] for step in after if step + 1 < batch.starts.shape[1])
