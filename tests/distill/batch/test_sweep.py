"""Sweeps: the values that a range or a list stands for, and every combination of them."""

from __future__ import annotations

import click
import pytest

from distill import options
from distill.batch import sweep
from distill.batch.manifest import Row
from distill.errors import RequestError

COLUMNS = {
    "temperature": options.temperature(), "top_k": options.top_k(),
    "format": click.Option(["--format"], type=click.Choice(["wav", "flac"])),
    "slider": click.Option(["--slider"], multiple=True),
}  # fmt: skip


@pytest.mark.parametrize(("text", "name", "values"), [
    ("temperature=0.6:1.2:0.2", "temperature", ["0.6", "0.8", "1", "1.2"]),
    ("temperature=0.1:0.35:0.1", "temperature", ["0.1", "0.2", "0.3"]),
    ("temperature=1:1:1", "temperature", ["1"]),
    ("--top-k=0,20,50", "top_k", ["0", "20", "50"]),
    ("top_k=0,100:300:100", "top_k", ["0", "100", "200", "300"]),
    ("Format=wav, flac", "format", ["wav", "flac"]),
    ("slider=0:5,0:-5", "slider", ["0:5", "0:-5"]),
])  # fmt: skip
def test_a_list_or_a_range_with_both_ends(text: str, name: str, values: list[str]) -> None:
    assert sweep.parse(text, COLUMNS) == (name, values)


@pytest.mark.parametrize(("text", "said"), [
    ("temperature", "is no setting with values, such as"),
    ("temperature=", "is no setting with values, such as"),
    ("temprature=1", "'temprature' is no option of generate. Near it: temperature."),
    ("temperature=1,,2", "temperature has an empty value"),
    ("temperature=1:2", "'1:2' is no FIRST:LAST:STEP"),
    ("temperature=a:b:c", "'a:b:c' is no FIRST:LAST:STEP"),
    ("temperature=1:0:0.1", "leads nowhere"),
    ("temperature=0:1:0", "leads nowhere"),
    ("temperature=0:1:nan", "leads nowhere"),
    ("temperature=0:1:1e-9", "is more than 10000 values"),
    ("temperature=0:1e999999:1", "is more than 10000 values"),
    ("temperature=0:1e999999:1e-999999", "is more than 10000 values"),
    ("temperature=0.6:1:0.2,1", "temperature has a value twice"),
])  # fmt: skip
def test_what_is_no_sweep_is_refused(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        sweep.parse(text, COLUMNS)


def test_every_combination_comes_with_all_seeds_the_last_setting_fastest() -> None:
    found = list(sweep.rows("rain", {"temperature": ["0.6", "1"], "top_k": ["0", "20"]}, [range(2), range(9, 10)]))
    assert [row.line for row in found] == list(range(1, 9))
    assert found[2] == Row(3, {"model": "rain", "temperature": "0.6", "top_k": "20", "seed": 0, "count": 2})
    assert found[-1] == Row(8, {"model": "rain", "temperature": "1", "top_k": "20", "seed": 9, "count": 1})


def test_without_seeds_rows_say_none() -> None:
    assert list(sweep.rows("rain", {"top_k": ["0"]}, None)) == [Row(1, {"model": "rain", "top_k": "0"})]
