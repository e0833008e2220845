"""Checkpoints made to do harm, each written into a file: what a stranger might send.

`CORPUS` has them by name. What is meant to run would leave a file called `CANARY` in the folder it runs in.
"""

from __future__ import annotations

import io
import os
import pickle
import socket
import struct
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checkpoints import codec_prior_contents, save, vae_contents, vqvae_contents

CANARY = "canary"
COMMAND = f"touch {CANARY}"

Write = Callable[[Path], object]


@dataclass(frozen=True)
class Hostile:
    """How a file is written, and which commands must refuse it."""

    write: Write
    refused_by: tuple[str, ...]


# --- what a data.pkl can hold -----------------------------------------------------------------------------------------


def archived(data: bytes, records: Mapping[str, bytes] | None = None) -> Write:
    """An archive as torch.save lays it out, whose data.pkl is `data`."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("m/data.pkl", data)
            for name, record in (records or {}).items():
                archive.writestr(f"m/{name}", record)

    return write


def text(value: str) -> bytes:
    """The opcodes that leave a text."""
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


HEAD = b"\x80\x02}(" + text("format") + text("distill_model") + text("version") + b"K\x03" + text("model_type")
HEAD += text("codec") + text("x")
"""A checkpoint's dictionary, up to the value of one more key."""
TAIL = b"u."


def value(opcodes: bytes) -> Write:
    """A checkpoint with the value that `opcodes` leave."""
    return archived(HEAD + opcodes + TAIL)


def call(module: str, name: str, *arguments: str) -> bytes:
    """Opcodes that call a global with texts."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(map(text, arguments)) + b"tR"


class Reduced:
    """What pickles as a call."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.called = function, arguments

    def __reduce__(self) -> Any:
        return self.called


def pickled(protocol: int) -> Write:
    """A checkpoint whose pickle has this protocol, with a value that calls `os.system`."""
    contents = {"format": "distill_model", "version": 3, "model_type": "codec", "x": Reduced(os.system, COMMAND)}
    return archived(pickle.dumps(contents, protocol))


