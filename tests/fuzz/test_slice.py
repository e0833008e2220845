"""Half a minute of fuzzing: files in order, changed at random, through every reader. `run.py` does it for longer."""

from __future__ import annotations

import random
import signal
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from seeds import WORDS, seeds
from targets import TARGETS, run

EXAMPLES = {
    "header": 1200, "archive": 5000, "pickle": 800, "sidecar": 2500, "tags": 800, "presets": 400, "manifest": 2000,
    "config": 500,
}  # fmt: skip
"""About four seconds of each."""
LONGEST_S = 20
"""After which reading one input counts as hanging."""


@pytest.fixture(scope="module")
def beginnings() -> dict[str, list[bytes]]:
    return seeds()


def mutated(data: bytes, words: list[bytes], rng: random.Random) -> bytes:
    """`data`, changed in a few places: bits, bytes, words, cuts, repeats, and lengths one off."""
    for _ in range(rng.choice([1, 1, 2, 4, 8])):
        at, to = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        kind = rng.randrange(7)
        if kind == 0 and data:
            at = rng.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + rng.randbytes(rng.choice([1, 4, 8])) + data[at:]
        elif kind == 2:
            data = data[:at] + rng.choice(words) + data[at:]
        elif kind == 3:
            data = data[:at] + rng.choice(words) + data[to:]
        elif kind == 4:
            data = data[:at] + data[to:]
        elif kind == 5:
            data = data[:to] + data[at:to] * rng.choice([1, 2, 50]) + data[to:]
        elif data:
            at = rng.randrange(len(data))
            data = data[:at] + bytes([(data[at] + rng.choice([-1, 1])) % 256]) + data[at + 1 :]
        data = data[:20_000]
    return data


def packed_anew(data: bytes, words: list[bytes], rng: random.Random) -> bytes:
    """A checkpoint whose pickle is changed, in an archive that is as it should be; `data` where it is no archive."""
    changed = BytesIO()
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive, zipfile.ZipFile(changed, "w") as new:
            for name in archive.namelist():
                record = archive.read(name)
                new.writestr(name, mutated(record, words, rng) if name.endswith("data.pkl") else record)
    except zipfile.BadZipFile:
        return data
    return changed.getvalue()


@contextmanager
def no_hanging() -> Iterator[None]:
    """Have it fail where it goes on for ever."""

    def give_up(*_: object) -> None:
        pytest.fail(f"it takes more than {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.no_cover  # what it reaches is covered elsewhere, and this is slower by half when it is watched
@pytest.mark.parametrize("name", TARGETS)
def test_whatever_the_bytes_they_are_read_or_refused_in_a_line(name: str, beginnings: dict[str, list[bytes]]) -> None:
    found = {True: 0, False: 0}

    @settings(max_examples=EXAMPLES[name], deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.integers(min_value=0, max_value=2**64))
    def read(seed: int) -> None:
        rng = random.Random(seed)
        change = packed_anew if name == "header" and rng.random() < 0.5 else mutated
        with no_hanging():
            found[run(name, change(rng.choice(beginnings[name]), WORDS[name], rng))] += 1

    read()
    assert min(found.values()) > 0  # neither all refused nor all accepted: changes reach behind the first check


@pytest.mark.parametrize("name", TARGETS)
def test_files_in_order_are_accepted(name: str, beginnings: dict[str, list[bytes]]) -> None:
    accepted = [run(name, data) for data in beginnings[name]]
    # A text is tried as every kind of manifest, and of two directories one is of another archive.
    assert all(accepted) or (any(accepted) and name in {"manifest", "archive"})
