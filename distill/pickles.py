"""Pickles read as data: nothing that one names is imported, nothing in it is run. Knows nothing of checkpoints."""

from __future__ import annotations

import _compat_pickle
import io
import pickle
import re
import sys
from collections import OrderedDict
from functools import lru_cache
from typing import Any

from distill.text import clean

# What a checkpoint may name of the standard library: classes that are plain values. Anything else of it has no
# business there, and what can run programs lives there.
_PLAIN_MODULES = {"_codecs", "collections", "datetime", "decimal", "enum", "fractions", "pathlib", "uuid"}
_PLAIN_BUILTINS = {
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "float",
    "frozenset",
    "int",
    "list",
    "set",
    "str",
    "tuple",
}

_NEEDED = {"collections.OrderedDict", "_codecs.encode", "builtins.bytes", "numpy.ndarray", "numpy.dtype", "torch.Size"}
_NEEDED_KINDS = re.compile(
    r"torch\._utils\._rebuild_(tensor_v2|parameter)|torch\.\w+Storage|torch\.(bool|u?int\d+|b?float\d+)"
    r"|numpy\._?core\.multiarray\.(_reconstruct|scalar)|numpy\.dtypes\.\w+"
)

_RUN = re.compile(
    rb"(?:"
    rb"[()\]}tuaesbNQR01\x81\x85-\x89]"  # of no argument
    rb"|[Khq\x80]."  # one byte: a small number, an object's number, the protocol
    rb"|M.."
    rb"|[Jj]....|r..\0\0"
    rb"|G........"
    rb"|c[^\n]*\n[^\n]*\n"  # a global: its module and its name
    rb")*+"
    rb"(?:\.|[X\x8b](....)|\x8a(.)|r(....))",
    re.DOTALL,
)
_NUMBERED = 3
"""Opcodes that Python's pickler writes at protocol 2, up to the next text, long number, high object number (of group
`_NUMBERED`) or end."""


class Placeholder:
    """What stands where a file names something a header has no use for: a foreign class, a tensor, an array.

    Each global gets a subclass of its own (`placeholder_for`). Making an instance, setting its state or
    its items does nothing, whatever the arguments.
    """

    stands_for = "?"

    def __new__(cls, *_arguments: object, **_keywords: object) -> Placeholder:
        return super().__new__(cls)

    def __init__(self, *_arguments: object, **_keywords: object) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{clean(self.stands_for)}>"

    def __setstate__(self, _state: object) -> None:
        pass

    def __setitem__(self, _key: object, _value: object) -> None:
        pass

    def append(self, _value: object) -> None:
        """Take an item that a pickle appends, and drop it."""

    def extend(self, _values: object) -> None:
        """Take items that a pickle appends, and drop them."""


@lru_cache(maxsize=256)
def placeholder_for(name: str) -> type[Placeholder]:
    """A class that is inert and knows the global it stands for, `package.module.Name`."""
    return type("Placeholder", (Placeholder,), {"stands_for": name})


class Unpickler(pickle.Unpickler):
    """A pickle machine that imports nothing: a global is `OrderedDict` or a `Placeholder`.

    `globals` are those that the pickle named so far, but for `OrderedDict`: pairs of module and name. Raises
    `ValueError` when made of a pickle that is not as Python's pickler writes one at protocol 2, as `torch.save` does.
    """

    def __init__(self, data: bytes) -> None:
        check_opcodes(data)
        # One that has `peek` is read from in blocks; from others, opcode by opcode, in three times the time.
        super().__init__(io.BufferedReader(io.BytesIO(data)))
        self.globals: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str) -> Any:
        module, name = todays(module, name)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        self.globals.add((module, name))
        return placeholder_for(f"{module}.{name}")

    def persistent_load(self, pid: object) -> Any:
        return _STORAGE


_STORAGE = Placeholder()


def todays(module: str, name: str) -> tuple[str, str]:
    """What Python 3 calls a global: pickles of protocol 2 give the standard library its Python 2 names."""
    module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def check_opcodes(data: bytes) -> int:
    """Where the pickle `data` ends, which must be of those opcodes that Python's pickler writes at protocol 2.

    Raises `ValueError` where it is not, or numbers an object higher than it has bytes: the unpickler makes a table as
    long as the highest number, so that ten bytes could fill the memory.
    """
    at = 0
    while (run := _RUN.match(data, at)) is not None:
        at = run.end()
        if run.lastindex is None:  # the end
            return at
        argument = int.from_bytes(run[run.lastindex], "little")
        if run.lastindex != _NUMBERED:
            at += argument  # the bytes of a text or of a long number
        elif argument > len(data):
            raise ValueError(f"object number {argument} in {len(data)} bytes")
    raise ValueError(f"no opcode that is allowed at byte {at}")


def is_dangerous(module: str, name: str) -> bool:
    """Whether a checkpoint has no use for this global, and it could run programs."""
    root = module.partition(".")[0]
    if root == "builtins":
        return name not in _PLAIN_BUILTINS
    # nt and posix: the platform halves of `os`, only one of which this Python's list has.
    return root in {"nt", "posix"} or (root in sys.stdlib_module_names and root not in _PLAIN_MODULES)


def is_needed(module: str, name: str) -> bool:
    """Whether the format needs this global: `torch.load` builds it, or what we allow beside."""
    return f"{module}.{name}" in _NEEDED or bool(_NEEDED_KINDS.fullmatch(f"{module}.{name}"))


def is_foreign(module: str, name: str) -> bool:
    """Whether the format does without this global."""
    return module.partition(".")[0] not in {"torch", "numpy", "_codecs"} and (module, name) != ("builtins", "bytes")
