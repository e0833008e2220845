"""What a plugin implements: a `ModelLoader`, and the `GenerativeModel`, `Tokenizer` and `PriorLearner` it loads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distill.checkpoint import CheckpointHeader
from distill.errors import CheckpointError, RequestError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True)
class GenerationRequest:
    """One file to generate.

    `samples`: how many the model must yield, at its own rate. `seed`: all chance comes from it
    (`distill.seeding`). `options`: the values of the options that the model's plugin declared, by parameter name.
    `precision`: what to compute in, one of the model's `precisions`.
    """

    seed: int
    samples: int
    options: Mapping[str, Any]
    precision: str = "float32"


@dataclass(frozen=True)
class Generation:
    """One file being generated: its `chunks`, as `GenerativeModel.generate` gives them.

    `statistics` says, once they have all come, what is worth knowing of how they were made: figures by name.
    """

    chunks: Iterator[NDArray[np.float32]]
    statistics: Callable[[], Mapping[str, float]] = dict


@dataclass(frozen=True)
class Settings:
    """What to go on with after `ModelLoader.check`.

    `options`: values by parameter name, with what they name looked up: plain values, for `GenerationRequest.options`
    and the sidecar. `seed`: of the first file, where the command line gives none. `models`: the headers of other
    checkpoints that they draw in, which the sidecar tells too.
    """

    options: Mapping[str, Any]
    seed: int | None = None
    models: Sequence[CheckpointHeader] = ()


class GenerativeModel(ABC):
    """A loaded model. `sample_rate` in Hz; `channels`, 1 or 2.

    `concurrent`: whether chunks of several files may be asked for from several threads at once. `precisions`: those
    that it can compute in, "float32" first; "bf16" and "fp16" are the others.
    """

    sample_rate: int
    channels: int = 1
    concurrent: bool = False
    precisions: Sequence[str] = ("float32",)

    @abstractmethod
    def count_chunks(self, request: GenerationRequest) -> int:
        """How many chunks `generate` will yield for `request`; what the progress bar counts."""

    @abstractmethod
    def generate(self, request: GenerationRequest) -> Iterator[NDArray[np.float32]]:
        """The chunks of one file in order, each `float32 [channels, samples]`, full scale 1.0, any level.

        Together they hold exactly `request.samples` samples and join without a seam: cross-fades are the
        model's own affair, in the domain where they sound best. A chunk may be empty. What is yielded depends
        on `request` alone; memory must not grow with its length.
        """

    def generate_batch(
        self, requests: Iterable[GenerationRequest], batch_size: int | None = None
    ) -> Iterator[Generation]:
        """The files for `requests`, in order. A model that makes several at less cost together does so here.

        What a file holds is what `generate` gives for its request alone, whatever the others and `batch_size`: how
        many chunks to compute together, None for what memory allows. Requests may differ in everything. There may be a
        million of them: read them as they are needed, and raise what is wrong with one when it is its turn. If the
        iterator has a `close`, it is called when no more is wanted of it and of its files. Where memory runs out, let
        that be raised: those that are left are asked for again, with half the `batch_size`.
        """
        for request in requests:
            yield Generation(self.generate(request))


class Tokenizer(ABC):
    """What a model has that turns sound into codes and back. `sample_rate` in Hz; `channels`, 1 or 2.

    Codes are `int64 [steps, ...]`: time runs along the first axis, what a step holds is the model's own affair. Both
    ways are streamed: memory does not grow with length, and nothing depends on how the stream is cut into blocks.
    """

    sample_rate: int
    channels: int = 1

    @abstractmethod
    def encode(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.int64]]:
        """The codes of a sound that comes in `blocks [channels, any]`, full scale 1.0, in pieces `[steps, ...]`."""

    @abstractmethod
    def decode(self, codes: Iterable[NDArray[np.int64]], samples: int) -> Iterator[NDArray[np.float32]]:
        """The first `samples` of the sound that `codes` mean, in blocks `[channels, any]`. Equal codes sound equal.

        `codes` come as `encode` gave them, or cut anew. Raises `RequestError` where they are none of this model's, or
        fewer than `samples` need.
        """

    def checked(self, codes: NDArray[np.int64], step: tuple[int, ...], codebook_size: int) -> NDArray[np.int64]:
        """`codes`, if they are `[steps, *step]`, from 0 to under `codebook_size`. Raises `RequestError` otherwise."""
        if codes.dtype.kind not in "iu" or codes.shape[1:] != step or codes.ndim != len(step) + 1:
            wanted = ", ".join(map(str, ("steps", *step)))
            raise RequestError(f"The codes are {codes.dtype} {list(codes.shape)}; this model's are [{wanted}].")
        if codes.size and not 0 <= codes.min() <= codes.max() < codebook_size:
            raise RequestError(
                f"The codes go from {codes.min()} to {codes.max()}; this model's from 0 to {codebook_size - 1}."
            )
        return codes.astype("int64")


@dataclass(frozen=True)
class Passage:
    """Codes of a recording, or of a part of one, to learn a prior from: `int64 [steps, ...]`, as its tokenizer gives.

    `starts` and `ends` say whether the recording does, `variation`, 0 to 1, how far it was varied. Those steps before
    `first` are there for what follows to be told by: what they cost does not count.
    """

    codes: NDArray[np.int64]
    starts: bool = True
    ends: bool = True
    variation: float = 0.0
    first: int = 0


class PriorLearner(ABC):
    """A prior that learns: `network` is what is optimized, `tokenizer` what gives the codes it learns from."""

    network: torch.nn.Module
    tokenizer: Tokenizer

    @abstractmethod
    def batch(self, passages: Sequence[Passage], odds: NDArray[np.float64], rng: np.random.Generator) -> Any:
        """A batch drawn from `passages` by `rng`: each with its share of the `odds`, for every row anew."""

    @abstractmethod
    def loss(self, batch: Any) -> torch.Tensor:
        """What `batch` costs the network as it is, in nats a frame: a number to descend."""

    @abstractmethod
    def levels(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
        """`codes [steps, ...]` as frames, a code of each level: `[frames, levels]`; and how many codes a level has."""

    @abstractmethod
    def bits(self, passage: Passage) -> NDArray[np.float64]:
        """What the codes of `passage` that count cost in bits, each told by those before: `float64 [frames, levels]`.

        Frames as `levels` gives them.
        """

    def settle(self, held_out: Sequence[Passage]) -> None:  # noqa: B027 - there may be nothing to settle
        """Fit what few numbers are not learnt but fitted to codes that were held out; as this does, or nothing."""

    @abstractmethod
    def contents(self, recordings: Sequence[Passage], steps: int) -> Mapping[str, Any]:
        """What a checkpoint says of the prior: tensors and plain values, by key.

        `recordings` were learnt from, as they are and varied, in so many `steps`.
        """


class ModelLoader(ABC):
    """What a plugin's `claim_checkpoint` returns. Cheap to make: nothing heavy is imported before `load`.

    `name`: what `--loader` and the sidecar call it ("mine"). `kind`: what people read ("MINE").
    """

    name: str
    kind: str

    def check(self, header: CheckpointHeader, options: Mapping[str, Any]) -> Settings | None:
        """Refuse early what can be refused from the header and the options, before anything heavy is imported.

        Where options name what must be looked up, such as settings saved by name, it is looked up here and returned as
        `Settings`; None goes on with the `options` as they are.

        Raises `CheckpointError` for what the file lacks, `RequestError` for options that cannot be met.
        """
        return None

    @abstractmethod
    def load(self, header: CheckpointHeader, device: str) -> GenerativeModel:
        """The model in `header.path`, ready on `device` ("cpu", "cuda", "mps").

        Raises `CheckpointError` where the file does not hold what it should.
        """

    def load_tokenizer(self, header: CheckpointHeader, device: str) -> Tokenizer:
        """What turns sound into this model's codes and back, for models that have codes; a prior is not needed.

        Raises `CheckpointError` where the file does not hold what it should, or, as this does, where such models have
        no codes.
        """
        raise CheckpointError(
            f"{header.name} has no codes: {self.kind} models do not turn sound into codes. Give one that does."
        )

    def load_prior_learner(self, header: CheckpointHeader, device: str, seconds: float) -> PriorLearner:
        """The prior of this model, to be trained on so many `seconds` of sound; a new one where it has none.

        Raises `CheckpointError` where the file does not hold what it should, or, as this does, where such models have
        no prior.
        """
        raise CheckpointError(
            f"{header.name} takes no prior: {self.kind} models do not generate from codes. Give one that does."
        )
