"""`distill batch` as a user meets it. Where work is done is a thread here; processes are tests/distill/batch's."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import in_threads
import pytest
import soundfile
from checkpoints import save, vqvae_contents
from program import Cli, Result
from sidecars import sidecar_of

from distill import devices
from distill.batch import journal, plan
from distill.batch.running import TRIES
from distill.batch.stores import Folder
from distill.cli import telling

SHORT = 0.2


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    in_threads.use(monkeypatch.setattr)


def write(rows: list[dict[str, Any]], name: str = "takes.jsonl") -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def lines(folder: str = "out") -> dict[str, Any]:
    """The journal, by file."""
    found = [json.loads(line) for line in Path(folder, journal.NAME).read_text().splitlines()]
    assert len({one["file"] for one in found}) == len(found)
    return {one["file"]: one for one in found}


def files(result: Result) -> list[str]:
    return sorted(path.name for path in result.files)


def test_a_row_is_the_call_of_generate_that_it_says(cli: Cli, vqvae_file: Path, vae_file: Path) -> None:
    """Byte for byte, whatever else is in the manifest; sidecars too."""
    rows: list[dict[str, Any]] = [
        {"model": str(vqvae_file), "seed": 7, "count": 2, "duration": SHORT, "temperature": 0.8, "top_k": 4},
        {"model": str(vae_file), "seed": 3, "duration": 1.1, "slider": ["0:5", "1:-3"], "evolution": 0.2},
        {"model": str(vqvae_file), "seed": 1, "duration": 2.3, "format": "flac", "bit_depth": "16-bit", "lufs": -30},
        {"model": str(vqvae_file), "seed": 9, "duration": SHORT, "spatial_mode": "stereo", "tag": ["mood=calm"]},
        {"model": str(vqvae_file), "seed": 10, "count": 2, "duration": SHORT, "normalize": "batch"},
        {"model": str(vqvae_file), "seed": 20, "duration": SHORT, "name": "{model}-{index:03}-x"},
    ]
    result = cli("batch", write(rows), "-o", "out")
    assert result.code == 0, result.err
    alone = []
    for row in rows:
        options = []
        for key, value in row.items():
            for one in value if isinstance(value, list) else [value]:
                options += [] if key == "model" else [f"--{key.replace('_', '-')}", one]
        alone += cli("generate", row["model"], *options, "-o", "alone").files
    assert files(result) == sorted(path.name for path in alone)
    for path in alone:
        assert Path("out", path.name).read_bytes() == path.read_bytes()
        assert sidecar_of(Path("out", path.name)) == sidecar_of(path)
    assert result.errors[-1].startswith("8 files in out: 8 made; ")
    assert {path.name for path in Path("out").iterdir()} == {journal.NAME} | {
        path.name for path in Path("alone").iterdir()
    }


def test_csv_and_stdin_say_the_same_as_json_lines(cli: Cli, vqvae_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"model": str(vqvae_file), "seed": seed, "duration": SHORT, "top_k": seed} for seed in (1, 2, 3)]
    cli("batch", write(rows), "-o", "out")
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.getvalue().encode())))
    result = cli("batch", "-", "-o", "other")
    assert (result.code, len(result.files)) == (0, 3)
    for path in result.files:
        assert path.read_bytes() == Path("out", path.name).read_bytes()
    assert [one["key"] for one in lines().values()] == [one["key"] for one in lines("other").values()]


def test_a_sweep_makes_every_combination_and_names_say_which(cli: Cli, vqvae_file: Path) -> None:
    result = cli("batch", "--sweep", "temperature=0.6:1:0.4", "--sweep", "top_k=0,2", "--seeds", "5-6", vqvae_file,
                 "-o", "out", "-d", SHORT)  # fmt: skip
    assert result.code == 0, result.err
    assert files(result) == sorted(
        f"pebbles-temperature{t}-top_k{k}-{seed}.wav" for t in ("0.6", "1") for k in (0, 2) for seed in (5, 6)
    )
    said = sidecar_of("out/pebbles-temperature0.6-top_k2-6.wav")
    assert (said["seed"], said["options"]["temperature"], said["options"]["top_k"]) == (6, 0.6, 2)
    alone = cli("generate", vqvae_file, "-s", 6, "-t", 0.6, "--top-k", 2, "-d", SHORT).files[0]
    assert Path("out/pebbles-temperature0.6-top_k2-6.wav").read_bytes() == alone.read_bytes()


def test_the_command_line_counts_for_rows_that_say_nothing(cli: Cli, vqvae_file: Path) -> None:
    rows: list[dict[str, Any]] = [{"model": str(vqvae_file)}, {"model": str(vqvae_file), "duration": 0.4, "seed": 1}]
    result = cli("batch", write(rows), "-o", "out", "-d", SHORT, "-f", "flac", "--seed", 4, "--lufs", -20)
    assert result.code == 0, result.err
    assert files(result) == ["pebbles-1.flac", "pebbles-4.flac"]
    assert soundfile.info("out/pebbles-1.flac").frames == 0.4 * 48000
    assert soundfile.info("out/pebbles-4.flac").frames == SHORT * 48000
    # What a row says goes before a contradicting option of the command line.
    again = cli("batch", write([rows[0] | {"normalize": "none"}], "other.jsonl"), "-o", "other", "-d", SHORT,
                "--lufs", -20)  # fmt: skip
    assert again.code == 0, again.err
    assert sidecar_of(again.files[0])["level"]["normalize"] == "none"


def test_a_row_without_a_seed_is_the_same_every_time(cli: Cli, vqvae_file: Path) -> None:
    manifest = write([{"model": str(vqvae_file), "duration": SHORT}])
    assert files(cli("batch", manifest, "-o", "out")) == ["pebbles-0.wav"]
    assert cli("batch", manifest, "-o", "out").out == ""


def test_rows_that_want_one_name_get_numbers_in_their_order(cli: Cli, vqvae_file: Path) -> None:
    rows = [{"model": str(vqvae_file), "duration": SHORT, "seed": 1, "top_k": k} for k in (1, 2, 3)]
    cli("batch", write(rows), "-o", "out")
    assert {name: one["row"] for name, one in lines().items()} == {
        "pebbles-1.wav": 1, "pebbles-1-2.wav": 2, "pebbles-1-3.wav": 3,
    }  # fmt: skip


def test_a_row_that_is_there_twice_is_made_once(cli: Cli, vqvae_file: Path) -> None:
    row = {"model": str(vqvae_file), "duration": SHORT, "seed": 1}
    result = cli("batch", write([row, {**row, "count": 2}, row]), "-o", "out")
    assert files(result) == ["pebbles-1.wav", "pebbles-2.wav"]
    assert result.errors[0] == "Warning: 2 files are asked for more than once, and made once."


def test_names_may_hold_settings_and_the_row(cli: Cli, vqvae_file: Path) -> None:
    rows = [
        {"model": str(vqvae_file), "duration": SHORT, "top_k": 5, "name": "{row:03}-{top_k}-{temperature}-{prompt}"}
    ]
    assert files(cli("batch", write(rows), "-o", "out")) == ["001-5-1-none.wav"]
    refused = cli("batch", write([rows[0] | {"name": "{rate}"}]), "-o", "out")
    assert refused.errors[0].endswith(
        "--name: {rate} is not known before the model is loaded, without --sample-rate. Give that, or another pattern."
    )
    assert cli("generate", vqvae_file, "--name", "{row}").code == 2


def test_every_error_of_a_manifest_is_told_before_anything_is_made(cli: Cli, vqvae_file: Path, vae_file: Path) -> None:
    good = {"model": str(vqvae_file), "duration": SHORT}
    rows: list[dict[str, Any]] = [
        good,
        good | {"temperature": 9},
        good | {"seed": -1, "top_k": 1.5},
        {"model": "nowhere.distill"},
        {"duration": 1},
        good | {"format": "mp3", "bit_depth": "16-bit"},
        good | {"normalize": "peak", "lufs": -20},
        good | {"name": "a/b"},
        good | {"seed": 2**63 - 1, "count": 2},
        {"model": str(vae_file), "slider": ["9:1"]},
        good | {"temperature": True},
        good | {"tag": [["a=b"]]},
        good | {"plot": "perhaps"},
    ]
    result = cli("batch", write(rows), "-o", "out")
    assert (result.code, result.out) == (2, "")
    places = [line.removeprefix("Error: takes.jsonl:").split(" ")[0] for line in result.errors[:-1]]
    assert places == [
        "2:temperature:", "3:seed:", "3:top_k:", "4:model:", "5:model:", "6:", "7:", "8:", "9:seed:", "10:",
        "11:temperature:", "12:tag:", "13:plot:",
    ]  # fmt: skip
    assert result.errors[-1] == "Error: takes.jsonl has 13 errors. Nothing was made."
    assert not Path("out").exists()


def test_a_device_that_is_not_here_is_told_before_anything_is_made(cli: Cli, vqvae_file: Path) -> None:
    missing = next(one for one in ("cuda", "mps") if one not in devices.present())
    result = cli("batch", write([{"model": str(vqvae_file), "device": missing}]), "-o", "out")
    assert (result.code, Path("out").exists()) == (2, False)
    assert f"this machine has no {missing}" in result.err


def test_a_decimal_comma_is_told_as_what_it_is(cli: Cli, vqvae_file: Path) -> None:
    Path("takes.csv").write_text(f"model;temperature\n{vqvae_file};0,8\n")
    result = cli("batch", "takes.csv", "-o", "out")
    assert result.errors[0].endswith("is not a number from the range 0.1 to 2. Write it with a point.")


@pytest.mark.parametrize(("arguments", "said"), [
    (["-o", ""], "--output-dir: it is empty. Give a folder."),
    (["-o", "-"], "--output-dir -: a batch makes files in a folder, not on stdout."),
    (["-o", "out", "--workers", 2, "--scheduler", "tcp://h:1"], "--workers and --scheduler: give one of them."),
    (["-o", "out", "--send-models"], "--send-models: needs --scheduler."),
])  # fmt: skip
def test_options_that_contradict_each_other_are_refused(
    cli: Cli, vqvae_file: Path, arguments: list[object], said: str
) -> None:
    result = cli("batch", write([{"model": str(vqvae_file)}]), *arguments)
    assert result.code == 2
    assert said in result.err


@pytest.mark.parametrize(("arguments", "said"), [
    (["nothing.csv"], "There is no manifest nothing.csv. For files of a MODEL, add --sweep or --seeds."),
    (["."], ". is a folder, not a manifest."),
    (["--sweep", "top_k=1", "-"], "the argument is a MODEL then"),
    (["--sweep", "top_k=1", "--sweep", "top-k=2", "MODEL"], "--sweep: top_k is given twice."),
    (["--sweep", "seed=1,2", "MODEL"], "--sweep: seed is no setting to sweep. Give --seeds instead."),
    (["--sweep", "device=cpu,cuda", "MODEL"], "--sweep: device is no setting to sweep."),
    (["--sweep", "duration=1,1.0", "MODEL"], "--sweep: duration has a value twice."),
    (["--sweep", "top_k=1,x", "--sweep", "temperature=1,9", "MODEL"], "--sweep has 2 errors. Nothing was made."),
    (["MODEL"], "is a model, not a manifest. Add --sweep or --seeds."),
])  # fmt: skip
def test_what_is_no_manifest_and_no_sweep_is_told(cli: Cli, vqvae_file: Path, arguments: list[str], said: str) -> None:
    result = cli("batch", *(vqvae_file if one == "MODEL" else one for one in arguments), "-o", "out")
    assert result.code == 2
    assert said in result.err
    assert not Path("out").exists()


def test_an_option_that_models_do_not_know_is_told_once(cli: Cli, vqvae_file: Path) -> None:
    rows = [{"model": str(vqvae_file), "duration": SHORT, "seed": s, "top_k": s, "evolution": 0.5} for s in range(3)]
    result = cli("batch", write(rows), "-o", "out")
    assert result.err.count("--evolution is not supported for VQ-VAE models. Ignored.") == 1


def test_run_again_it_makes_what_is_missing_or_damaged_and_nothing_else(cli: Cli, vqvae_file: Path) -> None:
    manifest = write([{"model": str(vqvae_file), "seed": 1, "count": 5, "duration": SHORT}])
    first = cli("batch", manifest, "-o", "out")
    whole = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in first.files}
    Path("out/pebbles-1.wav").unlink()
    Path("out/pebbles-2.json").unlink()
    Path("out/pebbles-3.wav").write_bytes(b"short")
    again = cli("batch", manifest, "-o", "out")
    assert files(again) == ["pebbles-1.wav", "pebbles-2.wav", "pebbles-3.wav"]
    assert again.errors[-1].startswith("5 files in out: 3 made, 2 there already; ")
    for name, (contents, modified) in whole.items():
        path = Path("out", name)
        assert path.read_bytes() == contents
        assert path.with_suffix(".json").exists()
        assert (path.stat().st_mtime_ns == modified) == (name in ("pebbles-4.wav", "pebbles-5.wav"))
    assert len(list(Path("out").iterdir())) == 11


def test_verify_finds_damage_that_leaves_the_size(cli: Cli, vqvae_file: Path) -> None:
    manifest = write([{"model": str(vqvae_file), "seed": 1, "count": 3, "duration": SHORT}])
    whole = {path: path.read_bytes() for path in cli("batch", manifest, "-o", "out").files}
    damaged, *_ = whole
    damaged.write_bytes(whole[damaged][:-4000] + bytes(4000))
    assert cli("batch", manifest, "-o", "out").out == ""
    assert cli("batch", manifest, "-o", "out", "--verify").files == [damaged]
    assert damaged.read_bytes() == whole[damaged]


def test_a_changed_row_is_made_beside_what_was_there(cli: Cli, vqvae_file: Path) -> None:
    row = {"model": str(vqvae_file), "seed": 1, "duration": SHORT}
    cli("batch", write([row]), "-o", "out")
    before = Path("out/pebbles-1.wav").read_bytes()
    assert files(cli("batch", write([row | {"top_k": 2}]), "-o", "out")) == ["pebbles-1-2.wav"]
    assert Path("out/pebbles-1.wav").read_bytes() == before
    assert cli("batch", write([row, row | {"top_k": 2}]), "-o", "out").out == ""


def test_a_file_that_is_not_ours_is_never_overwritten(cli: Cli, vqvae_file: Path) -> None:
    Path("out").mkdir()
    Path("out/pebbles-1.wav").write_bytes(b"mine")
    Path("out/pebbles-2.json").write_text("{}")
    Path("out/Pebbles-3.png").write_bytes(b"mine")
    manifest = write([{"model": str(vqvae_file), "seed": 1, "count": 4, "duration": SHORT}])
    result = cli("batch", manifest, "-o", "out")
    assert files(result) == ["pebbles-1-2.wav", "pebbles-2-2.wav", "pebbles-3-2.wav", "pebbles-4.wav"]
    assert Path("out/pebbles-1.wav").read_bytes() == b"mine"
    assert cli("batch", manifest, "-o", "out").out == ""


def test_files_that_the_journal_does_not_know_are_found_by_their_sidecars(cli: Cli, vqvae_file: Path) -> None:
    """Of a run that was killed before it wrote them down, or of a call of generate."""
    manifest = write([{"model": str(vqvae_file), "seed": 1, "count": 3, "duration": SHORT}])
    [made] = cli("generate", vqvae_file, "-s", 2, "-d", SHORT, "-o", "out").files
    modified = made.stat().st_mtime_ns
    result = cli("batch", manifest, "-o", "out")
    assert files(result) == ["pebbles-1.wav", "pebbles-2.wav", "pebbles-3.wav"]  # each is told of once
    assert "2 made, 1 there already" in result.errors[-1]
    assert made.stat().st_mtime_ns == modified
    before = lines()
    assert len(before) == 3
    Path("out", journal.NAME).unlink()
    assert "0 made, 3 there already" in cli("batch", manifest, "-o", "out").errors[-1]
    assert lines() == before
    assert cli("batch", manifest, "-o", "out").out == ""


def test_two_rows_that_ask_for_the_same_in_other_words_keep_each_its_file(cli: Cli, vqvae_file: Path) -> None:
    row = {"model": str(vqvae_file), "seed": 1, "duration": SHORT}
    manifest = write([row, row | {"sample_rate": 48000}])
    assert files(cli("batch", manifest, "-o", "out")) == ["pebbles-1-2.wav", "pebbles-1.wav"]
    before = lines()
    Path("out", journal.NAME).unlink()
    assert "0 made, 2 there already" in cli("batch", manifest, "-o", "out").errors[-1]
    assert lines() == before


def test_audio_without_its_sidecar_is_made_whole_under_its_name(cli: Cli, vqvae_file: Path) -> None:
    """What a run leaves that is killed between the two. One of other settings is another's, and stays."""
    row = {"model": str(vqvae_file), "seed": 1, "count": 2, "duration": SHORT}
    whole = {path: path.read_bytes() for path in cli("batch", write([row]), "-o", "out").files}
    Path("out", journal.NAME).unlink()
    for path in whole:
        path.with_suffix(".json").unlink()
    assert cli("batch", write([row | {"top_k": 3}]), "-o", "out").files == [
        Path("out/pebbles-1-2.wav"), Path("out/pebbles-2-2.wav")
    ]  # fmt: skip
    assert cli("batch", write([row]), "-o", "out").files == list(whole)
    for path, contents in whole.items():
        assert path.read_bytes() == contents
        assert sidecar_of(path)["file"] == path.name


