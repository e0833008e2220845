"""Which device the arithmetic runs on, and with how many threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from distill.errors import RequestError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose(name: str) -> str:
    """The device to use for `name`, one of `DEVICES`; "auto" is the first present of cuda, mps, cpu.

    Raises `RequestError` naming those present, where the one asked for is not.
    """
    import torch

    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if name == "auto":
        return present[0]
    if name not in present:
        raise RequestError(f"--device: this machine has no {name}; it has {', '.join(present)}.")
    return name


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
