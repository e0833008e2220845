"""`distill generate` as a user meets it: what it prints, where, and with which exit code."""

from __future__ import annotations

import json
import os
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import soundfile
from checkpoints import save, vae_contents, vqvae_contents
from program import Cli
from sidecars import sidecar_of, sound_of
from tones import TonePlugin

from distill import Settings
from distill.plugins import Plugins, discover

SHORT = ("-d", 0.2)


def test_paths_go_to_stdout_one_a_line_and_nothing_to_stderr(cli: Cli, vqvae_file: Path) -> None:
    result = cli("generate", vqvae_file, *SHORT, "-n", 2, "-s", 7)
    assert (result.code, result.out, result.err) == (0, "pebbles-7.wav\npebbles-8.wav\n", "")
    assert all(soundfile.info(f).frames == 9600 for f in result.files)


def test_json_is_one_array_of_objects(cli: Cli, vqvae_file: Path) -> None:
    result = cli("generate", vqvae_file, *SHORT, "-n", 2, "-s", 7, "--json", "-f", "flac", "-o", "out")
    assert json.loads(result.out) == [
        {
            "file": f"out/pebbles-{seed}.flac", "seed": seed, "duration": 0.2, "sample_rate": 48000, "format": "flac",
            "model": "pebbles", "loader": "vqvae",
        }
        for seed in (7, 8)
    ]  # fmt: skip


def test_json_of_a_batch_that_fails_lists_what_was_finished(cli: Cli, tmp_path: Path) -> None:
    def fails_from_seed_8(chunks: Any) -> Any:
        if (tmp_path / "hum-7.json").exists():
            raise ZeroDivisionError
        return chunks

    (tmp_path / "hum.tone").touch()
    plugins = Plugins()
    plugins.register(TonePlugin(spoil=fails_from_seed_8), "tones")
    result = cli("generate", "hum.tone", *SHORT, "-n", 3, "-s", 7, "--json", plugins=plugins)
    assert result.code == 1
    assert [made["seed"] for made in json.loads(result.out)] == [7]
    assert result.errors == [
        "Error: Loader tone of plugin tones broke while generating with hum: ZeroDivisionError. "
        "Set DISTILL_TRACEBACK=1 to see where."
    ]


def test_stats_says_on_stderr_how_each_file_was_drawn(cli: Cli, vqvae_file: Path) -> None:
    result = cli("generate", vqvae_file, *SHORT, "-n", 2, "-s", 7, "--stats", "--top-k", 4)
    assert (result.code, result.out) == (0, "pebbles-7.wav\npebbles-8.wav\n")
    for line, path in zip(result.errors, result.files, strict=True):
        said = json.loads(path.with_suffix(".json").read_text())["stats"]
        shown = f"mean_candidates {said['mean_candidates']:.4g}, mean_entropy_bits {said['mean_entropy_bits']:.4g}"
        assert line == f"{path}: {shown}"
        assert 1 <= said["mean_candidates"] < 5
        assert 0 < said["mean_entropy_bits"] < 3


def test_stats_are_in_the_json_where_they_are_asked_for(cli: Cli, vqvae_file: Path) -> None:
    [made] = json.loads(cli("generate", vqvae_file, *SHORT, "-s", 7, "--json", "--stats").out)
    assert set(made["stats"]) == {"mean_candidates", "mean_entropy_bits"}


def test_a_model_without_stats_says_so_once(cli: Cli, vae_file: Path) -> None:
    result = cli("generate", vae_file, *SHORT, "-n", 2, "-s", 7, "--stats")
    assert (result.code, result.errors) == (0, ["Warning: --stats is not supported for VAE models. Ignored."])


@pytest.mark.parametrize("options", [["--batch-size", 1], ["--batch-size", 64], ["--stats"]])
def test_options_of_speed_and_of_looking_change_no_bit(cli: Cli, vqvae_file: Path, options: list[object]) -> None:
    plain, other = (
        cli("generate", vqvae_file, "-d", 3, "-s", 1, "-o", name, *how).files[0]
        for name, how in (("plain", []), ("other", options))
    )
    assert plain.read_bytes() == other.read_bytes()
    assert sidecar_of(plain) == sidecar_of(other)


def test_another_precision_is_told_in_the_sidecar(cli: Cli, vqvae_file: Path) -> None:
    result = cli("generate", vqvae_file, *SHORT, "-s", 1, "--precision", "bf16")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.files[0].with_suffix(".json").read_text())["precision"] == "bf16"


