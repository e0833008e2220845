"""Running a batch: tasks go to a place, lines come back into the journal, what is lost goes again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from distill.batch import journal
from distill.batch.journal import Line
from distill.batch.places import Place
from distill.batch.plan import File
from distill.batch.stores import Appending, Store
from distill.batch.work import Failure, Outcome, Part, Task, slot_of
from distill.errors import DistillError
from distill.text import describe

TRIES = 3
"""A file that has failed so often is given up."""
AHEAD = 2
"""Tasks that are given to a place for each that it works on at once, so that none of its workers waits."""
SECONDS = 0.5
"""Between looks at what has been made."""


@dataclass(frozen=True)
class Failed:
    """A file that could not be made, and why, in one line."""

    file: File
    message: str
    tries: int


@dataclass
class Told:
    """What a run tells while it goes on: files as they are put in place, warnings, and those given up."""

    made: Callable[[Line], object]
    failed: Callable[[Failed], object]
    warning: Callable[[str], object]
    progress: Callable[[int], object] | None = None
    """How many files are in place that were not told of yet; None where nobody looks."""


@dataclass
class Run:
    """Makes files at a `place` and puts them into a `store`. `batch` and `date` are for journal and tags."""

    store: Store
    place: Place
    batch: str
    date: str
    told: Told
    fail_fast: bool = False
    _tries: dict[str, int] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def run(self, units: Iterable[Sequence[File]], adding: Appending) -> None:
        """Make the files of `units`, adding their lines to the journal. Those that fail are told of, and left."""
        waiting = deque(units)
        under_way: dict[Future[Outcome], Sequence[File]] = {}
        seen: dict[Future[Outcome], int] = {}
        stopped = False
        while under_way or (waiting and not stopped):
            while waiting and not stopped and len(under_way) < AHEAD * self.place.slots():
                unit = waiting.popleft()
                future = self.place.executor.submit(self.place.make, self._task(unit))
                under_way[future], seen[future] = unit, 0
            done, _ = wait(under_way, timeout=SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                again, given_up = self._finish(under_way.pop(future), future, adding)
                del seen[future]
                waiting.extendleft(reversed(again))  # first, so that what fails is soon known to
                if given_up and self.fail_fast:
                    stopped = True
                    for other in [other for other in under_way if other.cancel()]:
                        del under_way[other], seen[other]
            if self.told.progress is not None and not done:
                for future, unit in under_way.items():
                    seen[future] = self._count(unit, seen[future])
                self.told.progress(sum(seen.values()))
        self._tell_of_counts()

    def _tell_of_counts(self) -> None:
        for (option, what), count in self._counts.items():
            self.told.warning(f"{option}: {count} {'file' if count == 1 else 'files'} {what}")

    def _finish(
        self, unit: Sequence[File], future: Future[Outcome], adding: Appending
    ) -> tuple[list[Sequence[File]], bool]:
        """Write down what came of `unit`; what of it is to be done again, and whether some of it is given up."""
        error = future.exception()
        outcome = Outcome(failure=Failure(None, f"{describe(error)}.")) if error is not None else future.result()
        self._counts += outcome.counts
        for warning in outcome.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self.told.warning(warning)
        if outcome.made:
            adding.append(journal.text(outcome.made))
            for line in outcome.made:
                self.told.made(line)
        made = {line.key for line in outcome.made}
        left = [file for file in unit if file.key not in made]
        if outcome.failure is None or not left:
            return [], False
        if outcome.failure.fatal:
            raise DistillError(f"{outcome.failure.message} Finished files are kept; make room, and run it again.")
        return self._again(left, outcome.failure, lost=error is not None)

    def _again(self, left: list[File], failure: Failure, lost: bool) -> tuple[list[Sequence[File]], bool]:
        """What to do with the files of a unit that are `left`: tasks to go again, and whether some are given up.

        Where one file is to blame, it goes alone. Where a worker was lost with several, nobody knows which it was: the
        half of them goes, and the other half. Files that share a level stay together.
        """
        if left[0].recipe.job.has_common_level or (failure.key is None and not lost):
            blamed, others = left, []
        elif lost and len(left) > 1:
            middle = len(left) // 2
            return [left[:middle], left[middle:]], False
        else:
            blamed = [file for file in left if file.key == failure.key] or left[:1]
            others = [file for file in left if file.key != blamed[0].key]
        again: list[Sequence[File]] = [others] if others else []
        tries = self._tries.get(blamed[0].key, 0) + 1
        for file in blamed:
            self._tries[file.key] = tries
        is_sure = failure.final and not others  # alone, there is nobody else to blame
        if tries < TRIES and not is_sure:
            return [*again, blamed], False
        for file in blamed:
            self.told.failed(Failed(file, failure.message, tries))
        return again, True

    def _count(self, unit: Sequence[File], known: int) -> int:
        """How many files of `unit`, which are made in order, are in place, the first `known` for certain."""
        while known < len(unit) and not unit[known].anew and self.store.has(unit[known].name):
            known += 1
        return known

    def _task(self, unit: Sequence[File]) -> Task:
        job = unit[0].recipe.job
        assert job.described is not None, "a batch knows its checkpoints"
        parts = []
        for _, alike in groupby(unit, key=lambda file: id(file.recipe)):
            files = list(alike)
            recipe = files[0].recipe.job
            described: dict[str, Any] = dict(recipe.described or {})
            parts.append(
                Part(dict(recipe.options), recipe.duration, recipe.output, recipe.precision, described,
                     [slot_of(file) for file in files])
            )  # fmt: skip
        return Task(
            store=self.store,
            model=job.claim.header.path.absolute(),
            sha256=job.described["model"]["sha256"],
            loader=job.claim.loader.name,
            device=job.device,
            batch_size=job.batch_size,
            parts=parts,
            batch=self.batch,
            date=self.date,
        )
