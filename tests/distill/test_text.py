"""Text from a file cannot confuse a terminal, a path or a tag."""

from __future__ import annotations

import pytest

from distill.text import clean, file_stem


@pytest.mark.parametrize(
    ("dirty", "printable"),
    [
        ("plain", "plain"),
        ("Überklang 音", "Überklang 音"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("two\nlines\r\n", "two lines"),
        ("abc\u202etxt", "abc txt"),
        ("null\x00", "null"),
        (b"bytes", "b'bytes'"),
    ],
)
def test_clean_text_is_one_printable_line(dirty: object, printable: str) -> None:
    assert clean(dirty) == printable


def test_long_text_ends_in_an_ellipsis() -> None:
    assert clean("a" * 10**7, limit=5) == "aaaa…"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("my model", "my-model"),
        ("../../etc/passwd", "etc-passwd"),
        ("/absolute", "absolute"),
        (".hidden", "hidden"),
        ("a:b*c?", "a-b-c"),
        ("Über音", "Über音"),
        ("", "model"),
        ("...", "model"),
        ("con", "model-con"),
        ("LPT1.x", "model-LPT1.x"),
    ],
)
def test_a_name_becomes_a_file_name_that_stays_in_its_folder(name: str, stem: str) -> None:
    assert file_stem(name) == stem


def test_a_file_name_fits_every_file_system() -> None:
    assert len(file_stem("音" * 500).encode()) <= 60