def test_files_that_share_a_level_are_told_of_once_where_a_killed_run_left_only_some(
    cli: Cli, vqvae_file: Path
) -> None:
    rows = [{"model": str(vqvae_file), "seed": 1, "count": 3, "duration": SHORT, "normalize": "batch"}]
    cli("batch", write(rows), "-o", "out")
    before = lines()
    Path("out", journal.NAME).unlink()
    for name in ("pebbles-2.wav", "pebbles-2.json"):
        Path("out", name).unlink()
    again = cli("batch", write(rows), "-o", "out")
    assert again.code == 0
    assert files(again) == sorted(before) == sorted(lines())


def test_a_journal_that_was_torn_is_read_as_far_as_it_goes(cli: Cli, vqvae_file: Path) -> None:
    manifest = write([{"model": str(vqvae_file), "seed": 1, "count": 3, "duration": SHORT}])
    cli("batch", manifest, "-o", "out")
    path = Path("out", journal.NAME)
    before = lines()
    path.write_bytes(path.read_bytes()[:-40])
    assert files(cli("batch", manifest, "-o", "out")) == ["pebbles-3.wav"]
    assert lines() == before
    assert journal.parse(path.read_bytes()) == {one["key"]: journal.Line(**one) for one in before.values()}


@pytest.mark.parametrize("line", [
    '{"file": "../../etc/passwd"', '{"file": "/etc/passwd"', '{"file": ".hidden"', '{"file": 3', "[1]", "null",
    "\x00", '{"a": ' + "[" * 99999,
])  # fmt: skip
def test_nothing_in_a_journal_is_trusted(line: str) -> None:
    rest = (
        '"key": "k-1", "sha256": "", "bytes": 1, "row": 1, "batch": "", "date": "", "seed": 1, "duration": 1, '
        '"sample_rate": 1, "model": "", "loader": "", "stats": {}}'
    )
    assert journal.parse(f"{line}, {rest}\n".encode()) == {}