SYSTEM = call("os", "system", COMMAND)
PYTHON = f"open({CANARY!r}, 'w')"
CALLS = {
    "os.system": value(SYSTEM),
    "posix.system": value(call("posix", "system", COMMAND)),
    "builtins.eval": value(call("builtins", "eval", PYTHON)),
    "eval by its Python 2 name": value(call("__builtin__", "eval", PYTHON)),
    "builtins.exec": value(call("builtins", "exec", PYTHON)),
    "builtins.getattr": value(b"cbuiltins\ngetattr\n(cos\nenviron\n" + text("clear") + b"tR)R"),
    "subprocess.Popen": value(call("subprocess", "Popen", COMMAND)),
    "subprocess.check_output": value(b"csubprocess\ncheck_output\n(](" + text("touch") + text(CANARY) + b"etR"),
    "importlib.import_module": value(call("importlib", "import_module", "antigravity")),
    "runpy.run_path": value(call("runpy", "run_path", CANARY)),
    "operator.methodcaller": value(call("operator", "methodcaller", "system", COMMAND) + b"(cos\n__dict__\ntR"),
    "functools.partial": value(b"cfunctools\npartial\n(cos\nsystem\n" + text(COMMAND) + b"tR)R"),
    "types.FunctionType": value(b"ctypes\nFunctionType\n(}}tR"),
    "shutil.rmtree": value(call("shutil", "rmtree", ".")),
    "webbrowser.open": value(call("webbrowser", "open", "http://127.0.0.1")),
    "socket.create_connection": value(b"csocket\ncreate_connection\n((" + text("127.0.0.1") + b"K\x09ttR"),
    "a class with __reduce__, protocol 0": pickled(0),
    "a class with __reduce__, protocol 2": pickled(2),
    "a class with __reduce__, protocol 4": pickled(4),
    "a class with __reduce__, protocol 5": pickled(5),
    "a call nested in a dictionary": value(b"}" + text("a") + b"](}" + text("b") + SYSTEM + b"ses"),
    "a call of a memoised global": value(b"](cos\nsystem\nq\x07h\x07(" + text(COMMAND) + b"tRe"),
    "a call of a memoised global, numbered high": value(
        b"](cos\nsystem\nr\xe8\x03\x00\x00j\xe8\x03\x00\x00(" + text(COMMAND) + b"tRe"
    ),
    "a call as a key": value(b"}" + SYSTEM + b"K\x01s"),
    "opcode INST": value(b"(S'" + COMMAND.encode() + b"'\nios\nsystem\n"),
    "opcode OBJ": value(b"(cos\nsystem\nS'" + COMMAND.encode() + b"'\no"),
    "opcode NEWOBJ": value(b"csubprocess\nPopen\n(" + text(COMMAND) + b"t\x81"),
    "opcode NEWOBJ_EX": value(b"csubprocess\nPopen\n(" + text(COMMAND) + b"t}\x92"),
    "opcode EXT1": value(b"\x82\x01"),
    "opcode EXT4": value(b"\x84\x01\x00\x00\x00"),
    "opcode STACK_GLOBAL": value(b"\x8c\x02os\x8c\x06system\x93(" + text(COMMAND) + b"tR"),
    "opcode BUILD on a class of os": value(b"cos\n_wrap_close\n)\x81}" + text("close") + b"cos\nsystem\nsb"),
    "nothing but a call": archived(b"\x80\x02" + SYSTEM + b"."),
}  # fmt: skip
INERT = {
    "a second pickle after the first": archived(
        b"\x80\x02}("
        + text("format")
        + text("distill_model")
        + text("version")
        + b"K\x03u."
        + b"\x80\x02"
        + SYSTEM
        + b"."
    ),
    "opcode BUILD with __setstate__": value(
        b"celsewhere\nThing\n)\x81}" + text("__setstate__") + text(COMMAND) + b"sb"
    ),
    "a call of something that is installed": value(call("pip._internal", "main", "install")),
    "a call of something of ours": value(call("distill.cli", "main", "generate")),
    "torch.hub.load": value(call("torch.hub", "load", "stranger/model", "model")),
    "torch.load of another file": value(call("torch", "load", "other.pt")),
    "os.system by way of torch": value(call("torch.serialization", "os.system", COMMAND)),
    "numpy.load of another file": value(call("numpy", "load", "other.npy")),
}
"""Calls that no header makes, and `torch.load` refuses, or which it finds inert and goes on to miss the weights."""


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
        items = width * (b"j" + struct.pack("<I", 1000 + level))
        made += b"](" + items + b"er" + struct.pack("<I", 1001 + level) + b"0"
    return made + b"j" + struct.pack("<I", 1000 + levels)


