"""A file says what it was told to say, to players and to us, and sounds as it did before."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import mutagen
import mutagen.flac
import mutagen.id3
import mutagen.mp3
import mutagen.oggopus
import mutagen.oggvorbis
import mutagen.wave
import numpy as np
import pytest
import soundfile
from disk import room_for
from mutagen.ogg import OggPage

from distill.audio import id3, tags
from distill.errors import DistillError, RequestError

FORMS = {
    "wav": ("WAV", "PCM_24"),
    "flac": ("FLAC", "PCM_24"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
VORBIS = {"flac": mutagen.flac.FLAC, "ogg": mutagen.oggvorbis.OggVorbis, "opus": mutagen.oggopus.OggOpus}
STANDARD = {
    "title": "Fog over pebbles",
    "artist": "Ada",
    "album": "Shore",
    "comment": "Made by a model",
    "date": "2024-05-01",
    "encoder": "distill 0.1.0",
}
OWN = {"seed": "42", "model": "pebbles", "loader": "vqvae"}
DOCUMENT = json.dumps(
    {"options": {"x;y": "a=b", "𝄞": 'say "霧"\n'}, "long": ["é"] * 20_000}, ensure_ascii=False, indent=1
)
EVERYTHING = {**STANDARD, **OWN, "distill": DOCUMENT}


def sound(path: Path, form: str, samples: int = 4801, channels: int = 1, subtype: str | None = None) -> Path:
    """Two tones and noise, in an audio file without tags of ours."""
    t = np.arange(samples) / 48000
    tones = np.stack([0.5 * np.sin(2 * np.pi * f * t) for f in (440, 660)[:channels]], axis=1)
    noise = 0.01 * np.random.default_rng(0).standard_normal((samples, channels))
    container, usual = FORMS[form]
    soundfile.write(path, tones + noise, 48000, format=container, subtype=subtype or usual)
    return path


def tagged(path: Path, form: str, fields: dict[str, str] = EVERYTHING) -> Path:
    tags.write(sound(path, form), form, fields)
    return path


def run(*command: object) -> bytes:
    """What a program prints; skips the test where the program is not installed, fails it where it complains."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(list(map(str, command)), capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout


def probed(path: Path) -> dict[str, str]:
    """What ffprobe shows, by lower-case name. It has Ogg's tags as those of the stream."""
    shown = json.loads(run("ffprobe", "-v", "error", "-of", "json", "-show_entries", "format_tags:stream_tags", path))
    of_stream, of_file = shown["streams"][0].get("tags", {}), shown["format"].get("tags", {})
    return {name.lower(): text for name, text in (of_stream | of_file).items()}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# Round trip


def test_what_was_written_is_read(tmp_path: Path, form: str) -> None:
    assert tags.read(tagged(tmp_path / "a", form)) == EVERYTHING


@pytest.mark.parametrize(
    "text",
    [
        "𝄞 霧 é",
        "a \"b\" 'c' \\",
        "a=b;c; d",
        "one\ntwo\r\nthree\n",
        " spaces ",
        "\ufeffmarked",
        "a/b",
        "0",
        "\x1b[31m",
        "TIT2\x01\x01\x01\x01\x01\x01x" * 100,
    ],
)
@pytest.mark.parametrize("field", ["title", "comment", "date", "own"])
def test_any_text_is_read_as_it_was_written(tmp_path: Path, form: str, field: str, text: str) -> None:
    assert tags.read(tagged(tmp_path / "a", form, {field: text})) == {field: text}


@pytest.mark.parametrize("length", [1, 127, 128, 255, 4080, 65_025, 65_536, 1_000_000])
def test_text_of_any_length_is_read_as_it_was_written(tmp_path: Path, form: str, length: int) -> None:
    fields = {"comment": "x" * length, "own": "y"}
    assert tags.read(tagged(tmp_path / "a", form, fields)) == fields


