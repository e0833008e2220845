"""Sliders on the command line: what they are called, what is said of them, and what `distill sliders` shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import save, vae_contents
from matplotlib.image import imread
from program import Cli
from sidecars import sound_of

from distill.checkpoint import read_header
from distill_vae.networks import Vae
from distill_vae.plot import sweep

SHORT = ("-d", 0.2, "-s", 1)


def options_of(file: Path) -> Any:
    return json.loads(file.with_suffix(".json").read_text())["options"]


@pytest.mark.parametrize(
    ("named", "index"),
    [
        ("brightness", 0),  # suggested by the file
        ("Axis 3", 2),  # its own label
        ("BRIGHTNESS", 0),
        ("noise_like", 2),
        ("Noise Like", 2),
        ("axis-2", 1),
    ],
)
def test_a_slider_goes_by_its_name(cli: Cli, vae_file: Path, named: str, index: int) -> None:
    by_name = cli("generate", vae_file, *SHORT, "--slider", f"{named}:4", "-o", "name").files[0]
    by_index = cli("generate", vae_file, *SHORT, "--slider", f"{index}:4", "-o", "index").files[0]
    assert by_name.read_bytes() == by_index.read_bytes()
    assert options_of(by_name) == options_of(by_index)
    assert options_of(by_name)["slider"] == [[index, 4]]


@pytest.mark.parametrize(
    ("sliders", "said"),
    [
        (["3:1"], "fog has no slider 3; fog has sliders 0 to 2."),
        (["1:1", "1:2"], "slider 1 of fog is given twice; once is allowed."),
        (["brightness:1", "0:2"], "slider 0 of fog is given twice; once is allowed."),
        (["brigthness:1"], "fog has no slider named 'brigthness'; near it: brightness."),
        (
            ["zzz\x1b[31m:1"],
            "fog has no slider named 'zzz [31m'; fog has: brightness, Axis 2, noise-like, Axis 1, Axis 3.",
        ),
    ],
)  # fmt: skip
def test_sliders_the_model_has_not_are_refused(cli: Cli, vae_file: Path, sliders: list[str], said: str) -> None:
    result = cli("generate", vae_file, *SHORT, *(a for s in sliders for a in ("--slider", s)))
    assert (result.code, result.out, result.errors) == (2, "", [f"Error: --slider: {said}"])


def test_a_name_that_several_sliders_have_asks_for_the_index(cli: Cli, tmp_path: Path) -> None:
    contents = vae_contents()
    contents["latent_analysis"]["suggested_labels"] = ["bright", "Axis 2", "Bright"]
    result = cli("generate", save(contents, tmp_path / "m.distill"), *SHORT, "--slider", "bright:1")
    assert (result.code, result.errors) == (
        2, ["Error: --slider: fog has several sliders 'bright': 0, 2. Give one."]
    )  # fmt: skip


def test_labels_that_are_no_text_are_numbers(cli: Cli, tmp_path: Path) -> None:
    contents = vae_contents()
    contents["latent_analysis"] |= {"component_labels": [7, "\x1b"], "suggested_labels": None}
    listed = json.loads(cli("sliders", save(contents, tmp_path / "m.distill"), "--json").out)
    assert [one["label"] for one in listed] == ["Axis 1", "Axis 2", "Axis 3"]


def test_positions_beyond_the_safe_range_are_one_warning(cli: Cli, vae_file: Path) -> None:
    positions = ("--slider", "0:-8", "--slider", "1:7", "--slider", "2:-10")
    result = cli("generate", vae_file, *SHORT, "-n", 3, *positions)
    assert (result.code, result.errors) == (
        0,
        [
            "Warning: Beyond what most of the recordings span: slider 1 of fog at 7 (safe: -8 to 6), "
            "slider 2 of fog at -10 (safe: -8 to 6)."
        ],
    )


def test_positions_within_the_safe_range_are_no_warning(cli: Cli, vae_file: Path) -> None:
    result = cli("generate", vae_file, *SHORT, "--slider", "0:-8", "--slider", "1:6")
    assert (result.code, result.err) == (0, "")


def test_drawn_sliders_are_told_and_another_seed_draws_others(cli: Cli, vae_file: Path) -> None:
    result = cli("generate", vae_file, *SHORT, "-n", 2, "--randomize-sliders", "--stats", "--slider", "1:3")
    stats = [json.loads(file.with_suffix(".json").read_text())["stats"] for file in result.files]
    assert [sorted(one) for one in stats] == [["slider 0", "slider 1", "slider 2"]] * 2
    assert stats[0] != stats[1]
    assert [one["slider 1"] for one in stats] == [3, 3]
    first = ", ".join(f"slider {index} {stats[0][f'slider {index}']:g}" for index in range(3))
    assert result.errors[0] == f"fog-1.wav: {first}"


def test_a_drawn_file_is_the_file_of_its_positions(cli: Cli, vae_file: Path) -> None:
    drawn = cli("generate", vae_file, *SHORT, "--randomize-sliders", "-o", "drawn").files[0]
    stood = json.loads(drawn.with_suffix(".json").read_text())["stats"]
    flags = (word for name, at in stood.items() for word in ("--slider", f"{name.split()[1]}:{at:g}"))
    assert sound_of(cli("generate", vae_file, *SHORT, *flags, "-o", "set").files[0]) == sound_of(drawn)


def test_evolution_is_how_far_a_file_wanders(cli: Cli, vae_file: Path) -> None:
    still, usual, plain, far = (
        cli("generate", vae_file, *SHORT, "--slider", "0:5", *how, "-o", f"{index}").files[0]
        for index, how in enumerate((["--evolution", 0], ["--evolution", 0.5], [], ["--evolution", 1]))
    )
    assert usual.read_bytes() == plain.read_bytes()
    assert len({still.read_bytes(), usual.read_bytes(), far.read_bytes()}) == 3
    assert options_of(plain)["evolution"] == 0.5


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--evolution", 0.2], "--evolution: no slider is set, so there is no position to wander from. Ignored."),
        (["--weight", 3], "--weight: nothing is blended. Ignored."),
        (["--blend-mode", "audio"], "--blend-mode: nothing is blended. Ignored."),
    ],
)
def test_what_has_nothing_to_act_on_is_one_warning(cli: Cli, vae_file: Path, flags: list[object], said: str) -> None:
    plain = cli("generate", vae_file, *SHORT, "-o", "plain").files[0]
    result = cli("generate", vae_file, *SHORT, *flags)
    assert (result.code, result.errors) == (0, [f"Warning: {said}"])
    assert sound_of(result.files[0]) == sound_of(plain)


@pytest.mark.parametrize("sliders", [None, 0])
def test_a_model_without_sliders_warns_and_takes_random_latents(cli: Cli, tmp_path: Path, sliders: int | None) -> None:
    path = save(vae_contents(sliders=sliders), tmp_path / "m.distill")
    plain = cli("generate", path, *SHORT, "-o", "plain").files[0]
    result = cli("generate", path, *SHORT, "--slider", "0:5", "--randomize-sliders", "--evolution", 0.1)
    assert (result.code, result.errors) == (
        0, ["Warning: --slider, --randomize-sliders, --evolution: this model has no sliders. Random latents."]
    )  # fmt: skip
    assert sound_of(result.files[0]) == sound_of(plain)
    listed = cli("sliders", path)
    assert (listed.code, listed.out, listed.errors) == (
        1, "", ["Error: fog has no sliders: no latent analysis was saved with it, or it found none. "
            "It generates without them."]
    )  # fmt: skip


def test_sliders_are_listed_for_people(cli: Cli, vae_file: Path) -> None:
    result = cli("sliders", vae_file)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "#  LABEL   SUGGESTED   SAFE     WARNING   VARIANCE  FOLLOWS",
        "0  Axis 1  brightness  -8 to 6  -10 to 9     30.0%  spectral_centroid +0.90",
        "1  Axis 2              -8 to 6  -10 to 9     20.0%  rms_energy -0.40",
        "2  Axis 3  noise-like  -8 to 6  -10 to 9     10.0%  spectral_centroid -0.30",
    ]


def test_sliders_are_listed_for_scripts(cli: Cli, vae_file: Path) -> None:
    listed = json.loads(cli("sliders", vae_file, "--json").out)
    assert [one["index"] for one in listed] == [0, 1, 2]
    assert listed[0] == {
        "index": 0, "label": "Axis 1", "suggested_label": "brightness", "safe": [-8, 6], "warning": [-10, 9],
        "variance": pytest.approx(0.3), "correlations": {"spectral_centroid": 0.9, "rms_energy": 0.2},
    }  # fmt: skip


def test_a_model_of_another_kind_has_no_sliders(cli: Cli, vqvae_file: Path) -> None:
    result = cli("sliders", vqvae_file)
    assert (result.code, result.out, result.errors) == (
        2,
        "",
        [
            "Error: pebbles is of another kind (version 2, model_type 'vqvae'): "
            "only version 1 models have sliders and can be blended. Give one."
        ],
    )


def test_the_picture_shows_every_slider_from_end_to_end(cli: Cli, vae_file: Path) -> None:
    result = cli("sliders", vae_file, "--plot", "out.png")
    assert (result.code, result.out, result.err) == (0, "out.png\n", "")
    picture = imread("out.png")
    height, width = picture.shape[:2]
    assert (width, height) == (1600, 150 + 3 * 115)
    # The two ends of a sweep are drawn unlike each other, in the strips of differences on the right.
    right = picture[60:-20, width // 2 + 100 : -120, :3]
    assert np.abs(right[:, :60] - right[:, -60:]).mean() > 0.02


def test_a_sweep_goes_over_the_safe_range_and_through_0(vae_file: Path) -> None:
    header = read_header(vae_file)
    assert header is not None
    vae = Vae.load(header, "cpu")
    assert vae.sliders is not None
    swept = sweep(vae, vae.sliders, 1)
    assert swept.positions == [-8, -5, -3, 0, 2, 4, 6]
    assert np.abs(swept.change[3]).max() == 0
    assert np.abs(swept.change[[0, -1]]).max() > 1  # dB


@pytest.mark.parametrize("name", ["out.gif", "out", "out.png", "away/out.png"])
def test_a_picture_that_cannot_be_is_refused_before_anything_is_computed(
    cli: Cli, vae_file: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "out.png").write_bytes(b"mine")
    result = cli("sliders", vae_file, "--plot", name)
    said = {
        "away/out.png": (1, "Error: --plot: there is no folder away. Make it first."),
        "out.png": (1, "Error: --plot: out.png is there already. Give another name."),
        "out.gif": (2, "Error: --plot: out.gif must end in .png, .pdf, .svg, for a picture of that kind."),
        "out": (2, "Error: --plot: out must end in .png, .pdf, .svg, for a picture of that kind."),
    }
    assert (result.code, *result.errors) == said[name]
    assert (tmp_path / "out.png").read_bytes() == b"mine"


def test_without_matplotlib_the_line_that_installs_it_is_told(tmp_path: Path, vae_file: Path) -> None:
    """A finder that hides matplotlib stands for an environment that has it not."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nclass Hides:\n    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'matplotlib': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hides())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "distill", "sliders", vae_file, "--plot", "out.png"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "Error: --plot needs matplotlib. Install it: pip install 'distill[plot]'.\n"
    )  # fmt: skip