def of_shape(shape: bytes) -> bytes:
    """A tensor of the shape that opcodes leave."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x01tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape + b")\x89NtR"


ORDERED = b"ccollections\nOrderedDict\n"
LARGEST = b"\x8a\xff" + b"\xff" * 254 + b"\x7f"
KEYED = {
    "a tuple a million deep": b")" + b"\x85" * 10**6,
    "a tuple of 2**60 tuples": twice(60),
    "a whole number of many with its hash": b"\x8a\x0a" + (5 * (2**61 - 1) << 8).to_bytes(10, "little"),
}
ENDLESS = {
    **{f"{name} as a key": value(b"}" + key + b"K\x01s") for name, key in KEYED.items()},
    **{f"{name} as a key of an ordered one": value(ORDERED + b")R" + key + b"K\x01s") for name, key in KEYED.items()},
    **{f"{name} among its pairs": value(ORDERED + b"](" + key + b"K\x01\x86e\x85R") for name, key in KEYED.items()},
    "a million dictionaries": value(b"](" + b"}" * (4 * 2**20 - 300) + b"e"),
    "a hundred thousand globals": value(b"](" + b"".join(b"ca\nb%d\n" % n for n in range(10**5)) + b"e"),
    "a dictionary whose methods are replaced": value(ORDERED + b")R}" + text("items") + b"K\x01sb"),
    "300 globals, 2000 times": value(b"](" + b"".join(b"ca\nb%d\n" % n for n in range(300)) * 2000 + b"e"),
    "a global that is given a state": value(b"celsewhere\nX\n}b"),
    "a million lists": value(b"](" + b"]" * (4 * 2**20 - 300) + b"e"),
    "a list a million deep": value(b"]" * 10**6 + b"a" * (10**6 - 1)),
    "an object numbered 4 billion": value(b"]r\xff\xff\xff\xff"),
}
LARGE = {
    "lists in lists, 10**18 of them": value(wide(b"]")),
    "a list of 2**60 lists": value(twice(60, b"e", b"]")),
    "a number of four million digits": value(b"\x8b" + struct.pack("<I", 4 * 10**6) + b"\x7f" * 4 * 10**6),
}
"""Headers that can be read: they have no end where it does not matter, and no weights."""
IMPOSSIBLE = {
    "a million empty tuples": value(b"](" + b")" * (4 * 2**20 - 300) + b"e"),
    "torch._utils._rebuild_from_type_v2": value(
        b"ctorch._utils\n_rebuild_from_type_v2\n(cnumpy\nload\n" + text("x") + b")}tR"
    ),
    "tensors in lists, 10**18 of them": value(wide(of_shape(b")"))),
    "a shape of 100 huge sizes": value(of_shape(b"(" + 100 * LARGEST + b"t")),
    "a shape of 100000 sizes": value(of_shape(b"(" + 10**5 * b"K\x02" + b"t")),
    "a tensor whose shape is replaced": value(of_shape(b")") + b"}" + text("shape") + b"K\x01sb"),
}


# --- how an archive can be laid out -----------------------------------------------------------------------------------

HARMLESS = HEAD + b"K\x01" + TAIL


def zipped(*records: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> Write:
    """An archive of these records, which may share a name."""

    def write(path: Path) -> None:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", compression) as archive:
            for number, (_, data) in enumerate(records):
                archive.writestr(f"{number:0{len(records[number][0])}}", data)
        data = made.getvalue()
        for number, (name, _) in enumerate(records):
            data = data.replace(f"{number:0{len(name)}}".encode(), name.encode())
        path.write_bytes(data)

    return write


def directory_of(entries: list[tuple[bytes, int, int, int]], local: bytes) -> bytes:
    """An archive whose `local` part is given, with a directory that says of it (name, size, offset, crc)."""
    made = b""
    for name, size, offset, crc in entries:
        lengths = len(name), 0, 0, 0, 0, 0, offset
        made += struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, crc, size, size, *lengths) + name
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(made), len(local), 0)
    return local + made + end


def local_header(name: bytes, data: bytes) -> bytes:
    """A record with its local header."""
    sizes = zlib.crc32(data), len(data), len(data), len(name), 0
    return struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, *sizes) + name + data


def overlapping(path: Path) -> None:
    """A thousand records of 64 MB that are the same bytes."""
    name, body = b"m/data.pkl", HARMLESS
    local = local_header(name, body) + local_header(b"m/data/0", bytes(64 * 2**20))
    entries = [(name, len(body), 0, zlib.crc32(body))]
    at = len(local_header(name, body))
    entries += [(b"m/data/0", 64 * 2**20, at, zlib.crc32(bytes(64 * 2**20)))] * 1000
    path.write_bytes(directory_of(entries, local))


def of_size(size: int, claimed: int) -> Write:
    """A data.pkl that claims to have so many bytes; the file has `size`, of which none was written."""

    def write(path: Path) -> None:
        name = b"m/data.pkl"
        local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, claimed, claimed, len(name), 0) + name
        tail = directory_of([(name, claimed, 0, 0)], b"")
        with path.open("wb") as file:
            file.write(local)
            file.truncate(size)
            file.seek(size)
            file.write(tail[:-6] + struct.pack("<LH", size, 0))

    return write


def bomb(data: bytes) -> bytes:
    """An archive, compressed, that holds `data`."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/data.pkl", data)
    return made.getvalue()


