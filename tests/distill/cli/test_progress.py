"""A bar a file: another file is another bar."""

from __future__ import annotations

import pytest

from distill.cli import progress


def test_another_file_has_a_bar_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, object]] = []

    class Tqdm:
        def __init__(self, **how: object) -> None:
            self.n = 0
            made.append({"desc": how["desc"], "total": how["total"], "bar": self, "closed": False})
            self._said = made[-1]

        def update(self, by: int) -> None:
            self.n += by

        def close(self) -> None:
            self._said["closed"] = True

    monkeypatch.setattr(progress, "tqdm", Tqdm)
    bar = progress.Bar(2, quiet=False)
    for step in ((0, 0, 3), (0, 3, 3), (1, 0, 7), (1, 2, 7)):
        bar.show(*step)
    assert [(one["desc"], one["total"], one["bar"].n, one["closed"]) for one in made] == [  # type: ignore[attr-defined]
        ("file 1/2", 3, 3, True), ("file 2/2", 7, 2, False)
    ]  # fmt: skip
