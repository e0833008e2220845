"""From what the user calls a model to the file it is, and what is remembered of files from run to run."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from checkpoints import save, vae_contents, vqvae_contents

from distill import catalogue
from distill.errors import DistillError
from distill.library import Library, default_folder
from distill.plugins import Plugins, discover

RAIN, FOG = "11111111-aaaa-3333-4444-555555555555", "11112222-bbbb-3333-4444-555555555555"


class Counting(Plugins):
    """No plugins; counts the headers that are read."""

    read = 0

    def read_header(self, path: Path):  # type: ignore[no-untyped-def]
        self.read += 1
        return super().read_header(path)


def model(path: Path, name: str, model_id: str = "", **metadata: object) -> Path:
    """A checkpoint of this name and id at `path`, as large as one is with nothing in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = vqvae_contents(prior=False) | {"metadata": {"name": name, "model_id": model_id, **metadata}}
    return save(contents | {"model_state_dict": {}}, path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A library with four models; the names of two differ in case alone."""
    model(tmp_path / "lib" / "a.distill", "Rain", RAIN)
    model(tmp_path / "lib" / "deep" / "down" / "b.distill", "rain on tin", FOG)
    model(tmp_path / "lib" / "c.distill", "rain", "c0ffee")
    model(tmp_path / "lib" / "d.distill", "Fog")
    return tmp_path / "lib"


def found(reference: str, *folders: Path, plugins: Plugins | None = None) -> str:
    return Library(plugins or Plugins(), folders).find(reference).name


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (RAIN, "a.distill"),
        (RAIN.upper(), "a.distill"),
        ("11111", "a.distill"),
        ("1111222", "b.distill"),
        ("c0f", "c.distill"),
        ("Rain", "a.distill"),
        ("rain", "c.distill"),
        ("ON TIN", "b.distill"),
        ("fog", "d.distill"),
        ("o", None),
        ("1111", None),
        ("RAIN", None),
    ],
)
def test_an_id_or_its_beginning_a_name_or_a_part_of_one_is_the_model(
    folder: Path, reference: str, name: str | None
) -> None:
    if name is not None:
        assert found(reference, folder) == name
        return
    with pytest.raises(
        DistillError, match=rf"'{reference}' is several models: .* Give more of the name, an id, or a path\.$"
    ):
        found(reference, folder)


def test_what_is_ambiguous_is_listed_with_names_ids_and_paths(folder: Path) -> None:
    with pytest.raises(DistillError) as caught:
        found("1111", folder)
    assert f"Rain ({RAIN}, {folder / 'a.distill'})" in str(caught.value)
    assert f"rain on tin ({FOG}, {folder / 'deep' / 'down' / 'b.distill'})" in str(caught.value)


def test_a_name_that_begins_several_ids_is_the_model_of_that_name(folder: Path) -> None:
    model(folder / "e.distill", "1111")
    assert found("1111", folder) == "e.distill"


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    for number in range(12):
        model(tmp_path / f"{number}.distill", f"rain {number}")
    with pytest.raises(DistillError, match=r"rain 5[^;]*, and 4 more\."):
        found("rain", tmp_path)


def test_a_file_where_the_user_is_goes_before_the_library(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rain").touch()
    assert Library(Plugins(), [folder]).find("rain") == Path("rain")


def test_a_folder_of_a_models_name_is_not_in_its_way(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fog").mkdir()
    assert found("fog", folder) == "d.distill"
    Path("snow").mkdir()
    with pytest.raises(DistillError, match=r"snow is a folder"):
        found("snow", folder)


def test_the_starter_is_always_there_but_the_users_own_of_that_name_goes_before(tmp_path: Path) -> None:
    plugins = discover()
    assert Library(plugins, [tmp_path / "nothing"]).find("starter") == plugins.bundled()["starter"]
    mine = model(tmp_path / "mine.distill", "starter")
    assert Library(plugins, [tmp_path]).find("starter") == mine


def test_several_folders_are_one_library(folder: Path, tmp_path: Path) -> None:
    model(tmp_path / "other" / "snow.distill", "snow")
    assert found("snow", folder, tmp_path / "other") == "snow.distill"


def test_a_folder_within_another_of_the_library_counts_once(folder: Path) -> None:
    assert len(Library(Plugins(), [folder, folder / "deep", folder]).models) == 4


def test_a_folder_that_another_program_wrote_is_used_as_it_is(tmp_path: Path) -> None:
    save(vae_contents(name="fog"), tmp_path / f"{FOG}.distill")
    (tmp_path / "index.json").write_text("[]")
    (tmp_path / "take.wav").write_bytes(b"RIFF0000WAVE")
    (tmp_path / ".hidden.distill").write_bytes(b"not a checkpoint")
    before = sorted(tmp_path.iterdir())
    [only] = Library(Plugins(), [tmp_path]).models
    assert (only.name, only.version, only.model_type, only.prior, only.problem) == ("fog", 1, None, None, "")
    assert sorted(tmp_path.iterdir()) == before


def test_the_users_own_folder_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "distill" / "models"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("rian", r"^rian is no file, and no model of the library\. Near it: Rain\.$"),
        ("snow", r"^snow is no file, and no model of the library\. 'distill models list' shows those there are\.$"),
        ("rian.distill", r"^rian\.distill does not exist\. Near it: rain\.distill"),
        ("nowhere/at/all", r"does not exist\. Give the path of a checkpoint"),
        ("", r"is a folder"),
        ("m\x00.distill", "does not exist"),
        ("x" * 5000, r"cannot be looked up: File name too long\. Give another path\.$"),
        ("/dev/null", "/dev/null is neither a file nor a folder"),
        ("~nobody-of-this-name/m", "there is no such user"),
    ],
)
def test_what_is_no_model_is_answered_with_near_ones_in_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rain.distill").touch()
    with pytest.raises(DistillError, match=message) as caught:
        found(reference, folder)
    assert "\n" not in str(caught.value)


def test_an_accent_is_the_same_in_one_character_or_two(tmp_path: Path) -> None:
    model(tmp_path / "a.distill", "Gro\u0308\u00dfe")
    assert found("gr\u00f6\u00df", tmp_path) == "a.distill"


def test_a_name_that_looks_like_a_path_is_found_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model(tmp_path / "lib" / "a.distill", "rain/tin")
    model(tmp_path / "lib" / "b.distill", "x.distill")
    assert found("rain/tin", tmp_path / "lib") == "a.distill"
    assert found("x.distill", tmp_path / "lib") == "b.distill"
    with pytest.raises(DistillError, match="does not exist"):
        found("rain/", tmp_path / "lib")


def test_a_link_that_leads_nowhere_says_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "gone.distill").symlink_to("nothing")
    (tmp_path / "loop.distill").symlink_to("loop.distill")
    for name, target in {"gone": "nothing", "loop": "loop.distill"}.items():
        with pytest.raises(
            DistillError,
            match=rf"{name}\.distill is a link to {target}, which leads to no file\. Mend or remove the link\.$",
        ):
            found(str(tmp_path / f"{name}.distill"))


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m.distill").touch()
    assert Library(Plugins(), []).find("~/m.distill") == tmp_path / "m.distill"


def test_dates_come_from_the_file_or_from_its_time(tmp_path: Path) -> None:
    model(tmp_path / "a.distill", "a", save_date="2026-11-23T15:37:22.397362+00:00", training_date="2025-01-01")
    model(tmp_path / "b.distill", "b", save_date="", training_date="2025-01-01T00:00:00")
    os.utime(model(tmp_path / "c.distill", "c", save_date="soon"), (86400, 86400))
    dates = [one.date for one in Library(Plugins(), [tmp_path]).models]
    assert dates == ["2026-11-23T15:37:22+00:00", "2025-01-01T00:00:00", "1970-01-02T00:00:00+00:00"]


class Shelf:
    """A library of three models, and what a new run reads of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for number in range(3):
            model(folder / f"{number}.distill", f"model {number}")

    def run(self) -> tuple[int, list[str]]:
        """How many headers it reads, and the names it finds."""
        plugins = Counting()
        names = [one.name for one in Library(plugins, [self.folder]).models]
        return plugins.read, names


NAMES = ["model 0", "model 1", "model 2"]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "SETTLED_S", -1.0)
    return Shelf(tmp_path / "models")


