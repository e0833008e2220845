"""Pickles read as data: nothing that one names is imported, nothing in it is run. Knows nothing of checkpoints."""

from __future__ import annotations

import _compat_pickle
import io
import pickle
import re
import sys
from collections.abc import Set
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

_SHORT_TEXTS = b"|".join(re.escape(bytes([length])) + rb"\0\0\0.{%d}" % length for length in range(64))
_RUN = re.compile(
    rb"(?:"
    rb"[()\]tuaesbNQR01\x81\x85-\x89]"  # of no argument
    rb"|[Khq\x80]."  # one byte: a small number, an object's number, the protocol
    rb"|X(?:" + _SHORT_TEXTS + rb")"
    rb"|M.."
    rb"|[Jj]....|r..\0\0"
    rb"|G........"
    rb"|c[^\n]*\n[^\n]*\n"  # a global: its module and its name
    rb")*+"
    rb"(?:\.|[X\x8b](....)|\x8a(.)|r(....)|(\}))",
    re.DOTALL,
)
"""Opcodes that Python's pickler writes at protocol 2, up to the next long text or number, high object number (of group
`_NUMBERED`), dictionary (`_DICTIONARY`) or end."""
_NUMBERED, _DICTIONARY = 3, 4
MOST_DICTIONARIES = 50_000
MOST_GLOBALS = 1000
MOST_LISTS = 500_000
"""Millions take Python seconds to make, and a hundred bytes each. So many bytes that may begin one are let through."""


_KEYS = {str, int, float, bool, type(None)}
_LARGEST_KEY = 2**63
"""Of larger whole numbers, any number can share a hash, and a dictionary of such takes for ever."""


class Fields(dict[Any, Any]):
    """What a pickle's dictionaries become: their keys are texts or plain numbers, or `ValueError` is raised.

    Others could make the hash of a key take for ever, or end the process: a tuple in a tuple, a million deep or twice
    in each other. Of what can be set on one beside its items, only what torch does is let through: others could take
    the place of its methods in what `torch.load` makes.
    """

    __slots__ = ()

    def __init__(self) -> None:
        """Made empty: `torch.load` would take pairs, and their keys as they are."""

    def __setitem__(self, key: Any, value: Any, _set: Any = dict.__setitem__) -> None:
        kind = type(key)
        if kind is not str and (kind not in _KEYS or (kind is int and abs(key) >= _LARGEST_KEY)):
            raise ValueError(f"a key that is a {kind.__name__}")
        _set(self, key, value)

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, Fields) and state.keys() <= {"_metadata"}):
            raise ValueError("a dictionary with attributes")


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
    """A pickle machine that imports nothing: a dictionary is `Fields`, a global a `Placeholder`.

    `globals` are those that the pickle named so far: pairs of module and name. Raises `ValueError` when made of a
    pickle that is not as Python's pickler writes one at protocol 2, as `torch.save` does.
    """

    def __init__(self, data: bytes) -> None:
        # One that has `peek` is read from in blocks; from others, opcode by opcode, in three times the time.
        super().__init__(io.BufferedReader(io.BytesIO(checked(data)[0])))
        self._named: dict[tuple[str, str], type[Placeholder | Fields]] = {}

    @property
    def globals(self) -> Set[tuple[str, str]]:
        return self._named.keys()

    def find_class(self, module: str, name: str) -> Any:
        module, name = todays(module, name)
        if (module, name) == ("distill", "Fields"):  # which `checked` has put in
            return Fields
        if (module, name) not in self._named:
            if len(self._named) >= MOST_GLOBALS:
                raise ValueError(f"more than {MOST_GLOBALS} globals")
            ordered = (module, name) == ("collections", "OrderedDict")
            self._named[module, name] = Fields if ordered else placeholder_for(f"{module}.{name}")
        return self._named[module, name]

    def persistent_load(self, pid: object) -> Any:
        return _STORAGE


_STORAGE = Placeholder()


def todays(module: str, name: str) -> tuple[str, str]:
    """What Python 3 calls a global: pickles of protocol 2 give the standard library its Python 2 names."""
    module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def checked(data: bytes) -> tuple[bytes, int]:
    """The pickle in `data` with each dictionary a `Fields`, if its opcodes are harmless; and where it ends in `data`.

    They must be those that Python's pickler writes at protocol 2. Raises `ValueError` where they are not, where an
    object is numbered higher than there are bytes (the unpickler makes a table as long as the highest number, so that
    ten bytes could fill the memory), and where there are dictionaries, or lists, without number.
    """
    if data.count(b"]") > MOST_LISTS:
        raise ValueError(f"more than {MOST_LISTS} lists")
    number = (len(data) + 1).to_bytes(4, "little")  # that of `Fields`, which no object has
    at = begin = 0
    pieces = [b"cdistill\nFields\nr" + number + b"0"]
    while (run := _RUN.match(data, at)) is not None:
        at = run.end()
        kind = run.lastindex
        if kind is None:  # the end
            pieces.append(data[begin:at])
            return b"".join(pieces), at
        if kind == _DICTIONARY:
            pieces += [data[begin : at - 1], b"j" + number + b")\x81"]  # an instance of it
            begin = at
            if len(pieces) > 2 * MOST_DICTIONARIES:
                raise ValueError(f"more than {MOST_DICTIONARIES} dictionaries")
        elif kind == _NUMBERED:
            if int.from_bytes(run[kind], "little") > len(data):
                raise ValueError(f"an object numbered higher than {len(data)} bytes")
        else:
            at += int.from_bytes(run[kind], "little")  # the bytes of a text or of a long number
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
    return module.partition(".")[0] not in {"torch", "numpy"} and not is_needed(module, name)
