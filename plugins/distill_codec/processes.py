"""One process, or several that train together through Hugging Face Accelerate."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from distill import devices
from distill.errors import DistillError

T = TypeVar("T")


class Alone:
    """The only process there is."""

    rank, count = 0, 1

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def prepare(self, network: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """`network` and `optimizer` as the processes share them."""
        return network.to(self.device), optimizer

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss`."""
        loss.backward()  # type: ignore[no-untyped-call]

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process."""
        return flag

    def agreed(self, value: T) -> T:
        """The first process's `value`."""
        return value


class Together(Alone):
    """One of the processes that `accelerate launch` started."""

    def __init__(self, device: str, count: int) -> None:
        try:
            from accelerate import Accelerator
        except ImportError as error:
            raise DistillError(
                "Several processes were started, and training together needs accelerate: "
                "pip install 'distill[accelerate]'."
            ) from error
        # Nothing of the user's own configuration: mixed precision and accumulation would train something else.
        self._accelerator: Any = Accelerator(
            cpu=device == "cpu", mixed_precision="no", gradient_accumulation_steps=1
        )  # fmt: skip
        if self._accelerator.num_processes != count:
            raise DistillError(
                f"{count} processes were started, and accelerate joins {self._accelerator.num_processes} of them. "
                "Start them with 'accelerate launch', with --cpu where there is no GPU."
            )
        self.device = self._accelerator.device
        self.rank, self.count = self._accelerator.process_index, self._accelerator.num_processes

    def prepare(self, network: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        prepared: tuple[nn.Module, Optimizer] = self._accelerator.prepare(network, optimizer)
        return prepared

    def backward(self, loss: Tensor) -> None:
        self._accelerator.backward(loss)

    def any(self, flag: bool) -> bool:
        return bool(self._accelerator.reduce(torch.tensor(float(flag), device=self.device), "sum") > 0)

    def agreed(self, value: T) -> T:
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]  # type: ignore[no-any-return]


def processes(device: str) -> Alone:
    """This process with those beside it, if there are any. It computes on `device`; of several "cpu" chooses that, and
    otherwise each has a GPU of its own.

    Raises `RequestError` where there is no such device, `DistillError` where accelerate is missing.
    """
    count = os.environ.get("WORLD_SIZE", "")
    if count.isdecimal() and int(count) > 1:
        return Together(device, int(count))
    return Alone(devices.choose(device))