def test_a_prior_whose_logits_are_not_finite_is_named(cli: Cli, tmp_path: Path) -> None:
    contents = vqvae_contents()
    contents["prior_state_dict"]["head.weight"][3, 3] = float("nan")
    result = cli("generate", save(contents, tmp_path / "m.distill"))
    assert (result.code, result.out, result.errors) == (
        1, "", ["Error: pebbles gives logits that are not finite: its weights are damaged. Get or train it anew."]
    )  # fmt: skip


def test_what_a_model_prints_in_a_thread_is_no_result(cli: Cli, tmp_path: Path) -> None:
    def loud(chunks: Any) -> Any:
        print("loud")  # noqa: T201
        return chunks

    (tmp_path / "hum.tone").touch()
    plugins = Plugins()
    plugins.register(TonePlugin(spoil=loud, concurrent=True), "tones")
    result = cli("generate", "hum.tone", *SHORT, "-n", 3, "-s", 1, "--json", plugins=plugins)
    assert [made["seed"] for made in json.loads(result.out)] == [1, 2, 3]
    assert result.errors.count("loud") == 3


def test_without_a_seed_every_run_is_another_and_can_be_had_again(cli: Cli, vqvae_file: Path) -> None:
    first, second = (cli("generate", vqvae_file, *SHORT).files[0] for _ in range(2))
    assert first != second
    seed = json.loads(first.with_suffix(".json").read_text())["seed"]
    again = cli("generate", vqvae_file, *SHORT, "-s", seed, "-o", "again").files[0]
    assert again.read_bytes() == first.read_bytes()


def test_a_seed_that_the_loader_looks_up_is_the_first_files_unless_one_is_given(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "hum.tone").touch()
    made = []
    for given in ([], ["-s", 1]):
        plugins = Plugins()
        plugins.register(TonePlugin(check=lambda header, options: Settings({"pitch": "A"}, seed=44)), "tones")
        made += cli("generate", "hum.tone", *SHORT, "-n", 2, *given, plugins=plugins).files
    assert made == [Path(f"hum-{seed}.wav") for seed in (44, 45, 1, 2)]
    assert json.loads(Path("hum-44.json").read_text())["options"] == {"pitch": "A"}


def test_a_folder_is_made_where_it_is_missing(cli: Cli, vqvae_file: Path) -> None:
    assert cli("generate", vqvae_file, *SHORT, "-o", "a/b", "-s", 1).files == [Path("a/b/pebbles-1.wav")]


