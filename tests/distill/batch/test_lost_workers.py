"""A batch one of whose workers ends, or whose model breaks: the other files are made, and what is lost is told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import brittle
import pytest
from checkpoints import save, vqvae_contents
from forking import Done
from processes import Quick, audio, batch, check_done, files_in, started, wait_for, workers


@dataclass(frozen=True)
class Glass:
    """Runs batches of a model that breaks at seed 5, which is the third of four, into the folder `out`."""

    folder: Path
    site: str
    quick: Quick

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def tries(self) -> int:
        """How often that seed was tried."""
        return len((self.folder / "log").read_text().splitlines())

    def run(self, how: str, *arguments: object) -> Done:
        asked = self.folder / "glass.brittle", "--seeds", "3-6", "-d", "0.1", "-o", self.out, *arguments
        environment = {"PYTHONPATH": self.site, "BRITTLE": how, "BRITTLE_LOG": str(self.folder / "log")}
        if how != "dies":
            return self.quick(*asked, **environment)
        done = batch(*asked, **environment)
        return Done(done.returncode, done.stdout, done.stderr, peak=0, seconds=0.0)


def glass_in(folder: Path, quick: Quick) -> Glass:
    (folder / "glass.brittle").touch()
    return Glass(folder, brittle.install(folder / "site"), quick)


@pytest.fixture
def glass(tmp_path: Path, quick: Quick) -> Glass:
    return glass_in(tmp_path, quick)


Broken = tuple[Glass, Done]

THREE = {"glass-3.wav", "glass-4.wav", "glass-6.wav"}


@pytest.fixture(scope="module", params=["dies", "raises"])
def broken(request: pytest.FixtureRequest, quick: Quick, tmp_path_factory: pytest.TempPathFactory) -> Broken:
    """A batch whose worker dies, or whose model raises, at one seed; and what came of it."""
    glass = glass_in(tmp_path_factory.mktemp(request.param), quick)
    return glass, glass.run(request.param, "--workers", 2, "--json")


def test_the_result_is_whole_when_a_worker_is_killed(quick: Quick, tmp_path: Path) -> None:
    model = save(vqvae_contents(), tmp_path / "pebbles.distill")
    arguments = model, "--seeds", "1-24", "-d", "1", "-o"
    assert quick(*arguments, tmp_path / "alone").code == 0
    with started(*arguments, tmp_path / "out", "--workers", 2) as process:
        wait_for(lambda: files_in(tmp_path / "out"), "the first file")
        workers(process)[0].kill()
        _, err = process.communicate()
    assert process.returncode == 0, err
    check_done(tmp_path / "out", tmp_path / "alone")


def test_all_files_but_the_one_that_breaks_are_made(broken: Broken) -> None:
    glass, done = broken
    assert (done.code, set(audio(glass.out))) == (1, THREE)


def test_the_file_that_breaks_is_given_up_after_three_tries_of_its_own(broken: Broken) -> None:
    [failed] = json.loads(broken[1].out)["failed"]
    assert (failed["file"], failed["row"], failed["seed"], failed["tries"]) == ("glass-5.wav", 1, 5, 3)


def test_what_happened_to_the_file_that_breaks_is_told_in_one_line(broken: Broken) -> None:
    glass, done = broken
    lines = done.err.splitlines()
    assert lines[0].startswith("Error: Row 1, glass-5.wav: ")
    assert any(why in lines[0] for why in ("its worker process ended (signal SIGKILL)", "the spring broke"))
    assert lines[1].startswith(f"4 files in {glass.out}: 3 made, 1 failed; ")
    assert len(lines) == 2


def test_a_file_whose_model_raises_is_tried_three_times(glass: Glass) -> None:
    assert (glass.run("raises").code, glass.tries) == (1, 3)


def test_what_a_model_refuses_is_tried_once_more_alone(glass: Glass) -> None:
    done = glass.run("refuses")
    assert (done.code, glass.tries, set(audio(glass.out))) == (1, 2, THREE)
    assert done.err.splitlines()[0] == "Error: Row 1, glass-5.wav: --seed: not this one."


def test_what_failed_is_made_when_the_batch_is_run_again(glass: Glass) -> None:
    glass.run("refuses")
    done = glass.run("never")
    assert (done.code, done.out) == (0, f"{glass.out}/glass-5.wav\n")


def test_fail_fast_leaves_what_was_not_begun_and_says_how_much_that_is(glass: Glass) -> None:
    lengths = ",".join(f"0.{tenths}" for tenths in range(1, 10))
    done = glass.run("refuses", "--fail-fast", "--json", "--sweep", f"duration={lengths}")
    said = json.loads(done.out)
    made, failed = said["made"], len(said["failed"])
    left = said["asked"] - made - failed
    assert (done.code, failed > 0, left > 0) == (1, True, True)
    assert f"{made} made, {failed} failed, {left} not tried; " in done.err.splitlines()[-1]
