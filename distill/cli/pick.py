"""`distill pick`: of many generated files, copy those that are worth listening to, and say why each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from distill import options, outputs, startup
from distill.cli.messages import warn
from distill.cli.output import STDOUT
from distill.concurrency import UnwantedError, in_order, processors
from distill.errors import DistillError, RequestError
from distill.text import clean

if TYPE_CHECKING:
    from distill.criteria import Pick
    from distill.record import Record

Measure = Callable[[Path, Callable[[], object]], Any]
"""Measures a file, calling what it is given now and then; None where the file is silent."""
Choose = Callable[[list[Path], list[Any], int], "list[Pick]"]
"""Chooses so many of the files, from what was measured of each."""

_CRITERIA = ("diversity", "novelty", "loudness")
_MOST_WORKERS = 8
_LONGEST_PATH = 4096


@click.command(
    "pick",
    params=[
        click.Argument(["folder"], metavar="DIR", type=click.Path(path_type=Path)),
        options.number("--keep", default=20, low=1, high=float("inf"), integer=True, help="How many files to choose."),
        click.Option(["--by"], type=click.Choice(_CRITERIA), default="diversity",
                     help="diversity: each as unlike those before it as can be; novelty: the most unlike the "
                     "recordings that the model knows; loudness: the loudest.  [default diversity]"),
        click.Option(["--against"], type=click.Path(path_type=Path), metavar="DIR",
                     help="The recordings, for novelty of any model.  [default: what the files say of themselves]"),
        click.Option(["--output-dir", "-o"], type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
                     help="Folder for the copies, made if missing.  [default: 'picked-by-diversity', and so on, in "
                     "the folder of the files]"),
        options.flag("--dry-run", help="Copy nothing; say what would be chosen, and where it lies."),
        options.flag("--json", help="Print one JSON array."),
        options.flag("--quiet", "-q", help="No progress bar; warnings and errors stay."),
    ],
    short_help="Copy those of many files that are worth hearing.",
)  # fmt: skip
def pick(
    folder: Path, keep: int, by: str, against: Path | None, output_dir: Path | None, dry_run: bool, json: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Choose among the files that distill made in DIR, copy those with their sidecars and pictures, and say why each.

    The path of each is printed, a tab, and why it was chosen; the first choice comes first. Nothing is deleted or
    overwritten, and a copy that is there already is not made again. Silent files are chosen last. Subfolders are left
    alone.
    """
    if against is not None and by != "novelty":
        if options.is_given("against"):
            raise RequestError(f"--against: that is for --by novelty, not for --by {by}. Leave it out.")
        against = None
    if str(output_dir) == STDOUT:
        raise RequestError("--output-dir -: files are copied to a folder, not to stdout. Give a folder.")
    from distill import copying
    from distill.record import read_folder

    records = {record.audio: record for record in reversed(read_folder(folder)) if record.audio is not None}
    files = dict(sorted(records.items()))
    target = folder / f"picked-by-{by}" if output_dir is None else output_dir
    criterion = _criterion(files, by, against, quiet)
    if not dry_run:
        outputs.prepare(target)
    if keep > len(files):
        warn(f"--keep {keep}: {clean(str(folder), 200)} has no more than {len(files)}. All are kept.")
    problems: list[str] = []
    told = []
    try:
        for rank, one in enumerate(_chosen(list(files), criterion, keep, quiet, problems), 1):
            place = str(one.path if dry_run else copying.copy(files[one.path], one.path, target))
            told.append({"file": place, "source": str(one.path), "rank": rank, "reason": one.reason, **one.figures})
            if not json:
                shown = place if place.isprintable() else clean(place, _LONGEST_PATH)
                click.echo(f"{shown}\t{one.reason}")
    finally:
        if json:
            click.echo(outputs.to_json(told), nl=False)
    if problems:
        raise DistillError(
            f"{len(problems)} {'file' if len(problems) == 1 else 'files'} could not be read. "
            "Copy or make such files again."
        )


def _chosen(
    paths: list[Path], criterion: tuple[Measure, Choose], keep: int, quiet: bool, problems: list[str]
) -> list[Pick]:
    """The chosen ones of the files, in order. What cannot be read is warned of, and added to the `problems`."""
    from distill import criteria

    measure, choose = criterion
    measured = _measured(paths, measure, "file", quiet, problems)
    audible = {path: value for path, value in measured.items() if value is not None}
    silent = [path for path in measured if path not in audible]
    return [*choose(list(audible), list(audible.values()), keep), *criteria.silent(silent)][:keep]


def _criterion(files: Mapping[Path, Record], by: str, against: Path | None, quiet: bool) -> tuple[Measure, Choose]:
    """What is to be measured of each file, and who chooses by that."""
    with startup.building():
        from distill import criteria
        from distill.audio import recordings, statistics

    if by == "diversity":
        return statistics.log_mel_statistics, criteria.by_diversity
    if by == "loudness":
        return statistics.loudness, criteria.by_loudness
    if against is None:
        seconds = dict(zip(files, criteria.copied_seconds(list(files.values())), strict=True))
        return lambda path, check: None if statistics.is_silent(path, check) else seconds[path], criteria.by_copies
    found = _measured(recordings.find(against), statistics.log_mel_statistics, "recording", quiet, [])
    known = {path: points for path, points in found.items() if points is not None}
    if not known:
        raise DistillError(
            f"{clean(str(against), 200)} has no recording that can be read and is not silent. "
            "Give the folder that the model learnt from."
        )
    names, points = list(known), list(known.values())
    return statistics.log_mel_statistics, partial(criteria.by_distance, recordings=names, known=points)


def _measured(paths: list[Path], measure: Measure, unit: str, quiet: bool, problems: list[str]) -> dict[Path, Any]:
    """What `measure` finds of each file; without those that cannot be read, of which each gets a warning."""
    from tqdm import tqdm

    tasks = [partial(_try, measure, path) for path in paths]
    workers = min(_MOST_WORKERS, processors())
    disable = True if quiet or sys.stderr is None else None
    with closing(in_order(tasks, workers)) as results, tqdm(
        results, total=len(paths), unit=unit, leave=False, disable=disable
    ) as shown:  # fmt: skip
        found = dict(zip(paths, shown, strict=True))
    for path in paths:
        if isinstance(problem := found[path], DistillError):
            warn(f"{problem} It is passed over.")
            problems.append(str(problem))
            del found[path]
    return found


def _try(measure: Measure, path: Path, unwanted: Event) -> Any:
    """What `measure` finds of the file at `path`, or the error that says why it cannot."""

    def check() -> None:
        if unwanted.is_set():
            raise UnwantedError

    try:
        return measure(path, check)
    except DistillError as error:
        return error
