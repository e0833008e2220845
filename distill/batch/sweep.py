"""Sweeps: every combination of some values of some settings, each as a row of a manifest would say it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, DecimalException, InvalidOperation

import click

from distill.batch.manifest import Row, plain
from distill.errors import RequestError
from distill.options import Number
from distill.text import clean, near_ones

MOST_VALUES = 10_000
"""Values of one setting."""


def parse(text: str, columns: Mapping[str, click.Option]) -> tuple[str, list[str]]:
    """The setting and its values in `text`: `top_k=0,20,50`, or `temperature=0.6:1.2:0.2`, both ends included.

    Steps are added in decimals, so 0.6 and three steps of 0.2 are 1.2. Raises `RequestError` where it is neither.
    """
    key, equals, said = text.partition("=")
    name = plain(key)
    if not equals or not said.strip():
        raise RequestError(
            f"--sweep: {clean(text)!r} is no setting with values, such as top_k=0,20,50 or temperature=0.6:1.2:0.2."
        )
    if name not in columns:
        raise RequestError(f"--sweep: {clean(key)!r} is no option of generate.{near_ones(name, columns)}")
    values = [value for part in said.split(",") for value in _values(name, part.strip(), columns[name])]
    if len(values) > MOST_VALUES:
        raise RequestError(f"--sweep: {name} has {len(values)} values; {MOST_VALUES} are allowed.")
    if len(set(values)) < len(values):
        raise RequestError(f"--sweep: {name} has a value twice: {clean(said)}. Give it once.")
    return name, values


def _values(name: str, part: str, option: click.Option) -> list[str]:
    """The values that a `part` between commas stands for: a range, of an option that takes a number, or itself."""
    if not part:
        raise RequestError(f"--sweep: {name} has an empty value. Leave the comma out.")
    if ":" not in part or not isinstance(option.type, Number):
        return [part]
    try:
        low, high, step = map(Decimal, part.split(":"))
    except (ValueError, InvalidOperation):
        raise RequestError(f"--sweep: {name}: {clean(part)!r} is no FIRST:LAST:STEP, such as 0.6:1.2:0.2.") from None
    if not all(number.is_finite() for number in (low, high, step)) or step <= 0 or high < low:
        raise RequestError(
            f"--sweep: {name}: {clean(part)!r} leads nowhere: STEP must be above 0, and LAST not before FIRST."
        )
    try:
        is_too_long = (high - low) / step >= MOST_VALUES
    except DecimalException:
        is_too_long = True
    if is_too_long:
        raise RequestError(f"--sweep: {name}: {clean(part)!r} is more than {MOST_VALUES} values. Give a larger STEP.")
    count = int((high - low) / step) + 1
    return [f"{(low + step * number).normalize():f}" for number in range(count)]


def rows(model: str, sweeps: Mapping[str, Sequence[str]], seeds: Sequence[range] | None) -> Iterator[Row]:
    """A row for each combination of the values of `sweeps` and each of `seeds`, those in the last place fastest.

    Without `seeds` rows do not say theirs.
    """
    line = 0
    for values in itertools.product(*sweeps.values()):
        setting = dict(zip(sweeps, values, strict=True))
        said = [{}] if seeds is None else [{"seed": one.start, "count": len(one)} for one in seeds]
        for one in said:
            line += 1
            yield Row(line, {"model": model, **setting, **one})
