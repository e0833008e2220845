"""What is inside a checkpoint, found without running or loading it: values, tensors by name, globals. No torch.

A file that `checkpoint.read_header` refuses can still be looked into.
"""

from __future__ import annotations

import math
import pickletools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from distill import checkpoint, declared, pickles
from distill.declared import MOST_DEPTH, Tensor
from distill.text import clean

MOST_VALUES = 20_000
"""How many values of a file are told: a few bytes of a hostile one can hold a number of them without end."""
MOST_OPCODES = 10**6


@dataclass(frozen=True)
class Global:
    """A name of code in a file's pickle, and what becomes of it: "allowed", "inert", "refused", or "left to torch"."""

    name: str
    verdict: str


@dataclass(frozen=True)
class Contents:
    """What is inside a file. `container` in words; `records`: how many there are in it.

    `values`: all that is neither tensor nor code, by top-level key. `tensors`, by the top-level key they are under and
    then by name. `problems`: what is wrong with it, a line each.
    """

    container: str
    records: int = 0
    values: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    globals: tuple[Global, ...] = ()
    problems: tuple[str, ...] = ()


def look(path: Path, fields: Mapping[str, Any] | None = None) -> Contents:
    """What is inside the file at `path`; `fields` are what a plugin read of a container that is its own.

    Raises `CheckpointError` where it is damaged so far that nothing can be said.
    """
    data = checkpoint.read_pickle(path)
    if data is None:
        return Contents("of a plugin's own kind", values=plain(fields or {}))
    records = checkpoint.records(path)
    problems: list[str] = []
    reader: declared.Reader | None = None
    contents: Mapping[Any, Any] = {}
    tensors: dict[str, dict[str, Tensor]] = {}
    try:
        reader = declared.Reader(data)
        found = reader.load()
        contents = found if isinstance(found, Mapping) else {}
        problems += declared.faults(contents, records)
        for key, value in contents.items():
            tensors[str(key)] = {name: one for name, one in declared.tensors(value) if isinstance(one, Tensor)}
    except Exception as error:  # a hostile pickle can raise anything; what was seen of it is told nevertheless
        problems.append(f"its header is damaged: {clean(str(error), 160)}")
    named = reader.globals if reader is not None else set(_scan(data))
    return Contents(
        "torch.save archive",
        len(records),
        plain({key: value for key, value in contents.items() if not isinstance(value, Tensor)}),
        {key: group for key, group in tensors.items() if group},
        tuple(Global(f"{module}.{name}", _verdict(module, name)) for module, name in sorted(named)),
        tuple(problems),
    )


def plain(value: Any) -> Any:
    """`value` as JSON has it, its texts clean: tensors left out, what is foreign named, what has no end cut."""
    return _Plain().of(value)


def in_a_line(value: Any) -> str:
    """A value that `plain` gave, for people."""
    if isinstance(value, list) and len(value) > 8:
        return f"{clean(value[:3], 100)[:-1]}, … {len(value)} values]"
    return "-" if value is None else clean(value, 400) if isinstance(value, str) else clean(repr(value), 160)


class _Plain:
    """Counts what it has made plain."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def of(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > MOST_DEPTH:
            return "…"
        if isinstance(value, Mapping):
            made: dict[str, Any] = {}
            for key, one in islice(value.items(), max(self._left, 1)):
                if not isinstance(one, Tensor):
                    shown = clean(key)
                    made[f"{shown} ({len(made)})" if shown in made else shown] = self.of(one, depth + 1)
            return made
        if isinstance(value, list | tuple | set | frozenset):
            return [self.of(one, depth + 1) for one in islice(value, max(self._left, 1)) if not isinstance(one, Tensor)]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return value if abs(value) < 2**63 else clean(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        return clean(f"<{value.stands_for}>" if isinstance(value, pickles.Placeholder) else value, 400)


def _scan(data: bytes) -> Iterator[tuple[str, str]]:
    """The globals that a pickle names which is not to be read, so far as its opcodes can be told."""
    texts = ["?", "?"]
    with suppress(Exception), warnings.catch_warnings():  # not a pickle from somewhere on; what there was is told
        warnings.simplefilter("ignore")
        for opcode, argument, _ in islice(pickletools.genops(data), MOST_OPCODES):
            if opcode.name in ("GLOBAL", "INST"):
                module, _, name = str(argument).partition(" ")
                yield pickles.todays(module, name)
            elif opcode.name == "STACK_GLOBAL":
                yield texts[-2], texts[-1]
            elif isinstance(argument, str):
                texts = [texts[-1], argument]


def _verdict(module: str, name: str) -> str:
    if pickles.is_dangerous(module, name):
        return "refused"
    if pickles.is_needed(module, name):
        return "allowed"
    return "inert" if pickles.is_foreign(module, name) else "left to torch"