def test_a_header_is_read_once(shelf: Shelf) -> None:
    assert shelf.run() == (3, NAMES)
    assert shelf.run() == (0, NAMES)


def test_what_has_changed_is_read_again_and_what_has_gone_is_forgotten(shelf: Shelf) -> None:
    shelf.run()
    model(shelf.folder / "1.distill", "another one")
    (shelf.folder / "2.distill").unlink()
    model(shelf.folder / "3.distill", "new")
    assert shelf.run() == (2, ["model 0", "another one", "new"])
    assert "2.distill" not in catalogue.path().read_text()


def test_a_file_of_the_same_size_and_time_in_its_place_is_read_again(shelf: Shelf) -> None:
    shelf.run()
    path = shelf.folder / "1.distill"
    before = path.stat()
    model(path, "model X")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert shelf.run() == (1, ["model 0", "model X", "model 2"])


def test_a_file_that_has_just_been_changed_is_not_remembered(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "SETTLED_S", 60.0)
    assert [shelf.run()[0], shelf.run()[0]] == [3, 3]


def test_a_damaged_catalogue_is_made_anew(shelf: Shelf) -> None:
    shelf.run()
    whole = catalogue.path().read_bytes()
    rng = random.Random(3)
    for _ in range(60):
        damaged = bytearray(whole)
        at = rng.randrange(len(whole))
        if rng.random() < 0.3:
            del damaged[at:]
        else:
            damaged[at] ^= 1 << rng.randrange(8)
        catalogue.path().write_bytes(damaged)
        assert shelf.run() == (3, NAMES)
        assert catalogue.path().read_bytes() == whole
    catalogue.path().write_bytes(b"")
    assert shelf.run() == (3, NAMES)


def test_a_catalogue_that_cannot_be_written_costs_time_alone(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert [shelf.run(), shelf.run()] == [(3, NAMES), (3, NAMES)]


def test_another_librarys_files_stay_remembered(shelf: Shelf, tmp_path: Path) -> None:
    shelf.run()
    other = Shelf(tmp_path / "others")
    other.run()
    assert [shelf.run()[0], other.run()[0]] == [0, 0]


def test_who_reads_headers_decides_what_is_remembered(shelf: Shelf) -> None:
    from distill import hookimpl

    class Reader:
        @staticmethod
        @hookimpl
        def read_header(path: Path) -> None:
            return None

    shelf.run()
    plugins = Counting()
    plugins.register(Reader(), "reader")
    assert [one.name for one in Library(plugins, [shelf.folder]).models] == NAMES
    assert plugins.read == 3
