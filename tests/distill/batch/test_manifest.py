"""Rows of a manifest: what is read of CSV and JSON Lines, and where each error is said to be."""

from __future__ import annotations

import io

import pytest

from distill.batch import manifest
from distill.batch.manifest import Row, parse_seeds
from distill.batch.problems import MOST_SHOWN, Problems
from distill.errors import RequestError

NO_OBJECT = "This is no JSON object: a line is {...}, with the options of a job by name."
TOO_DEEP = "This is no JSON that can be read: it has a huge number, or lists in lists."
COLUMNS = ["model", "seed", "temperature", "top_k", "slider", "name"]


def rows(text: str, suffix: str = "") -> tuple[list[Row], list[str]]:
    """The rows of a manifest, and the errors."""
    problems = Problems("takes")
    found = list(manifest.read(io.StringIO(text, newline=""), suffix, COLUMNS, ["slider"], problems))
    return found, problems.lines


@pytest.mark.parametrize("text", [
    "model,seed,temperature\nrain,3,0.8\nfog,,\n",
    "model;seed;temperature\nrain;3;0.8\nfog;;\n",
    "model\tseed\ttemperature\nrain\t3\t0.8\nfog\t\t\n",
    "\ufeffmodel,seed,temperature\r\nrain,3,0.8\r\n\"fog\",,\r\n",
    "Model, --seed , Temperature\nrain, 3 ,0.8\nfog\n",
])  # fmt: skip
def test_csv_is_read_as_spreadsheets_write_it(text: str) -> None:
    found, errors = rows(text, ".csv")
    assert errors == []
    assert found == [Row(2, {"model": "rain", "seed": "3", "temperature": "0.8"}), Row(3, {"model": "fog"})]


def test_a_row_is_where_it_begins_whatever_is_before_it() -> None:
    found, errors = rows('\n\nmodel,name\nrain,"two\nlines"\n\nfog,\nmist\n')
    assert errors == []
    assert [(row.line, row.values["model"]) for row in found] == [(4, "rain"), (7, "fog"), (8, "mist")]


def test_a_repeatable_option_may_have_several_columns() -> None:
    found, errors = rows("model,slider,slider\nrain,0:5,\nfog,0:1,1:-3\n")
    assert errors == []
    assert [row.values["slider"] for row in found] == [["0:5"], ["0:1", "1:-3"]]


def test_json_lines_keep_the_types_that_they_say() -> None:
    found, errors = rows(
        '{"model": "rain", "top-k": 5, "temperature": 0.8, "slider": ["0:5"]}\n\n{"model":"fog","seed":null}'
    )
    assert errors == []
    assert found == [
        Row(1, {"model": "rain", "top_k": 5, "temperature": 0.8, "slider": ["0:5"]}), Row(3, {"model": "fog"}),
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "errors"), [
    ("", ["takes:1: The manifest is empty. Give a line of JSON, or of CSV under a line of columns."]),
    ("\n \n", ["takes:1: The manifest is empty. Give a line of JSON, or of CSV under a line of columns."]),
    ("model,temprature\nrain,1\n", ["takes:1:temprature: There is no such option. Near it: temperature."]),
    ("model,seed,Seed\nrain,1,2\n", ["takes:1:Seed: There are two such columns."]),
    ("model;;\nrain;1;\nfog;;\n", ["takes:2:2: The column of this cell has no name."]),
    (",".join(["tag"] * 2000), ["takes:1: There are 2000 columns; 1000 are allowed."]),
    ("\udcff\udcfem\0o\0d\0", ["takes:1: This is not in UTF-8. Save the manifest in that encoding."]),
    ("m\0o\0d\0", ["takes:1: This is not in UTF-8. Save the manifest in that encoding."]),
    ("[\n{},\n{}\n]\n", ["takes:1: A line must hold a whole object; 'jq -c .[]' writes a list so."]),
    ("model,seed\nrain,1,2\nfog\n", ["takes:2:3: The row has 3 cells, and there are 2 columns."]),
    ("model,seed\nrain,1\n\"fog,2\n", ["takes:3: The row that begins here is no CSV: unexpected end of data."]),
    ("model,name\nrain,\udcff\n", ["takes:2:name: This is not in UTF-8. Save the manifest in that encoding."]),
    ('{"model": "rain"}\n{"model" "fog"}\n', ["takes:2:10: This is no JSON: Expecting ':' delimiter."]),
    ('{"model": "rain"}\n["fog"]\n', [f"takes:2: {NO_OBJECT}"]),
    ('{"model": "rain", "model": "fog"}', ["takes:1:model: It is given twice."]),
    ('{"model": "rain", "sed": 1}', ["takes:1:sed: There is no such option. Near it: seed."]),
    ('{"model": "\udcff"}', ["takes:1: This is not in UTF-8. Save the manifest in that encoding."]),
    ('{"seed": ' + "[" * 100_000, [f"takes:1: {TOO_DEEP}"]),
    ('{"seed": ' + "9" * 5000 + "}", [f"takes:1: {TOO_DEEP}"]),
])  # fmt: skip
def test_each_error_is_told_with_its_place(text: str, errors: list[str]) -> None:
    assert rows(text)[1] == errors


def test_all_errors_are_told_at_once_and_good_rows_are_read_on() -> None:
    found, errors = rows('{"model": "rain", "x": 1}\n{\n{"model": "fog"}\n[]\n')
    assert [line.split(" ")[0] for line in errors] == ["takes:1:x:", "takes:2:2:", "takes:4:"]
    assert found[-1] == Row(3, {"model": "fog"})


def test_a_hundred_errors_are_told_in_words_and_the_rest_counted() -> None:
    problems = Problems("takes")
    for line in range(1, 3 * MOST_SHOWN):
        problems.add(line, "seed", "It is wrong.")
    assert len(problems.lines) == MOST_SHOWN
    assert str(problems.error()) == "takes has 299 errors, 199 more than are shown. Nothing was made."


def test_the_suffix_goes_before_what_the_text_looks_like() -> None:
    assert rows("model,seed\n", ".jsonl")[1] == ["takes:1:1: This is no JSON: Expecting value."]
    assert rows("{}\n", ".csv")[1] == ["takes:1:{}: There is no such option."]


@pytest.mark.parametrize(("text", "seeds"), [
    ("7", [range(7, 8)]), ("0-99", [range(100)]), ("0-9, 20-29,5", [range(10), range(20, 30), range(5, 6)]),
])  # fmt: skip
def test_seeds_are_numbers_and_ranges_both_ends_included(text: str, seeds: list[range]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "-1", "5-3", "1-", "1,,2", "0-9223372036854775808", "1.5"])
def test_what_names_no_seeds_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="names no seeds. Give such as 7, 0-99"):
        parse_seeds(text)