def test_a_name_of_every_kind_is_read_as_it_was_written(tmp_path: Path, form: str) -> None:
    fields = dict.fromkeys(("a", "0", "-", "_", "z" * 40, "description", "tit2", "lyrics-xxx"), "x")
    assert tags.read(tagged(tmp_path / "a", form, fields)) == fields


def test_an_empty_text_is_left_out(tmp_path: Path, form: str) -> None:
    assert tags.read(tagged(tmp_path / "a", form, {"title": "", "own": "", "seed": "1"})) == {"seed": "1"}


def test_a_file_without_tags_has_none(tmp_path: Path, form: str) -> None:
    assert tags.read(tagged(tmp_path / "a", form, {})) == {}


# Others


def test_ffprobe_shows_the_standard_fields(tmp_path: Path, form: str) -> None:
    shown = probed(tagged(tmp_path / "a", form))
    assert {name: shown.get(name) for name in STANDARD} == STANDARD


@pytest.mark.parametrize("form", ["flac", "ogg", "opus", "mp3"])
def test_ffprobe_shows_fields_of_our_own(tmp_path: Path, form: str) -> None:
    shown = probed(tagged(tmp_path / "a", form))
    assert {name: shown.get(name) for name in (*OWN, "distill")} == {**OWN, "distill": DOCUMENT}


def test_ffprobe_shows_all_of_a_wav_once_its_info_is_hidden(tmp_path: Path) -> None:
    """Where there is INFO, ffmpeg discards ID3."""
    path = tagged(tmp_path / "a", "wav")
    path.write_bytes(path.read_bytes().replace(b"LIST", b"JUNK"))
    assert probed(path) == EVERYTHING


def test_libsndfile_shows_what_it_knows_of(tmp_path: Path, form: str) -> None:
    with soundfile.SoundFile(tagged(tmp_path / "a", form)) as file:
        shown = {name: getattr(file, name) for name in ("title", "artist", "album", "comment", "date")}
    assert shown == {name: STANDARD[name] for name in shown}


def test_a_long_comment_hides_no_other_field_from_libsndfile(tmp_path: Path, form: str) -> None:
    with soundfile.SoundFile(tagged(tmp_path / "a", form, {**STANDARD, "comment": "x" * 100_000})) as file:
        shown = {name: getattr(file, name) for name in ("title", "artist", "album", "date")}
    assert shown == {name: STANDARD[name] for name in shown}


@pytest.mark.parametrize(("form", "reader"), [("mp3", mutagen.mp3.MP3), ("wav", mutagen.wave.WAVE)])
def test_id3_has_each_field_in_its_frame(tmp_path: Path, form: str, reader: type[mutagen.FileType]) -> None:
    frames = reader(tagged(tmp_path / "a", form)).tags
    assert frames.version == (2, 4, 0)
    assert {name: str(frame) for name, frame in frames.items()} == {
        "TIT2": STANDARD["title"],
        "TPE1": STANDARD["artist"],
        "TALB": STANDARD["album"],
        "COMM::eng": STANDARD["comment"],
        "TDRC": STANDARD["date"],
        "TSSE": STANDARD["encoder"],
        **{f"TXXX:{name}": text for name, text in OWN.items()},
        "TXXX:distill": DOCUMENT,
    }


@pytest.mark.parametrize("form", VORBIS)
def test_vorbis_comments_have_each_field_once_under_its_name(tmp_path: Path, form: str) -> None:
    assert list(VORBIS[form](tagged(tmp_path / "a", form)).tags) == [
        (name.upper(), text) for name, text in (*STANDARD.items(), *sorted((OWN | {"distill": DOCUMENT}).items()))
    ]


# Samples


def decoded(path: Path, decoder: str) -> bytes:
    """The samples of a file as one of three programs hears them."""
    if decoder == "soundfile":
        return soundfile.read(path, dtype="float64", always_2d=True)[0].tobytes()
    if decoder == "ffmpeg":
        return run("ffmpeg", "-v", "error", "-i", path, "-f", "f32le", "-")
    return run("sox", "-V1", path, "-t", "f64", "-")