def encrypted(path: Path) -> None:
    """One whose flags say that it is."""
    archived(HARMLESS)(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


def misplaced(path: Path) -> None:
    """A directory that says of one record where another lies."""
    other = local_header(b"m/elsewhere", HARMLESS)
    path.write_bytes(directory_of([(b"m/data.pkl", len(HARMLESS), 0, zlib.crc32(HARMLESS))], other))


LAYOUTS = {
    "a data.pkl in a second folder": zipped(("m/data.pkl", HARMLESS), ("n/data.pkl", HARMLESS)),
    "two data.pkl of one name": zipped(("m/data.pkl", HARMLESS), ("m/data.pkl", HARMLESS)),
    "a data.pkl outside": zipped(("../data.pkl", HARMLESS), ("m/data.pkl", HARMLESS)),
    "a compressed data.pkl": zipped(("m/data.pkl", HARMLESS), compression=zipfile.ZIP_DEFLATED),
    "a zip bomb": lambda path: path.write_bytes(bomb(bytes(2**28))),
    "a zip bomb in a zip bomb": lambda path: path.write_bytes(bomb(bomb(bytes(2**28)))),
    "a header of 2 GB": of_size(2**31, 2**31 - 100),
    "a header that claims 2 GB": of_size(1000, 2**31 - 1),
    "an encrypted header": encrypted,
    "a directory that points elsewhere": misplaced,
    "a directory of 65535 records that are not there": lambda path: path.write_bytes(
        local_header(b"m/data.pkl", HARMLESS) + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 46, 0, 0)
    ),
    "a directory of 20 MB": lambda path: path.write_bytes(
        directory_of([(b"m/data.pkl" + b"x" * 65000, 1, 0, 0)] * 320, local_header(b"m/data.pkl", HARMLESS))
    ),
    "no end": lambda path: path.write_bytes(local_header(b"m/data.pkl", HARMLESS)),
    "another checksum": lambda path: path.write_bytes(
        directory_of([(b"m/data.pkl", len(HARMLESS), 0, 1)], local_header(b"m/data.pkl", HARMLESS))
    ),
}  # fmt: skip
OUTSIDE = {
    "a record with a path upwards": zipped(("m/data.pkl", HARMLESS), (f"../../{CANARY}", b"!")),
    "a record with an absolute path": zipped(("m/data.pkl", HARMLESS), (f"/tmp/{CANARY}", b"!")),
    "overlapping records": overlapping,
}
"""What is never unpacked, so that a header alone may be read."""


# --- what tensors can claim -------------------------------------------------------------------------------------------

ITEMS = 4242
"""Of the storage of a tensor that claims something else."""
STORED = b"M" + struct.pack("<H", ITEMS) + b"tq"


def changed(
    change: Callable[[dict[str, Any]], object], make: Callable[[], dict[str, Any]] = codec_prior_contents,
    patch: Callable[[bytes], bytes] | None = None,
) -> Write:  # fmt: skip
    """A checkpoint that was in order, but for a change of its contents, or a patch of its pickle."""

    def write(path: Path) -> None:
        contents = make()
        change(contents)
        save(contents, path)
        if patch is not None:
            with zipfile.ZipFile(path) as archive:
                records = {one.filename: archive.read(one) for one in archive.infolist()}
            with zipfile.ZipFile(path, "w") as archive:
                for name, data in records.items():
                    archive.writestr(name, _patched(data, patch) if name.endswith("/data.pkl") else data)

    return write


def _patched(data: bytes, patch: Callable[[bytes], bytes]) -> bytes:
    made = patch(data)
    assert made != data
    return made


def of_contents(make: Callable[[], dict[str, Any]]) -> Write:
    """A checkpoint of contents that are made when it is written."""
    return lambda path: save(make(), path)


def with_codebooks(
    function: Callable[..., Any], *arguments: Any, patch: Callable[[bytes], bytes] | None = None
) -> Write:
    """A codec whose codebooks are what `function` makes of a storage and `arguments`."""
    items = torch.zeros(ITEMS).untyped_storage()
    storage = torch.storage.TypedStorage(wrap_storage=items, dtype=torch.float32, _internal=True)
    made = Reduced(function, storage, *arguments)
    return changed(lambda contents: contents["model_state_dict"].update(codebooks=made), patch=patch)