@pytest.mark.parametrize(
    ("options", "subtype", "rate"),
    [
        ([], "PCM_24", 48000),
        (["--bit-depth", "16-bit"], "PCM_16", 48000),
        (["--bit-depth", "32-bit-float"], "FLOAT", 48000),
        (["-f", "flac", "--bit-depth", "16-bit", "--sample-rate", 44100], "PCM_16", 44100),
        (["-f", "ogg"], "VORBIS", 48000),
        (["-f", "mp3"], "MPEG_LAYER_III", 48000),
    ],
)
def test_format_depth_and_rate_are_those_asked_for(
    cli: Cli, vqvae_file: Path, options: list[object], subtype: str, rate: int
) -> None:
    info = soundfile.info(cli("generate", vqvae_file, *SHORT, *options).files[0])
    assert (info.subtype, info.samplerate, info.frames) == (subtype, rate, rate // 5)


def test_a_sampling_option_changes_the_sound(cli: Cli, vqvae_file: Path) -> None:
    changes = {
        "plain": [], "temperature": ["-t", 0.2], "top-k": ["--top-k", 2], "top-p": ["--top-p", 0.3],
        "min-p": ["--min-p", 0.6], "overlap": ["--overlap", 200],
    }  # fmt: skip
    made = {
        name: sound_of(cli("generate", vqvae_file, "-d", 1.5, "-s", 1, "-o", name, *options).files[0])
        for name, options in changes.items()
    }
    assert len(set(made.values())) == len(changes)


@pytest.mark.parametrize("off", [0, 1])
def test_top_p_of_0_and_1_are_both_off(cli: Cli, vqvae_file: Path, off: int) -> None:
    file = cli("generate", vqvae_file, *SHORT, "-s", 1, "--top-p", off, "-o", off).files[0]
    other = cli("generate", vqvae_file, *SHORT, "-s", 1, "--top-p", 1 - off, "-o", 1 - off).files[0]
    assert sound_of(file) == sound_of(other)


def test_sliders_change_the_sound_and_are_in_the_sidecar(cli: Cli, vae_file: Path) -> None:
    plain, moved, further = (
        cli("generate", vae_file, *SHORT, "-s", 1, "-o", name, *options).files[0]
        for name, options in {
            "plain": [],
            "moved": ["--slider", "0:5", "--slider", "2:-3"],
            "further": ["--slider", "0:5", "--slider", "2:-4"],
        }.items()
    )
    assert len({sound_of(plain), sound_of(moved), sound_of(further)}) == 3
    assert json.loads(moved.with_suffix(".json").read_text())["options"]["slider"] == [[0, 5], [2, -3]]


@pytest.mark.parametrize(
    ("flags", "warned"),
    [
        (["--slider", "0:5"], ["--slider"]),
        (["--slider", "0:5", "--slider", "1:2", "--preset", "x"], ["--slider", "--preset"]),
        (["--blend", "a:1", "--preset", "x"], ["--blend", "--preset"]),
        (
            ["--blend", "a:1", "--weight", "3", "--blend-mode", "audio", "--randomize-sliders", "--evolution", "0"],
            ["--blend", "--weight", "--blend-mode", "--randomize-sliders", "--evolution"],
        ),
    ],
)
def test_flags_of_another_model_warn_once_each(cli: Cli, vqvae_file: Path, flags: list[str], warned: list[str]) -> None:
    result = cli("generate", vqvae_file, *SHORT, *flags)
    assert result.code == 0
    assert sorted(result.errors) == sorted(
        f"Warning: {flag} is not supported for VQ-VAE models. Ignored." for flag in warned
    )


def test_sampling_flags_warn_for_a_model_without_a_prior_to_sample(cli: Cli, vae_file: Path) -> None:
    result = cli("generate", vae_file, *SHORT, "-t", 1, "--top-k", 3, "--top-p", 0.5, "--min-p", 0.1, "--overlap", 20)
    assert result.code == 0
    assert sorted(result.errors) == [
        f"Warning: --{name} is not supported for VAE models. Ignored."
        for name in ("min-p", "overlap", "temperature", "top-k", "top-p")
    ]


def test_a_foreign_flag_changes_nothing(cli: Cli, vqvae_file: Path) -> None:
    plain = cli("generate", vqvae_file, *SHORT, "-s", 1, "-o", "plain").files[0]
    flagged = cli("generate", vqvae_file, *SHORT, "-s", 1, "-o", "flagged", "--slider", "0:5").files[0]
    assert plain.read_bytes() == flagged.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["-d", "0"], ["-d", "'0'", "0.001 to 86400 s"]),
        (["-d", "nan"], ["-d", "'nan'", "0.001 to 86400 s"]),
        (["-s", "-1"], ["-s", "'-1'", "0 to 9223372036854775807"]),
        (["-s", "9223372036854775807", "-n", "2"], ["--seed", "9223372036854775807", "too large"]),
        (["-n", "0"], ["-n", "'0'", "1 to 1000000"]),
        (["-n", "1.5"], ["-n", "'1.5'", "1 to 1000000"]),
        (["-f", "aiff"], ["-f", "'aiff'", "'wav', 'flac', 'ogg', 'opus', 'mp3'"]),
        (["--sample-rate", "7999"], ["--sample-rate", "'7999'", "8000 to 192000 Hz"]),
        (["-f", "mp3", "--sample-rate", "96000"], ["--sample-rate", "96000", "44100, 48000 Hz"]),
        (["--bit-depth", "8-bit"], ["--bit-depth", "'8-bit'", "'16-bit', '24-bit', '32-bit-float'"]),
        (["-f", "flac", "--bit-depth", "32-bit-float"], ["--bit-depth", "32-bit-float", "16-bit, 24-bit"]),
        (["--device", "tpu"], ["--device", "'tpu'", "'auto', 'cpu', 'cuda', 'mps'"]),
        (["--device", "mps"], ["--device", "no mps", "it has cpu"]),
        (["-t", "0"], ["-t", "'0'", "0.1 to 2"]),
        (["-t", "2.1"], ["-t", "'2.1'", "0.1 to 2"]),
        (["--top-k", "-1"], ["--top-k", "'-1'", "0 or more"]),
        (["--top-p", "1.1"], ["--top-p", "'1.1'", "0 to 1"]),
        (["--min-p", "-0.1"], ["--min-p", "'-0.1'", "0 to 1"]),
        (["--batch-size", "0"], ["--batch-size", "'0'", "1 to 1000000"]),
        (["--precision", "int8"], ["--precision", "'int8'", "'float32', 'bf16', 'fp16'"]),
        (["--overlap", "501"], ["--overlap", "'501'", "0 to 500 ms"]),
        (["--slider", "1"], ["--slider", "'1'", "INDEX:VALUE", "-10 to 10"]),
        (["--slider", "0:11"], ["--slider", "'0:11'", "-10 to 10"]),
        (["--slider", "0:x"], ["--slider", "'0:x'", "-10 to 10"]),
        (["--slider", "-1:1"], ["--slider", "'-1:1'", "from 0"]),
        (["--slider", "0:1.5"], ["--slider", "'0:1.5'", "whole number from -10 to 10"]),
        (["--slider", ":1"], ["--slider", "':1'", "INDEX:VALUE or NAME:VALUE"]),
        (["--evolution", "1.5"], ["--evolution", "'1.5'", "0 to 1"]),
        (["--blend", "fog.distill"], ["--blend", "'fog.distill'", "MODEL:WEIGHT"]),
        (["--blend", "fog:-1"], ["--blend", "'fog:-1'", "a number of 0 or more"]),
        (["--blend", "fog:nan"], ["--blend", "'fog:nan'", "a number of 0 or more"]),
        (["--blend", "fog:inf"], ["--blend", "'fog:inf'", "a number of 0 or more"]),
        (["--blend", ":50"], ["--blend", "':50'", "MODEL:WEIGHT"]),
        (["--weight", "-1"], ["--weight", "'-1'", "0 or more"]),
        (["--blend-mode", "mel"], ["--blend-mode", "'mel'", "'latent', 'audio'"]),
        (["--colour"], ["--colour", "See 'distill generate --help'."]),
        (["--count"], ["--count", "requires an argument"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("-") else "",
)
def test_a_bad_value_names_the_option_the_value_and_the_range(
    cli: Cli, vqvae_file: Path, tmp_path: Path, arguments: list[str], parts: list[str]
) -> None:
    result = cli("generate", vqvae_file, *arguments)
    assert (result.code, result.out) == (2, "")
    [said] = result.errors
    assert said.startswith("Error: ")
    for part in parts:
        assert part in said
    assert not list(tmp_path.glob("*.wav"))


def test_a_hostile_analysis_is_one_line(cli: Cli, tmp_path: Path) -> None:
    contents = vae_contents()
    contents["latent_analysis"]["n_active_components"] = "3"
    result = cli("generate", save(contents, tmp_path / "m.distill"), "--slider", "0:5")
    assert (result.code, result.errors) == (
        1, ["Error: The checkpoint's n_active_components is '3'; 0 to 16384 is needed. "
            "Get the file again, or update distill."]
    )  # fmt: skip


def test_a_model_without_a_prior_says_what_to_run(cli: Cli, tmp_path: Path) -> None:
    result = cli("generate", save(vqvae_contents(prior=False), tmp_path / "m.distill"))
    assert (result.code, result.out, result.err) == (
        1, "", "Error: Model has no trained prior. Run 'distill train-prior' first.\n"
    )  # fmt: skip


def test_an_overlap_over_half_a_chunk_is_refused_with_what_fits(cli: Cli, tmp_path: Path) -> None:
    path = save(vqvae_contents(chunk_duration_s=0.5), tmp_path / "m.distill")
    result = cli("generate", path, "--overlap", 400)
    assert (result.code, result.errors) == (
        2, ["Error: --overlap: 400 ms is over half a chunk of this model (245 ms). Give less."]
    )  # fmt: skip


def test_a_missing_file_names_a_near_one(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rain.distill").touch()
    result = cli("generate", "rian.distill")
    assert (result.code, result.errors) == (1, ["Error: rian.distill does not exist. Near it: rain.distill."])


def test_no_model_is_one_line(cli: Cli) -> None:
    result = cli("generate")
    assert (result.code, result.errors) == (2, ["Error: Missing argument 'MODEL'. See 'distill generate --help'."])


def test_a_folder_whose_name_is_no_text_is_kept_to_the_byte(cli: Cli, vqvae_file: Path) -> None:
    folder = os.fsdecode(b"caf\xe9")
    result = cli("generate", vqvae_file, *SHORT, "-s", 1, "-o", folder, "--json")
    [made] = json.loads(result.out)
    assert os.fsencode(made["file"]) == b"caf\xe9/pebbles-1.wav"
    assert Path(made["file"]).exists()


def test_a_file_cut_short_is_one_line(cli: Cli, vqvae_file: Path, tmp_path: Path) -> None:
    whole = vqvae_file.read_bytes()
    for share in (0.1, 0.6, 0.99):
        (tmp_path / "cut.distill").write_bytes(whole[: int(len(whole) * share)])
        result = cli("generate", "cut.distill")
        assert result.code == 1
        assert re.fullmatch(r"Error: cut\.distill begins like a checkpoint but is cut short .*\n", result.err)


def test_a_file_that_no_plugin_claims_is_one_line(cli: Cli, tmp_path: Path) -> None:
    path = save({"format": "distill_model", "version": 9, "model_type": "gan\x1b[31m"}, tmp_path / "m.distill")
    result = cli("generate", path)
    assert result.code == 1
    assert result.errors == [
        f"Error: No installed plugin loads {path} (version 9, model_type 'gan [31m'). Installed: codec, vae, vqvae. "
        "Install the plugin that made it, or update distill."
    ]


def test_damaged_weights_are_one_line(cli: Cli, tmp_path: Path) -> None:
    contents = vqvae_contents()
    del contents["prior_state_dict"]["head.weight"]
    result = cli("generate", save(contents, tmp_path / "m.distill"))
    assert (result.code, result.errors) == (
        1,
        ["Error: The checkpoint's prior lacks the tensor head.weight. Get the file again, or update distill."],
    )


def test_an_output_folder_that_cannot_be_is_one_line(cli: Cli, vqvae_file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    for folder, reason in {"taken/below": "Not a directory", "/proc": "No such file or directory"}.items():
        result = cli("generate", vqvae_file, "-o", folder)
        assert (result.code, result.errors) == (
            1, [f"Error: {folder} cannot hold files: {reason}. Choose a folder with --output-dir."]
        )  # fmt: skip


def test_help_groups_options_by_the_plugin_that_brings_them(cli: Cli) -> None:
    text = cli("generate", "--help").out
    sections = re.split(r"\n(?=Options for )", text)
    titles = {section.splitlines()[0]: section for section in sections[1:]}
    assert list(titles) == [
        "Options for every model:", "Options for the files:", "Options for models of plugin codec:",
        "Options for models of plugin vae:", "Options for models of plugin vqvae:",
    ]  # fmt: skip
    for title, flags in {
        "Options for every model:": "--duration --seed --count --device --batch-size --precision --loader "
        "--library --max-model-size --stats --json --quiet",
        "Options for the files:": "--output-dir --name --overwrite --format --sample-rate --bit-depth --compression "
        "--quality --spatial-mode --spatial-width --spatial-depth --hrtf --normalize --lufs --title --artist --album "
        "--tag --plot",
        "Options for models of plugin codec:": "--temperature --top-k --top-p --min-p --novelty --prompt "
        "--prompt-seconds",
        "Options for models of plugin vae:": "--slider --randomize-sliders --evolution --preset --blend --weight "
        "--blend-mode",
        "Options for models of plugin vqvae:": "--temperature --top-k --top-p --min-p --overlap",
    }.items():
        assert re.findall(r"^  (?:-\w, )?(--[\w-]+)", titles[title], re.M)[: len(flags.split())] == flags.split()


def test_a_broken_plugin_is_one_warning_and_the_model_still_generates(
    cli: Cli, vqvae_file: Path, tmp_path: Path
) -> None:
    plugins = discover()
    plugins.load(EntryPoint("bad", "not_a_module", "distill"))
    result = cli("generate", vqvae_file, *SHORT, plugins=plugins)
    assert (result.code, result.errors) == (
        0, ["Warning: Plugin bad: ModuleNotFoundError: No module named 'not_a_module'."]
    )  # fmt: skip


def test_two_loaders_for_one_model_ask_which_and_take_the_answer(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "hum.tone").touch()
    results = []
    for choice in ([], ["--loader", "b"]):
        plugins = Plugins()
        for name in ("a", "b"):
            plugins.register(TonePlugin(loader=name), name)
        results.append(cli("generate", "hum.tone", *SHORT, "-s", 1, "--json", *choice, plugins=plugins))
    asked, answered = results
    assert asked.code == 1
    assert "Choose one with --loader a." in asked.err
    assert json.loads(answered.out)[0]["loader"] == "b"
