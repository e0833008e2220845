"""A file is made again from its sidecar, or from what it carries itself; and what is otherwise is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from checkpoints import save, vae_contents, vqvae_contents
from program import Cli

LOSSLESS = [("wav", "16-bit"), ("wav", "24-bit"), ("wav", "32-bit-float"), ("flac", "16-bit"), ("flac", "24-bit")]
KINDS = {"vqvae": vqvae_contents, "vae": vae_contents}


@pytest.fixture(scope="session", params=KINDS)
def model_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(KINDS[request.param](), tmp_path_factory.mktemp("models") / f"{request.param}.distill")


@pytest.mark.parametrize(("form", "depth"), LOSSLESS)
@pytest.mark.parametrize("carried", [False, True], ids=["sidecar", "moved file"])
def test_a_replay_is_the_file_to_the_bit(cli: Cli, model_file: Path, form: str, depth: str, carried: bool) -> None:
    how = ("-f", form, "--bit-depth", depth, "-d", 1.3, "-s", 5, "--sample-rate", 44100, "--title", "Rain ☂")
    file = cli("generate", model_file, *how).files[0]
    source: Path = file.with_suffix(".json")
    if carried:
        Path("moved").mkdir()
        source = Path(shutil.copy(file, "moved"))
    result = cli("replay", source, "-o", "again")
    assert (result.code, result.err, result.files) == (0, "", [Path("again") / file.name])
    assert result.files[0].read_bytes() == file.read_bytes()
    checked = cli("replay", source, "--check")
    assert (checked.code, checked.out, checked.err) == (0, f"{source.name}: identical\n", "")


@pytest.mark.parametrize("form", ["ogg", "opus", "mp3"])
def test_a_lossy_file_is_made_again_too(cli: Cli, model_file: Path, form: str) -> None:
    file = cli("generate", model_file, "-f", form, "-d", 1.3, "--quality", 5).files[0]
    result = cli("replay", file, "-o", "again")
    assert (result.code, result.err) == (0, "")
    assert result.files[0].read_bytes() == file.read_bytes()


VAE = {"slider": ["--slider", "0:5"], "random": ["--randomize-sliders"], "blend": ["--blend", "hail.distill:20"]}
VQVAE = {"sampling": ["-t", 0.7, "--top-k", 5], "precision": ["--precision", "bf16"]}
ANY = {
    "stereo": ["--spatial-mode", "stereo", "--spatial-width", 0.7],
    "binaural": ["--spatial-mode", "binaural", "--spatial-depth", 0.9],
    "two seeds": ["--stereo", "dual_seed"],
    "loudness": ["--lufs", -20],
    "not normalized": ["--normalize", "none"],
    "compression": ["-f", "flac", "--compression", 8],
}


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        pytest.param(kind, how, id=f"{kind}, {name}")
        for kind, own in {"vae": VAE, "vqvae": VQVAE}.items()
        for name, how in (own | ANY).items()
    ],
)
def test_every_setting_is_replayed(cli: Cli, tmp_path: Path, kind: str, how: list[object]) -> None:
    save(KINDS[kind](), tmp_path / "m.distill")
    save(vae_contents(weights=7, name="hail"), tmp_path / "hail.distill")
    file = cli("generate", "m.distill", "-d", 0.7, *how).files[0]
    result = cli("replay", file, "-o", "again")
    assert (result.code, result.err) == (0, "")
    assert result.files[0].read_bytes() == file.read_bytes()


def test_a_file_of_a_batch_at_one_gain_is_replayed_alone(cli: Cli, vae_file: Path) -> None:
    for file in cli("generate", vae_file, "-d", 0.5, "-n", 3, "--normalize", "batch").files:
        again = cli("replay", file, "-o", "again").files[0]
        assert again.read_bytes() == file.read_bytes()


def test_a_preset_that_is_gone_is_not_needed(cli: Cli, vae_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILL_PRESETS", "kept")
    assert cli("presets", "save", vae_file, "deep", "--slider", "0:5").code == 0
    file = cli("generate", vae_file, "-d", 0.5, "--preset", "deep").files[0]
    shutil.rmtree("kept")
    assert cli("replay", file, "--check").code == 0


def test_a_day_later_it_is_the_same_file(cli: Cli, vae_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    file = cli("generate", vae_file, "-d", 0.3).files[0]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert cli("replay", file, "-o", "again").files[0].read_bytes() == file.read_bytes()


def test_another_model_in_its_place_is_told(cli: Cli, tmp_path: Path) -> None:
    save(vae_contents(), tmp_path / "m.distill")
    file = cli("generate", "m.distill", "-d", 0.3, "-s", 1).files[0]
    save(vae_contents(weights=9), tmp_path / "m.distill")
    result = cli("replay", file, "--check")
    assert (result.code, result.out) == (1, "fog-1.wav: different\n")
    assert result.errors[0].startswith("Warning: fog-1.wav comes out other than it was. Model: ")
    again = cli("replay", file, "-o", "again")
    assert (again.code, again.files, len(again.errors)) == (0, [Path("again/fog-1.wav")], 1)
    assert list(tmp_path.glob("*.wav")) == [file.absolute()]


def test_other_versions_are_told_where_the_sound_differs(cli: Cli, vae_file: Path) -> None:
    file = cli("generate", vae_file, "-d", 0.3, "-s", 1).files[0]
    sidecar = file.with_suffix(".json")
    said = json.loads(sidecar.read_text())
    said["program"]["torch"] = "1.0"
    said["device"] = "cuda"
    sidecar.write_text(json.dumps(said))
    assert cli("replay", sidecar, "--check").code == 0  # other versions, and yet the same sound
    file.unlink()
    said["audio"]["sha256"] = "0"
    sidecar.write_text(json.dumps(said))
    result = cli("replay", sidecar, "--check", "--json")
    assert result.code == 1
    [told] = json.loads(result.out)
    assert (told["file"], told["identical"]) == ("fog-1.json", False)
    assert [line.partition(":")[0] for line in told["differences"]] == ["device", "torch"]
    assert "torch: 1.0 then, 2." in result.err


def test_a_model_that_moved_is_asked_for(cli: Cli, vae_file: Path, tmp_path: Path) -> None:
    model = shutil.copy(vae_file, tmp_path / "m.distill")
    file = cli("generate", model, "-d", 0.3, "-s", 1).files[0]
    Path(model).rename(tmp_path / "moved.distill")
    result = cli("replay", file)
    assert (result.code, result.errors) == (
        1, [f"Error: The model {model} is not there any more. Say where it is with --model."]
    )  # fmt: skip
    assert cli("replay", file, "--check", "--model", "moved.distill").code == 0


def test_several_files_are_checked_at_once(cli: Cli, vae_file: Path) -> None:
    files = cli("generate", vae_file, "-d", 0.3, "-n", 3, "-s", 1).files
    samples, rate = soundfile.read(files[1])
    data = files[1].read_bytes()
    sidecar = files[1].with_suffix(".json")
    sidecar.write_text(sidecar.read_text().replace('"seed": 2,', '"seed": 9,'))
    result = cli("replay", *(f.with_suffix(".json") for f in files), "--check")
    assert (result.code, result.out.splitlines()) == (
        1, ["fog-1.json: identical", "fog-2.json: different", "fog-3.json: identical"]
    )  # fmt: skip
    assert "nothing that is known to change it has changed" in result.err.lower()
    assert (files[1].read_bytes(), len(samples)) == (data, round(0.3 * rate))


def changed(change: Callable[[Any], Any]) -> Callable[[Any], str]:
    def write(said: Any) -> str:
        change(said)
        return json.dumps(said)

    return write


def hrtf(path: str) -> Callable[[Any], str]:
    space = {"mode": "binaural", "width": 1.0, "depth": 0.5, "hrtf": {"path": path, "sha256": "0"}}
    return changed(lambda said: said.update(space=space))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda said: "", "its sidecar is damaged: it is no JSON."),
        (lambda said: "[" * 10**5, "its sidecar is damaged: it is no JSON."),
        (lambda said: "[1]", "is no sidecar of a file that distill made."),
        (lambda said: '{"a": 1}', "is no sidecar of a file that distill made."),
        (changed(lambda said: said.update(schema=1)), "has a sidecar of schema 1; this distill reads 2."),
        (changed(lambda said: said.update(schema="\x1b")), "has a sidecar of schema ; this distill reads 2."),
        (changed(lambda said: said.update(model=None)), "its sidecar is damaged: model.path is None."),
        (changed(lambda said: said["model"].update(path=7)), "its sidecar is damaged: model.path is 7."),
        (changed(lambda said: said.update(seed=-1)), "its sidecar is damaged: seed is -1."),
        (changed(lambda said: said.update(seed=True)), "its sidecar is damaged: seed is True."),
        (changed(lambda said: said.update(duration=1e9)), "its sidecar is damaged: duration is 1000000000.0."),
        (changed(lambda said: said.update(duration=float("nan"))), "its sidecar is damaged: duration is nan."),
        (changed(lambda said: said.update(format="../x")), "its sidecar is damaged: format is ../x."),
        (changed(lambda said: said.update(options=[])), "its sidecar is damaged: options is []."),
        (changed(lambda said: said.update(device="tpu")), "its sidecar is damaged: device is tpu."),
        (changed(lambda said: said.update(space={"mode": 3})), "its sidecar is damaged: space.mode is 3."),
        (changed(lambda said: said.update(other_models=[{}])), "its sidecar is damaged: other_models is None."),
        (changed(lambda said: said.update(other_models=[5])), "its sidecar is damaged: other_models is 5."),
        (changed(lambda said: said["model"].update(path="~nobody-of-this-name/x")), ": there is no such user."),
        (hrtf("/dev/zero"), "--hrtf: /dev/zero is not there any more. Put it back."),
        (hrtf("a\0b"), "--hrtf: a b is not there any more. Put it back."),
        (changed(lambda said: said.update(options={})), "its sidecar is damaged: options.slider is None."),
        (changed(lambda said: said["options"].update(evolution=1e308)), "damaged: options.evolution is 1e+308."),
        (changed(lambda said: said["options"].update(blend_mode="x")), "damaged: options.blend_mode is x."),
        (changed(lambda said: said.update(asked_tags={"A b": "x"})), "its sidecar is damaged: asked_tags is A b."),
        (changed(lambda said: said.update(asked_tags={"seed": "x"})), "its sidecar is damaged: asked_tags is seed."),
        (changed(lambda said: said.update(asked_tags={"a": "\x1b"})), "its sidecar is damaged: asked_tags is a."),
        (changed(lambda said: said.update(asked_tags={"a": 1})), "its sidecar is damaged: asked_tags is 1."),
        (changed(lambda said: said.update(audio={})), "its sidecar is damaged: audio.sha256 is None."),
        (changed(lambda said: said["level"].update(normalize="x")), "its sidecar is damaged: level.normalize is x."),
    ],
)
def test_a_damaged_sidecar_is_one_line(
    cli: Cli, vae_file: Path, tmp_path: Path, spoil: Callable[[Any], str], why: str
) -> None:
    file = cli("generate", vae_file, "-d", 0.1, "-s", 1).files[0]
    sidecar = file.with_suffix(".json")
    sidecar.write_text(spoil(json.loads(sidecar.read_text())))
    result = cli("replay", sidecar, "-o", "again")
    assert (result.code, result.out, len(result.errors)) == (1, "", 1)
    assert result.errors[0].startswith("Error: ")
    assert f"{why} " in f"{result.errors[0]} "  # and what to do
    assert "broke" not in result.err
    assert not list(tmp_path.glob("again/*"))


@pytest.mark.parametrize(
    "options", [{"slider": "x"}, {"evolution": None, "slider": [[0, 5]]}, {"blend": [["no.distill", 1, []]]}]
)
def test_options_that_the_model_cannot_use_are_one_line(cli: Cli, vae_file: Path, options: Any) -> None:
    file = cli("generate", vae_file, "-d", 0.1, "-s", 1).files[0]
    sidecar = file.with_suffix(".json")
    said = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps(said | {"options": said["options"] | options}))
    result = cli("replay", sidecar, "-o", "again")
    assert (result.code, result.out, len(result.errors)) == (1, "", 1)


def test_audio_without_a_sidecar_says_so(cli: Cli, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mine.wav", np.zeros(100), 48000)
    result = cli("replay", "mine.wav")
    assert (result.code, result.errors) == (
        1, ["Error: mine.wav carries no sidecar, and there is no mine.json beside it. Give a file as distill made it."]
    )  # fmt: skip
    (tmp_path / "text.wav").write_text("hello")
    assert cli("replay", "text.wav").code == 1


def test_audio_whose_tags_were_lost_is_replayed_by_the_sidecar_beside_it(cli: Cli, vae_file: Path) -> None:
    file = cli("generate", vae_file, "-d", 0.1, "-s", 1).files[0]
    samples, rate = soundfile.read(file, dtype="int32")
    soundfile.write(file, samples, rate, subtype="PCM_24")
    assert cli("replay", file, "--check").out == "fog-1.wav: identical\n"


def test_the_users_own_folder_is_not_in_the_file(
    cli: Cli, vae_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home-of-somebody"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    shutil.copy(vae_file, home / "m.distill")
    shutil.copy(vae_file, home / "n.distill")
    blend = ("--blend", f"{home}/n.distill:20")
    file = cli("generate", home / "m.distill", "-d", 0.1, *blend).files[0]
    assert b"home-of-somebody" not in file.read_bytes()
    assert cli("replay", file, "--check").code == 0


@pytest.mark.parametrize("given", ["fog-1.wav", "fog-1.json"])
def test_a_file_that_was_edited_is_not_what_it_was(cli: Cli, vae_file: Path, given: str) -> None:
    file = cli("generate", vae_file, "-d", 0.3, "-s", 1).files[0]
    data = bytearray(file.read_bytes())
    start = data.index(b"data") + 100
    data[start : start + 300] = bytes(300)
    file.write_bytes(data)
    result = cli("replay", given, "--check")
    assert (result.code, result.out) == (1, f"{given}: different\n")
    assert result.errors == [
        f"Warning: {given} comes out other than it was. The file has been changed since it was made."
    ]


def test_a_file_made_again_keeps_its_name_whatever_its_length(cli: Cli, vae_file: Path) -> None:
    file = cli("generate", vae_file, "-d", 0.1, "--name", "x" * 150 + "-{seed}").files[0]
    assert cli("replay", file, "-o", "again").files[0].name == file.name


def test_replay_writes_to_folders_only(cli: Cli, vae_file: Path) -> None:
    file = cli("generate", vae_file, "-d", 0.1, "-s", 1).files[0]
    result = cli("replay", file, "-o", "-")
    assert (result.code, result.errors) == (
        2, ["Error: --output-dir -: files are made again in a folder, not on stdout. Give a folder."]
    )  # fmt: skip
