"""A checkpoint is data: reading one runs nothing, and what is wrong with it is said in one line."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc
import types
import zipfile
from collections import OrderedDict
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import save, vae_contents, vqvae_contents
from torch import nn

from distill.checkpoint import load_contents, load_weights, read_header
from distill.errors import CheckpointError
from distill.pickles import Placeholder


class Calls:
    """An object whose pickle calls `function(*arguments)` when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


def test_a_header_tells_version_type_and_name(vqvae_file: Path) -> None:
    header = read_header(vqvae_file)
    assert header is not None
    assert (header.version, header.model_type, header.name) == (2, "vqvae", "pebbles")


def test_a_version_1_file_has_no_model_type(vae_file: Path) -> None:
    header = read_header(vae_file)
    assert header is not None
    assert (header.version, header.model_type) == (1, None)


def test_reading_a_header_imports_neither_torch_nor_numpy(vae_file: Path) -> None:
    program = (
        "import sys, pathlib; from distill.checkpoint import read_header;"
        "assert read_header(pathlib.Path(sys.argv[1])).name == 'fog';"
        "sys.exit(bool({'torch', 'numpy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program, vae_file], check=False).returncode == 0


def test_a_foreign_enum_is_inert_in_the_header_and_in_the_contents(vae_file: Path) -> None:
    header = read_header(vae_file)
    assert header is not None
    assert header.foreign_globals == {"distill.training.config.OverfittingPreset"}
    for contents in (header.fields, load_contents(header)):
        preset = contents["training_config"]["preset"]
        assert isinstance(preset, Placeholder)
        assert repr(preset) == "<distill.training.config.OverfittingPreset>"
    assert "distill.training" not in sys.modules


def test_arrays_and_numpy_scalars_are_loaded(vae_file: Path) -> None:
    header = read_header(vae_file)
    assert header is not None
    contents = load_contents(header)
    assert contents["latent_analysis"]["pca_components"].shape == (3, 8)
    assert contents["metadata"]["final_train_loss"] == np.float64(7.4)


@pytest.mark.parametrize("value", [PurePosixPath("a/b"), date(2026, 1, 2), {1, 2}, OrderedDict(a=1), 1j], ids=repr)
def test_plain_values_of_the_standard_library_do_not_stop_loading(tmp_path: Path, value: object) -> None:
    path = save(vqvae_contents() | {"training_config": {"odd": value}}, tmp_path / "m.distill")
    header = read_header(path)
    assert header is not None
    assert load_contents(header)["version"] == 2


def foreign(base: type) -> Any:
    """An instance, with an attribute, of a class in a package that is not installed when it is read."""
    module = types.ModuleType("elsewhere")
    module.Settings = type("Settings", (base,), {"__module__": "elsewhere", "__qualname__": "Settings"})  # type: ignore[attr-defined]
    sys.modules["elsewhere"] = module
    settings = module.Settings()
    settings.attribute = 2
    return settings


def test_a_foreign_object_with_state_is_inert(tmp_path: Path) -> None:
    path = save(vqvae_contents() | {"training_config": {"settings": foreign(object)}}, tmp_path / "m.distill")
    del sys.modules["elsewhere"]
    header = read_header(path)
    assert header is not None
    assert isinstance(load_contents(header)["training_config"]["settings"], Placeholder)


def test_a_foreign_container_is_inert_in_the_header_and_refused_by_torch_in_one_line(tmp_path: Path) -> None:
    settings = foreign(dict)
    settings["item"] = 1
    path = save(vqvae_contents() | {"training_config": {"settings": settings}}, tmp_path / "m.distill")
    del sys.modules["elsewhere"]
    header = read_header(path)
    assert header is not None
    with pytest.raises(CheckpointError, match=r"cannot be loaded: Can only SETITEM for dict[^\n]*$"):
        load_contents(header)


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "builtins.exec", "subprocess.call"])
@pytest.mark.parametrize("place", ["metadata", "training_config", "model_state_dict"])
def test_a_file_that_would_run_a_program_is_refused_and_runs_nothing(tmp_path: Path, target: str, place: str) -> None:
    canary = tmp_path / "canary"
    code = f"open({str(canary)!r}, 'w').close()" if target.startswith("builtins") else f"touch {canary}"
    arguments: tuple[Any, ...] = (["touch", str(canary)],) if target == "subprocess.call" else (code,)
    contents = vqvae_contents(prior=False) | {place: {"x": Calls(pickle.Unpickler(_naming(target)).load(), *arguments)}}
    path = save(contents, tmp_path / "m.distill")
    with pytest.raises(CheckpointError, match=r"could run programs\. Refused; nothing in it was run\."):
        read_header(path)
    assert not canary.exists()
    torch.load(path, weights_only=False)  # the trap is real
    assert canary.exists()