def test_the_real_model_lists_its_seventeen_sliders(cli: Cli, reference: Path) -> None:
    listed = json.loads(cli("sliders", reference / "v1-vae-sliders.distill", "--json").out)
    assert [one["index"] for one in listed] == list(range(17))
    assert (listed[0]["safe"], listed[0]["variance"]) == ([-10, 8], pytest.approx(0.0808, abs=1e-4))
    assert listed[3]["suggested_label"] == "zero_crossing_rate"
    assert sum(one["variance"] for one in listed) < 1


def nested() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found * 3


@pytest.mark.parametrize(
    "figures", [np.array(1.0), [10**400] * 3, nested(), ["x"] * 3, [np.nan] * 3, [True] * 3, 7],
    ids=["scalar", "too large", "endless", "text", "nan", "truth", "number"],
)  # fmt: skip
def test_correlations_that_are_none_are_left_out(cli: Cli, tmp_path: Path, figures: object) -> None:
    contents = vae_contents()
    contents["latent_analysis"]["feature_correlations"] = {"odd": figures, "rms_energy": [0.2, -0.4, 0.1]}
    path = save(contents, tmp_path / "m.distill")
    assert [list(one["correlations"]) for one in json.loads(cli("sliders", path, "--json").out)] == [["rms_energy"]] * 3
    assert cli("generate", path, *SHORT).code == 0


