"""`distill batch`: thousands of files from a table of settings, on one machine or many."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from distill import devices, naming, options, outputs, paths, startup
from distill.batch import manifest, sweep
from distill.batch.manifest import Row
from distill.batch.plan import MOST_FILES
from distill.batch.problems import Problems
from distill.cli import generate
from distill.cli.messages import fail, warn, warn_of_problems
from distill.cli.sections import Sectioned
from distill.cli.telling import Telling
from distill.declarations import words
from distill.errors import RequestError
from distill.library import SUFFIX
from distill.plugins import Plugins
from distill.text import clean

if TYPE_CHECKING:
    from distill.batch.places import Place
    from distill.batch.plan import File, Wanted
    from distill.cli.rows import Asker

MOST_WORKERS = 256
NOT_SWEPT = {
    "seed": " Give --seeds instead.",
    "count": " Give --seeds instead.",
    "device": " Leave it out.",
    "batch_size": " Leave it out.",
}
"""What makes no other files, or is asked for otherwise; and how."""


def command(plugins: Plugins) -> click.Command:
    """The command, with the options of `generate`, and of `plugins`, beside its own."""
    return _BatchCommand(plugins)


class _Source(click.ParamType[str]):
    """A manifest, or with a sweep a model; what it is, is known when all options are."""

    name = "source"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = options.Model().shell_complete(ctx, param, incomplete)
        return [one for one in found if one.type != "file"] + [CompletionItem(incomplete, type="file")]


def _own_parameters() -> list[click.Parameter]:
    return [
        click.Argument(["source"], type=_Source(), metavar="MANIFEST|MODEL"),
        click.Option(["--output-dir", "-o"], required=True, metavar="DIR",
                     help="Folder for the files, made if missing, or a URL such as s3://bucket/folder, with fsspec."),
        click.Option(["--sweep"], multiple=True, metavar="NAME=VALUES",
                     help="Every one of these values of an option, as 0,20,50 or 0.6:1.2:0.2; repeatable: every "
                     "combination. The argument is then a MODEL."),
        click.Option(["--seeds"], metavar="SEEDS", help="With each of these seeds, as 0-99 or 1,5,10-19."),
        options.number("--workers", "-w", default=None, low=1, high=MOST_WORKERS, integer=True,
                       default_means="default one for each processor, or one with a GPU",
                       help="Processes of this machine."),
        click.Option(["--scheduler"], metavar="ADDRESS",
                     help="The workers of this Dask scheduler, tcp://host:port, instead. Needs Dask: "
                     "pip install 'distill[distributed]'."),
        options.flag("--send-models", help="Send each worker the models, instead of their paths."),
        options.flag("--verify", help="Compare every byte of what is there; what is damaged is made anew."),
        click.Option(["--keep-going/--fail-fast"], default=True,
                     help="What to do when a file has failed three times.  [default: keep going]"),
        options.max_model_size(),
        options.flag("--json", help="Print one JSON object instead of paths."),
        options.flag("--quiet", "-q", help="No progress bar; warnings and errors stay."),
    ]  # fmt: skip


class _BatchCommand(Sectioned):
    """Its help has its own options; those of `generate`, which it takes too, are named there."""

    def __init__(self, plugins: Plugins) -> None:
        self._own = _own_parameters()
        self._generate = generate.command(plugins)
        self._plugins = plugins
        super().__init__(
            "batch",
            callback=click.pass_context(lambda ctx, **values: _batch(ctx, plugins, self._generate, **values)),
            params=self._own,
            short_help="Make thousands of files from a table of settings.",
            help="Make files from MANIFEST, a table with a row a job: JSON Lines, or CSV; - is stdin. Its columns are "
            "model and the options of 'distill generate', as seed, count, duration, temperature, top_k, name. Or sweep "
            "the settings of a MODEL.\n\n"
            "The options of generate ('distill generate --help' lists them) can be given here too, for rows that do "
            "not say otherwise. The whole table is checked before the first file is made. Run it again, and what is "
            "missing is made: DIR/distill-batch.jsonl has a line for each finished file. The path of each is printed."
            "\n\n"
            "\b\n"
            "distill batch takes.csv -o takes\n"
            "distill batch --sweep top_k=0,50 --seeds 0-9 MODEL -o out",
        )

    @cached_property
    def _rows(self) -> list[click.Parameter]:
        """The options of `generate` that count for every row, but for those whose names are the batch's own."""
        taken = {word for one in self._own for word in words(one)}
        found = self._generate.get_params(click.Context(self._generate))
        return [one for one in found if isinstance(one, click.Option) and taken.isdisjoint(words(one))]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        skipped = ("help", "stats", "overwrite")
        return [*super().get_params(ctx), *(one for one in self._rows if one.name not in skipped)]

    def make_context(self, *arguments: Any, **keywords: Any) -> click.Context:
        _ = self._rows
        warn_of_problems(self._plugins)
        return super().make_context(*arguments, **keywords)

    def sections(self, ctx: click.Context) -> Mapping[str, Sequence[click.Parameter]]:
        helps = self.get_help_option(ctx)
        return {"Options": [*self._own, *([helps] if helps else [])]}


