"""What tells files apart is read from their sidecars, whatever is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from variations import sidecar

from distill.errors import DistillWarning
from distill.record import Record
from distill.report.columns import MOST_COLUMNS, columns


def records(*said: dict[str, Any]) -> list[Record]:
    return [Record(Path(f"{index}.json"), sidecar(f"{index}.wav", {}) | one) for index, one in enumerate(said)]


def values(*said: dict[str, Any]) -> dict[str, list[Any]]:
    return {one.name: one.values for one in columns(records(*said))}


def test_what_differs_is_told_from_what_is_the_same() -> None:
    found = columns(records({"options": {"temperature": 0.5, "top_k": 3}}, {"options": {"temperature": 1, "top_k": 3}}))
    assert [(one.name, one.values) for one in found if one.varies] == [("temperature", [0.5, 1])]
    same = {one.name: one.values[0] for one in found if not one.varies}
    assert same == {
        "model": "rain", "seed": 1, "top-k": 3, "duration": 1.5, "sample-rate": 48000, "channels": 1, "format": "wav",
        "normalize": "peak", "peak": -1.0, "true peak": -0.9, "clipped samples": 0,
    }  # fmt: skip


def test_an_option_that_a_model_does_not_have_is_empty() -> None:
    found = values({"options": {"temperature": 0.5}}, {"options": {"slider": [0, "5"]}})
    assert found["temperature"] == [0.5, None]
    assert found["slider"] == [None, "0, 5"]


def test_every_place_of_a_sidecar_that_holds_a_setting_or_a_figure_is_read() -> None:
    found = values(
        {
            "space": {"mode": "binaural", "width": 0.3, "depth": 0.7, "hrtf": {"path": "/home/ann/ears.sofa"}},
            "two_seeds": True, "bit_depth": "24-bit", "quality": 3.0, "precision": "bf16", "device": "cuda",
            "asked_tags": {"mood": "calm"}, "stats": {"mean_entropy": 3.2},
        }
    )  # fmt: skip
    wanted = {
        "spatial-mode": "binaural", "spatial-width": 0.3, "spatial-depth": 0.7, "hrtf": "ears.sofa", "two-seeds": "yes",
        "bit-depth": "24-bit", "quality": 3.0, "precision": "bf16", "device": "cuda", "tag mood": "calm",
        "mean entropy": 3.2,
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == {name: [value] for name, value in wanted.items()}
    assert [one.is_figure for one in columns(records({"stats": {"x": 1.0}})) if one.name in ("x", "seed")] == [
        False,
        True,
    ]


def test_a_figure_that_is_called_as_a_setting_is_told_from_it() -> None:
    assert values({"stats": {"seed": 4.0}})["seed (figure)"] == [4.0]


def test_two_models_of_one_name_are_told_apart() -> None:
    ours = {"name": "rain", "sha256": "0123456789"}
    assert values({"model": ours}, {"model": {"name": "rain", "sha256": "ff23456789"}})["model"] == [
        "rain 01234567",
        "rain ff234567",
    ]
    assert values({"model": ours}, {"model": ours})["model"] == ["rain", "rain"]


def test_the_users_own_folder_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert values({"options": {"prompt": "/home/ann/in.wav"}})["prompt"] == ["~/in.wav"]
    assert values({"options": {"prompt": ["/home/ann/in.wav"]}})["prompt"] == ["~/in.wav"]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("red\x1b[31m\u202e\n", "red [31m"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (2**60, str(2**60)),
        (True, "yes"),
        ({"a": 1, "b": [2]}, "a 1, b [2]"),
        ("", None),
        ([], None),
    ],
)
def test_values_are_what_a_browser_can_hold_and_show(value: Any, plain: Any) -> None:
    assert values({"options": {"odd": value, "other": 0}}).get("odd", [None]) == [plain]


@pytest.mark.parametrize("key", ["model", "options", "space", "level", "stats", "asked_tags", "seed"])
@pytest.mark.parametrize("wrong", [None, 3, "text", [1], {"after": 3, "hrtf": 3, "name": {"x": 1}}])
def test_what_is_not_as_it_should_be_breaks_nothing(key: str, wrong: Any) -> None:
    assert all(len(one.values) == 1 for one in columns(records({key: wrong})))


def test_of_too_many_columns_the_first_are_shown() -> None:
    with pytest.warns(DistillWarning, match=rf"the first {MOST_COLUMNS} are shown"):
        assert len(values({"options": {f"o{number}": number for number in range(10_000)}})) == MOST_COLUMNS