def test_a_level_that_files_share_is_that_of_the_whole_row_after_a_loss_too(cli: Cli, vqvae_file: Path) -> None:
    manifest = write([{"model": str(vqvae_file), "seed": 1, "count": 4, "duration": SHORT, "normalize": "batch"}])
    whole = {path: path.read_bytes() for path in cli("batch", manifest, "-o", "out").files}
    Path("out/pebbles-3.wav").unlink()
    again = cli("batch", manifest, "-o", "out")
    assert again.files == list(whole)
    assert {path: path.read_bytes() for path in whole} == whole


def test_the_date_of_a_batch_is_that_on_which_it_began(
    cli: Cli, vqvae_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = write([{"model": str(vqvae_file), "seed": 1, "count": 2, "duration": SHORT}])
    whole = {path: path.read_bytes() for path in cli("batch", manifest, "-o", "out").files}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1893456000")
    Path("out/pebbles-2.wav").unlink()
    cli("batch", manifest, "-o", "out")
    assert {path: path.read_bytes() for path in whole} == whole
    [other] = cli("batch", write([{"model": str(vqvae_file), "seed": 9, "duration": SHORT}]), "-o", "out").files
    assert sidecar_of(other)["tags"]["date"] == "2030-01-01"


def test_json_is_one_object_that_says_of_every_file(cli: Cli, vqvae_file: Path) -> None:
    manifest = write([{"model": str(vqvae_file), "seed": 1, "count": 2, "duration": SHORT}])
    cli("batch", manifest, "-o", "out")
    Path("out/pebbles-2.wav").unlink()
    result = cli("batch", manifest, "-o", "out", "--json")
    said = json.loads(result.out)
    found = [json.loads(line) for line in Path("out", journal.NAME).read_text().splitlines()]
    assert said["files"] == list({one["file"]: one for one in found}.values())
    assert {key: said[key] for key in ("directory", "journal", "asked", "made", "kept", "failed")} == {
        "directory": "out", "journal": "out/distill-batch.jsonl", "asked": 2, "made": 1, "kept": 1, "failed": [],
    }  # fmt: skip


def test_a_file_that_fails_is_reported_and_the_rest_goes_on(cli: Cli, vqvae_file: Path, tmp_path: Path) -> None:
    """Once where the model refuses what is asked of it, after three tries otherwise."""
    short = save(vqvae_contents(chunk_duration_s=0.5), tmp_path / "short.distill")
    contents = vqvae_contents()
    contents["prior_state_dict"]["head.weight"][3, 3] = float("nan")
    damaged = save(contents, tmp_path / "damaged.distill")
    rows: list[dict[str, Any]] = [
        {"model": str(short), "seed": 1, "duration": SHORT, "name": "first"},
        {"model": str(short), "seed": 2, "duration": SHORT, "name": "refused", "overlap": 400},
        {"model": str(short), "seed": 3, "duration": SHORT, "name": "third"},
        {"model": str(damaged), "seed": 4, "duration": SHORT, "name": "damaged"},
        {"model": str(vqvae_file), "seed": 5, "duration": SHORT, "name": "last"},
    ]
    result = cli("batch", write(rows), "-o", "out")
    assert result.code == 1
    assert files(result) == ["first.wav", "last.wav", "third.wav"]
    assert sorted(result.errors[:2]) == [
        "Error: Row 2, refused.wav: --overlap: 400 ms is over half a chunk of this model (245 ms). Give less.",
        "Error: Row 4, damaged.wav: pebbles gives logits that are not finite: its weights are damaged. "
        "Get or train it anew.",
    ]
    assert result.errors[2].startswith("5 files in out: 3 made, 2 failed; ")
    again = json.loads(cli("batch", write(rows), "-o", "out", "--json").out)
    assert (again["made"], again["kept"]) == (0, 3)
    assert {one["file"]: one["tries"] for one in again["failed"]} == {"refused.wav": 1, "damaged.wav": TRIES}


def test_fail_fast_leaves_the_rest(cli: Cli, vqvae_file: Path, tmp_path: Path) -> None:
    short = save(vqvae_contents(chunk_duration_s=0.5), tmp_path / "short.distill")
    rows: list[dict[str, Any]] = [{"model": str(short), "seed": 1, "duration": SHORT, "overlap": 400}]
    rows += [{"model": str(vqvae_file), "seed": seed, "duration": SHORT} for seed in range(80)]
    result = cli("batch", write(rows), "-o", "out", "--fail-fast")
    assert result.code == 1
    assert "1 failed" in result.errors[-1]
    left = int(result.errors[-1].split(" not tried")[0].split()[-1])
    assert left == 80 - len(result.files) > 40


def test_fail_fast_is_soon_where_a_row_amid_others_fails(cli: Cli, tmp_path: Path) -> None:
    short = save(vqvae_contents(chunk_duration_s=0.5), tmp_path / "short.distill")
    rows: list[dict[str, Any]] = [{"model": str(short), "seed": seed, "duration": SHORT} for seed in range(120)]
    rows[3]["overlap"] = 400
    result = cli("batch", write(rows), "-o", "out", "--fail-fast", "--workers", 1)
    assert result.code == 1
    assert len(result.files) < 100
    assert result.errors[0].startswith("Error: Row 4, pebbles-3.wav: --overlap: 400 ms is over half a chunk")


def test_only_the_file_that_is_refused_fails_though_its_format_is_known_late(cli: Cli, tmp_path: Path) -> None:
    """Of a model whose own rate a format cannot have, which is known once it is loaded."""
    odd = save(vqvae_contents(sample_rate=44100), tmp_path / "odd.distill")
    rows: list[dict[str, Any]] = [{"model": str(odd), "seed": seed, "duration": SHORT} for seed in range(20)]
    rows[15]["format"] = "opus"
    said = json.loads(cli("batch", write(rows), "-o", "out", "--json").out)
    assert [one["row"] for one in said["failed"]] == [16]
    assert said["made"] == 19


def test_a_link_in_place_of_the_folder_for_work_is_refused(cli: Cli, vqvae_file: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim" / "deadbeefdeadbeef"
    victim.mkdir(parents=True)
    Path("out").mkdir()
    Path("out/.distill-batch").symlink_to(victim.parent)
    manifest = write([{"model": str(vqvae_file), "duration": SHORT}])
    result = cli("batch", manifest, "-o", "out")
    assert (result.code, result.out) == (1, "")
    assert "is a link; distill keeps what is unfinished there. Remove it." in result.err
    assert victim.is_dir()
    Path("out/.distill-batch").unlink()
    target = tmp_path / "target.txt"
    target.write_text("mine")
    Path("out", journal.NAME).symlink_to(target)
    assert cli("batch", manifest, "-o", "out").code == 1
    assert target.read_text() == "mine"


def test_what_another_table_made_under_a_name_since_is_not_replaced(cli: Cli, vqvae_file: Path) -> None:
    row = {"model": str(vqvae_file), "seed": 1, "duration": SHORT}
    one, other = write([row | {"top_k": 2}], "one.jsonl"), write([row | {"top_k": 3}], "other.jsonl")
    cli("batch", one, "-o", "out")
    Path("out/pebbles-1.wav").unlink()
    Path("out/pebbles-1.json").unlink()
    assert files(cli("batch", other, "-o", "out")) == ["pebbles-1.wav"]
    theirs = Path("out/pebbles-1.wav").read_bytes()
    assert files(cli("batch", one, "-o", "out")) == ["pebbles-1-2.wav"]
    assert Path("out/pebbles-1.wav").read_bytes() == theirs


def test_a_shared_level_is_of_the_seeds_that_share_it(cli: Cli, vqvae_file: Path) -> None:
    """Files of other runs with a common level hold another level, and are others."""
    row = {"model": str(vqvae_file), "duration": SHORT, "normalize": "batch"}
    cli("batch", write([row | {"seed": 1, "count": 4}], "four.jsonl"), "-o", "out")
    before = {path: path.read_bytes() for path in Path("out").glob("*.wav")}
    Path("out", journal.NAME).unlink()
    two = write([row | {"seed": 3, "count": 2}], "two.jsonl")
    assert files(cli("batch", two, "-o", "out")) == ["pebbles-3-2.wav", "pebbles-4-2.wav"]
    fresh = cli("batch", two, "-o", "fresh").files
    assert [path.read_bytes() for path in fresh] == [
        Path("out", f"pebbles-{seed}-2.wav").read_bytes() for seed in (3, 4)
    ]
    assert {path: path.read_bytes() for path in before} == before


def test_nothing_that_is_no_file_ends_or_holds_up_a_batch(cli: Cli, vqvae_file: Path) -> None:
    Path("out").mkdir()
    Path("out/pebbles-0.wav").symlink_to("nowhere")
    os.mkfifo("out/pebbles-1.json")
    Path("out/pebbles-2.wav").mkdir()
    os.mkfifo("out/pebbles-3.wav")
    manifest = write([{"model": str(vqvae_file), "count": 5, "duration": SHORT}])
    result = cli("batch", manifest, "-o", "out")
    assert result.code == 0, result.err
    assert files(result) == [*(f"pebbles-{seed}-2.wav" for seed in range(4)), "pebbles-4.wav"]
    assert cli("batch", manifest, "-o", "out").out == ""


def test_what_there_is_to_say_of_levels_is_said_of_all_files_at_once(cli: Cli, vqvae_file: Path) -> None:
    rows = [{"model": str(vqvae_file), "seed": seed, "duration": 0.5, "lufs": -3} for seed in range(20)]
    result = cli("batch", write(rows), "-o", "out")
    [warning] = [line for line in result.errors if line.startswith("Warning")]
    assert warning == "Warning: --lufs: 20 files are quieter than -3 LUFS: their peaks allow no more."


def test_two_models_of_one_content_are_two(cli: Cli, vqvae_file: Path, tmp_path: Path) -> None:
    contents = vqvae_contents()
    del contents["metadata"]["name"]
    models = [save(contents, tmp_path / f"{name}.distill") for name in ("one", "other")]
    rows = [{"model": str(model), "duration": SHORT} for model in models]
    assert files(cli("batch", write(rows), "-o", "out")) == ["one-0.wav", "other-0.wav"]


def test_a_picture_that_is_asked_for_later_is_made(cli: Cli, vqvae_file: Path) -> None:
    row = {"model": str(vqvae_file), "duration": SHORT}
    [made] = cli("batch", write([row]), "-o", "out").files
    sound = made.read_bytes()
    assert cli("batch", write([row]), "-o", "out", "--plot").files == [made]
    assert made.with_suffix(".png").exists()
    assert made.read_bytes() == sound
    assert cli("batch", write([row]), "-o", "out", "--plot").out == ""


@pytest.mark.parametrize("change", [
    {"samples": None}, {"sample_rate": 0}, {"stats": {"x": float("nan")}}, {"model": []}, {"level": {}}, {"seed": True},
    {"options": "x"}, {"space": {"hrtf": 3}}, {"other_models": [1]}, {"samples": 10**400}, {"duration": 10**400},
    {"stats": {"x": 10**400}}, {"stats": []}, {"sample_rate": 10**400}, {"samples": 9601},
])  # fmt: skip
def test_a_sidecar_that_says_odd_things_is_of_no_file_of_ours(
    cli: Cli, vqvae_file: Path, change: dict[str, Any]
) -> None:
    manifest = write([{"model": str(vqvae_file), "duration": SHORT}])
    [made] = cli("generate", vqvae_file, "-s", 0, "-d", SHORT, "-o", "out").files
    sidecar = made.with_suffix(".json")
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | change))
    result = cli("batch", manifest, "-o", "out")
    assert result.code == 0, result.err
    assert files(result) == ["pebbles-0-2.wav"]


