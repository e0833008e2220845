"""Blends of version 1 models: their arithmetic, what is averaged, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from checkpoints import save, vae_contents
from program import Cli
from sidecars import sidecar_of, sound_of

from distill_vae.blending import average, shares

SHORT = ("-d", 0.6, "-s", 1)
MODES = ("latent", "audio")


@pytest.fixture(scope="session")
def other_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the same sizes with other weights."""
    return save(vae_contents(weights=7, name="hail"), tmp_path_factory.mktemp("models") / "hail.distill")


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with latents of another size, at another sample rate, without sliders."""
    contents = vae_contents(weights=8, name="mist", latent_dim=5, sliders=None, sample_rate=32000)
    return save(contents, tmp_path_factory.mktemp("models") / "mist.distill")


def sound(cli: Cli, *arguments: object) -> Any:
    """The samples of the one file made, under no warning."""
    result = cli("generate", *arguments, *SHORT, "--bit-depth", "32-bit-float")
    assert (result.code, result.err) == (0, "")
    return soundfile.read(result.files[0], dtype="float32")[0]


def options_of(file: Path) -> Any:
    return json.loads(file.with_suffix(".json").read_text())["options"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("weights", [(50, "50"), (1, "2"), (0.3, "7.7"), (0, "0")])
@pytest.mark.parametrize("steered", [[], ["--slider", "0:4"], ["--randomize-sliders"]], ids=str)
def test_a_model_blended_with_itself_is_the_model_alone_to_the_bit(
    cli: Cli, vae_file: Path, tmp_path: Path, mode: str, weights: tuple[float, str], steered: list[str]
) -> None:
    copy = shutil.copy(vae_file, tmp_path / "copy.distill")
    alone = sound(cli, vae_file, *steered)
    blend = ("--weight", weights[0], "--blend", f"{copy}:{weights[1]}", "--blend-mode", mode)
    np.testing.assert_array_equal(sound(cli, vae_file, *steered, *blend), alone)


def test_the_model_itself_in_its_blend_is_told_and_changes_nothing(cli: Cli, vae_file: Path) -> None:
    alone = cli("generate", vae_file, *SHORT, "-o", "alone").files[0]
    result = cli("generate", vae_file, *SHORT, "--blend", f"{vae_file}:25")
    assert (result.code, result.errors) == (
        0, ["Warning: --blend: fog is MODEL itself, which adds to its weight and changes nothing else."]
    )  # fmt: skip
    assert sound_of(result.files[0]) == sound_of(alone)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("steered", [[], ["--slider", "1:-3"]], ids=str)
def test_weight_0_is_the_other_model_alone(
    cli: Cli, vae_file: Path, other_file: Path, mode: str, steered: list[str]
) -> None:
    fog, hail = sound(cli, vae_file, *steered), sound(cli, other_file, *steered)
    how = ("--blend-mode", mode, *steered)
    np.testing.assert_array_equal(sound(cli, vae_file, "--weight", 100, "--blend", f"{other_file}:0", *how), fog)
    np.testing.assert_array_equal(sound(cli, vae_file, "--weight", 0, "--blend", f"{other_file}:100", *how), hail)
    assert not np.array_equal(fog, hail)


def test_a_model_of_weight_0_changes_nothing(cli: Cli, vae_file: Path, other_file: Path, small_file: Path) -> None:
    without = ("--blend", f"{small_file}:0")
    np.testing.assert_array_equal(sound(cli, vae_file, *without), sound(cli, vae_file))
    blend = ("--blend", f"{other_file}:50")
    np.testing.assert_array_equal(sound(cli, vae_file, *blend, *without), sound(cli, vae_file, *blend))
    forced = (*blend, "--blend-mode", "latent")
    np.testing.assert_array_equal(sound(cli, vae_file, *forced, *without), sound(cli, vae_file, *blend))


def test_latents_of_models_at_another_rate_are_brought_to_the_models_own(
    cli: Cli, vae_file: Path, small_file: Path, tmp_path: Path
) -> None:
    twin = shutil.copy(small_file, tmp_path / "twin.distill")
    how = ("--weight", 0, "--blend", f"{small_file}:1", "--blend", f"{twin}:2")
    result = cli("generate", vae_file, *how, "-d", 2.5, "-s", 1)
    assert (result.code, options_of(result.files[0])["blend_mode"]) == (0, "latent")
    alone = cli("generate", vae_file, *how[:4], "-d", 2.5, "-s", 1, "-o", "alone")
    assert sound_of(result.files[0]) == sound_of(alone.files[0])
    assert soundfile.info(result.files[0]).frames == 120000


def test_settings_that_mean_the_same_share_their_latents(cli: Cli, vae_file: Path, tmp_path: Path) -> None:
    contents = vae_contents(weights=7, name="hail", f_max=24000.0)
    contents["spectrogram_config"]["window"] = "hann"
    del contents["training_config"]["chunk_duration_s"]
    other = save(contents, tmp_path / "hail.distill")
    assert options_of(cli("generate", vae_file, *SHORT, "--blend", f"{other}:50").files[0])["blend_mode"] == "latent"


def test_a_damaged_analysis_of_a_blended_model_names_it(cli: Cli, vae_file: Path, tmp_path: Path) -> None:
    contents = vae_contents(name="hail")
    contents["latent_analysis"]["n_active_components"] = "x"
    other = save(contents, tmp_path / "hail.distill")
    result = cli("generate", vae_file, "--blend", f"{other}:50")
    assert (result.code, result.errors) == (
        1, ["Error: --blend: hail: The checkpoint's n_active_components is 'x'; 0 to 16384 is needed. "
            "Get the file again, or update distill."]
    )  # fmt: skip


def test_a_user_that_there_is_not_is_one_line(cli: Cli, vae_file: Path) -> None:
    result = cli("generate", vae_file, "--blend", "~nobody-of-this-name/m.distill:50")
    assert (result.code, result.errors) == (
        1, ["Error: --blend: ~nobody-of-this-name/m.distill: there is no such user. Write the path out in full."]
    )  # fmt: skip


def spectrum(samples: Any) -> Any:
    """The log magnitudes of 100 ms frames, in bands of 100 Hz, at one level."""
    frames = np.abs(np.fft.rfft(samples.reshape(-1, 4800)))[:, :2400].reshape(-1, 240, 10).sum(axis=2)
    return np.log(frames / np.linalg.norm(frames))


@pytest.mark.parametrize("mode", MODES)
def test_weights_decide_whose_sound_is_nearer(cli: Cli, vae_file: Path, other_file: Path, mode: str) -> None:
    how = ("--blend-mode", mode, "--slider", "0:3")
    ends = [spectrum(sound(cli, file, "--slider", "0:3")) for file in (vae_file, other_file)]
    for weight, nearer in (("2", 0), ("1000", 1), ("1e300", 1)):
        made = spectrum(sound(cli, vae_file, "--blend", f"{other_file}:{weight}", *how))
        distances = [float(np.linalg.norm(made - end)) for end in ends]
        assert distances[nearer] < 0.8 * distances[1 - nearer]


def test_the_model_weighs_50_where_only_the_others_have_weights(cli: Cli, vae_file: Path, other_file: Path) -> None:
    unsaid = sound(cli, vae_file, "--blend", f"{other_file}:25")
    np.testing.assert_array_equal(unsaid, sound(cli, vae_file, "--weight", 50, "--blend", f"{other_file}:25"))
    np.testing.assert_array_equal(unsaid, sound(cli, vae_file, "--weight", 2, "--blend", f"{other_file}:1"))
    assert not np.array_equal(unsaid, sound(cli, vae_file, "--weight", 25, "--blend", f"{other_file}:25"))


def test_latents_are_averaged_where_all_fit_and_sound_otherwise(
    cli: Cli, vae_file: Path, other_file: Path, small_file: Path
) -> None:
    for other, mode in ((other_file, "latent"), (small_file, "audio")):
        blend = ("--blend", f"{other}:50")
        result = cli("generate", vae_file, *SHORT, *blend, "-o", mode)
        assert (result.code, result.err, options_of(result.files[0])["blend_mode"]) == (0, "", mode)
        np.testing.assert_array_equal(sound(cli, vae_file, *blend), sound(cli, vae_file, *blend, "--blend-mode", mode))
    latent, audio = (sound(cli, vae_file, "--blend", f"{other_file}:50", "--blend-mode", mode) for mode in MODES)
    assert not np.array_equal(latent, audio)


def test_averaged_sound_is_the_mean_of_the_models_own(cli: Cli, vae_file: Path, other_file: Path) -> None:
    """Up to the level, which is set anew: so by its direction."""
    both = sound(cli, vae_file, "--weight", 30, "--blend", f"{other_file}:70", "--blend-mode", "audio").astype(float)
    own = []
    for file in (vae_file, other_file):
        result = cli("generate", file, *SHORT, "--bit-depth", "32-bit-float")
        gain = json.loads(result.files[0].with_suffix(".json").read_text())["level"]["gain"]
        own.append(soundfile.read(result.files[0])[0] / gain)  # float64
    mean = 0.3 * own[0] + 0.7 * own[1]
    assert both @ mean / np.linalg.norm(both) / np.linalg.norm(mean) > 1 - 1e-9


def test_a_model_at_another_rate_is_brought_to_the_models_own(cli: Cli, vae_file: Path, small_file: Path) -> None:
    result = cli("generate", vae_file, "-d", 2.5, "--weight", 0, "--blend", f"{small_file}:1", "-s", 1)
    alone = cli("generate", small_file, "-d", 2.5, "--sample-rate", 48000, "-s", 1, "-o", "alone")
    info = soundfile.info(result.files[0])
    assert (info.samplerate, info.frames) == (48000, 120000)
    mixed, own = (soundfile.read(made.files[0])[0] for made in (result, alone))
    assert np.abs(mixed - own).max() < 1e-3


def test_sliders_apply_to_the_models_that_have_them(cli: Cli, vae_file: Path, tmp_path: Path) -> None:
    contents = vae_contents(weights=7, name="hail", sliders=5)
    contents["latent_analysis"]["suggested_labels"] = ["grit", "brightness", "Axis 3", "wind", "Axis 5"]
    many = save(contents, tmp_path / "many.distill")
    none = save(vae_contents(weights=9, name="bare", sliders=None), tmp_path / "none.distill")
    blend = ("--blend", f"{many}:50", "--blend", f"{none}:50", "--slider", "brightness:4", "--slider", "wind:2")
    options = options_of(cli("generate", vae_file, *SHORT, *blend).files[0])
    assert options["slider"] == [[0, 4]]
    assert [one[2] for one in options["blend"]] == [[[1, 4], [3, 2]], []]
    result = cli("generate", none, *SHORT, "--blend", f"{many}:50", "--slider", "3:2")
    assert (result.code, result.err) == (0, "")
    assert options_of(result.files[0])["slider"] == []


def test_a_slider_that_no_model_of_a_blend_has_is_refused(cli: Cli, vae_file: Path, other_file: Path) -> None:
    result = cli("generate", vae_file, *SHORT, "--blend", f"{other_file}:50", "--slider", "3:1")
    assert (result.code, result.errors) == (
        2,
        ["Error: --slider: none of fog, hail has a slider 3; fog has sliders 0 to 2."],
    )


def test_file_three_of_a_blended_batch_is_the_file_its_seed_makes_alone(
    cli: Cli, vae_file: Path, other_file: Path, small_file: Path
) -> None:
    how = ("-d", 2.3, "--blend", f"{other_file}:30", "--blend", f"{small_file}:20", "--randomize-sliders")
    batch = cli("generate", vae_file, *how, "-n", 3, "-s", 7, "-o", "batch").files
    alone = cli("generate", vae_file, *how, "-s", 9, "-o", "alone").files
    assert alone[0].read_bytes() == batch[2].read_bytes()
    assert sidecar_of(alone[0]) == sidecar_of(batch[2])


def test_the_sidecar_names_every_model_to_the_byte(cli: Cli, vae_file: Path, other_file: Path) -> None:
    file = cli("generate", vae_file, *SHORT, "--blend", f"{other_file}:25").files[0]
    said = json.loads(file.with_suffix(".json").read_text())
    [other] = said["other_models"]
    assert (other["name"], other["path"]) == ("hail", str(other_file))
    assert other["sha256"] == hashlib.sha256(other_file.read_bytes()).hexdigest()
    assert said["options"]["blend"] == [[str(other_file), 25.0, []]]


def test_a_blend_of_four_models_is_made_and_of_five_refused(
    cli: Cli, vae_file: Path, other_file: Path, small_file: Path, tmp_path: Path
) -> None:
    third = save(vae_contents(weights=11, name="snow"), tmp_path / "snow.distill")
    four = [word for file in (other_file, small_file, third) for word in ("--blend", f"{file}:10")]
    assert cli("generate", vae_file, *SHORT, *four).code == 0
    result = cli("generate", vae_file, *SHORT, *four, "--blend", f"{vae_file}:10")
    assert (result.code, result.errors) == (
        2, ["Error: --blend: 5 models are given, MODEL included; at most 4 can be blended."]
    )  # fmt: skip


def test_one_model_twice_is_refused_by_whatever_name(cli: Cli, vae_file: Path, other_file: Path) -> None:
    Path("link.distill").symlink_to(other_file)
    result = cli("generate", vae_file, "--blend", f"{other_file}:10", "--blend", "link.distill:10")
    assert (result.code, result.errors) == (
        2, ["Error: --blend: hail is given twice; once is allowed. Give it the sum of its weights."]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        ("vqvae", 2, "pebbles is of another kind (version 2, model_type 'vqvae'): only version 1 models have sliders "
         "and can be blended. Give one."),
        ("text", 1, "other.distill is no .distill checkpoint. Give one of version 1."),
        ("nothing", 1, "other.distill does not exist. Give the path of a checkpoint (*.distill)."),
    ],
)  # fmt: skip
def test_what_cannot_be_blended_is_named_before_anything_is_loaded(
    vae_file: Path, vqvae_file: Path, tmp_path: Path, make: str, code: int, said: str
) -> None:
    if make == "vqvae":
        shutil.copy(vqvae_file, tmp_path / "other.distill")
    elif make == "text":
        (tmp_path / "other.distill").write_text("hello")
    program = "import sys; from distill.cli import run; from distill.plugins import discover; "
    program += "print(run(discover, sys.argv[1:]), 'torch' in sys.modules)"
    command = [sys.executable, "-c", program, "generate", vae_file, "--blend", "other.distill:50"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"{code} False\n", f"Error: --blend: {said}\n")


def test_latents_that_do_not_fit_cannot_be_forced(cli: Cli, vae_file: Path, small_file: Path, tmp_path: Path) -> None:
    result = cli("generate", vae_file, "--blend", f"{small_file}:50", "--blend-mode", "latent")
    assert (result.code, result.errors) == (
        2,
        ["Error: --blend-mode latent: fog has latent_dim 8, mist has 5. Use --blend-mode audio."],
    )
    tall = save(vae_contents(n_mels=48, name="tall"), tmp_path / "tall.distill")
    result = cli("generate", vae_file, "--blend", f"{tall}:50", "--blend-mode", "latent")
    assert (result.code, result.errors) == (
        2,
        ["Error: --blend-mode latent: fog has n_mels 32, tall has 48. Use --blend-mode audio."],
    )


def test_damage_in_a_blended_model_names_it(cli: Cli, vae_file: Path, tmp_path: Path) -> None:
    contents = vae_contents(name="hail")
    del contents["model_state_dict"]["decoder.fc.weight"]
    save(contents, tmp_path / "hail.distill")
    result = cli("generate", vae_file, "--blend", "hail.distill:50")
    assert (result.code, result.out, result.errors) == (
        1, "", ["Error: --blend: hail.distill: The checkpoint's decoder lacks the tensor fc.weight. "
            "Get the file again, or update distill."]
    )  # fmt: skip
    assert not list(tmp_path.glob("*.wav"))


def test_shares_sum_to_1_and_are_equal_where_all_weights_are_0() -> None:
    assert shares([50, 25]) == pytest.approx([2 / 3, 1 / 3])
    assert shares([0, 0, 0, 0]) == [0.25] * 4
    assert shares([0, 5]) == [0, 1]
    assert shares([1e308, 1e308]) == [0.5, 0.5]


def test_an_average_is_exact_where_its_values_agree() -> None:
    value = torch.randn(1000)
    assert torch.equal(average([value, value.clone(), value.clone()], shares([3, 1, 0.1])), value)
    assert average([np.array([1.0]), np.array([4.0])], shares([2, 1])) == pytest.approx([2.0])
