"""Pickles as data: which opcodes are let through, and what a global becomes."""

from __future__ import annotations

import pickle
import pickletools
import random
from collections import OrderedDict
from typing import Any

import pytest

from distill.pickles import Placeholder, Unpickler, checked, is_dangerous, is_needed

VALUES: list[Any] = [
    None, True, 0, 255, 256, 70_000, -1, 2**40, -(2**80), 10**700, 1.5, "", "text", "x" * 300, "ü" * 70_000, b"bytes",
    [], [1], [1, 2], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}, {"a": 1}, {"a": 1, "b": [2]}, OrderedDict(a=1),
    [str(number) for number in range(70_000)],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_what_the_pickler_writes_at_protocol_2_is_let_through_to_its_end(value: object) -> None:
    data = pickle.dumps(value, protocol=2)
    assert checked(data + b"trailing")[1] == len(data)
    if not isinstance(value, bytes):  # which protocol 2 writes as a call
        assert Unpickler(data).load() == value


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps([1], protocol=0), pickle.dumps("text", protocol=4),
        b"\x80\x02(ios\nsystem\n.", b"\x80\x02(cos\nsystem\no.",
        b"\x80\x02\x82\x01.", b"\x80\x02}r\xff\xff\xff\x0f.", b"\x80\x02}p123456789\n.", b"\x80\x02X\xff\xff\xff\x7fa.",
        b"\x80\x02\x8b\xff\xff\xff\xff.", b"\x80\x02", b"", b"\x80\x02N",
    ],
    ids=[
        "protocol 0", "protocol 4", "INST", "OBJ", "EXT1", "high number", "PUT", "long text", "negative", "bare",
        "empty", "no end",
    ],
)  # fmt: skip
def test_other_opcodes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        Unpickler(data)


@pytest.mark.filterwarnings("ignore:invalid escape")
def test_damaged_pickles_pass_only_where_every_opcode_and_number_is_one_that_pickletools_finds_harmless() -> None:
    """The check is a regular expression; what it lets through is compared with Python's own reading of it."""
    whole = pickle.dumps({"a": [1.5, 2**50, "text", (1, 2)], "b": OrderedDict(x="y"), "c": b"z"}, protocol=2)
    rng = random.Random(2)
    let_through = 0
    for _ in range(30_000):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        data = bytes(damaged)
        try:
            _, end = checked(data)
        except ValueError:
            continue
        let_through += 1
        opcodes = []
        try:
            for opcode, argument, _ in pickletools.genops(data[:end]):
                opcodes.append(opcode.name)
                assert opcode.name not in ("INST", "OBJ", "EXT1", "EXT2", "EXT4", "STACK_GLOBAL", "PUT", "NEWOBJ_EX")
                assert "BINPUT" not in opcode.name or argument <= max(255, len(data), 65535)
        except (UnicodeDecodeError, ValueError):
            continue  # a text that is no UTF-8, on which the unpickler stops too
        assert opcodes[-1] == "STOP"
    assert let_through > 1000


def test_a_global_is_inert_under_todays_name() -> None:
    unpickler = Unpickler(b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.")
    made = unpickler.load()
    assert (type(made).__bases__, made.stands_for) == ((Placeholder,), "builtins.eval")
    assert unpickler.globals == {("builtins", "eval")}


@pytest.mark.parametrize(
    ("module", "name", "dangerous", "needed"),
    [
        ("os", "system", True, False), ("posix", "system", True, False), ("builtins", "eval", True, False),
        ("importlib", "import_module", True, False), ("builtins", "bytes", False, True),
        ("elsewhere", "Settings", False, False), ("torch", "FloatStorage", False, True),
        ("torch", "float32", False, True),
        ("torch._utils", "_rebuild_tensor_v2", False, True), ("torch.hub", "load", False, False),
        ("numpy", "ndarray", False, True), ("numpy._core.multiarray", "_reconstruct", False, True),
        ("numpy", "load", False, False), ("collections", "OrderedDict", False, True),
    ],
)  # fmt: skip
def test_what_the_format_needs_is_told_from_what_it_does_not_and_what_could_run(
    module: str, name: str, dangerous: bool, needed: bool
) -> None:
    assert (is_dangerous(module, name), is_needed(module, name)) == (dangerous, needed)
