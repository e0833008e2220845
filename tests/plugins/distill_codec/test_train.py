"""`distill train`: from a folder to a model and a report, interrupted at will, and never over another's files."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
import small_codec
import torch
from disk import room_for
from forking import Done, Nursery
from program import Cli, Result
from recordings import corpus, sound, write
from signalled import at_step
from small_codec import SHAPE

from distill.checkpoint import load_contents, read_header
from distill_codec import checkpoints, loop, pace, train, training
from distill_codec.adversary import Adversary
from distill_codec.trainer import Trainer
from distill_codec.training import Training


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a small codec on small batches."""
    small_codec.use(monkeypatch.setattr)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return corpus(tmp_path / "sounds")


def contents(path: Path) -> dict[str, Any]:
    header = read_header(path)
    assert header is not None
    return load_contents(header)


def losses(path: Path) -> list[float]:
    """The distance of every step of the training that made the model at `path`."""
    found: list[float] = contents(path)["loss_curve_history"]["distance"].tolist()
    return found


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"sounds"}


def test_it_makes_a_model_and_a_report_and_prints_their_paths(cli: Cli, sounds: Path, tmp_path: Path) -> None:
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 3)
    assert result.code == 0, result.err
    assert result.files == [Path("hum.distill"), Path("hum-report.html")]
    assert files(tmp_path) == {"hum.distill", "hum-report.html"}
    found = contents(tmp_path / "hum.distill")
    assert (found["version"], found["model_type"], found["has_prior"]) == (3, "codec", False)
    metadata = found["metadata"]
    assert metadata["name"] == "hum"
    assert metadata["dataset_file_count"] == 4
    assert metadata["dataset_total_duration_s"] == pytest.approx(3.6)
    assert len(found["loss_curve_history"]["distance"]) == metadata["training_steps"] == 3 * 3
    assert "4 recordings, 3.6 s; all mono." in result.errors


def test_the_model_is_tensors_and_plain_values(cli: Cli, sounds: Path, tmp_path: Path) -> None:
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 1).code == 0
    header = read_header(tmp_path / "hum.distill")
    assert header is not None
    assert header.foreign_globals == frozenset()

    def plain(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(one) for key, one in value.items())
        if isinstance(value, list):
            return all(map(plain, value))
        return isinstance(value, str | int | float | bool | torch.Tensor | None)

    assert plain(contents(tmp_path / "hum.distill"))


def test_training_brings_the_reconstruction_nearer(cli: Cli, sounds: Path) -> None:
    first = json.loads(cli("train", "--no-prior", sounds, "--name", "a", "--epochs", 1, "--json").out)
    later = json.loads(cli("train", "--no-prior", sounds, "--name", "b", "--epochs", 8, "--json").out)
    assert later["figures"]["distance"] < 0.8 * first["figures"]["distance"]


def test_equal_commands_have_equal_losses_and_another_seed_has_others(cli: Cli, sounds: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert cli("train", "--no-prior", sounds, "--name", name, "--epochs", 2, "--seed", seed).code == 0
    a, b, c = (losses(tmp_path / f"{name}.distill") for name in "abc")
    assert a == b
    assert a != c


def test_json_tells_files_and_figures(cli: Cli, sounds: Path) -> None:
    write(sounds / "quiet.wav", np.zeros((1, 4800), np.float32))
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 1, "--json", "--quiet", "-o", "models")
    told = json.loads(result.out)
    assert told["model"] == "models/hum.distill"
    assert told["report"] == "models/hum-report.html"
    assert told["skipped"] == [{"name": "quiet.wav", "reason": "is silent"}]
    assert told["recordings"] == 4
    assert len(told["figures"]["used"]) == SHAPE.num_quantizers
    assert result.errors == [
        "Warning: quiet.wav is silent. Skipped.",
        *[f"Warning: {w}" for w in told["figures"]["warnings"]],
    ]


def test_many_skipped_files_are_counted(cli: Cli, sounds: Path) -> None:
    for number in range(14):
        (sounds / f"bad{number:02}.wav").write_text("no sound")
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 1)
    assert result.code == 0
    assert "Warning: bad00.wav cannot be read. Skipped." in result.errors
    assert "Warning: 4 more files were skipped." in result.errors
    assert "4 recordings, 3.6 s; all mono; 14 skipped." in result.errors


