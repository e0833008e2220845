"""From the rows of a manifest to what a batch wants: each row is checked as the command line of `generate` would be."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from distill import configuration, naming, registry, sidecar
from distill.batch import matching
from distill.batch.manifest import Row
from distill.batch.plan import MOST_FILES, Recipe, Wanted
from distill.batch.problems import Problems
from distill.checkpoint import CheckpointHeader
from distill.cli import asking, output
from distill.cli.messages import warn
from distill.declarations import Declared
from distill.errors import DistillError, DistillWarning, RequestError
from distill.jobs import RATE_OF_ALL, Job, check_output
from distill.options import Number
from distill.output import NAME, Output
from distill.plugins import Plugins
from distill.registry import Claim
from distill.text import clean

NOT_IN_ROWS = ("output_dir", "overwrite", "stats", "json", "quiet")
"""Options of `generate` that are of the whole batch, or make no sense in one."""
MODEL = "model"


def columns(generate: click.Command, ctx: click.Context) -> dict[str, click.Parameter]:
    """The columns that a row may have, by name: MODEL, and the options of `generate`."""
    [model] = [one for one in generate.get_params(ctx) if one.name == MODEL]
    options = configuration.keys(generate, ctx)
    return {MODEL: model, **{key: option for key, option in options.items() if option.name not in NOT_IN_ROWS}}


_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]+")


class Asker:
    """Checks rows. `values` are those that count for rows which do not say otherwise, as `ctx` has them."""

    def __init__(
        self, ctx: click.Context, generate: click.Command, plugins: Plugins, brought: Mapping[str, Declared]
    ) -> None:
        self._plugins, self._given = plugins, ctx.get_parameter_source
        self._ctx = click.Context(generate, parent=ctx, info_name="generate")
        self.columns = columns(generate, self._ctx)
        self._settings = ("row", *(key for key, one in self.columns.items() if not one.multiple))
        names = [str(one.name) for one in generate.get_params(self._ctx)]
        self._values: dict[str, Any] = {name: ctx.params.get(name) for name in names}
        default = ParameterSource.DEFAULT
        # What the batch's own command line says is weaker than what a row says.
        self._sources = {
            name: default if ctx.get_parameter_source(name) in (default, None) else ParameterSource.DEFAULT_MAP
            for name in names
        }
        self._numbers = {
            key: one.type for key, one in self.columns.items() if isinstance(one.type, Number) and not one.multiple
        }
        self._converted: dict[Any, Any] = {}
        self._recipes: dict[Any, tuple[Recipe, int] | str] = {}
        self._outputs: dict[Any, tuple[Output, str]] = {}
        self._checkpoints: dict[Path, Mapping[str, Any]] = {}
        self._described: dict[Any, Mapping[str, Any]] = {}
        self._claim = cache(self._find_claim)
        self._warn = cache(warn)  # once of all rows
        self._understood = cache(lambda plugin: asking.Understood.by(plugin, brought))
        self._today = naming.today()
        self._kinds: dict[str, str] = {}
        self._flags = {str(o.name): o.opts[0] for declared in brought.values() for o in declared.options}
        self._of_files = {str(one.name) for one in output.parameters()} - {"name"}

    def name_by(self, settings: Iterable[str]) -> None:
        """Have the names of files say these `settings`, unless they would be too long; then the row."""
        said = "".join(f"-{name}{{{name}}}" for name in settings)
        template = f"{{model}}{said}-{{seed}}"
        try:
            naming.check(template, self._settings)
        except RequestError:
            template = "{model}-{row}-{seed}"
        self._values["name"] = template

    def wanted(self, rows: Iterable[Row], problems: Problems) -> Iterator[Wanted]:
        """What `rows` want; what is wrong with one is noted in `problems`. Ends where they want too many files."""
        files = 0
        with self._ctx.scope(cleanup=False), warnings.catch_warnings():
            warnings.simplefilter("once", DistillWarning)
            for row in rows:
                wanted = self._wanted(row, problems)
                if wanted is not None:
                    files += len(wanted.seeds)
                    if files > MOST_FILES:
                        problems.add(row.line, None, f"More than {MOST_FILES} files. Make several batches.")
                        break
                    yield wanted
        self._warn_of_unknown()

    def _warn_of_unknown(self) -> None:
        """A warning of each option on the command line that no model of the table knows."""
        if not self._kinds:
            return
        known = {name for plugin in self._kinds for name in self._understood(plugin).known}
        kinds = ", ".join(sorted(set(self._kinds.values())))
        for name, flag in self._flags.items():
            if name not in known and self._given(name) is ParameterSource.COMMANDLINE:
                self._warn(f"{flag} is not supported for {kinds} models. Ignored.")

    def convert(self, column: str, value: Any) -> Any:
        """`value`, as it is written in a row, as the option of this `column` takes it. Raises what its type does."""
        number = self._numbers.get(column)
        if number is not None and isinstance(value, str):
            return number.convert(value, None, self._ctx)
        option = self.columns[column]
        key = column, type(value), value if isinstance(value, str | int | float) else repr(value)
        if key not in self._converted:
            self._converted[key] = self._convert(option, value)
        return self._converted[key]

    def _convert(self, option: click.Parameter, value: Any) -> Any:
        if isinstance(option, click.Option) and option.multiple:
            return tuple(self._one(option, each) for each in (value if isinstance(value, list) else [value]))
        return self._one(option, value)

    def _one(self, option: click.Parameter, value: Any) -> Any:
        is_flag = isinstance(option, click.Option) and option.is_flag
        if not isinstance(value, str | int | float) or isinstance(value, bool) != (is_flag and isinstance(value, bool)):
            raise click.BadParameter(f"{clean(value)} is neither a text nor a number.")
        if isinstance(value, float) and isinstance(option.type, Number) and option.type.integer:
            value = int(value) if value.is_integer() else str(value)
        if not isinstance(value, str) and not is_flag and not isinstance(option.type, Number):
            value = str(value)
        return option.type.convert(value, None, self._ctx)

    def _wanted(self, row: Row, problems: Problems) -> Wanted | None:
        said: dict[str, Any] = {}
        before = problems.count
        for column, value in row.values.items():
            try:
                said[column] = self.convert(column, value)
            except click.UsageError as error:
                is_comma = isinstance(value, str) and _DECIMAL_COMMA.fullmatch(value)
                problems.add(row.line, column, error.message + (" Write it with a point." if is_comma else ""))
            except DistillError as error:
                problems.add(row.line, column, str(error))
        if MODEL not in row.values:
            problems.add(row.line, MODEL, "No model is named.")
        if problems.count > before:
            return None
        shared = tuple(item for item in said.items() if item[0] not in ("seed", "count"))
        found = self._recipes.get(shared)
        if found is None:
            found = self._recipes[shared] = self._recipe(dict(shared))
        if isinstance(found, str):
            problems.add(row.line, None, found)
            return None
        recipe, seed = found
        count = said.get("count", self._values["count"])
        seed = said.get("seed", seed)
        try:
            seeds = asking.seeds(seed, count, given=True)
        except click.BadParameter as error:
            problems.add(row.line, "seed", error.message)
            return None
        if recipe.job.has_common_level:
            recipe = Recipe.of(replace(recipe.job, seeds=seeds), recipe.name, recipe.fields, recipe.of_files)
        return Wanted(recipe, seeds, row.line)

    def _recipe(self, said: dict[str, Any]) -> tuple[Recipe, int] | str:
        """The recipe of rows that say this, and the seed of those that give none; or what is wrong with them."""
        named = {str(self.columns[key].name): value for key, value in said.items()}
        values = self._values | named
        sources = self._sources | dict.fromkeys(named, ParameterSource.COMMANDLINE)
        self._ctx._parameter_source = sources  # one by one takes a third of the time
        try:
            claim = self._claim(values[MODEL], values["loader"])
            self._kinds[claim.plugin] = claim.loader.kind
            settings = asking.settings(claim, self._understood(claim.plugin), values, sources.get, self._warn)
            described = self._describe(claim, settings.models)
            asked, of_files = self._output(named, values)
            naming.check(values["name"], self._settings)
            job = asking.job(self._plugins, claim, settings, values, asked, (), described)
            seed = values["seed"] if values["seed"] is not None else settings.seed or 0
            return Recipe.of(job, values["name"], self._fields(job, values), of_files), seed
        except click.UsageError as error:
            return error.format_message()
        except DistillError as error:
            return str(error)

    def _output(self, named: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[Output, str]:
        """What the files are to be made into, but for their names: one for all rows that say the same of it."""
        key = tuple((name, value) for name, value in named.items() if name in self._of_files)
        found = self._outputs.get(key)
        if found is None:
            asked = output.output({**values, "name": NAME, "output_dir": "."})
            check_output(asked)
            self._outputs[key] = found = asked, matching.of_output(asked, asked.sample_rate or RATE_OF_ALL)
        return found

    def _find_claim(self, model: Path, loader: str | None) -> Claim:
        return registry.claim(self._plugins, registry.identify(self._plugins, model), loader)

    def _describe(self, claim: Claim, others: Sequence[CheckpointHeader]) -> Mapping[str, Any]:
        """What sidecars say of the checkpoint of `claim`, and of `others` that are drawn in."""
        key = claim.header.path, claim.loader.name, *(header.path for header in others)
        if key not in self._described:
            distribution = self._plugins.distribution(claim.plugin)
            self._described[key] = sidecar.describe_models(claim, distribution, others, self._describe_checkpoint)
        return self._described[key]

    def _describe_checkpoint(self, header: CheckpointHeader) -> Mapping[str, Any]:
        """What sidecars say of the checkpoint of `header`, each of which is read once."""
        if header.path not in self._checkpoints:
            self._checkpoints[header.path] = sidecar.describe_checkpoint(header)
        return self._checkpoints[header.path]

    def _fields(self, job: Job, values: Mapping[str, Any]) -> dict[str, object]:
        """What the names of the files of `job` hold, but for seed, index and row."""
        found: dict[str, object] = {}
        for name in naming.fields_of(values["name"]):
            if name == "rate" and job.output.sample_rate is None:
                raise RequestError(
                    "--name: {rate} is not known before the model is loaded, without --sample-rate. "
                    "Give that, or another pattern."
                )
            if name == "model":
                found[name] = job.claim.header.name
            elif name == "loader":
                found[name] = job.claim.loader.name
            elif name == "date":
                found[name] = self._today
            elif name == "rate":
                found[name] = job.output.sample_rate
            elif name not in ("seed", "index", "row"):
                found[name] = _shown(values[str(self.columns[name].name)])
        return found


def _shown(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
