"""What is known of the machine: how much memory may be taken, and whether it ran out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distill import devices


def test_free_memory_is_told_and_no_more_than_there_is() -> None:
    free = devices.memory_free("cpu")
    if free is None:
        pytest.skip("this system does not tell")
    total = int(next(iter(Path("/proc/meminfo").read_text().split("MemTotal:")[1:])).split()[0]) * 1024
    assert 0 < free <= total


@pytest.mark.parametrize(("most", "free"), [("3000000", 2300000), ("500000", 0), ("max", None)])
def test_a_container_may_allow_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: str, free: int | None
) -> None:
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    without = devices.memory_free("cpu")
    (tmp_path / "memory.max").write_text(most + "\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    (tmp_path / "memory.stat").write_text("anon 700000\nactive_file 100000\ninactive_file 200000\n")
    found = devices.memory_free("cpu")
    if free is None:
        assert found is None or without is None or abs(found - without) < 2**30
    else:
        assert found == free


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")])  # fmt: skip
def test_memory_that_ran_out_is_known(error: BaseException) -> None:
    assert devices.is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shape"), ValueError("out of memory"), KeyboardInterrupt()])
def test_other_errors_are_not_taken_for_it(error: BaseException) -> None:
    assert not devices.is_out_of_memory(error)


def test_one_thread_computes_and_the_number_is_as_before() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with devices.single_threaded():
            assert torch.get_num_threads() == 1
            with devices.single_threaded():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == devices.threads() == 3
    finally:
        torch.set_num_threads(before)


def test_more_memory_than_there_is_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "memory_free", lambda _device: 1000)
    devices.require_memory("cpu", 1000)
    with pytest.raises(MemoryError):
        devices.require_memory("cpu", 1001)
    monkeypatch.setattr(devices, "memory_free", lambda _device: None)  # it cannot be told
    devices.require_memory("cpu", 10**18)