def rebuilt(
    size: Any = (3, 16, 8), stride: Any = (128, 8, 1), offset: Any = 0, patch: Callable[[bytes], bytes] | None = None
) -> Write:
    """A codec whose codebooks claim this size, stride and offset."""
    return with_codebooks(torch._utils._rebuild_tensor_v2, offset, size, stride, False, OrderedDict(), patch=patch)


def stored(opcodes: bytes) -> Write:
    """A codec whose codebooks' storage claims another number of items."""
    return rebuilt(patch=lambda data: data.replace(STORED, opcodes + b"tq"))


def elsewhere(key: str) -> Write:
    """A codec whose codebooks lie in the record of another key."""

    def patch(data: bytes) -> bytes:
        end = data.index(STORED)
        start = data.rindex(b"X", 0, data.rindex(b"X", 0, end))  # of the key; after it comes that of the device
        length = struct.unpack_from("<I", data, start + 1)[0]
        return data[:start] + text(key) + data[start + 5 + length :]

    return rebuilt(patch=patch)


def on_device(name: str) -> Write:
    """A codec that was saved from another device."""
    cpu = text("cpu")
    return changed(lambda contents: None, patch=lambda data: data.replace(cpu, text(name)))


TENSORS = {
    "a size over its storage": rebuilt(size=(3, 16, 10**6)),
    "a size of 2**62": rebuilt(size=(2**62,), stride=(1,)),
    "a product of sizes over 2**64": rebuilt(size=(2**40, 2**40), stride=(1, 1)),
    "a negative size": rebuilt(size=(-3, 16, 8)),
    "a stride over its storage": rebuilt(stride=(10**6, 8, 1)),
    "a stride of 2**62": rebuilt(stride=(2**62, 8, 1)),
    "a negative stride": rebuilt(stride=(-128, 8, 1)),
    "an offset over its storage": rebuilt(offset=ITEMS),
    "an offset of 2**62": rebuilt(offset=2**62),
    "a negative offset": rebuilt(offset=-1),
    "an offset that is text": rebuilt(offset="0"),
    "a size that is text": rebuilt(size=("3", 16, 8)),
    "a size of None": rebuilt(size=None),
    "fewer strides than sizes": rebuilt(stride=(1,)),
    "a storage over its record": stored(b"J" + struct.pack("<i", 10**9)),
    "a storage of 2**62 items": stored(b"\x8a\x08" + struct.pack("<q", 2**62)),
    "a storage of a negative size": stored(b"J" + struct.pack("<i", -1)),
    "a storage that is not there": elsewhere("nowhere"),
    "a storage with a path upwards": elsewhere("../../../../../etc/passwd"),
    "a storage with an absolute path": elsewhere("/dev/zero"),
    "a storage that is the pickle": elsewhere("../data.pkl"),
    "a small record repeated": changed(
        lambda contents: contents["model_state_dict"].update(codebooks=torch.zeros(1).expand(3, 16, 8))
    ),
    "10**12 items of one": changed(
        lambda contents: contents["model_state_dict"].update(codebooks=torch.zeros(1).expand(10**6, 10**6))
    ),
    "a sparse tensor": changed(
        lambda contents: contents["model_state_dict"].update(
            codebooks=torch.sparse_coo_tensor([[0], [0], [0]], [1.0], (3, 16, 8), check_invariants=True)
        )
    ),
    "a tensor on no device": changed(
        lambda contents: contents["model_state_dict"].update(codebooks=torch.zeros(3, 16, 8, device="meta"))
    ),
    "a quantised tensor": with_codebooks(torch._utils._rebuild_qtensor, 0, (3, 16, 8), (128, 8, 1), (), False, {}),
    "complex numbers": changed(
        lambda contents: contents["model_state_dict"].update(codebooks=torch.zeros(3, 16, 8, dtype=torch.complex64))
    ),
}
AMISS = {
    "a tensor that is a number": changed(lambda contents: contents["model_state_dict"].update(codebooks=1)),
    "a tensor too few": changed(lambda contents: contents["model_state_dict"].pop("codebooks")),
    "a tensor too many": changed(lambda contents: contents["model_state_dict"].update(x=torch.zeros(1))),
    "a million tensors of nothing": changed(
        lambda contents: contents["model_state_dict"].update(
            {str(n): contents["model_state_dict"] for n in range(10**5)}
        )
    ),
}


