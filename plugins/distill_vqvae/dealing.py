"""Which chunk is sampled in which block: those of all files one after the other, and each file is dealt its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from threading import Event, Lock

import numpy as np
import torch
from torch import Tensor

from distill import GenerationRequest
from distill.concurrency import UnwantedError, in_order
from distill.devices import memory_free
from distill.seeding import stream
from distill_vqvae.blocks import FirstCode, Row, Settings, Slots, rows_of, sample_block
from distill_vqvae.prior import Prior

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

    def __init__(self, asked: Asked, deal_until: Callable[[Callable[[], bool]], None]) -> None:
        self.asked = asked
        self._deal_until = deal_until
        self._dealt: deque[Row] = deque()
        self._taken = 0
        self._candidates = self._entropy = 0.0

    def deal(self, row: Row) -> None:
        """Give it the codes of its next chunk."""
        self._dealt.append(row)

    def __next__(self) -> Tensor:
        if self._taken == self.asked.chunks:
            raise StopIteration
        self._deal_until(lambda: bool(self._dealt))
        row = self._dealt.popleft()
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
Task = Callable[[Event], list[Dealt]]


class Dealer(Iterator[FileCodes]):
    """Gives the files that are `asked` for, in order; samples their chunks in blocks of up to `batch_size`.

    `asked` is read no further than the blocks under way need. Iterating over it samples nothing.

    `threads` sample a block each at once, if `batch_size` is large enough for that, or None and memory suffices.
    """

    def __init__(self, asked: Iterable[Asked], first: FirstCode, batch_size: int | None, threads: int) -> None:
        self._asked = iter(asked)
        self._threads = threads
        self._first = first
        self._batch_size = batch_size
        self._lock = Lock()
        self._not_given: deque[FileCodes] = deque()
        self._not_planned: deque[FileCodes] = deque()
        self._closed = Event()
        self._blocks = in_order(self._tasks(), self._threads)
        self._failure: BaseException | None = None

    def __next__(self) -> FileCodes:
        with self._lock:
            if not self._not_given and not self._ask():
                raise StopIteration
            return self._not_given.popleft()

    def close(self) -> None:
        """Have what is being sampled end soon; nothing more can be had."""
        self._closed.set()
        if self._lock.acquire(blocking=False):  # else another thread waits for a block, and ends with that
            try:
                self._blocks.close()
            finally:
                self._lock.release()

    def _deal_until(self, enough: Callable[[], bool]) -> None:
        """Deal blocks, in order, until there is `enough`."""
        if enough():
            return  # without waiting for another thread that waits for a block
        with self._lock:
            while not enough():
                if self._failure is not None:
                    raise self._failure
                try:
                    for file, row in next(self._blocks):
                        file.deal(row)
                except StopIteration:
                    raise UnwantedError from None  # closed
                except BaseException as error:
                    self._failure = error
                    raise

    def _ask(self) -> bool:
        """Take up the next file, if there is one."""
        for asked in islice(self._asked, 1):
            file = FileCodes(asked, self._deal_until)
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

    def _tasks(self) -> Iterator[Task]:
        """A task for each block: chunks that follow each other and are to be sampled alike."""
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

    def _sample(
        self, prior: Prior, settings: Settings, rows: int, chunks: list[Planned], slots: Slots, unwanted: Event
    ) -> list[Dealt]:
        uniforms = np.zeros((rows, prior.length))
        for row, (file, chunk) in enumerate(chunks):
            uniforms[row] = stream(file.asked.request.seed, "tokens", chunk).random(prior.length)

        def check() -> None:
            if unwanted.is_set() or self._closed.is_set():
                raise UnwantedError

        sampled = slots.run(lambda: sample_block(prior, self._first, torch.from_numpy(uniforms), settings, check))
        return [(file, row) for (file, _), row in zip(chunks, sampled, strict=False)]
