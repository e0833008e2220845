"""Files from strangers, through the commands that read them: one line, nothing run, nothing written, little used."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import mutagen
import pytest
from corpus import CANARY, CORPUS, EVERY, HARMLESS, USABLE, Hostile, Write, archived
from forking import Done, Nursery

MEMORY = 2**30
CPU_SECONDS = 5
"""What a run may take. Processor time, for a busy machine's clock says nothing of the program."""


LISTS = "models list"
LIGHT = {LISTS, "models info", "inspect"}
Run = Callable[[str, Path, Path], Done]


@pytest.fixture(scope="session")
def run(forked: Nursery, forked_light: Nursery) -> Run:
    """Runs a command told to read the file at a path, from within a folder."""

    def call(command: str, path: Path, folder: Path) -> Done:
        arguments = {
            LISTS: ["--library", path.parent],
            "models info": [path],
            "models verify": [path],
            "inspect": [path],
            "generate": [path, "-o", folder / "out", "-d", "0.1", "-n", "2", "-s", "1", "--quiet"],
        }
        return (forked_light if command in LIGHT else forked).run(
            *command.split(), *arguments[command], cwd=folder / "here", memory=MEMORY, cpu=CPU_SECONDS,
            XDG_CACHE_HOME=str(folder / "cache"),
        )  # fmt: skip

    return call


def written(write: Write, folder: Path) -> Path:
    """A file of the corpus, alone in a folder of models."""
    for name in ("models", "here"):
        (folder / name).mkdir()
    path = folder / "models" / "hostile.distill"
    write(path)
    return path


def others(folder: Path) -> set[str]:
    """What there is in `folder` but the file and what the program keeps of it, nor outside where it would try."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "cache" not in path.parts}
    found |= {str(path) for path in (Path("/tmp") / CANARY, folder.parent / CANARY) if path.exists()}
    return found - {"cache", "here", "models", "models/hostile.distill"}


def check_printable(done: Done) -> None:
    """Nothing that it printed moves a cursor, or changes how a line reads."""
    assert all(line.isprintable() for line in (done.out + done.err).split("\n"))


@pytest.fixture(scope="module")
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Hostile, Path, Path]:
    """One of the corpus, the folder that it was written in, and its path."""
    one = CORPUS[request.param]
    folder = tmp_path_factory.mktemp("hostile")
    return one, folder, written(one.write, folder)


@pytest.mark.parametrize("command", EVERY)
@pytest.mark.parametrize("hostile", CORPUS, indirect=True)
def test_it_is_answered_in_a_line_and_does_nothing(run: Run, hostile: tuple[Hostile, Path, Path], command: str) -> None:
    one, folder, path = hostile
    before = path.lstat()
    done = run(command, path, folder)
    said = done.err.splitlines()
    if command in one.refused_by:
        assert done.code == 1, done.err + done.out[-300:]
        assert len(said) == 1, done.err
        assert said[0].startswith("Error: ")
        assert " broke" not in said[0], said[0]
        assert 30 < len(said[0]) < 500
    else:
        assert (done.code, said) == (0, []), done.err
    check_printable(done)
    if command == LISTS:
        assert "starter" in done.out
    elif command == "generate":
        assert done.out == ""
    assert done.peak < MEMORY
    assert others(folder) <= {"out"}  # where files would have gone
    after = path.lstat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("name", USABLE)
def test_what_it_says_of_itself_is_cleaned_wherever_it_is_shown(run: Run, tmp_path: Path, name: str) -> None:
    path = written(USABLE[name], tmp_path)
    for command in (LISTS, "models info", "models verify", "inspect", "generate"):
        done = run(command, path, tmp_path)
        assert (done.code, done.err) == (0, "")
        check_printable(done)
    files = [Path(line) for line in done.out.splitlines()]
    assert [file.name.rpartition("-")[2] for file in files] == ["1.wav", "2.wav"]
    assert all(file.parent == tmp_path / "out" and len(file.name.encode()) < 100 for file in files)
    assert not any(file.name.startswith((".", "-")) for file in files)
    assert others(tmp_path) == {"out", *(f"out/{file.stem}{end}" for file in files for end in (".wav", ".json"))}
    for file in files:
        assert all(str(value).isprintable() for values in mutagen.File(file).tags.values() for value in values.text)


def test_the_corpus_is_as_large_as_was_promised() -> None:
    assert len(CORPUS) + len(USABLE) >= 60


def test_what_would_run_leaves_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A canary that cannot sing proves nothing: Python's own unpickler runs what is in these files."""
    monkeypatch.chdir(tmp_path)
    for name in ("os.system", "a call of a memoised global", "a class with __reduce__, protocol 4", "opcode INST"):
        CORPUS[name].write(tmp_path / "m.distill")
        with zipfile.ZipFile("m.distill") as archive:
            pickle.loads(archive.read("m/data.pkl"))
        (tmp_path / CANARY).unlink()


def test_a_harmless_one_of_the_same_make_is_read(run: Run, tmp_path: Path) -> None:
    """What is refused is refused for what it holds, not for how it is packed."""
    path = written(archived(HARMLESS), tmp_path)
    for command in (LISTS, "models info", "inspect"):
        done = run(command, path, tmp_path)
        assert (done.code, done.err) == (0, "")
