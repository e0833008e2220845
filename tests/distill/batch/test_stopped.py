"""A batch that its user stops, or that cannot go on: what is finished is kept, and it can be taken up again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import (
    JOURNAL,
    Quick,
    audio,
    check_done,
    check_journal,
    check_whole,
    files_in,
    finished,
    stamps,
    started,
    wait_for,
    workers,
)

ASKED = "--seeds", "1-16", "-d", "1"
FEW = "--seeds", "1-3", "-d", "0.1"


@pytest.fixture
def few(model: Path, quick: Quick, tmp_path: Path) -> Path:
    """The folder of a run of `FEW`, which is done."""
    folder = tmp_path / "out"
    assert quick(model, *FEW, "-o", folder).code == 0
    return folder


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have processes started here heed Ctrl+C, which those of a shell's background job are started to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


INTERRUPTED = "Error: Interrupted. Finished files are kept."


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("sent", "code", "said"), [(signal.SIGINT, 130, INTERRUPTED), (signal.SIGTERM, 143, "")])
def test_stopped_by_a_signal_to_all_its_processes_it_keeps_what_is_finished_and_can_go_on(
    model: Path, alone: Path, quick: Quick, tmp_path: Path, sent: signal.Signals, code: int, said: str
) -> None:
    folder = tmp_path / "out"
    with started(model, *ASKED, "-o", folder, "--workers", 2) as process:
        wait_for(lambda: files_in(folder) or process.poll() is not None, "the first file")
        os.killpg(process.pid, sent)
        _, err = process.communicate()
    assert (process.returncode, err.strip()) == (code, said)
    check_whole(folder, alone)
    assert not (folder / ".distill-batch").exists()
    before = finished(folder)
    assert quick(model, *ASKED, "-o", folder).code == 0
    assert before.items() <= stamps(folder).items()
    check_done(folder, alone)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("count", [1, 2])
def test_interrupted_as_its_workers_start_it_ends_with_one_line(model: Path, tmp_path: Path, count: int) -> None:
    with started(model, *ASKED, "-o", tmp_path / "out", "--workers", 2) as process:
        wait_for(lambda: len(workers(process)) >= count or process.poll() is not None, "the workers")
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err.strip()) == (130, INTERRUPTED)


def test_a_reader_of_its_paths_that_has_seen_enough_loses_no_file(
    model: Path, alone: Path, quick: Quick, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    with started(model, *ASKED, "-o", folder, "--workers", 2) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (1, "")
    check_whole(folder, alone)
    assert quick(model, *ASKED, "-o", folder).code == 0
    check_done(folder, alone)


def test_a_second_batch_in_the_same_folder_is_refused_in_one_line(model: Path, quick: Quick, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with started(model, *ASKED, "-o", folder) as process:
        wait_for(lambda: files_in(folder) or process.poll() is not None, "the first file")
        second = quick(model, *ASKED, "-o", folder)
        _, err = process.communicate()
    assert second.code == 1
    assert second.err == f"Error: Another batch is at work in {folder}. Wait for it, or give another folder.\n"
    assert process.returncode == 0, err


def test_a_file_of_the_users_stays_and_the_batchs_gets_a_number_then_and_later(
    model: Path, quick: Quick, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    mine = folder / "pebbles-2.wav"
    mine.write_bytes(b"mine")
    names = {"pebbles-1.wav", "pebbles-2.wav", "pebbles-2-2.wav", "pebbles-3.wav"}
    for _ in range(2):
        assert quick(model, *FEW, "-o", folder).code == 0
        assert (mine.read_bytes(), set(audio(folder))) == (b"mine", names)


def test_a_file_of_the_users_stays_when_the_journal_is_lost(model: Path, quick: Quick, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "pebbles-2.wav").write_bytes(b"mine")
    assert quick(model, *FEW, "-o", folder).code == 0
    before = stamps(folder)
    (folder / JOURNAL).unlink()
    assert quick(model, *FEW, "-o", folder).code == 0
    after = stamps(folder)
    assert {**after, JOURNAL: None} == {**before, JOURNAL: None}


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_journal_that_a_killed_run_left_short_is_completed_and_nothing_is_made(
    model: Path, few: Path, quick: Quick, left: int
) -> None:
    journal = few / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    before = {**stamps(few), JOURNAL: None}
    journal.write_bytes(b"".join(lines[:left]) + lines[left][:50])
    again = quick(model, *FEW, "-o", few)
    assert (again.code, len(again.out.splitlines())) == (0, 3 - left)  # those that nobody was told of
    assert {**stamps(few), JOURNAL: None} == before
    check_journal(few)


def test_audio_that_a_killed_run_left_without_its_sidecar_gets_it_under_the_same_name(
    model: Path, few: Path, quick: Quick
) -> None:
    before = audio(few)
    (few / "pebbles-2.json").unlink()
    (few / JOURNAL).unlink()
    again = quick(model, *FEW, "-o", few)
    assert again.code == 0
    assert f"3 files in {few}: 1 made, 2 there already" in again.err
    assert audio(few) == before
    check_journal(few)


def test_a_folder_that_cannot_be_written_to_is_one_line(model: Path, quick: Quick, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = quick(model, *FEW, "-o", tmp_path / "file" / "out")
    assert done.code == 1
    assert done.err.startswith(f"Error: {tmp_path}/file/out cannot hold files: Not a directory.")
    assert done.err.count("\n") == 1


def test_a_full_disk_is_told_for_each_file_and_no_half_one_is_left(model: Path, quick: Quick, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = quick(model, "--seeds", "1-3", "-d", "1", "-o", folder, "--json", file_size=20_000)
    assert done.code == 1
    assert [one["tries"] for one in json.loads(done.out)["failed"]] == [3, 3, 3]
    assert {path.name for path in folder.iterdir()} == {JOURNAL}
    assert quick(model, "--seeds", "1-3", "-d", "1", "-o", folder).code == 0
    check_journal(folder)
