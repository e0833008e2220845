"""Which chunk is sampled in which block, and by which thread; each file is dealt its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Condition, RLock, Semaphore, Thread, current_thread

import numpy as np
import torch
from torch import Tensor

from distill import GenerationRequest
from distill.concurrency import UnwantedError
from distill.devices import memory_free, require_memory
from distill.seeding import stream
from distill_vqvae.blocks import ROWS, FirstCode, Row, Settings, rows_of, sample_block
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

    def __init__(self, asked: Asked, take: Callable[[FileCodes], Row]) -> None:
        self.asked = asked
        self.rows: dict[int, Row] = {}  # by chunk, those sampled and not taken
        self.planned = self.taken = 0  # chunks
        self._take = take
        self._candidates = self._entropy = 0.0

    def __next__(self) -> Tensor:
        if self.taken == self.asked.chunks:
            raise StopIteration
        row = self._take(self)
        self._candidates += row.candidates
        self._entropy += row.entropy
        return row.codes

    def statistics(self) -> dict[str, float]:
        """Of the draws for the chunks taken: the mean number of candidates and the mean entropy in bits."""
        draws = max(1, self.taken * self.asked.prior.length)
        return {"mean_candidates": self._candidates / draws, "mean_entropy_bits": self._entropy / draws}


Block = list[tuple[FileCodes, int]]
"""Which chunk of which file stands in each row."""


class Dealer(Iterator[FileCodes]):
    """Gives the files that are `asked` for, in order; samples their chunks in blocks of up to `batch_size`.

    A thread that asks a file for codes which are not there samples a block itself: the file's next chunks, and those of
    the files after it where there is room. Where fewer files than `threads` are given out, helpers sample ahead. As
    many blocks are sampled at once, if `batch_size` is large enough, or None and memory suffices. `asked` is read no
    further than that needs; iterating over the dealer samples nothing.
    """

    def __init__(self, asked: Iterable[Asked], first: FirstCode, batch_size: int | None, threads: int) -> None:
        self._asked = iter(asked)
        self._first = first
        self._batch_size = batch_size
        self._threads = threads
        self._at_once: Semaphore | None = None
        self._not_given: deque[FileCodes] = deque()
        self._not_planned: deque[FileCodes] = deque()  # at least one chunk of each
        self._under_way: set[FileCodes] = set()  # given, and not taken to the end
        self._untaken = 0  # rows
        self._helpers: set[Thread] = set()
        self._refused: Exception | None = None
        self._failure: BaseException | None = None
        self._changed = Condition(RLock())  # the lock of all that is above

    def __next__(self) -> FileCodes:
        with self._changed:
            if not self._not_given:
                self._ask()
            if not self._not_given:
                if self._refused is None:
                    raise StopIteration
                raise self._refused
            file = self._not_given.popleft()
            self._under_way.add(file)
            return file

    def close(self) -> None:
        """End what is being sampled; nothing more can be had."""
        with self._changed:
            self._fail(UnwantedError())
            helpers = list(self._helpers)
        for helper in helpers:
            helper.join()

    def _take(self, file: FileCodes) -> Row:
        """The next row of `file`, once it is sampled."""
        while True:
            with self._changed:
                block: Block = []
                while self._failure is None and file.taken not in file.rows and not block:
                    waited_for = file.planned > file.taken  # another thread samples it
                    if not waited_for or self._untaken < AHEAD:
                        block = self._next_block(file)
                    if not block:
                        self._changed.wait()
                if self._failure is not None:
                    raise self._failure
                self._call_for_help()
                if not block:
                    row = file.rows.pop(file.taken)
                    file.taken += 1
                    self._untaken -= 1
                    if file.taken == file.asked.chunks:
                        self._under_way.remove(file)
                    return row
            self._run(block)

    def _next_block(self, file: FileCodes | None = None) -> Block:
        """Chunks to sample together: of `file` first, then of the others in order. Empty where there are none left."""
        if file is None or file.planned == file.asked.chunks:
            if not self._not_planned and not self._ask():
                return []
            file = self._not_planned[0]
        prior = file.asked.prior
        rows = rows_of(prior)
        size = min(rows, self._batch_size or rows)
        block: Block = []
        while len(block) < size and file.asked.prior is prior:
            chunk = file.planned
            block.append((file, chunk))
            file.planned += 1
            if file.planned == file.asked.chunks:
                self._not_planned.remove(file)
                if not self._not_planned and not self._ask():
                    break
                file = self._not_planned[0]
        return block

    def _run(self, block: Block) -> None:
        """Sample `block` and deal its rows."""
        try:
            rows = self._sample(block)
        except BaseException as error:
            self._fail(error)
            return
        with self._changed:
            for (file, chunk), row in zip(block, rows, strict=False):
                file.rows[chunk] = row
            self._untaken += len(block)
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _call_for_help(self) -> None:
        """Have another thread sample ahead, if there is one to spare."""
        if self._wants_help() and len(self._under_way) + len(self._helpers) < self._threads:
            helper = Thread(target=self._help)
            helper.start()
            self._helpers.add(helper)

    def _wants_help(self) -> bool:
        return self._untaken < AHEAD and len(self._under_way) < self._threads

    def _help(self) -> None:
        while True:
            with self._changed:
                block = self._next_block() if self._failure is None and self._wants_help() else []
                if not block:
                    self._helpers.remove(current_thread())
                    return
            self._run(block)

    def _ask(self) -> bool:
        """Take up the next file, if there is one. What is wrong with it is raised when it is to be given."""
        if self._refused is not None:
            return False
        try:
            asked = next(self._asked, None)
        except Exception as error:  # of whatever asks
            self._refused = error
            return False
        if asked is None:
            return False
        file = FileCodes(asked, self._take)
        self._not_given.append(file)
        self._not_planned.append(file)
        return True

    def _blocks_at_once(self, prior: Prior, rows: int) -> int:
        """As many as keep the threads busy and were asked for, or fit into memory."""
        if self._batch_size is not None:
            most = -(-self._batch_size // rows)
        else:
            free = memory_free(prior.device)
            most = self._threads if free is None else int(MEMORY_SHARE * free / prior.cache_bytes(rows))
        return max(1, min(self._threads, most))

    def _sample(self, block: Block) -> list[Row]:
        """The rows of `block`, and of what is left over."""
        prior = block[0][0].asked.prior
        rows = rows_of(prior)
        settings = [file.asked.settings for file, _ in block]
        settings += [settings[0]] * (rows - len(settings))
        uniforms = np.zeros((rows, prior.length))
        for row, (file, chunk) in enumerate(block):
            uniforms[row] = stream(file.asked.request.seed, "tokens", chunk).random(prior.length)

        def check() -> None:
            if self._failure is not None:
                raise UnwantedError

        with self._changed:
            self._at_once = self._at_once or Semaphore(self._blocks_at_once(prior, rows))
        with self._at_once:
            require_memory(prior.device, prior.cache_bytes(rows))
            return sample_block(prior, self._first, torch.from_numpy(uniforms), settings, check)
