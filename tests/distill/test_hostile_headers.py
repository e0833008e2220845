"""Headers made to hang, to fill the memory or to end the process, through every command that reads headers alone.

Each run is a process of its own, with 1 GB of memory and a time in which it must end by itself.
"""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TIMEOUT_S = 60.0
"""Far more than any of them takes, and far less than what they were made for."""
HEAD = b"\x80\x02}(X\x06\x00\x00\x00formatX\x0d\x00\x00\x00distill_modelX\x07\x00\x00\x00versionK\x02X\x01\x00\x00\x00x"
"""A checkpoint's dictionary, up to the value of one more key."""
TAIL = b"u."


def twice(levels: int, opcode: bytes = b"\x86", first: bytes = b")") -> bytes:
    """Opcodes that leave a value which holds another twice, so many levels deep: 2**levels of it."""
    made = first + b"r" + struct.pack("<I", 1000) + b"0"
    for level in range(levels):
        last = b"j" + struct.pack("<I", 1000 + level)
        made += (b"](" if opcode == b"e" else b"") + 2 * last + opcode + b"r" + struct.pack("<I", 1001 + level) + b"0"
    return made + b"j" + struct.pack("<I", 1000 + levels)


def wide(first: bytes, levels: int = 6, width: int = 1000) -> bytes:
    """Lists of a thousand times the same list of a thousand times ..."""
    made = first + b"r" + struct.pack("<I", 1000) + b"0"
    for level in range(levels):
        made += (
            b"](" + width * (b"j" + struct.pack("<I", 1000 + level)) + b"er" + struct.pack("<I", 1001 + level) + b"0"
        )
    return made + b"j" + struct.pack("<I", 1000 + levels)


def tensor(shape: bytes) -> bytes:
    """A tensor of the shape that opcodes leave."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape + b")\x89NtR"


ORDERED = b"ccollections\nOrderedDict\n"
LARGEST = b"\x8a\xff" + b"\xff" * 254 + b"\x7f"
KEYED = {
    "a tuple a million deep": b")" + b"\x85" * 10**6,
    "a tuple of 2**60 tuples": twice(60),
    "a whole number of many with its hash": b"\x8a\x0a" + (5 * (2**61 - 1) << 8).to_bytes(10, "little"),
}
HOSTILE = {
    **{f"{name} as a key": b"}" + key + b"K\x01s" for name, key in KEYED.items()},
    **{
        f"{name} as a key of an ordered one": b"ccollections\nOrderedDict\n)R" + k + b"K\x01s"
        for name, k in KEYED.items()
    },
    **{
        f"{name} among its pairs": b"ccollections\nOrderedDict\n](" + k + b"K\x01\x86e\x85R"
        for name, k in KEYED.items()
    },
    "lists in lists, 10**18 of them": wide(b"]"),
    "tensors in lists, 10**18 of them": wide(tensor(b")")),
    "a list of 2**60 lists": twice(60, b"e", b"]"),
    "a list a million deep": b"]" * 10**6 + b"a" * (10**6 - 1),
    "a shape of 100 huge sizes": tensor(b"(" + 100 * LARGEST + b"t"),
    "a shape of 100000 sizes": tensor(b"(" + 10**5 * b"K\x02" + b"t"),
    "a negative size": tensor(b"J\xff\xff\xff\xff\x85"),
    "a million lists": b"](" + b"]" * (4 * 2**20 - 300) + b"e",
    "a million dictionaries": b"](" + b"}" * (4 * 2**20 - 300) + b"e",
    "a hundred thousand globals": b"](" + b"".join(b"ca\nb%d\n" % n for n in range(10**5)) + b"e",
    "300 globals, 2000 times": b"](" + b"".join(b"ca\nb%d\n" % n for n in range(300)) * 2000 + b"e",
    "a dictionary whose methods are replaced": b"ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsK\x01sb",
    "a tensor whose shape is replaced": tensor(b")") + b"}X\x05\x00\x00\x00shapeK\x01sb",
    "a global that is given a state": b"celsewhere\nX\n}b",
    "a number of four million digits": b"\x8b" + struct.pack("<I", 4 * 10**6) + b"\x7f" * 4 * 10**6,
}
REFUSED = {
    *(name for name in HOSTILE if "key" in name or "pairs" in name),
    "a million dictionaries",
    "a hundred thousand globals",
    "a dictionary whose methods are replaced",
}


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@pytest.mark.parametrize("command", ["inspect", "models info", "models list"])
@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_answered_and_everything_goes_on(tmp_path: Path, name: str, command: str) -> None:
    path = tmp_path / "hostile.distill"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", HEAD + HOSTILE[name] + TAIL)
    arguments = ["--library", tmp_path] if command == "models list" else [path]
    done = subprocess.run(
        [sys.executable, "-m", "distill", *command.split(), *arguments], capture_output=True, text=True,
        timeout=TIMEOUT_S, preexec_fn=limited, check=False,
    )  # fmt: skip
    errors = done.stderr.splitlines()
    assert done.returncode in (0, 1), done.stderr[-500:]
    assert len(errors) == done.returncode, done.stderr[-500:]
    assert [error for error in errors if not error.startswith("Error: ") or " broke: " in error] == []
    if name in REFUSED:
        assert done.returncode == 1
        assert "has a damaged header" in errors[0]
    if command == "models list":
        assert "starter" in done.stdout


def test_a_harmless_one_of_the_same_make_is_read(tmp_path: Path) -> None:
    """What is refused above is refused for what it holds, not for how it is packed."""
    path = tmp_path / "harmless.distill"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", HEAD + b"}X\x01\x00\x00\x00aK\x01s" + TAIL)
    done = subprocess.run(
        [sys.executable, "-m", "distill", "inspect", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
