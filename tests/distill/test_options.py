"""Ready-made options: their help states unit, range and default, and a bad value is answered with all that helps."""

from __future__ import annotations

import math

import click
import pytest

from distill import options


@click.command()
def blank() -> None:
    """A command to parse an option for."""


def convert(option: click.Option, value: str) -> object:
    return option.type.convert(value, option, click.Context(blank))


@pytest.mark.parametrize(
    ("option", "ending"),
    [
        (options.temperature(), "[0.1 to 2; default 1]"),
        (options.temperature(default=0.7), "[0.1 to 2; default 0.7]"),
        (options.top_k(), "[0 or more; default 0]"),
        (options.top_p(), "[0 to 1; default 0.9]"),
        (options.min_p(), "[0 to 1; default 0]"),
        (options.overlap(), "[0 to 500 ms; default 50]"),
        (
            options.number("--n", help="N.", default=None, low=0, high=2**63 - 1, integer=True, default_means="random"),
            "[0 to 9223372036854775807; random]",
        ),
    ],
)
def test_help_ends_with_range_unit_and_default(option: click.Option, ending: str) -> None:
    record = option.get_help_record(click.Context(blank))
    assert record is not None
    assert record[1].endswith(f"  {ending}")


def test_a_hidden_option_has_no_help() -> None:
    option = options.top_k()
    option.hidden = True
    assert option.get_help_record(click.Context(blank)) is None


@pytest.mark.parametrize("value", ["0.1", "2", "2.0", "1e0"])
def test_the_ends_of_the_range_are_in_it(value: str) -> None:
    assert convert(options.temperature(), value) == float(value)


@pytest.mark.parametrize("value", ["0.0999", "2.001", "-1", "nan", "inf", "-inf", "warm", "", "1,5", "\x1b[31m"])
def test_a_bad_number_is_answered_with_the_value_and_the_range(value: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not a number from the range 0\.1 to 2\.$") as caught:
        convert(options.temperature(), value)
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("value", ["1.5", "-1", "nan", "9" * 5000, "ten"])
def test_a_bad_whole_number_is_answered_with_the_value_and_the_range(value: str) -> None:
    option = options.number("--n", help="N.", default=1, low=0, high=9, integer=True, unit="steps")
    with pytest.raises(click.BadParameter, match=r"is not a whole number from the range 0 to 9 steps\.$") as caught:
        convert(option, value)
    assert len(caught.value.message) < 200


def test_infinity_is_no_number_even_where_the_range_has_no_end() -> None:
    option = options.number("--n", help="N.", default=1.0, low=0.0, high=math.inf)
    assert convert(option, "1e300") == 1e300
    with pytest.raises(click.BadParameter, match="from the range 0 or more"):
        convert(option, "inf")
