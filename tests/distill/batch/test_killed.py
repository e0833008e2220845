"""A batch whose main process is killed: no half file is left, no finished one is lost, and it can be taken up again."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkpoints import save, vae_contents, vqvae_contents
from processes import (
    JOURNAL,
    audio,
    batch,
    check_done,
    check_whole,
    files_in,
    finished,
    kill,
    stamps,
    started,
    wait_for,
)

ROWS = """\
model,seed,count,duration,format,normalize,name
{models}/pebbles.distill,1,12,0.3,wav,,{{model}}-{{seed}}
{models}/fog.distill,1,6,0.3,flac,,{{model}}-{{seed}}
{models}/fog.distill,100,3,0.3,wav,batch,choir-{{seed}}
"""
MOMENTS = int(os.environ.get("DISTILL_MOMENTS", "5"))
"""Kills of one batch at moments drawn at random: `DISTILL_MOMENTS=25` has it killed as often."""
TOGETHER = "choir"
"""How the names of those files begin whose level depends on all of them: where one is missing, all are made."""


@dataclass(frozen=True)
class Undisturbed:
    """A manifest, the folder of a run of it that was left alone, on one process, and the seconds that it took."""

    manifest: Path
    folder: Path
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    here = tmp_path_factory.mktemp("undisturbed")
    save(vqvae_contents(), here / "pebbles.distill")
    save(vae_contents(), here / "fog.distill")
    manifest = here / "takes.csv"
    manifest.write_text(ROWS.format(models=here))
    began = time.monotonic()
    run = batch(manifest, "-o", here / "out", "--workers", 1)
    assert (run.returncode, len(audio(here / "out"))) == (0, 21), run.stderr
    return Undisturbed(manifest, here / "out", time.monotonic() - began)


Moment = Callable[[subprocess.Popen[str], Path], object]
"""Waits until a run is to be killed, or has ended."""


def after(seconds: float) -> Moment:
    """So long after the start, sooner each time that this is too late."""
    left = seconds

    def wait(process: subprocess.Popen[str], folder: Path) -> None:
        nonlocal left
        try:
            process.wait(left)
        except subprocess.TimeoutExpired:
            return
        left *= 0.8

    return wait


def as_audio_appears(files: int) -> Moment:
    """When so many more audio files are there: their sidecars and lines of the journal are not, or are about to be."""

    def wait(process: subprocess.Popen[str], folder: Path) -> None:
        enough = files_in(folder) + files
        while process.poll() is None and files_in(folder) < enough:
            time.sleep(0.0005)

    return wait


def as_the_journal_grows(process: subprocess.Popen[str], folder: Path) -> None:
    """When it has become longer."""

    def size() -> int:
        journal = folder / JOURNAL
        return journal.stat().st_size if journal.exists() else 0

    before = size()
    while process.poll() is None and size() <= before:
        time.sleep(0.0005)


def spread(kills: int, seconds: float) -> Iterator[Moment]:
    """So many moments by chance, one in each part of `seconds`, in any order."""
    chance = random.Random(kills)
    parts = list(range(kills))
    chance.shuffle(parts)
    for part in parts:
        yield after((part + chance.random()) / kills * seconds)


def is_cut_short(undisturbed: Undisturbed, folder: Path, moment: Moment, workers: int) -> bool:
    """Run the batch into `folder` and kill it at this `moment`, unless it is done by then. Check what it leaves."""
    before = {name: stamp for name, stamp in finished(folder).items() if not name.startswith(TOGETHER)}
    with started(undisturbed.manifest, "-o", folder, "--workers", workers) as process:
        moment(process, folder)
        is_killed = process.poll() is None
        if is_killed:
            kill(process)
        else:
            assert (process.wait(), process.communicate()[1].count("\n")) == (0, 1)
    if folder.is_dir():
        now = stamps(folder)
        assert {name: now.get(name) for name in before} == before, "a finished file was lost, or made again"
        check_whole(folder, undisturbed.folder)
    if not is_killed:
        check_done(folder, undisturbed.folder)
    return is_killed


@pytest.mark.parametrize(
    ("workers", "moments"),
    [
        pytest.param(2, lambda seconds: spread(MOMENTS, seconds), id="at moments of the whole run"),
        pytest.param(1, lambda _: map(as_audio_appears, (1, 2, 3, 1, 4)), id="as audio files appear"),
        pytest.param(1, lambda _: [as_the_journal_grows] * 3, id="as the journal is written"),
    ],
)
def test_killed_again_and_again_it_ends_with_what_an_undisturbed_run_makes(
    undisturbed: Undisturbed, tmp_path: Path, workers: int, moments: Callable[[float], Iterable[Moment]]
) -> None:
    folders = (tmp_path / str(number) for number in itertools.count())
    folder = next(folders)
    for moment in moments(undisturbed.seconds):
        while not is_cut_short(undisturbed, folder, moment, workers):
            folder = next(folders)  # that one is done
    assert not is_cut_short(undisturbed, folder, lambda process, _: process.wait(), workers)


def test_a_killed_batch_takes_its_workers_along_in_mid_file(undisturbed: Undisturbed, tmp_path: Path) -> None:
    model, out = undisturbed.manifest.parent / "pebbles.distill", tmp_path / "out"
    with started(model, "--seeds", "1", "-d", "1200", "-o", out, "--workers", 1) as process:
        wait_for(lambda: any(out.glob(".distill-batch/*/.*.part")) or process.poll() is not None, "a draft")
        kill(process)
    assert audio(out) == {}
