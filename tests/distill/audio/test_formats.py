"""What a format cannot hold is refused with the option, the value and what it can hold."""

from __future__ import annotations

from typing import Any

import pytest

from distill.audio.formats import FORMATS, check_length, output_format
from distill.errors import RequestError


@pytest.mark.parametrize(("name", "depth"), [("wav", "24-bit"), ("flac", "24-bit"), ("ogg", None), ("mp3", None)])
def test_the_bit_depth_is_24_unless_asked_otherwise(name: str, depth: str | None) -> None:
    assert output_format(name, 48000).bit_depth == depth


@pytest.mark.parametrize(
    ("name", "rate", "depth", "message"),
    [
        ("mp3", 96000, None, "--sample-rate: mp3 cannot hold 96000 Hz; it can hold 8000, 11025, .*, 48000 Hz"),
        ("wav", 7999, None, "--sample-rate: wav cannot hold 7999 Hz; it can hold 8000 to 192000 Hz"),
        ("flac", 48000, "32-bit-float", "--bit-depth: flac cannot hold 32-bit-float; it can hold 16-bit, 24-bit"),
        ("ogg", 48000, "16-bit", "--bit-depth: ogg has no bit depth"),
        ("mp3", 48000, "24-bit", "--bit-depth: mp3 has no bit depth"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(name: str, rate: int, depth: str | None, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        output_format(name, rate, depth)


@pytest.mark.parametrize(
    ("rate", "holds"), [(65535, True), (65537, False), (65540, True), (95999, False), (96000, True)]
)
def test_flac_holds_rates_over_65535_hz_that_are_multiples_of_10(rate: int, holds: bool) -> None:
    if holds:
        assert output_format("flac", rate).sample_rate == rate
        return
    with pytest.raises(RequestError, match="8000 to 192000 Hz, over 65535 Hz multiples of 10"):
        output_format("flac", rate)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("wav", {"quality": 3.0}, "--quality: wav loses nothing.*ogg or opus or mp3"),
        ("flac", {"quality": 3.0}, "--quality: flac loses nothing"),
        ("mp3", {"compression": 3}, "--compression: mp3 has none.*--format flac"),
    ],
)
def test_an_encoder_setting_that_a_format_has_not_is_refused(name: str, options: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        output_format(name, 48000, **options)


@pytest.mark.parametrize("name", ["wav", "flac", "ogg"])
def test_both_ends_of_the_rates_can_be_held(name: str) -> None:
    assert [output_format(name, rate, None).sample_rate for rate in (8000, 192000)] == [8000, 192000]


@pytest.mark.parametrize("name", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("rate", [7999, 192001])
def test_a_rate_just_past_either_end_is_refused(name: str, rate: int) -> None:
    with pytest.raises(RequestError, match=f"--sample-rate: {name} cannot hold {rate} Hz; it can hold 8000 to 192000"):
        output_format(name, rate, None)


@pytest.mark.parametrize(("depth", "size"), [("16-bit", 2), ("24-bit", 3), ("32-bit-float", 4)])
def test_a_wav_over_4_gib_is_refused_with_what_helps(depth: str, size: int) -> None:
    form = output_format("wav", 48000, depth)
    most = (2**32 - 2**20) // (2 * size)
    check_length(form, most, 2)
    with pytest.raises(RequestError, match=r"--duration: wav files hold at most 4 GiB.*Use flac"):
        check_length(form, most + 1, 2)


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"wav"}))
def test_other_formats_have_no_such_end(name: str) -> None:
    check_length(output_format(name, 48000, None), 10**12, 2)