@pytest.mark.parametrize("decoder", ["soundfile", "ffmpeg"])
@pytest.mark.parametrize("samples", [1, 100, 48_001])
@pytest.mark.parametrize("channels", [1, 2])
def test_no_sample_changes(tmp_path: Path, form: str, channels: int, samples: int, decoder: str) -> None:
    path = sound(tmp_path / f"a.{form}", form, samples, channels)
    before = decoded(path, decoder)
    tags.write(path, form, EVERYTHING)
    assert decoded(path, decoder) == before


@pytest.mark.parametrize("decoder", ["soundfile", "ffmpeg", "sox"])
@pytest.mark.parametrize("samples", [1, 4800, 4801])  # an odd number of 24-bit samples is an odd number of bytes
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("title", ["odd", "even"])
def test_no_sample_of_a_wav_changes(
    tmp_path: Path, title: str, subtype: str, channels: int, samples: int, decoder: str
) -> None:
    path = sound(tmp_path / "a.wav", "wav", samples, channels, subtype)
    before = decoded(path, decoder)
    tags.write(path, "wav", {"title": title})
    assert decoded(path, decoder) == before


@pytest.mark.parametrize("samples", [4800, 4801])
@pytest.mark.parametrize("title", ["odd", "even"])
@pytest.mark.parametrize(
    ("subtype", "kinds"), [("PCM_24", [b"fmt ", b"data"]), ("FLOAT", [b"fmt ", b"fact", b"PEAK", b"data"])]
)
def test_a_tagged_wav_is_chunks_from_end_to_end(
    tmp_path: Path, subtype: str, kinds: list[bytes], title: str, samples: int
) -> None:
    path = sound(tmp_path / "a", "wav", samples, 1, subtype)
    before = wav_chunks(path)
    assert [kind for kind, _ in before] == kinds
    tags.write(path, "wav", {"title": title})
    after = wav_chunks(path)
    assert after[:-2] == before
    assert [kind for kind, _ in after[-2:]] == [b"LIST", b"id3 "]


