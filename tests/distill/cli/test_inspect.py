"""`distill inspect`: all that is in a file, whatever is in it, and nothing of it run."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import codec_prior_contents, save, vae_contents, vqvae_contents
from program import Cli

from distill import CheckpointHeader, hookimpl
from distill.checkpoint import load_contents, read_header
from distill.plugins import Plugins

KINDS = {"vqvae": vqvae_contents, "vae": vae_contents, "codec": codec_prior_contents}


def inspected(cli: Cli, path: object, code: int = 0) -> dict[str, Any]:
    result = cli("inspect", path, "--json")
    assert result.code == code
    said: dict[str, Any] = json.loads(result.out)
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_it_tells_every_tensor_as_torch_loads_it(cli: Cli, tmp_path: Path, kind: str) -> None:
    contents = KINDS[kind]()
    said = inspected(cli, save(contents, tmp_path / "m.distill"))
    for key, state in contents.items():
        tensors = {n: t for n, t in state.items() if isinstance(t, torch.Tensor)} if isinstance(state, dict) else {}
        told = {one["name"]: one for one in said["tensors"].get(key, [])}
        assert tensors.keys() <= told.keys()
        for name, tensor in tensors.items():
            assert told[name] == {
                "name": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch."),
                "bytes": tensor.numel() * tensor.element_size(),
            }  # fmt: skip
    assert said["problems"] == []


def test_the_reference_files_are_told_whole(cli: Cli, reference: Path) -> None:
    for name, parameters in {"v2-vqvae-prior": 67, "v1-vae-sliders": 57}.items():
        path = reference / f"{name}.distill"
        said = inspected(cli, path)
        header = read_header(path)
        assert header is not None
        state = load_contents(header)["model_state_dict"]
        assert len(state) == parameters
        told = {one["name"]: (one["shape"], one["dtype"]) for one in said["tensors"]["model_state_dict"]}
        assert told == {n: (list(t.shape), str(t.dtype).removeprefix("torch.")) for n, t in state.items()}


def test_people_see_container_configuration_parameters_and_globals(cli: Cli, vae_file: Path) -> None:
    result = cli("inspect", vae_file)
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert re.fullmatch(r"  container   torch\.save archive, \d+ records, \d+(\.\d)? MB", lines[1])
    assert "  claimed by  loader vae of plugin vae, VAE models" in lines
    assert "  latent_dim  8" in lines
    assert "  hop_length   512" in lines
    assert "  preset            <distill.training.config.OverfittingPreset>" in lines
    assert "  pca_components            <array [3, 8]>" in lines
    assert re.search(
        r"^model_state_dict: \d+ tensors, [\d,]+ parameters, \d\.\d MB, float32$", result.out, re.MULTILINE
    )
    weight, bias = (vae_contents()["model_state_dict"][f"decoder.fc.{name}"] for name in ("weight", "bias"))
    row = f"{weight.numel() + bias.numel():,} +[0-9.]+ kB +weight {re.escape(str(list(weight.shape)))}, bias"
    assert re.search(rf"^  decoder\.fc +{row}", result.out, re.M)
    verdicts = dict(re.findall(r"^  ([\w.]+)  +(allowed|OUTSIDE THE ALLOW-LIST.*)$", result.out, re.M))
    assert verdicts["distill.training.config.OverfittingPreset"].startswith("OUTSIDE THE ALLOW-LIST: never imported")
    assert {said for name, said in verdicts.items() if not name.startswith("distill.")} == {"allowed"}


class Runs:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.canary),)


def test_a_file_that_would_run_a_program_is_shown_marked_and_refused(cli: Cli, tmp_path: Path) -> None:
    path = save(vqvae_contents() | {"x": Runs(tmp_path / "canary")}, tmp_path / "evil.distill")
    result = cli("inspect", path)
    assert result.code == 1
    assert "  codebook_size     16" in result.out
    assert re.search(
        r"^  posix\.mkdir +OUTSIDE THE ALLOW-LIST: could run programs, so the file is refused$", result.out, re.M
    )
    [error] = result.errors
    assert error.endswith("could run programs. Refused; nothing in it was run.")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("pickled", "named"),
    [
        (b"(ios\nsystem\n.", "os.system"),
        (b"\x80\x02(cos\nsystem\nX\x01\x00\x00\x00xo.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", "os.system"),
        (b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.garbage", "builtins.eval"),
        (b"\x80\x02c__builtin__\nexec\n(", "builtins.exec"),
    ],
    ids=["INST", "OBJ", "STACK_GLOBAL", "trailing", "cut"],
)
def test_the_globals_of_any_pickle_are_told(cli: Cli, tmp_path: Path, pickled: bytes, named: str) -> None:
    path = tmp_path / "evil.distill"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", pickled)
    said = inspected(cli, path, code=1)
    assert {"name": named, "verdict": "refused"} in said["globals"]


def test_a_tensor_larger_than_its_record_is_a_problem(cli: Cli, tmp_path: Path) -> None:
    path = save({"format": "distill_model", "version": 2, "w": {"a": torch.zeros(3)}}, tmp_path / "m.distill")
    whole = path.read_bytes()
    (tmp_path / "m.distill").unlink()
    with zipfile.ZipFile(path, "w") as out, zipfile.ZipFile(io.BytesIO(whole)) as old:
        for name in old.namelist():
            data = old.read(name)
            out.writestr(name, data.replace(b"K\x03\x85", b"K\x63\x85") if name.endswith("data.pkl") else data)
    result = cli("inspect", path)
    assert result.code == 1
    assert result.errors == [
        f"Error: {path} cannot be used: w.a is declared with 396 bytes; the file's record of it has 12. "
        "Copy or download it again."
    ]


def test_a_value_without_end_is_cut(cli: Cli, tmp_path: Path) -> None:
    endless: list[Any] = [1]
    for _ in range(100):
        endless = [endless, endless]
    loop: dict[str, Any] = {}
    loop["again"] = loop
    path = save(
        {"format": "distill_model", "version": 2, "a": endless, "b": loop, "c": 10**9000}, tmp_path / "m.distill"
    )
    result = cli("inspect", path, "--json")
    assert result.code == 0
    assert len(result.out) < 3 * 10**6


def test_another_programs_archive_is_told_and_is_no_checkpoint(cli: Cli, tmp_path: Path) -> None:
    torch.save({"weights": {"layer": torch.zeros(2, 2)}}, tmp_path / "other.pt")
    result = cli("inspect", "other.pt")
    assert result.code == 1
    assert "weights: 1 tensors, 4 parameters, 16 B, float32" in result.out
    assert result.errors == [
        "Error: other.pt is no checkpoint: it is a zip archive, but not one of this format. "
        "Give a .distill file, or install the plugin that reads this kind."
    ]


@pytest.mark.parametrize("contents", [b"", b"text", b"RIFF0000WAVE", b"PK\x03\x04garbage", bytes(range(256))])
def test_what_is_no_checkpoint_is_one_line(cli: Cli, tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "m.distill").write_bytes(contents)
    result = cli("inspect", "m.distill")
    assert (result.code, result.out, len(result.errors)) == (1, "", 1)


def test_a_plugins_own_container_is_told_as_the_plugin_reads_it(cli: Cli, tmp_path: Path) -> None:
    class Sines:
        @staticmethod
        @hookimpl
        def read_header(path: Path) -> CheckpointHeader | None:
            if path.read_bytes()[:4] != b"SINE":
                return None
            return CheckpointHeader(path, 7, "sines", {"partials": 3, "metadata": {"name": "organ"}})

    plugins = Plugins()
    plugins.register(Sines(), "sines")
    (tmp_path / "organ.sines").write_bytes(b"SINE")
    result = cli("inspect", "organ.sines", plugins=plugins)
    assert (result.code, result.err) == (0, "")
    assert "  container   of a plugin's own kind, 4 B" in result.out
    assert "  claimed by  nobody" in result.out
    assert "  partials  3" in result.out


def test_names_are_taken_too(cli: Cli, tmp_path: Path, vae_file: Path) -> None:
    assert inspected(cli, "starter")["version"] == 3
    assert cli("inspect", "fog", "--library", vae_file.parent).code == 0


def test_it_is_clean_and_imports_nothing_heavy(tmp_path: Path) -> None:
    contents = vqvae_contents(name="\x1b[31mred\u202e") | {"\x1b]0;title\x07": {"\u202ekey": torch.zeros(1)}}
    path = save(contents, tmp_path / "m.distill")
    program = (
        "import sys\nfrom distill.cli import run\nfrom distill.plugins import discover\n"
        "codes = [run(discover, arguments.split()) for arguments in sys.argv[2:]]\n"
        "assert codes == [0] * len(codes), codes\n"
        "assert not {'torch', 'numpy'} & sys.modules.keys()\n"
    )
    commands = [f"inspect {path}", f"inspect {path} --json", "models list", f"models info {path}", "config show"]
    done = subprocess.run([sys.executable, "-c", program, "-", *commands], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout)


def test_tensors_with_long_names_are_all_counted(cli: Cli, tmp_path: Path) -> None:
    state = {"layer" * 40 + str(number): torch.zeros(2) for number in range(5)}
    path = save({"format": "distill_model", "version": 2, "w" * 100: state, "w" * 101: state}, tmp_path / "m.distill")
    result = cli("inspect", path)
    assert result.out.count(": 5 tensors, 10 parameters") == 2
    assert len(inspected(cli, path)["tensors"]) == 2


def test_a_directory_that_is_damaged_elsewhere_is_one_line(cli: Cli, tmp_path: Path, vae_file: Path) -> None:
    whole = bytearray(vae_file.read_bytes())
    last = whole.rindex(b"PK\x01\x02")
    whole[last : last + 4] = b"XXXX"
    (tmp_path / "m.distill").write_bytes(whole)
    result = cli("inspect", "m.distill")
    assert (result.code, len(result.errors)) == (1, 1)
    assert "is damaged" in result.err
