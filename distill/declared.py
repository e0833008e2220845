"""The tensors that a checkpoint's pickle declares, held against what the file has. Nothing is loaded. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from distill import pickles
from distill.text import clean

MOST_DIMENSIONS = 64
MOST_DEPTH = 16
MOST_LOOKED_INTO = 200_000
"""A checkpoint has a few hundred; four megabytes of pickle can have four million."""

_ITEM_BYTES = {
    "DoubleStorage": ("float64", 8), "FloatStorage": ("float32", 4), "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2), "LongStorage": ("int64", 8), "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2), "CharStorage": ("int8", 1), "ByteStorage": ("uint8", 1), "BoolStorage": ("bool", 1),
}  # fmt: skip
"""What torch calls the storage of a data type, and how many bytes an item has."""
_LOADED_BYTES = 4
"""Of an item of a network: weights are float32, whatever the file has."""


@dataclass(frozen=True)
class Storage:
    """The `record` of the archive that holds the items of tensors, and how many there are by the pickle."""

    record: str
    dtype: str
    item_bytes: int
    items: int


@dataclass(frozen=True)
class Tensor:
    """A tensor as a file declares it: `stride` and `offset` are in items of its `storage`."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: Storage

    def __setstate__(self, _state: object) -> None:
        """Drop what a pickle would set on it."""

    @property
    def dtype(self) -> str:
        return self.storage.dtype

    @property
    def parameters(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """In bytes, as in the file."""
        return self.parameters * self.storage.item_bytes

    @property
    def loaded_size(self) -> int:
        """In bytes, as in a network."""
        return self.parameters * max(self.storage.item_bytes, _LOADED_BYTES)

    def fault(self, records: Mapping[bytes, int]) -> str:
        """What is wrong with it in a file with these `records`, by name and size in bytes; nothing if all is well."""
        storage = self.storage
        size = records.get(f"data/{storage.record}".encode(errors="replace"))
        if size is None:
            return "is declared, but not in the file"
        declared = max(self.size, storage.items * storage.item_bytes)
        if declared > size:
            return f"is declared with {declared} bytes; the file's record of it has {size}"
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.stride, strict=True))
        if self.parameters and last >= storage.items:
            return f"is declared up to item {last} of a record of {storage.items}"
        return ""


class Foreign(pickles.Placeholder):
    """Stands for a tensor of a kind that the format has not: sparse, quantised, of complex numbers, without data."""

    stands_for = "a tensor of a kind that the format has not"


class _Array(pickles.Placeholder):
    """Stands for a NumPy array, and knows its shape."""

    stands_for = "array"

    def __setstate__(self, state: object) -> None:
        match state:
            case (_, tuple() as shape, *_) if all(isinstance(size, int) for size in shape):
                self.stands_for = f"array {list(shape)}"


class Reader(pickles.Unpickler):
    """Makes a `Tensor` of each tensor that is declared, a `Foreign` of one that is of no kind of ours.

    `load` raises `ValueError` for a tensor that torch could not have saved.
    """

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if module == "torch._utils" and name in _REBUILD:
            return _REBUILD[name]
        if module.startswith("torch.") and name.startswith("_rebuild"):
            return Foreign
        if module.startswith("numpy.") and name == "_reconstruct":
            return _Array
        return found

    def persistent_load(self, pid: object) -> Any:
        match pid:
            case ("storage", type() as kind, str() as key, _, int() as items) if issubclass(kind, pickles.Placeholder):
                name = kind.stands_for.rpartition(".")[2]
                if name not in _ITEM_BYTES:
                    return Foreign()
                if 0 <= items < 2**63:
                    return Storage(key, *_ITEM_BYTES[name], items)
        raise ValueError("a storage that torch could not have saved")


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Any:
    if isinstance(storage, Foreign):
        return storage
    match shape, stride:
        case (tuple(), tuple()) if len(shape) == len(stride) <= MOST_DIMENSIONS:
            sizes = all(type(size) is int and 0 <= size < 2**63 for size in (*shape, *stride, offset))
            if isinstance(storage, Storage) and sizes and math.prod(shape) < 2**63:
                return Tensor(shape, stride, offset, storage)
    raise ValueError("a tensor that torch could not have saved")


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_REBUILD = {"_rebuild_tensor_v2": _tensor, "_rebuild_parameter": _parameter}
_LOOKED_INTO = (Tensor, Foreign, Mapping, list, tuple)


def tensors(contents: Any) -> Iterator[tuple[str, Tensor | Foreign]]:
    """The tensors in `contents`, by their keys with dots between. What is in several places is looked into once.

    Raises `ValueError` for more than `MOST_LOOKED_INTO` values to look into, by when some may have been given.
    """
    waiting: list[tuple[tuple[str, ...], Any]] = [((), contents)]
    seen, count = set(), 0
    while waiting:
        keys, value = waiting.pop()
        if isinstance(value, Tensor | Foreign):
            yield ".".join(keys), value
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen and len(keys) < MOST_DEPTH:
            seen.add(id(value))
            count += sum(
                isinstance(one, _LOOKED_INTO) for one in (value.values() if isinstance(value, Mapping) else value)
            )
            if count > MOST_LOOKED_INTO:
                raise ValueError(f"more than {MOST_LOOKED_INTO} dictionaries, lists and tensors")
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            inner = [((*keys, str(key)), one) for key, one in items if isinstance(one, _LOOKED_INTO)]
            waiting += reversed(inner)


def faults(contents: Any, records: Mapping[bytes, int]) -> Iterator[str]:
    """What is wrong with the tensors in `contents`, a line each, in a file with these `records`."""
    for name, tensor in tensors(contents):
        fault = f"is {clean(tensor.stands_for)}" if isinstance(tensor, Foreign) else tensor.fault(records)
        if fault:
            yield f"{clean(name)} {fault}"


def loaded_size(contents: Any) -> int:
    """How many bytes the tensors in `contents` take in networks. Each counts, though several may share a record."""
    return sum(tensor.loaded_size for _, tensor in tensors(contents) if isinstance(tensor, Tensor))
