"""A checkpoint under another name: every other byte of its contents stays."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import codec_prior_contents, save, vae_contents, vqvae_contents

from distill import archive
from distill.checkpoint import load_contents, read_header
from distill.errors import CheckpointError, RequestError
from distill.inspection import look
from distill.renaming import check_name, renamed, write_renamed

KINDS = {"vqvae": vqvae_contents, "vae": vae_contents, "codec": codec_prior_contents}


def header_of(path: Path):  # type: ignore[no-untyped-def]
    header = read_header(path)
    assert header is not None
    return header


def records(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as one:
        return {name.partition("/")[2]: one.read(name) for name in one.namelist()}


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_name_is_another(tmp_path: Path, kind: str) -> None:
    path = save(KINDS[kind](), tmp_path / "m.distill")
    draft = tmp_path / "draft"
    write_renamed(header_of(path), "Überschall 2", draft)
    was, now = records(path), records(draft)
    changed = [name for name in was if was[name] != now.pop(name)]
    assert (changed, now) == (["data.pkl"], {})
    before, after = look(path), look(draft)
    assert after.values["metadata"].pop("name") == "Überschall 2"
    assert before.values["metadata"].pop("name") == KINDS[kind]()["metadata"]["name"]
    assert (after.values, after.tensors, after.globals) == (before.values, before.tensors, before.globals)


def test_torch_loads_it_with_and_without_mapping_from_aligned_places(tmp_path: Path, vqvae_file: Path) -> None:
    draft = tmp_path / "draft.distill"
    write_renamed(header_of(vqvae_file), "x", draft)
    whole = load_contents(header_of(vqvae_file))["model_state_dict"]
    for mapped in (False, True):
        contents = torch.load(draft, weights_only=True, mmap=mapped)
        assert contents["metadata"]["name"] == "x"
        assert all(torch.equal(contents["model_state_dict"][name], tensor) for name, tensor in whole.items())
    with draft.open("rb") as file:
        starts = [archive.start(file, one) for one in archive.records(archive.read_directory(file))]
    assert all(start % 64 == 0 for start in starts)


def test_it_can_be_renamed_again_and_again(tmp_path: Path, vae_file: Path) -> None:
    path = vae_file
    for name in ("one", "two", "three"):
        draft = tmp_path / name
        write_renamed(header_of(path), name, draft)
        path = draft
    assert header_of(path).name == "three"
    assert header_of(path).metadata["model_id"] == header_of(vae_file).metadata["model_id"]


@pytest.mark.parametrize("metadata", [None, {}, {"name": None}, {"name": "old", "dataset_name": "old"}], ids=repr)
def test_it_gets_a_name_whatever_it_had(metadata: Any) -> None:
    contents = {"format": "distill_model", "version": 2} | ({} if metadata is None else {"metadata": metadata})
    made = pickle.loads(renamed(pickle.dumps(contents, protocol=2), "new"))
    assert made == contents | {"metadata": (metadata or {}) | {"name": "new"}}


def test_metadata_of_another_kind_is_refused() -> None:
    with pytest.raises(CheckpointError, match="no name can be set"):
        renamed(pickle.dumps({"metadata": [1]}, protocol=2), "new")


def test_a_file_of_another_container_keeps_its_name(tmp_path: Path, vae_file: Path) -> None:
    from dataclasses import replace

    other = tmp_path / "sines"
    other.write_bytes(b"SINE")
    with pytest.raises(CheckpointError, match="of a plugin's own format"):
        write_renamed(replace(header_of(vae_file), path=other), "new", tmp_path / "draft")


@pytest.mark.parametrize("name", ["", " rain", "a/b", "a\\b", "a\tb", "a  b", "\u202etxt", "x" * 81, "a.distill"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match=r"is no name for a model: 1 to 80 printable"):
        check_name(name)
    assert check_name("Low hum (2)") == "Low hum (2)"
