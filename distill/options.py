"""Ready-made option declarations, so that `--temperature` means the same for every model.

Each function returns a new `click.Option`. Help states unit, range and default; a bad value is answered
with the option, the value and the range.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from distill import limits
from distill.errors import DistillError
from distill.sizes import parse, readable
from distill.text import clean

if TYPE_CHECKING:
    from distill.library import Library


class Number(click.ParamType[int | float]):
    """A finite number from `low` to `high`, both included; NaN and infinity are refused."""

    def __init__(self, low: float, high: float, *, integer: bool = False, unit: str = "") -> None:
        self.low, self.high, self.integer, self.unit = low, high, integer, unit
        self.name = "integer" if integer else "number"

    @property
    def allowed(self) -> str:
        """The range in words: "0.1 to 2", "0 or more"."""
        unit = f" {self.unit}" if self.unit else ""
        if self.high == math.inf:
            return f"{_plain(self.low)} or more{unit}"
        return f"{_plain(self.low)} to {_plain(self.high)}{unit}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        try:
            number = int(value) if self.integer else float(value)
        except (ValueError, TypeError, OverflowError):
            number = math.nan
        if math.isnan(number) or math.isinf(number) or not self.low <= number <= self.high:
            kind = "a whole number" if self.integer else "a number"
            self.fail(f"{clean(value)!r} is not {kind} from the range {self.allowed}.", param, ctx)
        return number

    def to_info_dict(self) -> dict[str, Any]:  # type: ignore[override]  # a TypedDict in click
        return {**super().to_info_dict(), "low": self.low, "high": self.high, "unit": self.unit}


def number(
    *names: str,
    help: str,  # noqa: A002 - click's own word
    default: float | None,
    low: float,
    high: float,
    integer: bool = False,
    unit: str = "",
    metavar: str = "",
    default_means: str = "",
) -> click.Option:
    """An option that takes a finite number; its help ends with "[range; default]".

    `unit` is shown after the range ("ms"); `default_means` replaces the default's figure in the help.
    """
    kind = Number(low, high, integer=integer, unit=unit)
    return _NumberOption(
        names,
        type=kind,
        default=default,
        metavar=metavar or ("N" if integer else "X"),
        help=help,
        shown=f"[{kind.allowed}; {default_means or f'default {_plain(default or 0)}'}]",
    )


class _NumberOption(click.Option):
    """An option whose help ends with what is `shown`. That is no part of its declaration: defaults may differ."""

    def __init__(self, *arguments: Any, shown: str, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._shown = shown

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return None if record is None else (record[0], f"{record[1]}  {self._shown}")


class Model(click.ParamType[Path]):
    """A checkpoint as the user calls it: a path, a model id or its beginning, a name or a part of one.

    The callback gets the path of the file. Where there is none, or several, that is a `DistillError`.
    """

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if isinstance(value, Path) or ctx is None or ctx.resilient_parsing:
            return Path(value)
        try:
            return _library(ctx).find(value)
        except DistillError as error:
            if isinstance(param, click.Option):
                raise type(error)(f"{param.opts[0]}: {error}") from error
            raise

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = [] if os.sep in incomplete else [one.name for one in _library(ctx).models]
        names += [path.name for path in Path().glob("*.distill")]
        found = {name for name in names if name.startswith(incomplete)}
        if not found:
            found = {name for name in names if name.casefold().startswith(incomplete.casefold())}
            if len({name[: len(incomplete)] for name in found}) > 1:  # a shell would take away what they do not share
                found = set()
        return [CompletionItem(name) for name in sorted(found)] or [CompletionItem(incomplete, type="file")]


def model(name: str = "model") -> list[click.Parameter]:
    """The argument MODEL, and `--library`, which says where to look for it: `params=[*options.model(), ...]`."""
    return [click.Argument([name], type=Model()), library()]


def library(envvar: str | None = None) -> click.Option:
    """`--library`: where models are looked up by name, for commands that take one otherwise than as an argument."""
    return click.Option(
        ["--library"], type=click.Path(file_okay=False), multiple=True, metavar="DIR", expose_value=False,
        is_eager=True, callback=_remember_library, envvar=envvar, allow_from_autoenv=False,
        help="Look models up by name in this folder; repeatable.  [default: the user's library]",
    )  # fmt: skip


def max_model_size() -> click.Option:
    """`--max-model-size`: the ceiling of `limits`, for commands that load models."""
    return click.Option(
        ["--max-model-size"], metavar="SIZE", expose_value=False, is_eager=True, callback=_allow_size,
        envvar=limits.VARIABLE, allow_from_autoenv=False,
        help=f"Load no model larger than this, such as 500M or 8G.  [default {readable(limits.DEFAULT)}]",
    )  # fmt: skip


def _allow_size(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        try:
            ctx.with_resource(limits.allowing(parse(value)))
        except ValueError as error:
            raise click.BadParameter(f"{clean(value)!r}: {error}.", ctx, option) from error


def _remember_library(ctx: click.Context, _option: click.Parameter, value: tuple[str, ...]) -> None:
    from distill.library import FOLDERS

    if value:
        ctx.meta[FOLDERS] = value


def _library(ctx: click.Context) -> Library:
    from distill.library import of  # which imports the plugins, whose modules import this one

    return of(ctx)


def flag(*names: str, help: str) -> click.Option:  # noqa: A002 - click's own word
    """An option that is on or off, off if nothing is said; `--no-NAME` turns off what the configuration turned on."""
    return _FlagOption([f"{name}/--no-{name[2:]}" if name[:2] == "--" else name for name in names], help=help)


class _FlagOption(click.Option):
    """A flag whose help shows how it is turned on alone."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return None if record is None else (click.formatting.join_options(self.opts)[0], record[1])


