"""Which device the arithmetic runs on, and with how many threads."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from distill.errors import RequestError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bf16", "fp16")


def choose(name: str) -> str:
    """The device to use for `name`, one of `DEVICES`; "auto" is the first present of cuda, mps, cpu.

    Raises `RequestError` naming those present, where the one asked for is not.
    """
    found = present()
    if name == "auto":
        return found[0]
    if name not in found:
        raise RequestError(f"--device: this machine has no {name}; it has {', '.join(found)}.")
    return name


def present() -> list[str]:
    """The devices that this machine has, the fastest first."""
    import torch

    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.insert(0, "mps")
    if torch.cuda.is_available():
        found.insert(0, "cuda")
    return found


def threads() -> int:
    """How many threads may compute at once."""
    import torch

    return torch.get_num_threads()


def memory_free(device: str) -> int | None:
    """How many bytes can be had on `device` without anything being swapped out; None where that cannot be told.

    On Linux what the system has and what its container may still take, whichever is less.
    """
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    found = []
    with suppress(OSError, ValueError, IndexError):
        [line] = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:")]
        found.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):
        most, taken = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        cached = int(stat.get("active_file", 0)) + int(stat.get("inactive_file", 0))  # given up when it is needed
        found.append(max(0, most - taken + cached))
    return min(found, default=None)


def require_memory(device: str, size: int) -> None:
    """Raise `MemoryError` where `size` bytes cannot be had on `device`.

    The system might promise them nevertheless, and end the process once they are used.
    """
    free = memory_free(device)
    if free is not None and size > free:
        raise MemoryError


def free_memory(device: str) -> None:
    """Give back what is kept on `device` for later, after memory ran out."""
    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.empty_cache()


_CGROUP = Path("/sys/fs/cgroup")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out; torch says so in several ways."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in said for words in _NO_MEMORY)
    )


_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@contextmanager
def single_threaded() -> Iterator[None]:
    """Have this thread's operations of torch computed by this thread alone.

    Sums that threads share out are added up in another order for another number of threads. What runs side by side
    here are files and blocks of chunks, each computed by one thread, so no bit depends on how many there are.
    """
    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
