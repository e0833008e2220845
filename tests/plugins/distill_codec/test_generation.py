"""Generating with a codec and its prior: any duration without seams, each file by its own seed, prompts, novelty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from checkpoints import SMALL_CODEC, codec, codec_contents, codec_prior_contents, save
from numpy.typing import NDArray
from program import Cli
from recordings import sound, write

from distill import GenerationRequest
from distill.checkpoint import read_header
from distill.errors import NotFiniteError, RequestError
from distill_codec.model import CodecModel
from distill_codec.networks import Codec
from distill_codec.novelty import NoveltyIndex
from distill_codec.prior import Prior
from distill_codec.sampling import PIECE, ROWS, Group, Row, Settings, padded

LENGTH = SMALL_CODEC.frame_length
OPTIONS = {"temperature": 1.0, "top_k": 0, "top_p": 0.9, "min_p": 0.0, "novelty": 0.5, "prompt": None,
           "prompt_seconds": 5.0}  # fmt: skip


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(codec_prior_contents(), tmp_path_factory.mktemp("models") / "murmur.distill")


@pytest.fixture(scope="session")
def model(file: Path) -> CodecModel:
    header = read_header(file)
    assert header is not None
    return CodecModel.load(header, "cpu")


def request(seed: int = 1, frames: float = 100, **options: Any) -> GenerationRequest:
    return GenerationRequest(seed, round(frames * LENGTH), OPTIONS | options)


def whole(model: CodecModel, asked: GenerationRequest) -> NDArray[np.float32]:
    return np.concatenate(list(model.generate(asked)), axis=1)


def prior_of(contents: dict[str, Any]) -> Prior:
    codebooks = contents["model_state_dict"]["codebooks"]
    return Prior.load(contents["prior_state_dict"], contents["prior_config"], codebooks)


def row_of(seed: int, frames: int, settings: Settings = Settings()) -> Row:  # noqa: B008 - it cannot be changed
    return Row(seed, frames, settings)


def group(rows: list[Row], prompt: NDArray[np.int64] | None = None, contents: dict[str, Any] | None = None) -> Group:
    contents = contents or codec_prior_contents()
    prior = padded(prior_of(contents))
    index = NoveltyIndex.from_config(contents["novelty_index"])
    nothing = np.zeros((0, SMALL_CODEC.num_quantizers), np.int64)
    return Group(prior, index, rows, nothing if prompt is None else prompt)


def codes(made: Group, row: Row) -> NDArray[np.int64]:
    """All frames of a row."""
    taken: list[NDArray[np.int64]] = []
    while sum(map(len, taken)) < row.frames:
        taken.append(made.take(row))
    return np.concatenate(taken)


def test_a_file_is_the_same_alone_and_among_others_in_any_row(model: CodecModel) -> None:
    """Among more than fit in a group, taken in any order, whatever the batch size."""
    asked = [request(seed, frames) for seed, frames in zip(range(1, ROWS + 4), [100.5, 70, 150] * ROWS, strict=False)]
    alone = [whole(model, one) for one in asked]
    for batch_size in (None, 3):
        generations = list(model.generate_batch(asked, batch_size))
        order = np.random.default_rng(0).permutation(len(asked))
        for number in order:
            found = np.concatenate(list(generations[number].chunks), axis=1)
            np.testing.assert_array_equal(found, alone[number])
    assert len({one.tobytes() for one in alone}) == len(asked)


def test_files_asked_for_otherwise_are_each_made_as_asked(model: CodecModel) -> None:
    asked = [request(1), request(2, temperature=0.3), request(3, temperature=0.3), request(4)]
    for one, generation in zip(asked, model.generate_batch(asked), strict=True):
        np.testing.assert_array_equal(np.concatenate(list(generation.chunks), axis=1), whole(model, one))


def test_a_longer_file_begins_as_a_shorter_one_and_has_no_seams(model: CodecModel) -> None:
    """What is decoded in blocks is what is decoded at once, to 1e-4."""
    context = SMALL_CODEC.decoder_context * LENGTH
    short, long = whole(model, request(frames=400)), whole(model, request(frames=700))
    np.testing.assert_allclose(long[:, : short.shape[1] - context], short[:, :-context], atol=1e-4)
    row = row_of(1, 700, Settings(top_p=0.9))
    drawn = codes(group([row]), row)
    contents = codec_prior_contents()
    codec = Codec.load(contents["model_state_dict"], contents["codec_config"])
    with torch.inference_mode():
        at_once = codec.decode(torch.from_numpy(drawn)[None])[0].numpy()
    np.testing.assert_allclose(long, at_once, atol=1e-4)


def test_counted_chunks_are_those_that_come(model: CodecModel) -> None:
    for frames in (0.01, 1, 255.5, 256, 257, 600):
        asked = request(frames=frames)
        chunks = list(model.generate(asked))
        assert len(chunks) == model.count_chunks(asked)
        assert sum(chunk.shape[1] for chunk in chunks) == asked.samples


def test_where_a_recording_ends_another_starts_and_no_frame_is_lost() -> None:
    """A prior that ends after every frame gives as many frames, all of them codes, in twice as many steps."""
    contents = codec_prior_contents()
    contents["prior_state_dict"]["levels.0.head.bias"][-1] = 50.0
    row = row_of(1, 3 * PIECE)
    made = group([row], contents=contents)
    found = codes(made, row)
    assert made._pieces == 2 * 3
    assert found.shape == (3 * PIECE, SMALL_CODEC.num_quantizers)
    assert found.max() < SMALL_CODEC.codebook_size


def test_filters_work_at_every_level() -> None:
    rows = [row_of(seed, 60, Settings(top_k=1)) for seed in range(ROWS)]
    greedy = group(rows)
    drawn = [codes(greedy, row) for row in rows]
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])
    rows = [row_of(1, 60, Settings(min_p=1.0))]
    np.testing.assert_array_equal(codes(group(rows), rows[0]), drawn[0])


def test_each_row_is_drawn_by_its_own_settings_as_if_it_were_alone() -> None:
    each = [
        Settings(), Settings(temperature=0.7), Settings(top_k=3), Settings(top_p=0.8), Settings(min_p=0.2),
        Settings(novelty=0.1), Settings(novelty=0.9), Settings(1.3, 5, 0.9, 0.05, 0.3),
    ]  # fmt: skip
    contents = knowing([codes(group([row := row_of(99, 200)]), row)])
    rows = [row_of(seed, 80, settings) for seed, settings in enumerate(each)]
    together = group(rows, contents=contents)
    for row in rows:
        alone = row_of(row.seed, 80, row.settings)
        np.testing.assert_array_equal(codes(together, row), codes(group([alone], contents=contents), alone))


def test_a_prior_that_is_not_finite_is_refused() -> None:
    contents = codec_prior_contents()
    contents["prior_state_dict"]["norm.weight"][3] = float("nan")
    row = row_of(1, 5)
    with pytest.raises(NotFiniteError):
        group([row], contents=contents).take(row)


def knowing(recordings: list[NDArray[np.int64]]) -> dict[str, Any]:
    """A prior's checkpoint whose index knows `recordings`."""
    return codec_prior_contents() | {"novelty_index": NoveltyIndex.of(recordings).config()}