def filled(section: str, number: float, make: Callable[[], dict[str, Any]] = codec_prior_contents) -> Write:
    """A checkpoint in whose `section` every weight is a number."""

    def change(contents: dict[str, Any]) -> None:
        for name, tensor in contents[section].items():
            if tensor.is_floating_point():
                contents[section][name] = torch.full_like(tensor, number)

    return changed(change, make)


WEIGHTS = {
    f"{what} of a {kind} that are {number}": filled(section, number, make)
    for kind, make, sections in (
        ("codec", codec_prior_contents, {"weights": "model_state_dict", "prior weights": "prior_state_dict"}),
        ("vqvae", vqvae_contents, {"weights": "model_state_dict", "prior weights": "prior_state_dict"}),
        ("vae", vae_contents, {"weights": "model_state_dict"}),
    )
    for what, section in sections.items()
    for number in (float("nan"), float("inf"))
}


# --- what a checkpoint can say of itself ------------------------------------------------------------------------------


def says(**values: Any) -> Write:
    """A codec that says this of itself; None removes what it says."""
    return changed(
        lambda contents: [contents.update({k: v}) if v is not None else contents.pop(k) for k, v in values.items()]
    )


VERSIONS = {
    "a version that is text": says(version="3"),
    "a version with a point": says(version=3.0),
    "a version that is a list": says(version=[3]),
    "a version of a hundred digits": says(version=10**99),
    "a version of 4300 bytes": says(version=1 << 34400),
    "a negative version": says(version=-1),
    "a version that is true": says(version=True),
    "a version that is no number": says(version=float("nan")),
    "a version that is a tensor": says(version=torch.tensor(3)),
    "no version": says(version=None),
    "no format": says(format=None),
    "another format": says(format="another"),
    "a model_type of bytes": says(model_type=b"codec"),
    "a model_type of 10 MB": says(model_type="x" * 10**7),
    "a model_type of 200 characters": says(model_type="x" * 200),
    "a model_type that is a list": says(model_type=["codec"]),
}
TYPES = {
    "a model_type that is a path": says(model_type="../../x"),
    "a model_type with ANSI escapes": says(model_type="\x1b[2J\x1b[31mcodec\x1b]0;owned\x07"),
    "a model_type from right to left": says(model_type="\u202ecedoc\u2066"),
    "a model_type of two lines": says(model_type="codec\nError: all is lost\r"),
    "a model_type with a surrogate": says(model_type="codec\udcff"),
    "a model_type of nothing": says(model_type=""),
    "a version to come": says(version=999_999),
}


def called(name: object, **others: object) -> Write:
    """A codec with this name."""
    return changed(lambda contents: contents["metadata"].update(name=name, **others))


ESCAPES = "\x1b[2J\x1b[31mrain\x1b]0;owned\x07\x9b1m"
NAMES = {
    "a name with ANSI escapes": called(ESCAPES),
    "a name that is a path upwards": called(f"../../{CANARY}"),
    "a name that is an absolute path": called(f"/tmp/{CANARY}"),
    "a name with backslashes": called(f"..\\..\\{CANARY}"),
    "a name from right to left": called("rain\u202evaw.exe\u2066"),
    "a name of two lines": called("rain\nError: all is lost\r\0"),
    "a name of 1 MB": called("x" * 10**6),
    "a name of dots": called(".."),
    "a name that is a device of Windows": called("CON"),
    "a name of a hyphen": called("-rf"),
    "a name of nothing": called(""),
    "a name that is no text": called([1, 2]),
    "a name of combining characters": called("r" + "\u0301" * 5000),
    "an id, a date and a text with ANSI escapes": called(
        "rain", model_id=ESCAPES, save_date=ESCAPES, description=ESCAPES
    ),
    "a key with ANSI escapes": called("rain", **{ESCAPES: ESCAPES}),
    "an id that is a path": called("rain", model_id="../../x"),
    "a device that is not there": on_device("cuda:99"),
    "a device with ANSI escapes": on_device(ESCAPES),
}
"""What a checkpoint can say that can be used."""


