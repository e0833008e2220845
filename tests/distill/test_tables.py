"""Rows under titles."""

from __future__ import annotations

from distill.tables import columns, table


def test_columns_line_up_and_empty_ones_go() -> None:
    assert table(["NAME", ">SIZE", "NOTE"], [["a", "1", ""], ["bcdef", "234", ""]]) == (
        "NAME   SIZE\na         1\nbcdef   234"
    )


def test_wide_characters_take_two_columns_and_accents_none() -> None:
    assert [columns(text) for text in ("rain", "雨音", "e\u0301", "Größe")] == [4, 4, 1, 5]
    assert table(["NAME", "ID"], [["雨音", "1"], ["rain!", "2"]]) == "NAME   ID\n雨音   1\nrain!  2"