def test_novelty_moves_from_recombination_to_invention() -> None:
    """The longest run that stands in recordings which the prior itself would make falls from 0 to 1."""
    row = row_of(99, 600)
    contents = knowing([codes(group([row]), row)])
    longest = []
    for novelty in (0.0, 0.25, 0.5, 0.75, 1.0):
        rows = [row_of(seed, 200, Settings(novelty=novelty)) for seed in range(ROWS)]
        made = group(rows, contents=contents)
        for row in rows:
            codes(made, row)
        longest.append(np.mean([made.longest_copy(row) for row in rows]))
    assert longest == sorted(longest, reverse=True)
    assert longest[0] > 5 * longest[2] > 5 * longest[4]


def test_the_longest_copy_is_told_in_seconds_and_as_a_share(cli: Cli, tmp_path: Path) -> None:
    """Of a file that was made before, all of it; by --stats, in the sidecar and in --json."""
    row = row_of(7, 94, Settings(top_p=0.9))
    drawn = codes(group([row]), row)
    path = save(knowing([drawn]), tmp_path / "again.distill")
    result = cli("generate", path, "-s", 7, "-d", 2, "--json", "--stats")
    assert result.code == 0, result.err
    [told] = json.loads(result.out)
    assert told["stats"] == {"longest_copy_seconds": pytest.approx(94 * LENGTH / 48000), "longest_copy_share": 1.0}
    assert json.loads(Path(told["file"]).with_suffix(".json").read_text())["stats"] == told["stats"]
    other = json.loads(cli("generate", path, "-s", 8, "-d", 2, "--json", "--stats").out)[0]
    assert other["stats"]["longest_copy_share"] < 0.2


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    return write(tmp_path / "prompt.wav", sound(2.0))


