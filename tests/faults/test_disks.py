"""Disks that are full, folders that cannot be written or vanish: one line, and what was there stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checkpoints import save, vae_contents, vqvae_contents
from forking import Nursery
from processes import audio, sidecars
from recordings import corpus

SIZE = "1200k"
"""Twice what the batch below takes, so that it has room whatever a file system rounds up to."""


def mounted(folder: Path, options: str) -> bool:
    """Whether a file system in memory could be mounted at `folder`, which takes the rights of the system's owner."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    return (
        shutil.which("mount") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of `SIZE`."""
    folder = tmp_path / "disk"
    if not mounted(folder, f"size={SIZE}"):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    save(vqvae_contents(), tmp_path / "pebbles.distill")
    save(vae_contents(), tmp_path / "fog.distill")
    return tmp_path


def check_whole(folder: Path) -> None:
    """Every sound has its sidecar and every sidecar its sound, and nothing else is there."""
    names = {path.name for path in folder.iterdir() if path.name not in ("distill-batch.jsonl", "mine")}
    assert names == {*audio(folder), *sidecars(folder)}
    assert sorted(one["file"] for one in sidecars(folder).values()) == sorted(audio(folder))


ASKED = ("generate", "pebbles.distill", "-s", "1", "-n", "9", "-d", "1", "--quiet")


def test_a_disk_that_fills_up_keeps_what_is_whole(forked: Nursery, models: Path, disk: Path) -> None:
    (disk / "mine").write_bytes(b"x" * 700_000)
    done = forked.run(*ASKED, "-o", disk, cwd=models)
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert "Is the disk full?" in done.err
    assert 0 < len(audio(disk)) < 9
    assert len(done.out.splitlines()) == len(audio(disk))
    check_whole(disk)
    assert (disk / "mine").stat().st_size == 700_000


def test_a_batch_stops_at_a_full_disk_and_goes_on_with_room(forked: Nursery, models: Path, disk: Path) -> None:
    asked = "batch", "pebbles.distill", "--seeds", "1-6", "-d", "0.5", "--workers", "1", "--quiet", "-o", disk
    (disk / "mine").write_bytes(b"x" * 1_050_000)
    done = forked.run(*asked, cwd=models)
    assert done.code == 1
    assert "Traceback" not in done.err
    check_whole(disk)
    (disk / "mine").unlink()
    assert forked.run(*asked, cwd=models).code == 0
    check_whole(disk)
    assert len(audio(disk)) == 6


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (1, ("models", "add", "fog.distill", "--library", "disk/models")),
        (1, ("presets", "save", "fog.distill", "calm", "--slider", "1:2")),
        (1, ("sliders", "fog.distill", "--plot", "disk/sliders.png")),
        (0, ("models", "list", "--library", ".")),  # which keeps what it has read where there is room
    ],
)
def test_what_is_kept_for_later_is_whole_or_not_there(
    forked: Nursery, models: Path, disk: Path, code: int, arguments: tuple[str, ...]
) -> None:
    with (disk / "mine").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    places = {"DISTILL_PRESETS": disk / "presets", "XDG_CACHE_HOME": disk if code == 0 else models}
    done = forked.run(*arguments, cwd=models, **{name: str(path) for name, path in places.items()})
    assert (done.code, done.err.count("\n")) == (code, code), done.err
    left = {path.name for path in disk.rglob("*") if path.is_file() and path.stat().st_size}
    assert left == {"mine"}


def test_a_training_on_a_full_disk_leaves_nothing_half(forked: Nursery, tmp_path: Path, disk: Path) -> None:
    corpus(tmp_path / "sounds")
    done = forked.run(
        "train", "sounds", "--name", "hum", "--no-prior", "--epochs", "1", "--quiet", "-o", disk, cwd=tmp_path,
        prepared=["small_codec"],
    )  # fmt: skip
    assert done.code == 1
    assert "Traceback" not in done.err
    assert "No space left on device" in done.err
    assert {path.name for path in disk.iterdir()} <= {"hum.training"}


def test_a_stdout_that_takes_no_more_is_one_line(forked: Nursery, models: Path) -> None:
    for command in (["inspect", "pebbles.distill", "--json"], ["models", "list"], ["config", "show"]):
        done = subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" > /dev/full', "sh", *_program(), *command],
            cwd=models, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in (1, 120), command
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") <= 1 or "Exception ignored" not in done.stderr


def _program() -> list[str]:
    return [sys.executable, "-m", "distill"]


def covered(folder: Path) -> None:
    """Put something else in its place that is empty and can only be read, as when a drive is mounted anew."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], check=True)


@pytest.mark.parametrize("happens", [covered, shutil.rmtree], ids=["read-only", "removed"])
def test_a_folder_that_is_lost_half_way_is_one_line(
    forked: Nursery, models: Path, disk: Path, happens: Callable[[Path], object]
) -> None:
    folder = disk / "out"
    run = forked.start(*ASKED[:4], "-n", "200", "-d", "0.1", "--quiet", "-o", folder, cwd=models)
    while not (folder.is_dir() and any(path.suffix == ".json" for path in folder.iterdir())):
        time.sleep(0.001)
    happens(folder)
    done = run.wait()
    if happens is covered:
        subprocess.run(["umount", folder], check=True)
    assert done.code == 1
    assert done.err.count("\n") == 1, done.err
    assert "Error: " in done.err
    assert " broke" not in done.err
    if happens is covered:
        assert len(sidecars(folder)) >= 1
        assert set(done.out.split()) <= {str(folder / name) for name in audio(folder)}


def test_a_folder_that_is_read_only_is_refused_before_a_model_is_loaded(
    forked: Nursery, models: Path, disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    done = forked.run(*ASKED, "-o", disk, cwd=models)
    assert (done.code, done.out) == (1, "")
    assert done.err == f"Error: {disk} cannot hold files: Read-only file system. Choose a folder with --output-dir.\n"


def test_a_sidecar_whose_folder_is_gone_is_one_line(forked: Nursery, models: Path) -> None:
    assert forked.run(*ASKED[:4], "-n", "1", "-d", "0.1", "--quiet", "-o", "out", cwd=models).code == 0
    shutil.rmtree(models / "out")
    for command in (
        ["replay", "out/pebbles-1.json"],
        ["replay", "out/pebbles-1.wav"],
        ["report", "out"],
        ["pick", "out"],
    ):
        done = forked.run(*command, cwd=models)
        assert done.code in (1, 2)
        assert done.err.count("\n") == 1
        assert "out" in done.err


def test_a_model_that_is_gone_by_the_time_it_is_loaded_is_one_line(forked: Nursery, models: Path) -> None:
    (models / "gone.distill").symlink_to(models / "pebbles.distill")
    run = forked.start("generate", "gone.distill", "-d", "0.1", "-o", "out", "--quiet", cwd=models)
    os.unlink(models / "gone.distill")  # noqa: PTH108 - before, while or after it is read
    done = run.wait()
    assert done.code in (0, 1)
    assert done.err.count("\n") == done.code