def _batch(ctx: click.Context, plugins: Plugins, command: click.Command, /, json: bool, **values: Any) -> None:
    results = sys.stdout
    with redirect_stdout(sys.stderr):  # what a plugin prints is no result
        told = Telling(None if json else results, values["quiet"])
        try:
            _make(ctx, plugins, command, told, values)
        finally:
            told.close()
            if json and told.store is not None and results is not None:
                click.echo(outputs.to_json(told.described()), file=results, nl=False)
    if told.failures:
        raise click.exceptions.Exit(1)


def _make(
    ctx: click.Context, plugins: Plugins, command: click.Command, told: Telling, values: Mapping[str, Any]
) -> None:
    from distill.batch import journal, plan, stock, stores
    from distill.batch.running import Run, Told
    from distill.cli.rows import Asker

    where = values["output_dir"]
    if not where:
        raise RequestError("--output-dir: it is empty. Give a folder.")
    if where == "-":
        raise RequestError("--output-dir -: a batch makes files in a folder, not on stdout. Give one.")
    values = {**values, **options.strongest({name: values[name] for name in ("workers", "scheduler")})}
    if values["workers"] is not None and values["scheduler"] is not None:
        raise RequestError("--workers and --scheduler: give one of them. Dask has workers of its own.")
    if values["send_models"] and values["scheduler"] is None:
        raise RequestError("--send-models: needs --scheduler. Workers of this machine have the models.")
    brought = plugins.generation_options(generate.own_parameters())
    asker = Asker(ctx, command, plugins, brought)
    wanted = _wanted(ctx, asker, values)
    files = list(plan.files(wanted))
    twice = sum(len(one.seeds) for one in wanted) - len(files)
    if twice:
        warn(f"{twice} {'file is' if twice == 1 else 'files are'} asked for more than once, and made once.")
    warn_of_problems(plugins)
    if values["scheduler"] is None:
        for device in {file.recipe.job.device for file in files} - {"auto", "cpu"}:
            devices.choose(device)  # which imports torch
    store = stores.store(where if "://" in where else str(paths.expand(where)))
    store.prepare()
    with store.claimed():
        known = journal.parse(store.read(journal.NAME))
        batch = plan.identity(file.key for file in files)
        date = next((line.date for line in known.values() if line.batch == batch), naming.today())
        found = stock.take(store, files, known, values["verify"], batch, date)
        told.begin(store, files, found.kept, found.found)
        if found.found or found.missing:
            with closing(store.journal()) as adding:
                adding.append(journal.text(found.found))
                if found.missing:
                    with _place(values, found.missing) as place:
                        progress = told.progress if store.is_near and told.has_bar else None
                        tells = Told(told.made, told.failed, told.warning, progress)
                        run = Run(store, place, batch, date, tells, fail_fast=not values["keep_going"])
                        run.run(plan.units(found.missing, place.slots()), adding)
        told.end()


def _place(values: Mapping[str, Any], missing: Sequence[File]) -> AbstractContextManager[Place]:
    from distill.batch import places

    jobs = {file.recipe.job.claim.header.path: file.recipe.job for file in missing}
    if values["scheduler"] is None:
        largest = max(path.stat().st_size for path in jobs)
        workers = values["workers"] or places.fitting({file.recipe.job.device for file in missing}, largest)
        return places.local(min(workers, len(missing)))
    models = [(path, str(job.described["model"]["sha256"])) for path, job in jobs.items() if job.described is not None]
    return places.dask(values["scheduler"], models if values["send_models"] else [])