def test_a_prompt_is_continued_without_a_seam(cli: Cli, file: Path, prompt: Path, model: CodecModel) -> None:
    """The file begins with the recording's last second as the codec gives it back, and the join is as any other place.

    Neither the step at the join nor the spectrum around it stands out among those of the file.
    """
    result = cli("generate", file, "-s", 1, "-d", 4, "--prompt", prompt, "--prompt-seconds", 1, "--normalize", "none",
                 "--bit-depth", "32-bit-float", "--json")  # fmt: skip
    assert result.code == 0, result.err
    made, rate = soundfile.read(json.loads(result.out)[0]["file"], dtype="float32")
    frames = round(rate / LENGTH)
    heard = np.concatenate(list(model._tokenizer.encode([sound(2.0)])))
    kept = np.concatenate(list(model._tokenizer.decode([heard[-frames:]], frames * LENGTH)), axis=1)[0]
    inner = slice(1000, (frames - SMALL_CODEC.decoder_context - 1) * LENGTH)
    np.testing.assert_allclose(made[inner], kept[inner], atol=1e-4)
    at = frames * LENGTH
    steps = np.abs(np.diff(made))
    assert steps[at - 3 : at + 2].max() <= np.quantile(steps[at - rate : at + rate], 0.9999)
    high = [np.abs(np.fft.rfft(made[c - 256 : c + 256] * np.hanning(512)))[64:].sum()
            for c in range(at - rate // 2, at + rate // 2, 128)]  # fmt: skip
    assert high[len(high) // 2] < np.quantile(high, 0.99)


def test_what_follows_a_prompt_depends_on_it(model: CodecModel, prompt: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.wav", sound(2.0, pitch=900))
    following = [whole(model, request(prompt=path, prompt_seconds=0.0)) for path in (None, str(prompt), str(other))]
    assert len({one.tobytes() for one in following}) == 3
    with_more = whole(model, request(frames=100 + 20, prompt=str(prompt), prompt_seconds=20 * LENGTH / 48000))
    tail = following[1].shape[1] - SMALL_CODEC.decoder_context * LENGTH
    assert with_more.shape[1] - 20 * LENGTH == following[1].shape[1]
    assert tail > 0


def test_a_prompt_longer_than_the_prior_looks_back_is_heard_to_its_end_only(model: CodecModel, tmp_path: Path) -> None:
    """What lies further back changes nothing."""
    end = sound(3.0, seed=3)
    made = []
    for number, before in enumerate((sound(1.0, pitch=100), sound(1.0, pitch=700))):
        path = write(tmp_path / f"{number}.wav", np.concatenate([before, end], axis=1))
        made.append(whole(model, request(prompt=str(path), prompt_seconds=0.0)))
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--prompt", "none.wav"], "--prompt: none.wav is no file"),
        (["--prompt", "model.distill"], "model.distill"),
        (["--prompt", "prompt.wav", "-d", "1"], "--duration: the file would hold nothing but the prompt, 2.0 s of it"),
        (["--prompt-seconds", "3"], "--prompt-seconds: there is no --prompt"),
        (["--novelty", "1.5"], "--novelty"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    cli: Cli, file: Path, prompt: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    (tmp_path / "model.distill").write_bytes(file.read_bytes())
    result = cli("generate", "model.distill", "-s", 1, *options)
    assert result.code in (1, 2)
    assert said in result.errors[-1]
    assert not list(tmp_path.glob("murmur*"))


def test_a_replay_refuses_another_prompt(cli: Cli, file: Path, prompt: Path, tmp_path: Path) -> None:
    made = cli("generate", file, "-s", 1, "-d", 3, "--prompt", prompt).files[0]
    again = cli("replay", made.with_suffix(".json"), "--check")
    assert again.code == 0, again.err
    write(prompt, sound(2.0, pitch=500))
    again = cli("replay", made.with_suffix(".json"), "--check")
    assert again.code == 2
    assert "is not the recording it was" in again.err


def test_no_share_is_over_one_where_a_run_began_in_the_prompt(model: CodecModel, prompt: Path) -> None:
    heard = np.concatenate(list(model._tokenizer.encode([sound(2.0)])))
    following = group([row := row_of(1, 30, Settings(top_p=0.9))], prompt=heard)
    path = np.concatenate([heard, codes(following, row)])
    known = group([row := row_of(1, 30, Settings(top_p=0.9))], prompt=heard, contents=knowing([path]))
    codes(known, row)
    assert known.longest_copy(row) > 30
    model = CodecModel(codec(), prior_of(knowing([path])), NoveltyIndex.of([path]), "cpu")
    asked = request(1, 20 + 30, prompt=str(prompt), prompt_seconds=20 * LENGTH / 48000)
    [generation] = model.generate_batch([asked])
    for _ in generation.chunks:
        pass
    assert generation.statistics() == {"longest_copy_seconds": 30 * LENGTH / 48000, "longest_copy_share": 0.6}


def test_overlap_does_not_apply_and_warns(cli: Cli, file: Path) -> None:
    result = cli("generate", file, "-s", 1, "-d", 0.5, "--overlap", 100)
    assert result.code == 0
    assert result.errors == ["Warning: --overlap is not supported for codec models. Ignored."]


def test_a_codec_without_a_prior_says_how_to_get_one(cli: Cli, tmp_path: Path) -> None:
    save(codec_contents(), tmp_path / "murmur.distill")
    result = cli("generate", "murmur.distill")
    assert result.code == 1
    assert "Run 'distill train-prior' first" in result.err


def test_a_prompt_needs_a_file_that_can_be_read(model: CodecModel) -> None:
    with pytest.raises(RequestError, match="cannot be read"):
        whole(model, request(prompt="/none.wav", prompt_sha256="0"))
