"""Which chunk is sampled in which block: those of all files one after the other, and each file is dealt its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from threading import Condition, RLock, Thread, current_thread, get_ident

import numpy as np
import torch
from torch import Tensor

from distill import GenerationRequest
from distill.concurrency import UnwantedError
from distill.devices import memory_free
from distill.seeding import stream
from distill_vqvae.blocks import ROWS, FirstCode, Row, Settings, Slots, rows_of, sample_block
from distill_vqvae.prior import Prior

AHEAD = 2 * ROWS
"""Helpers sample no further ahead while so many chunks wait to be taken."""
MEMORY_SHARE = 0.5
"""How much of the free memory blocks may take, where nobody said how many chunks to sample together."""


@dataclass(frozen=True)
class Asked:
    """The file for `request`: how many `chunks` it has, and which `prior` is sampled for it and how."""

    request: GenerationRequest
    chunks: int
    prior: Prior
    settings: Settings


class FileCodes(Iterator[Tensor]):
    """The codes `int64 [length]` of each chunk of one file, in order, sampled when they are first asked for.

    Several files may be asked from several threads.
    """

    def __init__(self, asked: Asked, take: Callable[[deque[Row]], Row]) -> None:
        self.asked = asked
        self.dealt: deque[Row] = deque()
        self._take = take
        self._taken = 0
        self._candidates = self._entropy = 0.0

    def __next__(self) -> Tensor:
        if self._taken == self.asked.chunks:
            raise StopIteration
        row = self._take(self.dealt)
        self._taken += 1
        self._candidates += row.candidates
        self._entropy += row.entropy
        return row.codes

    def statistics(self) -> dict[str, float]:
        """Of the draws for the chunks taken: the mean number of candidates and the mean entropy in bits."""
        draws = max(1, self._taken * self.asked.prior.length)
        return {"mean_candidates": self._candidates / draws, "mean_entropy_bits": self._entropy / draws}


Planned = tuple[FileCodes, int]
Dealt = tuple[FileCodes, Row]
Block = tuple[int, Callable[[], list[Dealt]]]
"""Its place in the order in which blocks are dealt, and what samples it."""


class Dealer(Iterator[FileCodes]):
    """Gives the files that are `asked` for, in order; samples their chunks in blocks of up to `batch_size`.

    A thread that asks a file for codes which are not there samples the next block itself. Where fewer than `threads`
    ask, helpers sample ahead. As many blocks are sampled at once, if `batch_size` is large enough, or None and memory
    suffices. `asked` is read no further than that needs; iterating over the dealer samples nothing.
    """

    def __init__(self, asked: Iterable[Asked], first: FirstCode, batch_size: int | None, threads: int) -> None:
        self._asked = iter(asked)
        self._first = first
        self._batch_size = batch_size
        self._threads = threads
        self._not_given: deque[FileCodes] = deque()
        self._not_planned: deque[FileCodes] = deque()
        self._blocks = enumerate(self._planned_blocks())
        self._sampled: dict[int, list[Dealt]] = {}
        self._dealt_blocks = 0
        self._untaken = 0  # rows dealt
        self._takers: set[int] = set()
        self._helpers: set[Thread] = set()
        self._failure: BaseException | None = None
        self._changed = Condition(RLock())  # the lock of all that is above

    def __next__(self) -> FileCodes:
        with self._changed:
            if not self._not_given and not self._ask():
                raise StopIteration
            return self._not_given.popleft()

    def close(self) -> None:
        """End what is being sampled; nothing more can be had."""
        with self._changed:
            self._fail(UnwantedError())
            helpers = list(self._helpers)
        for helper in helpers:
            helper.join()

    def _take(self, dealt: deque[Row]) -> Row:
        """The first row of what is `dealt` to a file, once there is one."""
        while True:
            with self._changed:
                self._takers.add(get_ident())
                block = None
                while not dealt and block is None:
                    block = self._next_block()
                    if self._failure is not None:
                        raise self._failure
                    if block is None:  # another thread samples the last one
                        self._changed.wait()
                self._call_for_help()
                if block is None:
                    self._untaken -= 1
                    return dealt.popleft()
            self._run(block)

    def _next_block(self) -> Block | None:
        """The next block to sample; None where there is none, or all has failed."""
        try:
            return next(self._blocks, None) if self._failure is None else None
        except BaseException as error:  # of who asks for files
            self._fail(error)
            return None

    def _run(self, block: Block) -> None:
        """Sample `block`, and deal what is sampled up to the first block that is not."""
        index, sample = block
        try:
            sampled = sample()
        except BaseException as error:
            self._fail(error)
            return
        with self._changed:
            self._sampled[index] = sampled
            while self._dealt_blocks in self._sampled:
                for file, row in self._sampled.pop(self._dealt_blocks):
                    file.dealt.append(row)
                    self._untaken += 1
                self._dealt_blocks += 1
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _call_for_help(self) -> None:
        """Have another thread sample ahead, if there is one to spare."""
        if len(self._takers) + len(self._helpers) < self._threads and self._wants_help():
            helper = Thread(target=self._help)
            self._helpers.add(helper)
            helper.start()

    def _wants_help(self) -> bool:
        return self._untaken < AHEAD and len(self._takers) < self._threads

    def _help(self) -> None:
        while True:
            with self._changed:
                block = self._next_block() if self._wants_help() else None
                if block is None:
                    self._helpers.remove(current_thread())
                    return
            self._run(block)

    def _ask(self) -> bool:
        """Take up the next file, if there is one."""
        for asked in islice(self._asked, 1):
            file = FileCodes(asked, self._take)
            self._not_given.append(file)
            self._not_planned.append(file)
            return True
        return False

    def _planned(self) -> Iterator[Planned]:
        """Every chunk of every file."""
        while self._not_planned or self._ask():
            file = self._not_planned.popleft()
            for chunk in range(file.asked.chunks):
                yield file, chunk

    def _planned_blocks(self) -> Iterator[Callable[[], list[Dealt]]]:
        """What samples each block: chunks that follow each other and are to be sampled alike."""
        slots: Slots | None = None
        alike = groupby(self._planned(), key=lambda planned: (planned[0].asked.prior, planned[0].asked.settings))
        for (prior, settings), planned in alike:
            rows = rows_of(prior)
            slots = slots or Slots(self._blocks_at_once(prior, rows))
            while chunks := list(islice(planned, min(rows, self._batch_size or rows))):
                yield partial(self._sample, prior, settings, rows, chunks, slots)

    def _blocks_at_once(self, prior: Prior, rows: int) -> int:
        """As many as keep the threads busy and were asked for, or fit into memory."""
        if self._batch_size is not None:
            most = -(-self._batch_size // rows)
        else:
            free = memory_free(prior.device)
            most = self._threads if free is None else int(MEMORY_SHARE * free / prior.cache_bytes(rows))
        return max(1, min(self._threads, most))

    def _sample(self, prior: Prior, settings: Settings, rows: int, chunks: list[Planned], slots: Slots) -> list[Dealt]:
        uniforms = np.zeros((rows, prior.length))
        for row, (file, chunk) in enumerate(chunks):
            uniforms[row] = stream(file.asked.request.seed, "tokens", chunk).random(prior.length)

        def check() -> None:
            if self._failure is not None:
                raise UnwantedError

        sampled = slots.run(lambda: sample_block(prior, self._first, torch.from_numpy(uniforms), settings, check))
        return [(file, row) for (file, _), row in zip(chunks, sampled, strict=False)]