# --- what a configuration can ask for ---------------------------------------------------------------------------------


def configured(section: str, make: Callable[[], dict[str, Any]], **values: Any) -> Write:
    """A checkpoint whose configuration asks for this."""
    return changed(lambda contents: contents[section].update(values), make)


codec = partial(configured, "codec_config", codec_prior_contents)
codec_prior = partial(configured, "prior_config", codec_prior_contents)
vqvae = partial(configured, "vqvae_config", vqvae_contents)
vqvae_prior = partial(configured, "prior_config", vqvae_contents)
MANY = 10**9
CONFIGURATIONS = {
    **{f"10**9 {name} of a codec": codec(**{name: MANY}) for name in (
        "width", "latent_dim", "num_quantizers", "codebook_size", "n_fft", "n_mels", "stride", "sample_rate", "kernel",
    )},
    "10**9 blocks of a codec": codec(encoder_blocks=[MANY, MANY]),
    "256 blocks of a codec": codec(encoder_blocks=[256, 256], decoder_blocks=[256, 256]),
    "the widest codec": codec(width=2**14, latent_dim=2**14, num_quantizers=64, codebook_size=2**16, kernel=255),
    "a codec without configuration": changed(lambda contents: contents.pop("codec_config")),
    "a codec whose configuration is a list": changed(lambda contents: contents.update(codec_config=[1])),
    "a codec whose width is text": codec(width="256"),
    "a codec whose width is no number": codec(width=float("nan")),
    **{f"10**9 {name} of a prior": codec_prior(**{name: MANY}) for name in ("width", "layers", "heads", "window")},
    "the largest prior": codec_prior(width=2**14, layers=256, heads=1, window=2**14),
    **{f"10**9 {name} of a VQ-VAE": vqvae(**{name: MANY}) for name in (
        "codebook_size", "codebook_dim", "num_quantizers", "chunk_duration_s",
    )},
    "the largest VQ-VAE": vqvae(codebook_size=2**16, codebook_dim=2**14, num_quantizers=64),
    "a chunk of ten minutes": vqvae(chunk_duration_s=600),
    "a chunk of nothing": vqvae(chunk_duration_s=float("nan")),
    **{f"10**9 {name} of its prior": vqvae_prior(**{name: MANY}) for name in (
        "hidden_size", "num_layers", "num_heads", "seq_len", "num_quantizers",
    )},
    "a VQ-VAE's largest prior": vqvae_prior(hidden_size=2**14, num_layers=1024, num_heads=1),
    "the largest spectrogram of a VQ-VAE": configured(
        "spectrogram_config", vqvae_contents, n_fft=65536, n_mels=4096, hop_length=1, sample_rate=768000
    ),
    "the largest filter bank of a VQ-VAE": configured("spectrogram_config", vqvae_contents, n_fft=65536, n_mels=4096),
    "the largest spectrogram of a VAE": configured(
        "spectrogram_config", vae_contents, n_fft=65536, n_mels=4096, hop_length=1, sample_rate=768000
    ),
    "a filter bank that its prior fits": of_contents(
        partial(vqvae_contents, n_fft=65536, n_mels=4096, hop_length=32000)
    ),
    "a chunk of a hundred million values": changed(
        lambda contents: [contents["vqvae_config"].update(chunk_duration_s=600.0),
                          contents["spectrogram_config"].update(hop_length=8)],
        vqvae_contents,
    ),
    "keys and values of a hundred GB": of_contents(
        partial(vqvae_contents, chunk_duration_s=20.0, hop_length=16, width=16, layers=300, heads=1)
    ),
    "a spectrogram of 10**9 bands": configured("spectrogram_config", vae_contents, n_mels=MANY),
    "a VAE of 10**9 dimensions": changed(lambda contents: contents.update(latent_dim=MANY), vae_contents),
    "10**9 sliders": changed(
        lambda contents: contents["latent_analysis"].update(n_active_components=MANY), vae_contents
    ),
}  # fmt: skip