def test_codebooks_that_are_little_used_are_warned_of(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "sounds" / "tone.wav", np.full((1, 120_000), 0.25, np.float32), subtype="FLOAT")
    result = cli("train", "--no-prior", tmp_path / "sounds", "--name", "hum", "--epochs", 2)
    assert any(
        " uses " in line and " of 64 codes" in line for line in result.errors if line.startswith("Warning: Level")
    )


def test_a_stereo_corpus_is_mixed_and_says_so_or_kept(cli: Cli, tmp_path: Path) -> None:
    for number in range(3):
        wave = np.concatenate([sound(1.0, seed=number), sound(1.0, pitch=333, seed=9)])
        write(tmp_path / "sounds" / f"{number}.wav", wave)
    mixed = cli("train", "--no-prior", tmp_path / "sounds", "--name", "one", "--epochs", 1)
    assert "3 recordings, 3.0 s; 3 stereo mixed to mono (--stereo keeps both channels)." in mixed.errors
    kept = cli("train", "--no-prior", tmp_path / "sounds", "--name", "two", "--epochs", 1, "--stereo")
    assert "3 recordings, 3.0 s; 3 stereo." in kept.errors
    assert contents(tmp_path / "one.distill")["codec_config"]["channels"] == 1
    assert contents(tmp_path / "two.distill")["codec_config"]["channels"] == 2


def test_an_adversary_learns_too_and_is_taken_up_with_the_rest(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        at_step(patched.setattr, Training, 1, signal.SIGTERM)
        assert cli("train", "--no-prior", sounds, "--name", "a", "--epochs", 1, "--adversarial").code == 143
    judged = checkpoints.load_training(tmp_path / "a.training")["trainer"]
    assert cli("train", "--no-prior", sounds, "--name", "a", "--resume").code == 0
    assert cli("train", "--no-prior", sounds, "--name", "b", "--epochs", 1, "--adversarial").code == 0
    assert losses(tmp_path / "a.distill") == losses(tmp_path / "b.distill")
    assert contents(tmp_path / "b.distill")["training_config"]["adversarial"] is True
    assert judged["adversary"].keys() == Adversary().state_dict().keys()
    assert any(bool(state["exp_avg"].any()) for state in judged["rival"]["state"].values())


@pytest.mark.parametrize("used", ["hum.distill", "hum-report.html"])
def test_a_name_in_use_is_refused_and_keeps_its_file(cli: Cli, sounds: Path, tmp_path: Path, used: str) -> None:
    (tmp_path / used).write_text("mine")
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 1)
    assert result.code == 1
    assert result.errors == [f"Error: {used} is there already. Give another --name, or remove it."]
    assert (tmp_path / used).read_text() == "mine"


def test_a_name_taken_meanwhile_gets_a_number(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = training.Training.run

    def run(self: training.Training, watch: Any) -> Any:
        (tmp_path / "hum.distill").write_text("another's")
        return original(self, watch)

    monkeypatch.setattr(training.Training, "run", run)
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 1)
    assert result.files[0] == Path("hum-2.distill")
    assert (tmp_path / "hum.distill").read_text() == "another's"
    assert contents(tmp_path / "hum-2.distill")["version"] == 3


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "NUL", "a b", "x" * 101])
def test_a_name_that_is_none_for_a_file_is_refused(cli: Cli, sounds: Path, tmp_path: Path, name: str) -> None:
    result = cli("train", "--no-prior", sounds, "--name", name, "--epochs", 1)
    assert result.code == 2
    assert len(result.errors) == 1
    assert "--name" in result.err
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--minutes", "1", "--epochs", "1"], "give one of them"),
        (["--epochs", "0"], "--epochs"),
        (["--minutes", "nan"], "--minutes"),
        (["--hold-out", "0.9"], "--hold-out"),
        (["--resume", "--minutes", "3"], "--minutes: a training that is resumed keeps what it began with"),
        (["--resume", "--no-augmentation"], "--augmentation: a training that is resumed keeps what it began with"),
    ],
)
def test_bad_options_are_refused_in_one_line(cli: Cli, sounds: Path, arguments: list[str], expected: str) -> None:
    result = cli("train", "--no-prior", sounds, "--name", "hum", *arguments)
    assert result.code == 2
    assert len(result.errors) == 1
    assert expected in result.err


def test_bad_recordings_are_refused_in_one_line(cli: Cli, tmp_path: Path) -> None:
    result = cli("train", "--no-prior", tmp_path / "none", "--name", "hum")
    assert (result.code, result.errors) == (
        1,
        [f"Error: {tmp_path / 'none'} does not exist. Give a folder of recordings."],
    )
    assert files(tmp_path) == set()