def _naming(target: str) -> Any:
    import io

    module, name = target.rsplit(".", 1)
    return io.BytesIO(b"c" + module.encode() + b"\n" + name.encode() + b"\n.")


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 0.999])
def test_a_file_cut_short_is_called_so(tmp_path: Path, vqvae_file: Path, share: float) -> None:
    whole = vqvae_file.read_bytes()
    path = tmp_path / "cut.distill"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(CheckpointError, match="cut short or damaged"):
        read_header(path)


def test_a_damaged_header_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "bad.distill"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}q\x00(garbage")
    with pytest.raises(CheckpointError, match="damaged header"):
        read_header(path)


def test_a_few_bytes_cannot_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.distill"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02}r\xff\xff\xff\x0f.")  # an empty dictionary, object number 2**28
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="damaged header"):
        read_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**7


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", "2"),
        ("version", True),
        ("version", None),
        ("version", -1),
        pytest.param("version", 10**9000, id="version of 9000 digits"),
        ("model_type", b"x"),
    ],
)
def test_a_version_or_type_of_the_wrong_kind_is_named(tmp_path: Path, key: str, value: object) -> None:
    path = save(
        {"format": "distill_model", "version": 2, "model_type": "vqvae"} | {key: value},
        tmp_path / "m.distill",
    )
    with pytest.raises(CheckpointError, match=f"has {key}"):
        read_header(path)


def test_a_value_that_never_ends_is_told_in_one_line_at_once(tmp_path: Path) -> None:
    endless: list[Any] = [1]
    for _ in range(100):
        endless = [endless, endless]  # a hundred references, 2**100 to print
    path = save({"format": "distill_model", "version": endless}, tmp_path / "m.distill")
    with pytest.raises(CheckpointError, match=r"has version \[\[\["):
        read_header(path)


@pytest.mark.parametrize("contents", [{"weights": 1}, [1, 2], {"format": "other"}], ids=str)
def test_another_torch_file_has_no_header(tmp_path: Path, contents: object) -> None:
    path = tmp_path / "other.pt"
    torch.save(contents, path)
    assert read_header(path) is None


def test_a_compressed_header_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.distill"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", bytes(10**6))
    with pytest.raises(CheckpointError, match="not laid out as torch.save"):
        read_header(path)


def test_weights_are_copies_that_outlive_the_file() -> None:
    network = nn.Linear(2, 2, device="meta")
    tensors = {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}
    load_weights(network, tensors, "layer")
    tensors["weight"].zero_()
    assert network.weight.sum() == 4


def test_a_small_record_repeated_to_a_large_tensor_is_refused() -> None:
    tensors = {"weight": torch.zeros(1).expand(2, 2), "bias": torch.zeros(2)}
    with pytest.raises(CheckpointError, match="layer has weight larger than the file's record of it"):
        load_weights(nn.Linear(2, 2, device="meta"), tensors, "layer")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": None}, "lacks the tensor bias"),
        ({"extra": torch.zeros(1)}, "has a tensor too many, extra"),
        ({"bias": torch.zeros(3)}, r"has bias of shape \[3\]; \[2\] is needed"),
        ({"bias": "text"}, r"has bias of shape text"),
    ],
)
def test_weights_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    tensors = {"weight": torch.ones(2, 2), "bias": torch.zeros(2)} | change
    with pytest.raises(CheckpointError, match=f"layer {message}"):
        load_weights(nn.Linear(2, 2, device="meta"), {n: t for n, t in tensors.items() if t is not None}, "layer")


def test_a_version_1_file_without_analysis_loads(tmp_path: Path) -> None:
    header = read_header(save(vae_contents(sliders=None), tmp_path / "m.distill"))
    assert header is not None
    assert load_contents(header)["latent_analysis"] is None


def test_an_empty_array_is_loaded(tmp_path: Path) -> None:
    header = read_header(save(vae_contents(sliders=0), tmp_path / "m.distill"))
    assert header is not None
    assert header.foreign_globals == {"distill.training.config.OverfittingPreset"}
    assert load_contents(header)["latent_analysis"]["step_size"].shape == (0,)