def test_the_bar_moves_as_files_are_made_where_nothing_else_moves_it(
    cli: Cli, vqvae_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is of a place where it costs something to look."""
    stood: list[int] = []
    told = telling.Telling.made

    def made(self: telling.Telling, line: journal.Line) -> None:
        told(self, line)
        assert self._bar is not None
        stood.append(self._bar.n)

    monkeypatch.setattr(telling.Telling, "made", made)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(Folder, "is_near", False)
    manifest = write([{"model": str(vqvae_file), "count": 3, "duration": SHORT}])
    assert cli("batch", manifest, "-o", "out").code == 0
    assert stood == [1, 2, 3]


def test_verify_looks_into_what_the_journal_lacks_too(cli: Cli, vqvae_file: Path) -> None:
    manifest = write([{"model": str(vqvae_file), "duration": SHORT}])
    [made] = cli("batch", manifest, "-o", "out").files
    whole = made.read_bytes()
    made.write_bytes(whole[:-2000] + bytes(2000))
    Path("out", journal.NAME).unlink()
    assert cli("batch", manifest, "-o", "out", "--verify").files == [made]
    assert made.read_bytes() == whole


def test_a_sweep_without_seeds_takes_the_command_lines(cli: Cli, vqvae_file: Path) -> None:
    result = cli("batch", "--sweep", "top_k=1", "--seed", 5, "-n", 2, "-d", SHORT, vqvae_file, "-o", "out")
    assert files(result) == ["pebbles-top_k1-5.wav", "pebbles-top_k1-6.wav"]
    both = cli("batch", "--seeds", "1-2", "--seed", 5, vqvae_file, "-o", "out")
    assert (both.code, both.errors) == (2, ["Error: --seeds says which seeds; leave --seed and --count out."])


@pytest.mark.parametrize(("arguments", "asked"), [
    (["--seeds", "0-9223372036854775806"], 2**63 - 1),
    (["--sweep", "top_k=0:9999:1", "--sweep", "top_p=0:0.9999:0.0001"], 10**8),
])  # fmt: skip
def test_a_sweep_of_more_files_than_can_be_is_refused_at_once(
    cli: Cli, vqvae_file: Path, arguments: list[str], asked: int
) -> None:
    result = cli("batch", *arguments, vqvae_file, "-o", "out")
    assert result.code == 2
    assert result.errors == [f"Error: --sweep and --seeds: that is {asked} files; 1000000 are allowed."]


def test_an_option_of_the_command_line_that_no_model_knows_is_told(cli: Cli, vqvae_file: Path, vae_file: Path) -> None:
    alone = cli("batch", write([{"model": str(vqvae_file), "duration": SHORT}]), "-o", "out", "--evolution", 0.5)
    assert alone.errors[0] == "Warning: --evolution is not supported for VQ-VAE models. Ignored."
    rows = [{"model": str(file), "duration": SHORT} for file in (vqvae_file, vae_file)]
    assert "not supported" not in cli("batch", write(rows), "-o", "both", "--evolution", 0.5).err


def test_more_than_a_million_files_are_several_batches(cli: Cli, vqvae_file: Path) -> None:
    rows = [{"model": str(vqvae_file), "count": 1_000_000, "seed": seed} for seed in (0, 1_000_000)]
    result = cli("batch", write(rows), "-o", "out")
    assert result.code == 2
    assert result.errors[0] == f"Error: takes.jsonl:2: More than {plan.MOST_FILES} files. Make several batches."