def test_ctrl_c_ends_early_saves_and_can_be_taken_up(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        at_step(patched.setattr, Training, 4, signal.SIGINT)
        ended = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 4)
    assert ended.code == 130
    assert ended.files == [Path("hum.distill"), Path("hum-report.html")]
    assert files(tmp_path) == {"hum.distill", "hum-report.html", "hum.training"}
    assert "Ended after 5 of 12 steps; the same command with --resume goes on." in ended.errors
    early = contents(tmp_path / "hum.distill")
    assert len(early["loss_curve_history"]["distance"]) == 5

    refused = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 4)
    assert (refused.code, len(refused.errors)) == (1, 1)
    assert "--resume goes on with it" in refused.err

    resumed = cli("train", "--no-prior", sounds, "--name", "hum", "--resume")
    assert resumed.code == 0, resumed.err
    assert files(tmp_path) == {"hum.distill", "hum-report.html"}
    whole = contents(tmp_path / "hum.distill")
    assert whole["metadata"]["model_id"] == early["metadata"]["model_id"]
    assert cli("train", "--no-prior", sounds, "--name", "other", "--epochs", 4).code == 0
    uninterrupted = contents(tmp_path / "other.distill")
    assert losses(tmp_path / "hum.distill") == losses(tmp_path / "other.distill")
    for name, tensor in uninterrupted["model_state_dict"].items():
        assert torch.equal(whole["model_state_dict"][name], tensor), name


def test_sigterm_saves_what_is_needed_to_go_on(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch.setattr, Training, 2, signal.SIGTERM)
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 4).code == 143
    assert files(tmp_path) == {"hum.training"}
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--resume").code == 0
    assert len(losses(tmp_path / "hum.distill")) == 12


def test_a_killed_training_goes_on_with_the_losses_of_one_that_was_not(
    cli: Cli, forked: Nursery, sounds: Path, tmp_path: Path
) -> None:
    killed = forked.run(
        "train", "--no-prior", sounds, "--name", "hum", "--epochs", 4, cwd=tmp_path,
        prepared=["small_codec", "signalled"], SIGNAL=str(int(signal.SIGKILL)), AT_STEP="7",
    )  # fmt: skip
    assert killed.code == -signal.SIGKILL, killed.err
    assert files(tmp_path) == {"hum.training", ".hum.training.lock"}
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--resume").code == 0
    assert files(tmp_path) == {"hum.distill", "hum-report.html"}
    assert cli("train", "--no-prior", sounds, "--name", "whole", "--epochs", 4).code == 0
    one, other = (losses(tmp_path / f"{name}.distill") for name in ("hum", "whole"))
    assert len(one) == 12
    assert one == other


def begun(cli: Cli, sounds: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """A training that was terminated."""
    with monkeypatch.context() as patched:
        at_step(patched.setattr, Training, 1, signal.SIGTERM)
        return cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 2)