def _wanted(ctx: click.Context, asker: Asker, values: Mapping[str, Any]) -> list[Wanted]:
    """What the manifest, or the sweep, wants. Raises `RequestError` once all is told that is wrong with it."""
    source = values["source"]
    is_sweep = bool(values["sweep"]) or values["seeds"] is not None
    problems = Problems("--sweep" if is_sweep else "stdin" if source == manifest.STDIN else source)
    reading = _rows(ctx, asker, source, values, problems) if is_sweep else _manifest(asker, source, problems)
    with reading as rows, startup.building():
        wanted = list(asker.wanted(rows, problems))
    if problems.count:
        for line in problems.lines:
            fail(line)
        raise problems.error()
    if not wanted:
        raise RequestError(f"{problems.source} has no rows. Write one for each job.")
    return wanted


@contextmanager
def _manifest(asker: Asker, source: str, problems: Problems) -> Iterator[Iterator[Row]]:
    """The rows of the manifest that `source` names."""
    repeatable = {name for name, one in asker.columns.items() if one.multiple}
    if source == manifest.STDIN:
        if sys.stdin is None:
            raise RequestError("stdin is closed; there is no manifest to read. Pipe one in, or name a file.")
        text = (line.decode("utf-8", "surrogateescape") for line in sys.stdin.buffer)
        yield manifest.read(text, "", asker.columns, repeatable, problems)
        return
    path = Path(paths.expand(source))
    if path.is_dir():
        raise RequestError(f"{clean(source, 200)} is a folder, not a manifest. Give a CSV or JSON Lines file.")
    if not path.exists():
        raise RequestError(f"There is no manifest {clean(source, 200)}. For files of a MODEL, add --sweep or --seeds.")
    if path.suffix == SUFFIX:
        raise RequestError(f"{clean(source, 200)} is a model, not a manifest. Add --sweep or --seeds.")
    with manifest.open_text(path) as lines:
        yield manifest.read(lines, path.suffix.lower(), asker.columns, repeatable, problems)


@contextmanager
def _rows(
    ctx: click.Context, asker: Asker, source: str, values: Mapping[str, Any], problems: Problems
) -> Iterator[Iterator[Row]]:
    """The rows of a sweep."""
    if source == manifest.STDIN:
        raise RequestError("--sweep and --seeds: the argument is a MODEL then, not a manifest. Give one.")
    model = options.Model().convert(source, None, ctx)
    keys = {name: one for name, one in asker.columns.items() if isinstance(one, click.Option)}
    sweeps: dict[str, list[str]] = {}
    for text in values["sweep"]:
        name, swept = sweep.parse(text, keys)
        if name in sweeps:
            raise RequestError(f"--sweep: {name} is given twice. Give all values in one.")
        if name in NOT_SWEPT:
            raise RequestError(f"--sweep: {name} is no setting to sweep.{NOT_SWEPT[name]}")
        converted = []
        for value in swept:
            try:
                converted.append(asker.convert(name, value))
            except click.UsageError as error:
                problems.add(1 + len(sweeps), name, error.message)
        if len(set(converted)) < len(converted):
            raise RequestError(f"--sweep: {name} has a value twice. Give it once.")
        sweeps[name] = swept
    seeds = None
    if values["seeds"] is not None:
        seeds = manifest.parse_seeds(values["seeds"])
        if options.is_given("seed") or options.is_given("count"):
            raise RequestError("--seeds says which seeds; leave --seed and --count out.")
    asked = math.prod(map(len, sweeps.values())) * sum(one.stop - one.start for one in seeds or [range(1)])
    if asked > MOST_FILES:
        raise RequestError(f"--sweep and --seeds: that is {asked} files; {MOST_FILES} are allowed.")
    if ctx.get_parameter_source("name") is ParameterSource.DEFAULT:
        asker.name_by(sweeps)
    yield iter([]) if problems.count else sweep.rows(str(model), sweeps, seeds)
