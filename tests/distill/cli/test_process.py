"""The program as a process: what it imports, what a terminal sees, and how it ends when it is stopped."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoints import save, vqvae_contents
from forking import HANG

DISTILL = [sys.executable, "-m", "distill"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["generate", "--help"],
        ["--version"],
        ["plugins"],
        ["plugins", "--times"],
        ["generate", "missing"],
        ["models", "list"],
        ["models", "info", "starter"],
        ["models", "path"],
        ["inspect", "starter"],
        ["pick", "--help"],
        ["pick", "missing"],
        ["config", "show"],
        ["completion", "zsh"],
        ["report", "nowhere"],
    ],
)
def test_a_light_command_imports_neither_torch_nor_numpy(arguments: list[str]) -> None:
    program = (
        "import sys; sys.argv[1:] = sys.argv[1:]; from distill.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'numpy', 'soundfile', 'soxr', 'tqdm'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert run.stdout.splitlines()[-1] == "[]"


def test_refusing_a_model_imports_neither_torch_nor_numpy(tmp_path: Path) -> None:
    path = save(vqvae_contents(prior=False), tmp_path / "m.distill")
    test_a_light_command_imports_neither_torch_nor_numpy(["generate", str(path)])


def test_the_console_command_and_the_module_are_one_program() -> None:
    outputs = [
        subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
        for command in ([str(Path(sys.executable).with_name("distill"))], DISTILL)
    ]
    assert outputs[0] == outputs[1]
    assert "Usage: distill" in outputs[0]


def in_a_terminal(command: list[str], folder: Path) -> tuple[int, str, str]:
    """Run `command` with stderr on a terminal; its exit code, stdout, and all that the terminal was sent."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], 60)[0]:
            try:
                seen += os.read(ours, 4096)
            except OSError:  # how Linux says that the other side has closed
                break
        assert process.stdout is not None
        out = process.stdout.read()
    os.close(ours)
    return process.returncode, out, seen.decode()


def test_a_terminal_sees_chunks_counted_for_each_file_of_a_batch(vqvae_file: Path, tmp_path: Path) -> None:
    command = [*DISTILL, "generate", str(vqvae_file), "-d", "4", "-n", "2", "-s", "1"]
    code, out, seen = in_a_terminal(command, tmp_path)
    assert (code, out.splitlines()) == (0, ["pebbles-1.wav", "pebbles-2.wav"])
    counts = re.findall(r"file (\d)/2: +(\d)/(\d) chunks", seen)
    assert ("1", "0", "5") in counts
    assert {(file, total) for file, _, total in counts} == {("1", "5"), ("2", "5")}


def test_quiet_shows_a_terminal_nothing(vqvae_file: Path, tmp_path: Path) -> None:
    code, _, seen = in_a_terminal([*DISTILL, "generate", str(vqvae_file), "-d", "1", "--quiet"], tmp_path)
    assert (code, seen) == (0, "")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have processes started here heed Ctrl+C, which those of a shell's background job are started to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_a_batch_it_keeps_finished_files_and_leaves_no_half_ones(
    vqvae_file: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    command = [*DISTILL, "generate", str(vqvae_file), "-d", "3", "-n", "1000", "-s", "1"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=UNBUFFERED
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()  # the first file is in place, the second is being made
        process.send_signal(sent)
        rest, err = process.stdout.read(), process.stderr.read()
    assert process.returncode == code
    assert err.strip() == ("Error: Interrupted. Finished files are kept." if sent == signal.SIGINT else "")
    finished = (first + rest).splitlines()
    there = {p.name for p in tmp_path.iterdir()}
    assert {p for p in there if p.endswith(".wav")} >= set(finished)
    assert {p.rpartition(".")[0] for p in there if p.endswith(".wav")} == {
        p.rpartition(".")[0] for p in there if p.endswith(".json")
    }
    assert not [p for p in there if p.startswith(".")]


UNBUFFERED = os.environ | {"PYTHONUNBUFFERED": "1"}


def test_each_path_is_printed_as_its_file_is_finished(vqvae_file: Path, tmp_path: Path) -> None:
    command = [*DISTILL, "generate", str(vqvae_file), "-d", "2", "-n", "1000", "-s", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"pebbles-1.wav\n"  # through a pipe, while the batch goes on
        assert process.poll() is None
        process.terminate()


def test_a_reader_that_has_seen_enough_ends_it_quietly(vqvae_file: Path, tmp_path: Path) -> None:
    command = [*DISTILL, "generate", str(vqvae_file), "-d", "0.1", "-n", "50", "-s", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
    assert len(list(tmp_path.glob("*.wav"))) < 50


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="pipes have one size here")
def test_it_can_be_interrupted_as_it_writes_at_its_exit_what_nobody_reads() -> None:
    """What a plugin printed, which a pager that is not scrolled does not take."""
    read, written = os.pipe()
    fcntl.fcntl(written, fcntl.F_SETPIPE_SZ, 4096)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    program = "from distill import cli\ncli.run = lambda *_: print(8000 * '.') or 0\ncli.main()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=written, stderr=subprocess.PIPE, text=True, env=buffered) as running:
        os.close(written)
        assert select.select([read], [], [], HANG)[0]
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=HANG)
    os.close(read)
    assert (running.returncode, err) == (130, "")


def test_without_a_stderr_it_still_generates(vqvae_file: Path, tmp_path: Path) -> None:
    command = f"{' '.join(DISTILL)} generate {vqvae_file} -d 0.1 -s 1 2>&-"
    run = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "pebbles-1.wav\n")


@pytest.mark.parametrize("options", ["", "--json"])
def test_without_a_stdout_it_still_generates_and_says_nothing(vqvae_file: Path, tmp_path: Path, options: str) -> None:
    command = f"{' '.join(DISTILL)} generate {vqvae_file} -d 0.1 -s 1 {options} >&-"
    run = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert (tmp_path / "pebbles-1.wav").exists()


def test_a_name_that_the_system_cannot_write_is_one_line(tmp_path: Path) -> None:
    path = save(vqvae_contents(name="Früh"), tmp_path / "m.distill")
    ascii_only = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    run = subprocess.run(
        [*DISTILL, "generate", path, "-d", "0.1"],
        cwd=tmp_path, env=ascii_only, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (
        1, "Error: A name cannot be written in this system's encoding, ascii. Set PYTHONUTF8=1.\n"
    )  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["m.distill"]


def exit_of(program: str, stdout: Any = subprocess.PIPE) -> tuple[int, str, str]:
    """The exit code and the streams of `main` on `plugins`, after `program` has set something up."""
    source = f"import atexit, sys\nsys.argv[1:] = ['plugins']\n{program}\nfrom distill.cli import main\nmain()"
    done = subprocess.run([sys.executable, "-c", source], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout or "", done.stderr


def test_what_others_do_at_exit_is_done_and_the_code_is_the_programs() -> None:
    code, out, err = exit_of("")
    assert (code, err) == (0, "")
    assert out
    late = "import distill.cli\ndistill.cli.discover = lambda: (atexit.register(print, 'late'), 1 / 0)"
    code, out, err = exit_of(late)
    assert (code, out) == (1, "late\n")
    assert "ZeroDivisionError" in err


def test_a_result_that_cannot_be_written_is_no_success() -> None:
    with Path("/dev/full").open("w") as full:
        code, _, err = exit_of("", full)
    assert code != 0
    assert "No space left on device" in err