def test_a_training_is_not_resumed_with_other_recordings(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(cli, sounds, monkeypatch)
    write(sounds / "0.wav", sound(0.9, seed=77))
    before = (tmp_path / "hum.training").read_bytes()
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--resume")
    assert result.code == 1
    assert "the recordings are not those the training began with" in result.err
    assert (tmp_path / "hum.training").read_bytes() == before


def test_there_must_be_something_to_resume(cli: Cli, sounds: Path) -> None:
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--resume")
    assert (result.code, len(result.errors)) == (1, 1)
    assert "no training named hum was interrupted" in result.err


@pytest.mark.parametrize(
    "damage",
    [
        "cut",
        "text",
        "another format",
        "another version",
        "no optimizer",
        "no shape",
        "no corpus",
        "batches",
        "steps",
        "other tensors",
        "other optimizer",
    ],
)
def test_a_damaged_training_is_refused_in_one_line(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    begun(cli, sounds, monkeypatch)
    path = tmp_path / "hum.training"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "text":
        path.write_text("mine")
    else:
        saved = checkpoints.load_training(path)
        saved |= {"another format": {"format": "x"}, "another version": {"version": 9}}.get(damage, {})
        if damage.startswith("no "):
            del (saved["trainer"] if damage == "no optimizer" else saved)[damage.removeprefix("no ")]
        elif damage == "batches":
            saved["settings"]["batch_size"] = "x"
        elif damage == "steps":
            saved["pace"]["steps"] = "x"
        elif damage == "other tensors":
            saved["shape"]["width"] = 10_000
        elif damage == "other optimizer":
            saved["trainer"]["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)
        torch.save(saved, path)
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--resume")
    assert result.code == 1
    assert len([line for line in result.errors if line.startswith("Error")]) == 1
    assert "hum.training" in result.err or "no training" in result.err
    assert path.exists()


def test_a_resumed_training_does_not_replace_another_model(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(cli, sounds, monkeypatch)
    (tmp_path / "hum.distill").write_text("mine")
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--resume")
    assert (result.code, len(result.errors)) == (1, 1)
    assert "is another model" in result.err
    assert (tmp_path / "hum.distill").read_text() == "mine"


def test_a_full_disk_ends_in_one_line_and_loses_nothing(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(cli, sounds, monkeypatch)
    before = (tmp_path / "hum.training").read_bytes()
    with room_for(len(before) // 2):
        result = cli("train", "--no-prior", sounds, "--name", "hum", "--resume")
    assert result.code == 1
    assert len([line for line in result.errors if line.startswith("Error")]) == 1
    assert "could not be written" in result.err or "no room" in result.err
    assert (tmp_path / "hum.training").read_bytes() == before
    assert files(tmp_path) == {"hum.training"}
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--resume").code == 0


def test_losses_that_are_not_finite_end_it_and_the_last_save_stays(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    original = Trainer.step
    monkeypatch.setattr(
        Trainer,
        "step",
        lambda self, batch, step, rate: original(self, batch, step, rate) if step < 3 else (math.nan, math.nan),
    )
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 3)
    assert result.code == 1
    assert "not finite" in result.err
    assert len(checkpoints.load_training(tmp_path / "hum.training")["history"]["distance"]) == 3


def test_one_name_has_one_training_at_a_time(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(cli, sounds, monkeypatch)
    with filelock.FileLock(tmp_path / ".hum.training.lock"):
        result = cli("train", "--no-prior", sounds, "--name", "hum", "--resume")
    assert (result.code, len(result.errors)) == (1, 1)
    assert "A training named hum is under way" in result.err
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--resume").code == 0


def test_an_interruption_before_the_first_step_leaves_nothing(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = training.Training._batches

    def batches(self: training.Training) -> Any:
        signal.raise_signal(signal.SIGINT)
        return original(self)

    monkeypatch.setattr(training.Training, "_batches", batches)
    result = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 1)
    assert (result.code, result.out) == (130, "")
    assert files(tmp_path) == set()


def test_a_second_ctrl_c_ends_at_once_and_what_was_saved_stays(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0)
    with monkeypatch.context() as patched:
        at_step(patched.setattr, Training, 3, signal.SIGINT, signal.SIGINT)
        result = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 4)
    assert (result.code, result.out) == (130, "")
    assert files(tmp_path) == {"hum.training"}
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--resume").code == 0


def test_ctrl_c_while_it_is_measured_at_the_end_leaves_the_training(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(train, "evaluate", lambda *_: signal.raise_signal(signal.SIGINT))
        assert cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 1).code == 130
    assert files(tmp_path) == {"hum.training"}
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--resume").code == 0
    assert files(tmp_path) == {"hum.distill", "hum-report.html"}


def test_minutes_are_kept(cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that a step moves on by a second: six of them are a tenth of a minute."""
    monkeypatch.setattr(pace, "MEASURED", 3)
    clock = iter(range(10**6))
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(clock)))
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--minutes", 0.5).code == 0
    found = contents(tmp_path / "hum.distill")["metadata"]
    assert found["training_steps"] == pytest.approx(30, abs=1)
    assert found["training_seconds"] == pytest.approx(30, abs=1)


def test_stereo_is_taken_up_as_stereo(cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        at_step(patched.setattr, Training, 1, signal.SIGTERM)
        assert cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 1, "--stereo").code == 143
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--resume").code == 0
    assert contents(tmp_path / "hum.distill")["codec_config"]["channels"] == 2


def test_a_model_that_does_not_fit_on_the_disk_is_one_line_and_the_training_stays(
    cli: Cli, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = checkpoints.publish

    def publish(*arguments: Any, **how: Any) -> Any:
        with room_for(100_000):
            return original(*arguments, **how)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "publish", publish)
        result = cli("train", "--no-prior", sounds, "--name", "hum", "--epochs", 1)
    assert result.code == 1
    assert result.errors[-1].startswith("Error: hum.distill could not be written")
    assert files(tmp_path) == {"hum.training"}
    assert cli("train", "--no-prior", sounds, "--name", "hum", "--resume").code == 0


LAUNCHED = """
import sys
sys.path.append(sys.argv[1])
import small_codec
from distill.cli import main

small_codec.use()
del sys.argv[1]
main()
"""


def by_two(sounds: Path, folder: Path) -> list[object]:
    return ["train", "--no-prior", sounds, "--name", "hum", "-o", folder, "--json"]


@pytest.fixture(scope="module")
def made_by_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """The folder of a training by two processes that torch's own launcher started and nothing disturbed, and their
    end."""
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("two")
    program = folder / "launched.py"
    program.write_text(LAUNCHED)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", program,
         Path(small_codec.__file__).parent, *by_two(corpus(folder / "sounds"), folder), "--epochs", "2"],
        capture_output=True, text=True, env=os.environ | {"ACCELERATE_USE_CPU": "true"}, timeout=300,
    )  # fmt: skip
    program.unlink()
    return folder, Done(done.returncode, done.stdout, done.stderr, peak=0, seconds=0.0)


@dataclass(frozen=True)
class Pair:
    """Starts pairs of processes that train together, as a launcher does but at a fork's cost."""

    forked: Nursery
    sounds: Path
    folder: Path

    def __call__(self, *options: object, **environment: str) -> list[Done]:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        pair = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        prepared = ["small_codec", *(["signalled"] if "SIGNAL" in environment else [])]
        runs = [
            self.forked.start(
                *by_two(self.sounds, self.folder), *options, cwd=self.folder, network=True, prepared=prepared,
                RANK=rank, LOCAL_RANK=rank, **pair, **environment,
            )
            for rank in ("0", "1")
        ]  # fmt: skip
        return [run.wait() for run in runs]


@pytest.fixture
def pair(forked: Nursery, sounds: Path, tmp_path: Path) -> Pair:
    pytest.importorskip("accelerate")
    return Pair(forked, sounds, tmp_path)


def check_made_by_two(folder: Path, out: str, err: str) -> None:
    """It is one model, of which one process told."""
    told = json.loads(out)
    assert files(folder) == {"hum.distill", "hum-report.html"}
    assert math.isfinite(told["figures"]["distance"])
    assert told["steps"] == 4  # 2.6 batches an epoch: one process makes three steps of it, two make two
    assert err.count("4 recordings, 3.6 s") == 1


def test_two_processes_train_one_model_through_accelerate(made_by_two: tuple[Path, Done]) -> None:
    folder, done = made_by_two
    assert done.code == 0, done.err
    check_made_by_two(folder, done.out, done.err)


def test_two_processes_have_one_adversary(pair: Pair) -> None:
    first, other = pair("--epochs", 2, "--adversarial", ACCELERATE_USE_CPU="true")
    assert (first.code, other.code) == (0, 0), first.err + other.err
    check_made_by_two(pair.folder, first.out + other.out, first.err + other.err)


def test_two_processes_end_together_and_go_on_with_the_losses_of_two_that_did_not(
    pair: Pair, made_by_two: tuple[Path, Done]
) -> None:
    ended = pair("--epochs", 2, ACCELERATE_USE_CPU="true", SIGNAL=str(int(signal.SIGTERM)), AT_STEP="2")
    assert [one.code for one in ended] == [143, 143]
    assert files(pair.folder) == {"hum.training"}
    assert len(checkpoints.load_training(pair.folder / "hum.training")["history"]["distance"]) == 3
    resumed = pair("--resume", ACCELERATE_USE_CPU="true")
    assert [one.code for one in resumed] == [0, 0], resumed[0].err + resumed[1].err
    assert losses(pair.folder / "hum.distill") == losses(made_by_two[0] / "hum.distill")


def test_processes_that_are_not_joined_are_refused(pair: Pair) -> None:
    """As where there is no GPU and nobody has said to use the CPU: each would train a model of its own."""
    if torch.cuda.is_available():
        pytest.skip("with a GPU they are joined")
    first, other = pair("--epochs", 2)
    assert (first.code, other.code) == (1, 1)
    assert "2 processes were started, and accelerate joins 1 of them" in first.err  # the other may only see it gone
    assert files(pair.folder) == set()
