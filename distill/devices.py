"""Which device the arithmetic runs on."""

from __future__ import annotations

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
