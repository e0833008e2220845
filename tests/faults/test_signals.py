"""Ctrl+C and SIGTERM at moments of a whole run, drawn at random: what is there is whole, and nothing else is left."""

from __future__ import annotations

import inspect
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from checkpoints import save, vqvae_contents
from forking import HANG, Done, Nursery, Run
from processes import audio, check_journal, check_whole, sidecars
from recordings import corpus

from distill.checkpoint import load_contents, read_header
from distill.cli import signals

MOMENTS = {"generate": 25, "batch": 3, "train": 3}
"""So many of each command for each of the two signals: `DISTILL_MOMENTS=25` has the slow ones tried as often."""
SIGNALS = [signal.SIGINT, signal.SIGTERM]
INTERRUPTED = "Error: Interrupted. Finished files are kept."


@dataclass
class Bench:
    """A folder of models and recordings to run a command in, and how long it takes if nothing is done to it."""

    forked: Nursery
    folder: Path
    arguments: tuple[str, ...]
    prepared: tuple[str, ...] = ()
    seconds: float = 0.0

    def undisturbed(self) -> Path:
        """The folder of a run that is left alone."""
        began = time.monotonic()
        done = self.start("alone").wait()
        self.seconds = time.monotonic() - began
        assert done.code == 0, done.err
        return self.folder / "alone"

    def start(self, out: str) -> Run:
        (self.folder / "tmp").mkdir(exist_ok=True)
        places = {"TMPDIR": str(self.folder / "tmp"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        return self.forked.start(*self.arguments, "-o", out, cwd=self.folder, prepared=self.prepared, **places)

    def interrupted(self, out: str, sent: signal.Signals, share: float) -> Done:
        """A run that is sent a signal after a `share` of its time, sooner each time that it has ended by then."""
        while True:
            run = self.start(out)
            time.sleep(share * self.seconds)
            run.send(sent)
            done = run.wait()
            if done.code or share < 0.01:
                return done
            share *= 0.8
            for path in (self.folder / out).iterdir():
                path.unlink()


def moments(command: str) -> list[float]:
    """Shares of a run, one in each of as many parts of it."""
    rng = random.Random()
    count = int(os.environ.get("DISTILL_MOMENTS", MOMENTS[command]))
    return [(number + rng.random()) / count for number in range(count)]


def check_end(done: Done, sent: signal.Signals, folder: Path, *said: str) -> None:
    """It ended as such a signal has it end, in the words of a line, and has cleaned up behind itself."""
    assert done.code == 128 + sent, done.err
    assert "Traceback" not in done.err
    lines = [line for line in done.err.split("\n") if line and not line.startswith(said)]
    assert lines == ([INTERRUPTED] if sent == signal.SIGINT else [])
    left = {path.name for path in (folder / "tmp").iterdir()}
    assert [name for name in left if not name.startswith("torchinductor")] == []  # an empty folder, torch's own


@pytest.mark.parametrize("sent", SIGNALS)
def test_generate_leaves_whole_files_or_none(forked: Nursery, tmp_path: Path, sent: signal.Signals) -> None:
    save(vqvae_contents(), tmp_path / "m.distill")
    bench = Bench(
        forked, tmp_path, ("generate", "m.distill", "-s", "1", "-n", "5", "-d", "0.2", "-f", "flac", "--quiet")
    )
    alone = bench.undisturbed()
    for number, share in enumerate(moments("generate")):
        out = f"out{number}"
        done = bench.interrupted(out, sent, share)
        check_end(done, sent, tmp_path)
        if not (tmp_path / out).exists():
            continue
        check_whole(tmp_path / out, alone)
        made = set(audio(tmp_path / out))
        assert set(done.out.split()) <= {f"{out}/{name}" for name in made}
        names = {path.name for path in (tmp_path / out).iterdir()}
        stems = {Path(name).stem for name in names}
        assert names <= {f"{stem}{end}" for stem in stems for end in (".flac", ".json")}
        assert made == {name.replace(".json", ".flac") for name in sidecars(tmp_path / out)}
    listed = forked.run("models", "list", "--library", tmp_path, cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert (listed.code, listed.err) == (0, "")


@pytest.mark.parametrize("sent", SIGNALS)
def test_batch_leaves_whole_files_and_a_journal_that_knows_them(
    forked: Nursery, tmp_path: Path, sent: signal.Signals
) -> None:
    save(vqvae_contents(), tmp_path / "m.distill")
    bench = Bench(forked, tmp_path, ("batch", "m.distill", "--seeds", "1-5", "-d", "0.2", "--workers", "1", "--quiet"))
    alone = bench.undisturbed()
    for number, share in enumerate(moments("batch")):
        out = f"out{number}"
        done = bench.interrupted(out, sent, share)
        check_end(done, sent, tmp_path)
        if (tmp_path / out).exists():
            check_whole(tmp_path / out, alone)
            assert not [path for path in (tmp_path / out).iterdir() if path.name.startswith(".distill")]
    again = bench.start(out).wait()  # the last is taken up
    assert again.code == 0, again.err
    assert audio(tmp_path / out) == audio(alone)
    check_journal(tmp_path / out)


@pytest.mark.parametrize("sent", SIGNALS)
def test_train_leaves_a_whole_model_or_what_is_needed_to_go_on(
    forked: Nursery, tmp_path: Path, sent: signal.Signals
) -> None:
    corpus(tmp_path / "sounds")
    train = "train", "sounds", "--name", "hum", "--no-prior", "--epochs", "4", "--quiet"
    bench = Bench(forked, tmp_path, train, prepared=("small_codec",))
    bench.undisturbed()
    last = ""
    for number, share in enumerate(moments("train")):
        out = f"out{number}"
        done = bench.interrupted(out, sent, share)
        check_end(done, sent, tmp_path, "Ended after ", "Warning: The distance is ")
        left = {path.name for path in (tmp_path / out).iterdir()} if (tmp_path / out).exists() else set()
        assert left <= {"hum.distill", "hum-report.html", "hum.training"}
        assert ("hum-report.html" in left) <= ("hum.distill" in left)
        if "hum.distill" in left:
            header = read_header(tmp_path / out / "hum.distill")
            assert header is not None
            assert load_contents(header)
        if "hum.training" in left:
            assert torch.load(tmp_path / out / "hum.training", weights_only=True)
            last = out
    assert last
    bench.arguments = (*bench.arguments[:4], "--no-prior", "--resume", "--quiet")
    resumed = bench.start(last).wait()
    assert resumed.code == 0, resumed.err
    assert {path.name for path in (tmp_path / last).iterdir()} == {"hum.distill", "hum-report.html"}


@pytest.mark.parametrize("sent", SIGNALS)
def test_as_the_program_begins_and_ends_a_signal_is_answered_or_all_is_done(
    forked_light: Nursery, tmp_path: Path, sent: signal.Signals
) -> None:
    answered = {"before it said anything": 0, "after it said all": 0}
    for step in range(0, 360, 6):  # more than it takes: at the last no signal comes
        strike = {"SIGNAL": str(int(sent)), "AT_STEP": str(step)}
        done = forked_light.run("--version", cwd=tmp_path, prepared=("struck",), **strike)
        if done.code == -signal.SIGTERM == -sent:  # before the program heeds it
            assert step < 100
        elif done.code == 0:
            assert (done.out.startswith("distill, version "), done.err) == (True, "")
        else:
            assert done.code == 128 + sent, done.err
            assert done.err.strip() == (INTERRUPTED if sent == signal.SIGINT else "")
            answered["after it said all" if done.out else "before it said anything"] += 1
    assert min(answered.values()) > 3
    assert done.code == 0


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.02])
def test_a_second_ctrl_c_is_no_worse(forked: Nursery, tmp_path: Path, pause: float) -> None:
    save(vqvae_contents(), tmp_path / "m.distill")
    bench = Bench(forked, tmp_path, ("generate", "m.distill", "-s", "1", "-n", "5", "-d", "0.2", "--quiet"))
    alone = bench.undisturbed()
    for number, share in enumerate((0.2, 0.5, 0.8)):
        out = f"out{number}"
        run = bench.start(out)
        time.sleep(share * bench.seconds)
        for _ in range(3):
            run.send(signal.SIGINT)
            time.sleep(pause)
        done = run.wait()
        if done.code == 0:
            continue
        assert done.code == 130
        assert "Traceback" not in done.err
        if (tmp_path / out).exists():
            check_whole(tmp_path / out, alone)
            assert not [path for path in (tmp_path / out).iterdir() if path.name.startswith(".distill")]


def test_a_signal_that_comes_again_at_once_does_not_break_off_the_cleaning_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    ending = signals._Ending(signal.SIGINT, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        ending(signal.SIGINT, None)
    now[0] += signals.PATIENCE_S / 2
    ending(signal.SIGINT, None)
    now[0] += signals.PATIENCE_S
    with pytest.raises(KeyboardInterrupt):
        ending(signal.SIGINT, None)


@pytest.fixture
def ending() -> Iterator[signals._Ending]:
    """What Ctrl+C does, in force for this process to send it to itself."""
    ending = signals._Ending(signal.SIGINT, KeyboardInterrupt)
    before = signal.signal(signal.SIGINT, ending)
    yield ending
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("at", ["opening", "closing"])
def test_a_signal_while_something_is_opened_or_closed_ends_the_program_after_that(
    ending: signals._Ending, at: str
) -> None:
    done = []

    @contextmanager
    def managed() -> Iterator[None]:
        if at == "opening":
            os.kill(os.getpid(), ending.number)
        done.append("opened")
        try:
            yield
        finally:
            if at == "closing":
                os.kill(os.getpid(), ending.number)
            done.append("closed")

    def wait() -> None:
        for _ in range(HANG * 10):  # it comes at once
            time.sleep(0.1)

    def use() -> None:
        with managed():
            if at == "opening":
                wait()
        wait()

    with pytest.raises(KeyboardInterrupt):
        use()
    assert done == ["opened", "closed"]


class Closing:
    """A context manager that takes a while to close, during all of which a signal comes."""

    def __init__(self, ending: signals._Ending, seconds: float, now: list[float]) -> None:
        self.ending, self.seconds, self.now = ending, seconds, now
        self.is_closed = False

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.come()
        self.now[0] += self.seconds
        self.come()
        self.is_closed = True

    def come(self) -> None:
        """As a signal does while something is called that closing needs."""
        self.ending(self.ending.number, inspect.currentframe())


def test_closing_that_takes_too_long_is_broken_off(ending: signals._Ending, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(ending, "_send_again", lambda: None)
    short, long = (Closing(ending, seconds, now) for seconds in (signals.PATIENCE_S, signals.PATIENCE_S + 0.1))
    with short:
        pass
    assert short.is_closed
    with pytest.raises(KeyboardInterrupt):
        ending(signal.SIGINT, None)
    now[0] += 10 * signals.PATIENCE_S
    with pytest.raises(KeyboardInterrupt), long:
        pass
    assert not long.is_closed