def is_given(name: str) -> bool:
    """Whether the option with this parameter name is on the command line, not a default of whatever kind.

    What is only configured is no reason for a warning: it is there for those commands that can use it.
    """
    ctx = click.get_current_context(silent=True)
    return ctx is None or ctx.get_parameter_source(name) in (ParameterSource.COMMANDLINE, None)


def strongest(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of options that exclude each other, by parameter name, those that go before the others; None for the others.

    The command line goes before the environment, and that before the configuration. Several are left where they have
    one source.
    """
    ctx = click.get_current_context()
    sources = {name: ctx.get_parameter_source(name) for name, value in values.items() if value is not None}
    order = [ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP]
    first = next((source for source in order if source in sources.values()), None)
    return {name: value if sources.get(name) in (first, None) else None for name, value in values.items()}


def temperature(default: float = 1.0) -> click.Option:
    """`--temperature`: what the logits are divided by before a token is drawn."""
    return number(
        "--temperature", "-t", default=default, low=0.1, high=2.0,
        help="How adventurous: below 1 keeps to the likely, above 1 flattens the odds.",
    )  # fmt: skip


def top_k(default: int = 0) -> click.Option:
    """`--top-k`: draw among the k most likely tokens."""
    return number(
        "--top-k", default=default, low=0, high=math.inf, integer=True,
        help="Draw among the K most likely tokens only; 0 is off.", metavar="K",
    )  # fmt: skip


def top_p(default: float = 0.9) -> click.Option:
    """`--top-p`: draw among the fewest tokens whose probabilities sum to p."""
    return number(
        "--top-p", default=default, low=0.0, high=1.0, metavar="P",
        help="Draw among the fewest tokens that together have probability P; 0 and 1 are off.",
    )  # fmt: skip


def min_p(default: float = 0.0) -> click.Option:
    """`--min-p`: draw among the tokens with at least this share of the largest probability."""
    return number(
        "--min-p", default=default, low=0.0, high=1.0, metavar="P",
        help="Draw among the tokens at least P times as likely as the likeliest; 0 is off.",
    )  # fmt: skip


def overlap(default: float = 50.0) -> click.Option:
    """`--overlap`: milliseconds over which neighbouring chunks are cross-faded."""
    return number(
        "--overlap", default=default, low=0.0, high=500.0, unit="ms", metavar="MS",
        help="Cross-fade between neighbouring chunks.",
    )  # fmt: skip


def _plain(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