# --- what is no checkpoint --------------------------------------------------------------------------------------------


def truncated(percent: int) -> Write:
    """The first part of a checkpoint."""

    def write(path: Path) -> None:
        save(codec_prior_contents(), path)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * percent // 100])

    return write


def flipped(percent: int) -> Write:
    """A checkpoint with a byte of its directory changed, so far from its end."""

    def write(path: Path) -> None:
        save(codec_prior_contents(), path)
        data = bytearray(path.read_bytes())
        at = data.index(b"PK\x01\x02")
        data[at + (len(data) - at) * percent // 100] ^= 0xFF
        path.write_bytes(data)

    return write


def legacy_pickle(path: Path) -> None:
    """What torch wrote up to version 1.5, a call in it."""
    torch.save(
        {"format": "distill_model", "x": Reduced(os.system, COMMAND)}, path, _use_new_zipfile_serialization=False
    )


def legacy_tar(path: Path) -> None:
    """What torch wrote in its first years: a tar archive of pickles, a call in them."""
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(Reduced(os.system, COMMAND), 2)
            record = tarfile.TarInfo(name)
            record.size = len(data)
            archive.addfile(record, io.BytesIO(data))


def of_bytes(data: bytes) -> Write:
    """A file of these bytes."""
    return lambda path: path.write_bytes(data)


def hole(path: Path) -> None:
    """A terabyte of nothing."""
    with path.open("wb") as file:
        file.truncate(2**40)


OTHERS = {
    "a million sliders": changed(
        lambda contents: contents["latent_analysis"].update(pca_components=np.zeros((10**6, 8), np.float32)),
        vae_contents,
    ),
    **{f"the first {percent} % of a checkpoint": truncated(percent) for percent in range(5, 100, 5)},
    "a bare pickle": of_bytes(pickle.dumps(Reduced(os.system, COMMAND), 2)),
    "a legacy pickle": legacy_pickle,
    "a legacy tar": legacy_tar,
    "an empty file": of_bytes(b""),
    "a text": of_bytes("Ceci n'est pas un modèle.\n".encode()),
    "a text that is a program": of_bytes(f"#!/bin/sh\n{COMMAND}\n".encode()),
    "a web page": of_bytes(b"<!DOCTYPE html><title>404 Not Found</title>"),
    "a pointer of Git LFS": of_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
    "zeros": of_bytes(bytes(10**6)),
    "a terabyte of nothing": hole,
    "noise": of_bytes(np.random.default_rng(1).bytes(10**6)),
    "safetensors of 2**63 bytes": of_bytes(struct.pack("<Q", 2**63) + b"{}"),
    "a link in a circle": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
}
UNOPENED = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a socket": lambda path: _socket(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/tty"),
}


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        before = Path.cwd()
        os.chdir(path.parent)  # for its path can be long
        try:
            one.bind(path.name)
        finally:
            os.chdir(before)


USABLE: dict[str, Write] = NAMES
"""By name: what is hostile in its text alone, and generates all the same."""


def _all(refused_by: tuple[str, ...], *groups: Mapping[str, Write]) -> dict[str, Hostile]:
    return {name: Hostile(write, refused_by) for group in groups for name, write in group.items()}


EVERY = ("models list", "inspect", "generate")
CORPUS: dict[str, Hostile] = {
    **_all(EVERY, CALLS, ENDLESS, LAYOUTS, VERSIONS, OTHERS),
    **_all(("inspect", "generate"), IMPOSSIBLE, UNOPENED, TENSORS),
    **_all(("generate",), INERT, AMISS, LARGE, OUTSIDE, WEIGHTS, TYPES, CONFIGURATIONS),
}
"""By name. A command refuses what it reads: a listing reads headers alone, an inspection where tensors claim to lie."""
