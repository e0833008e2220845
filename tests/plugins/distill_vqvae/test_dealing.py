"""A file's codes are its own: whatever is sampled with them, in blocks of whatever size, by however many threads."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from distill import GenerationRequest
from distill.concurrency import UnwantedError
from distill.errors import DistillError, NotFiniteError, RequestError
from distill_vqvae import dealing
from distill_vqvae.blocks import Row, Settings, sample_block
from distill_vqvae.dealing import Asked, Dealer
from distill_vqvae.model import VqvaeModel

SETTINGS = Settings(0.9, 0, 0.95)


def asked(model: VqvaeModel, seed: int, chunks: int, settings: Settings = SETTINGS) -> Asked:
    return Asked(GenerationRequest(seed, 0, {}), chunks, model.prior, settings)


def dealt(model: VqvaeModel, files: list[Asked], batch_size: int | None = None, threads: int = 2) -> list[Tensor]:
    """The codes of each file, `[chunks, length]`."""
    dealer = Dealer(files, model.first, batch_size, threads)
    return [torch.stack(list(file)) for file in dealer]


@pytest.fixture(scope="module")
def alone(model: VqvaeModel, wide_model: VqvaeModel) -> dict[str, Tensor]:
    """The codes of the file of seed 5, of 20 chunks, made alone."""
    return {name: dealt(m, [asked(m, 5, 20)])[0] for name, m in (("model", model), ("wide_model", wide_model))}


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("batch_size", [1, 4, 16, 64])
@pytest.mark.parametrize("name", ["model", "wide_model"])
def test_codes_are_the_same_bits_whatever_the_batch_size_and_the_number_of_threads(
    request: pytest.FixtureRequest, alone: dict[str, Tensor], name: str, batch_size: int, threads: int
) -> None:
    made: VqvaeModel = request.getfixturevalue(name)
    chunks = 20 if name == "model" or batch_size > 4 else 3  # of the large prior, each block takes half a second
    [codes] = dealt(made, [asked(made, 5, chunks)], batch_size, threads)
    assert torch.equal(codes, alone[name][:chunks])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("name", ["model", "wide_model"])
def test_codes_are_the_same_bits_however_many_chunks_and_files_there_are(
    request: pytest.FixtureRequest, alone: dict[str, Tensor], name: str, count: int
) -> None:
    made: VqvaeModel = request.getfixturevalue(name)
    for chunks in (count, 1):
        files = [asked(made, seed, chunks) for seed in [*range(100, 99 + count), 5]]
        assert torch.equal(dealt(made, files)[-1], alone[name][:chunks])
    [codes] = dealt(made, [asked(made, 5, count)])
    assert torch.equal(codes, alone[name][:count])


def test_torchs_own_threads_change_no_bit(wide_model: VqvaeModel, alone: dict[str, Tensor]) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            assert torch.equal(dealt(wide_model, [asked(wide_model, 5, 3)])[0], alone["wide_model"][:3])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_on_a_gpu_too_codes_do_not_depend_on_the_batch(wide_model: VqvaeModel, device: str) -> None:
    if not (torch.cuda.is_available() if device == "cuda" else torch.backends.mps.is_available()):
        pytest.skip(f"no {device} here")
    there = VqvaeModel(wide_model.vqvae, wide_model.prior, wide_model.first, device)
    whole = dealt(there, [asked(there, 5, 20)], threads=1)[0]
    for batch_size in (1, 4, 16, 64):
        assert torch.equal(dealt(there, [asked(there, 5, 5)], batch_size, threads=1)[0], whole[:5])


def test_files_asked_in_any_order_and_from_several_threads_get_their_own(model: VqvaeModel) -> None:
    files = [asked(model, seed, 5) for seed in range(6)]
    expected = dealt(model, files)
    dealer = Dealer(files, model.first, 4, 2)
    turns: list[list[Tensor]] = [[] for _ in files]
    for turn in zip(*list(dealer)[::-1], strict=True):
        for file, codes in zip(turns, turn, strict=True):
            file.append(codes)
    assert all(torch.equal(torch.stack(a), b) for a, b in zip(turns[::-1], expected, strict=True))

    found: dict[int, Tensor] = {}

    def take(index: int, file: Iterator[Tensor]) -> None:
        found[index] = torch.stack(list(file))

    threads = [threading.Thread(target=take, args=numbered) for numbered in enumerate(Dealer(files, model.first, 4, 2))]
    for thread in threads[::-1]:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[i], expected[i]) for i in range(len(files)))


def test_blocks_are_filled_across_files_each_row_with_the_settings_of_its_own(
    model: VqvaeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks: list[list[Settings]] = []

    def sampling(prior: object, first: object, uniforms: Tensor, settings: list[Settings], check: object) -> list[Row]:
        blocks.append(settings[: int((uniforms.sum(dim=1) > 0).sum())])
        assert len(settings) == len(uniforms)
        return [Row(torch.zeros(1), 0.0, 0.0)] * len(uniforms)

    monkeypatch.setattr(dealing, "sample_block", sampling)
    other = Settings(0.5)
    files = [asked(model, 1, 11), asked(model, 2, 11), asked(model, 3, 11), asked(model, 4, 2, other)]
    for file in Dealer(files, model.first, None, 1):
        list(file)
    assert blocks == [[SETTINGS] * 32, [SETTINGS, other, other]]


def test_a_file_among_others_of_other_settings_is_the_file_it_is_alone(model: VqvaeModel) -> None:
    each = [SETTINGS, Settings(), Settings(0.5), Settings(top_k=3), Settings(min_p=0.2), Settings(1.5, 9, 0.8, 0.01)]
    files = [asked(model, seed, 3, settings) for seed, settings in enumerate(each)]
    for together, alone in zip(dealt(model, files), files, strict=True):
        assert torch.equal(together, dealt(model, [alone])[0])


def test_a_long_file_is_not_sampled_for_the_sake_of_the_next(model: VqvaeModel) -> None:
    first, second = Dealer([asked(model, seed, 1000) for seed in (1, 2)], model.first, None, 2)
    for _ in range(100):
        next(second)
    assert len(first.rows) <= 64
    assert len(second.rows) <= 32
    assert torch.equal(next(first), dealt(model, [asked(model, 1, 1)])[0][0])


def test_a_file_asked_alone_has_helpers_who_do_not_run_far_ahead(
    model: VqvaeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()

    def sampling(*arguments: Any) -> list[Row]:
        threads.add(threading.current_thread().name)
        return sample_block(*arguments)

    monkeypatch.setattr(dealing, "sample_block", sampling)
    dealer = Dealer([asked(model, 1, 1000)], model.first, None, 3)
    file = next(dealer)
    for _ in range(300):
        next(file)
        assert len(file.rows) < 64 + 3 * 32
    dealer.close()
    assert len(threads) > 1


def test_files_are_asked_for_as_they_are_needed(model: VqvaeModel) -> None:
    counter = itertools.count()

    def endless() -> Iterator[Asked]:
        for seed in counter:
            yield asked(model, seed, 5)

    dealer = Dealer(endless(), model.first, 4, 1)
    first, second = next(dealer), next(dealer)
    assert next(counter) == 2
    next(first)
    assert next(counter) < 12
    assert len(list(second)) == 5
    dealer.close()


def test_statistics_are_means_over_a_files_own_draws(model: VqvaeModel) -> None:
    files = [asked(model, 1, 3, Settings()), asked(model, 2, 3, Settings(0.9, 4))]
    off, four = Dealer(files, model.first, None, 1)
    assert off.statistics() == {"mean_candidates": 0.0, "mean_entropy_bits": 0.0}
    for _ in off:
        pass
    for _ in four:
        pass
    assert off.statistics()["mean_candidates"] == model.prior.vocabulary
    length = model.prior.length
    all_tie_for_the_first = model.prior.vocabulary  # all codes were used as often
    assert four.statistics()["mean_candidates"] == (4 * (length - 1) + all_tie_for_the_first) / length
    assert 0 < four.statistics()["mean_entropy_bits"] < 2.1 < off.statistics()["mean_entropy_bits"] < 4


def test_a_failure_reaches_every_file(model: VqvaeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def sampling(*_: object) -> list[Row]:
        raise NotFiniteError("logits")

    monkeypatch.setattr(dealing, "sample_block", sampling)
    for file in Dealer([asked(model, seed, 3) for seed in range(3)], model.first, None, 2):
        with pytest.raises(DistillError, match="not finite"):
            next(file)


def test_closing_ends_what_is_being_sampled(model: VqvaeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    started = threading.Semaphore(0)

    def sampling(*arguments: Any) -> list[Row]:
        started.release()
        for _ in range(3000):
            arguments[-1]()  # as a real one does before each draw
            time.sleep(0.01)
        return []

    monkeypatch.setattr(dealing, "sample_block", sampling)
    dealer = Dealer((asked(model, seed, 100) for seed in itertools.count()), model.first, None, 2)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, next(dealer))
        assert all(started.acquire(timeout=30) for _ in range(2))
        dealer.close()
        with pytest.raises(UnwantedError):
            waiting.result(timeout=10)


def test_sampling_asks_before_each_draw_whether_to_go_on(model: VqvaeModel) -> None:
    draws = iter(range(5))

    def check() -> None:
        if next(draws, None) is None:
            raise UnwantedError

    with pytest.raises(UnwantedError):
        sample_block(model.prior, model.first, torch.zeros(4, model.prior.length).double(), [SETTINGS] * 4, check)


def test_a_file_that_cannot_be_asked_for_is_told_in_its_turn(model: VqvaeModel) -> None:
    """Those before it are whole, though it was looked at while they were planned."""

    def files() -> Iterator[Asked]:
        yield asked(model, 1, 3)
        yield asked(model, 2, 2)
        raise RequestError("refused")

    dealer = Dealer(files(), model.first, None, 1)
    found = [torch.stack(list(next(dealer))) for _ in range(2)]
    assert torch.equal(found[0], dealt(model, [asked(model, 1, 3)])[0])
    with pytest.raises(RequestError, match="refused"):
        next(dealer)
    dealer.close()


def test_a_dealer_whose_files_are_all_dealt_leaves_no_threads_when_closed(model: VqvaeModel) -> None:
    before = threading.active_count()
    dealer = Dealer([asked(model, 1, 3)], model.first, None, 2)
    [file] = dealer
    list(file)
    dealer.close()
    assert threading.active_count() <= before


@pytest.mark.parametrize(
    ("free", "threads", "expected"), [(None, 4, 4), (10**12, 4, 4), (0, 4, 1), (3.9, 4, 1), (4.1, 4, 2)]
)
def test_blocks_at_once_are_those_that_fit_into_half_of_the_free_memory(
    model: VqvaeModel, monkeypatch: pytest.MonkeyPatch, free: float | None, threads: int, expected: int
) -> None:
    size = model.prior.cache_bytes(32)
    monkeypatch.setattr(dealing, "memory_free", lambda device: None if free is None else int(free * size))
    dealer = Dealer([], model.first, None, threads)
    assert dealer._blocks_at_once(model.prior, 32) == expected
    assert Dealer([], model.first, 64, threads)._blocks_at_once(model.prior, 32) == 2