def wav_chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Kind and contents of the chunks of a WAV file; fails where they do not add up to the file."""
    data, found, at = path.read_bytes(), [], 12
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    while at < len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    assert at == len(data)
    return found


@pytest.mark.parametrize("form", ["ogg", "opus"])
def test_an_ogg_file_keeps_its_serial_number_and_has_right_checksums(tmp_path: Path, form: str) -> None:
    path = sound(tmp_path / "a", form, 200_000)
    with path.open("rb") as file:
        serial = OggPage(file).serial
    tags.write(path, form, EVERYTHING)
    pages, again = [], b""
    with path.open("rb") as file:
        while file.tell() < path.stat().st_size:
            pages.append(OggPage(file))
            again += pages[-1].write()  # with a checksum made anew
    assert again == path.read_bytes()
    assert [(page.serial, page.sequence) for page in pages] == [(serial, i) for i in range(len(pages))]


@pytest.mark.parametrize(("form", "end"), [("ogg", b"TITLE=x\1"), ("opus", b"TITLE=x")])
def test_nothing_follows_the_comments_of_an_ogg_file(tmp_path: Path, form: str, end: bytes) -> None:
    with tagged(tmp_path / "a", form, {"title": "x"}).open("rb") as file:
        _, page = OggPage(file), OggPage(file)
    assert page.packets[0].endswith(end)


# Equal bytes


def test_equal_audio_and_equal_tags_make_equal_files(tmp_path: Path, form: str) -> None:
    one = sound(tmp_path / "one", form)
    two = shutil.copy(one, tmp_path / "two")
    tags.write(one, form, EVERYTHING)
    tags.write(two, form, dict(reversed(EVERYTHING.items())))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("before", [EVERYTHING, {"title": "x" * 5000, "older": "y"}, {}])
def test_tags_replace_those_before_as_if_they_had_never_been(tmp_path: Path, form: str, before: dict[str, str]) -> None:
    one = sound(tmp_path / "one", form, 100_000)
    two = shutil.copy(one, tmp_path / "two")
    tags.write(one, form, before)
    for path in (one, two):
        tags.write(path, form, {"title": "new", "seed": "1"})
    assert tags.read(one) == {"title": "new", "seed": "1"}
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["comment", "title"])
def test_what_the_encoder_says_is_gone(tmp_path: Path, form: str, name: str) -> None:
    path = sound(tmp_path / "a", form)
    with soundfile.SoundFile(path, "w", 48000, 1, format=FORMS[form][0], subtype=FORMS[form][1]) as file:
        setattr(file, name, "something older")
        file.write(np.zeros(4801))
    assert b"something older" in path.read_bytes()
    tags.write(path, form, {"seed": "1"})
    assert b"something older" not in path.read_bytes()
    assert tags.read(path) == {"seed": "1"}


def test_tags_before_the_samples_of_a_wav_are_replaced(tmp_path: Path) -> None:
    path = sound(tmp_path / "a", "wav", 1_000_001)  # 3 MB, of which not all is moved at once
    tags.write(path, "wav", EVERYTHING)
    samples = soundfile.read(path)[0]
    form, data, *chunks = wav_chunks(path)
    body = b"".join(k + struct.pack("<I", len(b)) + b + bytes(len(b) % 2) for k, b in (form, *chunks, data))
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)
    assert tags.read(path) == EVERYTHING
    tags.write(path, "wav", {"title": "new"})
    assert tags.read(path) == {"title": "new"}
    assert b"Fog over" not in path.read_bytes()
    np.testing.assert_array_equal(soundfile.read(path)[0], samples)


def test_tags_before_a_long_mp3_come_and_go(tmp_path: Path) -> None:
    path = sound(tmp_path / "a", "mp3", 100_000)
    before = path.read_bytes() * 300  # more than is moved at once
    path.write_bytes(before)
    tags.write(path, "mp3", EVERYTHING)
    assert path.read_bytes() == id3.tag(tags.read(path)) + before
    tags.write(path, "mp3", {})
    assert path.read_bytes() == before


# What cannot be


@pytest.mark.parametrize("name", ["", "Title", "a b", "é", "a" * 41, "a=b", "a.b", "a\n", "\x1b[31m"])
def test_a_name_that_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, form: str, name: str) -> None:
    path = sound(tmp_path / "a", form)
    before = path.read_bytes()
    with pytest.raises(
        RequestError, match=r"^--tag: '[^\n\x1b]*' is not a field name\. Use 1 to 40 of a to z, 0 to 9,"
    ):
        tags.write(path, form, {"title": "x", name: "y"})
    assert path.read_bytes() == before


def test_text_that_is_not_unicode_is_refused_before_anything_is_written(tmp_path: Path, form: str) -> None:
    path = sound(tmp_path / "a", form)
    before = path.read_bytes()
    with pytest.raises(RequestError, match="^--tag: the text of 'title' is not UTF-8"):
        tags.write(path, form, {"title": "\udcff"})
    assert path.read_bytes() == before


def test_more_text_than_is_read_again_is_refused() -> None:
    tags.check({"a": "x" * (tags.LONGEST - 2), "b": "é"})
    with pytest.raises(RequestError, match="^--tag: the tags have 1048577 bytes, which is more than the 1048576"):
        tags.check({"a": "x" * (tags.LONGEST - 1), "b": "é"})


def test_a_file_that_is_of_another_format_is_one_line(tmp_path: Path, form: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"no audio")
    with pytest.raises(DistillError, match=r"^[^\n]*a cannot be tagged \([^\n]*\)\.$"):
        tags.write(path, form, STANDARD)
    assert path.read_bytes() == b"no audio"


def test_a_wav_that_would_exceed_4_gib_is_left_as_it_is(tmp_path: Path) -> None:
    path = sound(tmp_path / "a", "wav", 0)
    bare = path.stat().st_size
    tags.write(path, "wav", STANDARD)
    room = 2**32 - 2 + 8 - path.stat().st_size  # all sizes are even

    def sparse(samples: int) -> None:
        tags.write(sound(path, "wav", 0), "wav", {})
        with path.open("r+b") as file:
            file.seek(bare - 4)
            file.write(struct.pack("<I", samples))
            file.seek(4)
            file.write(struct.pack("<I", bare - 8 + samples))
            file.truncate(bare + samples)

    sparse(room)
    tags.write(path, "wav", STANDARD)
    assert tags.read(path) == STANDARD
    assert soundfile.info(path).frames == room // 3
    sparse(room + 2)
    before = path.stat()
    with pytest.raises(DistillError, match="^With its tags, the file would exceed the 4 GiB that a WAV file can have"):
        tags.write(path, "wav", STANDARD)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("missing", [1, 100, 4000, 100_000])
def test_a_full_disk_is_an_error(tmp_path: Path, form: str, missing: int) -> None:
    size = tagged(tmp_path / "whole", form).stat().st_size
    path = sound(tmp_path / "cut", form)
    with room_for(size - missing), pytest.raises((OSError, DistillError)):
        tags.write(path, form, EVERYTHING)


# Files from strangers


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("wav", ()),
        ("flac", ()),
        ("ogg", ("-c:a", "libvorbis")),
        ("opus", ("-c:a", "libopus")),
        ("mp3", ("-id3v2_version", 3)),
        ("mp3", ("-id3v2_version", 4)),
    ],
)
def test_what_ffmpeg_writes_is_read(tmp_path: Path, suffix: str, options: tuple[object, ...]) -> None:
    path = tmp_path / f"a.{suffix}"
    wanted = {"title": "Fog 霧", "artist": "Ada", "date": "2024"}
    metadata = [part for name, text in wanted.items() for part in ("-metadata", f"{name}={text}")]
    run("ffmpeg", "-v", "error", "-i", sound(tmp_path / "source", "wav"), *metadata, *options, path)
    found = tags.read(path)
    assert {name: found.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("encoding", [1, 2, 3])
@pytest.mark.parametrize("version", [3, 4])
def test_id3_of_other_programs_is_read(tmp_path: Path, version: int, encoding: int) -> None:
    frames = mutagen.id3.ID3()
    frames.add(mutagen.id3.TIT2(encoding=encoding, text=["霧", "𝄞"]))
    frames.add(mutagen.id3.COMM(encoding=encoding, lang="deu", desc="Größe", text=["klein"]))
    frames.add(mutagen.id3.TXXX(encoding=encoding, desc="Seed", text=["42"]))
    frames.add(mutagen.id3.TCON(encoding=encoding, text=["Ambient"]))
    frames.add(mutagen.id3.APIC(encoding=encoding, mime="image/png", data=bytes(range(256)) * 1000))
    path = sound(tmp_path / "a", "mp3")
    frames.save(path, v2_version=version)
    several = "霧; 𝄞" if version == 4 else "霧/𝄞"  # mutagen's own way to have several in one
    assert tags.read(path) == {"title": several, "größe": "klein", "seed": "42", "tcon": "Ambient"}


UTF_16 = b"\1\xff\xfeF\0\xff\0"  # an F and a ÿ, after the mark of the byte order
FRAMES_3 = {
    "plain": (0, b"TIT2" + struct.pack(">IH", 7, 0) + UTF_16),
    "spare": (0, b"TIT2" + struct.pack(">IH", 7, 0) + UTF_16 + bytes(500)),
    "unsynchronised": (0x80, (b"TIT2" + struct.pack(">IH", 7, 0) + UTF_16).replace(b"\xff", b"\xff\0")),
    "extended": (0x40, struct.pack(">IHI", 6, 0, 0) + b"TIT2" + struct.pack(">IH", 7, 0) + UTF_16),
    "after-a-packed-one": (0, b"TPE1" + struct.pack(">IH", 9, 0x80) + bytes(9) + b"TIT2\0\0\0\7\0\0" + UTF_16),
    "after-an-empty-one": (0, b"TPE1" + bytes(6) + b"TIT2" + struct.pack(">IH", 7, 0) + UTF_16),
    "after-one-of-no-encoding": (0, b"TPE1\0\0\0\2\0\0\4x" + b"TIT2" + struct.pack(">IH", 7, 0) + UTF_16),
}
FRAMES_4 = {
    "plain": (0, b"TIT2" + struct.pack(">IH", 7, 0) + UTF_16),
    "unsynchronised": (0x80, b"TIT2" + struct.pack(">IHI", 13, 3, 7) + UTF_16.replace(b"\xff", b"\xff\0")),
    "extended": (0x40, struct.pack(">IBB", 6, 1, 0) + b"TIT2" + struct.pack(">IH", 7, 0) + UTF_16),
    "after-a-packed-one": (0, b"TPE1" + struct.pack(">IH", 9, 0x08) + bytes(9) + b"TIT2\0\0\0\7\0\0" + UTF_16),
}


@pytest.mark.parametrize(
    ("version", "flags", "frames"),
    [
        pytest.param(version, *tag, id=f"{version}-{kind}")
        for version, kinds in ((3, FRAMES_3), (4, FRAMES_4))
        for kind, tag in kinds.items()
    ],
)
def test_id3_in_all_its_shapes_is_read(tmp_path: Path, version: int, flags: int, frames: bytes) -> None:
    size = bytes((len(frames) >> 7, len(frames) & 127))
    path = sound(tmp_path / "a", "mp3")
    path.write_bytes(b"ID3" + bytes((version, 0, flags, 0, 0)) + size + frames + path.read_bytes())
    assert tags.read(path) == {"title": "Fÿ"}


def test_id3_has_the_last_word_where_info_says_otherwise(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a", "wav", {"title": "long", "comment": "x"})
    said = b"INAM\5\0\0\0long\0"
    path.write_bytes(path.read_bytes().replace(said, said.replace(b"long", b"lon\0")))
    assert tags.read(path) == {"title": "long", "comment": "x"}


def test_id3_is_read_from_a_chunk_in_capitals(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a", "wav")
    path.write_bytes(path.read_bytes().replace(b"id3 ", b"ID3 "))
    assert tags.read(path) == EVERYTHING


def test_info_in_latin_1_is_read(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a", "wav", {"title": "GroXXe"})
    path.write_bytes(path.read_bytes().replace(b"GroXXe\0", b"Gr\xf6\xdfe\0\0").replace(b"id3 ", b"JUNK"))
    assert tags.read(path) == {"title": "Größe"}


@pytest.mark.parametrize("contents", [b"", b"R", b"RIFF", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"ID3", b"ID3\4" * 9,
                                      b"just a text file\n" * 100, bytes(10_000), b'{"a": 1}'])  # fmt: skip
def test_what_is_no_audio_file_is_one_line(tmp_path: Path, contents: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(contents)
    with pytest.raises(
        DistillError, match=r"^[^\n]*/a is not an audio file that can be read, or is damaged \([^\n]*\)\.$"
    ):
        tags.read(path)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tags.read(tmp_path / "none")


def test_a_wav_that_is_cut_short_is_damaged(tmp_path: Path) -> None:
    path = tagged(tmp_path / "a", "wav")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DistillError, match="damaged"):
        tags.read(path)


@pytest.mark.parametrize(
    ("form", "chunks"), [(b"AVI ", b"data\0\0\0\0"), (b"WAVE", b"fmt \0\0\0\0"), (b"WAVE", b"data\0\0\0\0" * 1001)]
)
def test_chunks_that_make_no_wav_are_refused(tmp_path: Path, form: bytes, chunks: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + form + chunks)
    with pytest.raises(DistillError, match="no WAV file with samples"):
        tags.read(path)


def read_or_refused(path: Path) -> None:
    with suppress(DistillError):
        assert all(isinstance(text, str) for text in tags.read(path).values())


def test_a_file_cut_anywhere_is_read_or_refused(tmp_path: Path, form: str) -> None:
    data = tagged(tmp_path / "a", form, STANDARD | OWN).read_bytes()
    for length in [*range(0, 800, 3), *range(800, len(data), 211)]:
        (tmp_path / "cut").write_bytes(data[:length])
        read_or_refused(tmp_path / "cut")


def test_a_file_damaged_anywhere_is_read_or_refused(tmp_path: Path, form: str) -> None:
    data = np.frombuffer(tagged(tmp_path / "a", form, STANDARD | OWN).read_bytes(), np.uint8)
    tail = len(data) - 800
    for seed in range(400):
        rng = np.random.default_rng(seed)
        damaged = data.copy()
        at = rng.integers(0, 800, 8) + (tail if seed % 2 else 0)  # where tags are, in one format or another
        damaged[at] = rng.choice(np.array([0, 1, 127, 128, 255, *rng.integers(0, 256, 3)], np.uint8), 8)
        (tmp_path / "damaged").write_bytes(damaged.tobytes())
        read_or_refused(tmp_path / "damaged")


@pytest.mark.parametrize("start", [b"", b"RIFF\xff\xff\0\0WAVE", b"fLaC", b"OggS\0", b"ID3\3\0\0\0\0\7\1", b"\xff\xfb"])
def test_noise_is_read_or_refused(tmp_path: Path, start: bytes) -> None:
    for seed in range(100):
        (tmp_path / "noise").write_bytes(start + np.random.default_rng(seed).bytes(seed * 50))
        read_or_refused(tmp_path / "noise")


def strange(path: Path, form: str, pairs: list[tuple[str, str]]) -> Path:
    """A file with more in it than `tags.write` would take."""
    sound(path, form)
    if form in VORBIS:
        audio = VORBIS[form](path)
        audio.tags[:] = pairs
    else:
        audio = (mutagen.mp3.MP3 if form == "mp3" else mutagen.wave.WAVE)(path)
        audio.add_tags()
        for name, text in pairs:
            audio.tags.add(mutagen.id3.TXXX(encoding=3, desc=name, text=[text]))
    audio.save()
    return path


def test_a_text_that_never_ends_is_cut(tmp_path: Path, form: str) -> None:
    path = strange(tmp_path / "a", form, [("long", "x" * 3 * 2**20), ("short", "y")])
    assert tags.read(path) == {"long": "x" * 2**20, "short": "y"}


def test_fields_that_never_end_are_cut(tmp_path: Path, form: str) -> None:
    path = strange(tmp_path / "a", form, [(f"field{i}", "x") for i in range(1500)])
    assert len(tags.read(path)) == 1000


def test_control_characters_are_read_as_they_are(tmp_path: Path, form: str) -> None:
    assert tags.read(strange(tmp_path / "a", form, [("bad", "\x1b]0;\x07\r")])) == {"bad": "\x1b]0;\x07\r"}


def test_several_texts_of_one_field_are_joined(tmp_path: Path, form: str) -> None:
    path = strange(tmp_path / "a", form, [("Artist" if form in VORBIS else "Who", "one"), ("artist", "two")])
    expected = {"artist": "one; two"} if form in VORBIS else {"who": "one", "artist": "two"}
    assert tags.read(path) == expected


def test_a_text_of_separators_takes_no_more_time_than_another() -> None:
    """mutagen takes a minute for an eighth of it, and four times that for twice that."""
    frame = b"TXXX" + bytes((7, 127, 127, 127)) + b"\0\0\3name\0" + bytes(2**24 - 8) + b"!"
    [(name, text)] = id3.texts(b"ID3\4\0\0\7\177\177\177" + frame)
    assert (name, text.count(";")) == ("name", 2**24 - 8)


def test_a_text_that_is_packed_is_not_unpacked() -> None:
    packed = zlib.compress(b"\3name\0" + bytes(2**24))
    frame = b"TXXX" + struct.pack(">I", len(packed)) + b"\0\x80" + packed
    assert list(id3.texts(b"ID3\3\0\0\7\177\177\177" + frame)) == []


def test_mutagen_is_imported_by_those_who_need_it() -> None:
    code = "import sys, distill.audio.tags; sys.exit(any(m.split('.')[0] in ('mutagen', 'numpy') for m in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)