def test_names_with_dollars_are_drawn_as_they_are(cli: Cli, tmp_path: Path) -> None:
    contents = vae_contents(name="cost 5$ or _^ 6$")
    contents["latent_analysis"]["component_labels"] = [r"$\frac{$", "a", "b"]
    assert cli("sliders", save(contents, tmp_path / "m.distill"), "--plot", "out.png").code == 0


def test_a_decoder_that_gives_no_finite_spectrum_is_not_drawn(cli: Cli, tmp_path: Path) -> None:
    contents = vae_contents()
    contents["model_state_dict"]["decoder.fc.weight"][0, 0] = float("nan")
    result = cli("sliders", save(contents, tmp_path / "m.distill"), "--plot", "out.png")
    assert (result.code, result.errors) == (
        1, ["Error: fog gives spectra that are not finite: its weights are damaged. Get or train it anew."]
    )  # fmt: skip
    assert not (tmp_path / "out.png").exists()


def test_where_sliders_stood_is_in_the_stats(cli: Cli, vae_file: Path) -> None:
    result = cli("generate", vae_file, *SHORT, "--slider", "0:3", "--stats")
    assert (result.code, result.err) == (0, "fog-1.wav: slider 0 3\n")


@pytest.mark.parametrize("position", ["0:1_0", "1:\u0663", "\u0661:3"])
def test_only_plain_digits_are_a_position(cli: Cli, vae_file: Path, position: str) -> None:
    assert cli("generate", vae_file, *SHORT, "--slider", position).code == 2
