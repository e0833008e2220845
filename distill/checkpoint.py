"""Reading a checkpoint as data: its header without torch, its contents with an allow-list.

Nothing in a file is ever executed. A global that the format does not need becomes a `Placeholder`,
which is inert; one that could run programs refuses the file. Nothing here knows an architecture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from distill import archive, declared, limits, pickles
from distill.errors import CheckpointError
from distill.pickles import placeholder_for
from distill.text import clean, represent

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = "distill_model"
MAX_HEADER_BYTES = 4 * 2**20
"""Ceiling for `data.pkl`. A real one holds names and sizes: 20 kB for a hundred tensors."""
MAX_VERSION = 10**6
MAX_MODEL_TYPE = 100


@dataclass(frozen=True)
class CheckpointHeader:
    """What a file says of itself, read without running or fully loading it.

    `version` and `model_type` are what plugins claim by; `model_type` is None where the file has none.
    `fields` holds every top-level value of the container; tensors, arrays and foreign objects in it are
    `Placeholder`s. `foreign_globals` names what the file refers to outside the format.

    Raises `TypeError` where a value is of another type than these.
    """

    path: Path
    version: int
    model_type: str | None
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    foreign_globals: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not isinstance(self.path, Path) or not isinstance(self.fields, Mapping):
            raise TypeError("the path of a header is a Path, its fields are a mapping")
        if not isinstance(self.version, int) or isinstance(self.version, bool):
            raise TypeError(f"the version of a header is a whole number, not {clean(self.version, 40)}")
        if not (self.model_type is None or isinstance(self.model_type, str)):
            raise TypeError(f"the model_type of a header is text or None, not {clean(self.model_type, 40)}")

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The file's `metadata`, or an empty mapping. Clean its text before showing it (`distill.text`)."""
        metadata = self.fields.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    @property
    def prior(self) -> bool | None:
        """Whether it has a prior; None where it says nothing of priors, as kinds do that generate without."""
        return bool(self.fields["has_prior"]) if "has_prior" in self.fields else None

    @property
    def name(self) -> str:
        """The model's name in one printable line, or the file's where the model has none."""
        name = self.metadata.get("name")
        return (clean(name) if isinstance(name, str) else "") or clean(self.path.stem)

    def __str__(self) -> str:
        kind = "no model_type" if self.model_type is None else f"model_type {clean(self.model_type, 40)!r}"
        return f"version {self.version}, {kind}"


def _no_bytes() -> bytes:
    """What `builtins.bytes` is in a file: protocol 2 writes an empty array's data as a call without arguments."""
    return b""


def read_pickle(path: Path) -> bytes | None:
    """The bytes of a `torch.save` archive's `data.pkl`; None where the file is no such archive.

    Raises `CheckpointError` where it is damaged, or laid out otherwise than `torch.save` does.
    """
    with path.open("rb") as file:
        if file.read(len(archive.SIGNATURE)) != archive.SIGNATURE:
            return None
        try:
            directory = archive.read_directory(file)
            found = [one for one in archive.records(directory, b"/data.pkl") if one.name.count(b"/") == 1]
            if not found:
                return None
            if len(found) > 1 or not found[0].plain:
                raise CheckpointError(f"{_show(path)} is not laid out as torch.save lays out a file. Refused.")
            if found[0].size > MAX_HEADER_BYTES:
                raise CheckpointError(
                    f"{_show(path)} has a header of {found[0].size / 2**20:.0f} MiB; "
                    f"at most {MAX_HEADER_BYTES // 2**20} MiB are read. Refused."
                )
            return archive.read(file, found[0])
        except archive.ArchiveError as error:
            raise CheckpointError(
                f"{_show(path)} begins like a checkpoint but is cut short or damaged. Copy or download it again."
            ) from error


def records(path: Path) -> dict[bytes, int]:
    """The records of the `torch.save` archive at `path`: how many bytes each has, by its name within the archive.

    Raises `CheckpointError` where its directory is damaged.
    """
    with _damage_named(path), path.open("rb") as file:
        directory = archive.read_directory(file)
        return {one.name.partition(b"/")[2]: one.size for one in archive.records(directory)}


def check_records(path: Path) -> None:
    """Read every byte of the `torch.save` archive at `path`. Raises `CheckpointError` where one is not as written."""
    with _damage_named(path), path.open("rb") as file:
        archive.check(file)


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except archive.ArchiveError as error:
        why = clean(str(error), 160)
        raise CheckpointError(f"{_show(path)} is damaged: {why}. Copy or download it again.") from error


def _show(path: Path) -> str:
    return clean(str(path), 200)


def read_header(path: Path) -> CheckpointHeader | None:
    """The header of a `.distill` file, or None where `path` is some other kind of file.

    Raises `CheckpointError` where it is one but is damaged, has no usable version, or names a global
    that could run programs. Imports neither torch nor numpy.
    """
    data = read_pickle(path)
    if data is None:
        return None
    try:
        unpickler = pickles.Unpickler(data)
        contents = unpickler.load()
    except Exception as error:  # a hostile pickle can raise anything; whatever it is, the header is unreadable
        raise CheckpointError(f"{_show(path)} has a damaged header. Copy or download it again.") from error
    dangerous = sorted(f"{m}.{n}" for m, n in unpickler.globals if pickles.is_dangerous(m, n))
    if dangerous:
        raise CheckpointError(
            f"{_show(path)} names {clean(dangerous[0], 60)}, for which a checkpoint has no use and which could run "
            "programs. Refused; nothing in it was run."
        )
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        return None
    version, model_type = contents.get("version"), contents.get("model_type")
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version < MAX_VERSION:
        raise CheckpointError(f"{_show(path)} has version {clean(version, 40)}; a small whole number is needed.")
    if not (model_type is None or (isinstance(model_type, str) and len(model_type) <= MAX_MODEL_TYPE)):
        allowed = f"text of at most {MAX_MODEL_TYPE} characters is needed"
        raise CheckpointError(f"{_show(path)} has model_type {clean(model_type, 40)}; {allowed}.")
    return CheckpointHeader(
        path=path,
        version=version,
        model_type=model_type,
        fields=MappingProxyType({k: v for k, v in contents.items() if isinstance(k, str)}),
        foreign_globals=frozenset(f"{m}.{n}" for m, n in unpickler.globals if pickles.is_foreign(m, n)),
    )


@contextmanager
def _allow_list(header: CheckpointHeader) -> Iterator[None]:
    """Let `torch.load` build NumPy arrays, and inert placeholders for the globals that the header found foreign."""
    import numpy as np
    import torch

    dtypes = (np.float16, np.float32, np.float64, np.int16, np.int32, np.int64, np.uint8, np.bool_)
    rebuild = {"_reconstruct": np.array(0).__reduce__()[0], "scalar": np.float64(0).__reduce__()[0]}
    allowed: list[Any] = [np.ndarray, np.dtype, *(type(np.dtype(t)) for t in dtypes)]
    # Files written with NumPy 1 say numpy.core, with NumPy 2 numpy._core.
    allowed += [(f, f"numpy.{core}.multiarray.{name}") for core in ("core", "_core") for name, f in rebuild.items()]
    allowed.append((_no_bytes, "builtins.bytes"))
    allowed += [(placeholder_for(name), name) for name in header.foreign_globals]
    with torch.serialization.safe_globals(allowed):
        yield


def load_contents(header: CheckpointHeader) -> dict[str, Any]:
    """The whole dictionary in a `.distill` file: tensors on the CPU, mapped from the file and read when used.

    Raises `CheckpointError` where the file is damaged, holds what the allow-list does not, declares tensors that it has
    no room for, or a model that is larger than `limits.max_model_size`.
    """
    _check_declared(header.path)
    import torch

    try:
        with _allow_list(header):
            contents = torch.load(header.path, map_location="cpu", weights_only=True, mmap=True)
    except OSError:
        raise
    except Exception as error:  # torch.load raises many kinds for one cause: the file is not as it should be
        # torch wraps its reason in advice on turning this protection off; what comes after the marker is the reason.
        reason = clean(str(error).rpartition("WeightsUnpickler error:")[2].strip().partition("\n")[0].rstrip("."), 160)
        raise CheckpointError(f"{_show(header.path)} cannot be loaded: {reason}. Copy or download it again.") from error
    if not isinstance(contents, dict):
        raise CheckpointError(f"{_show(header.path)} holds no dictionary. Copy or download it again.")
    return contents


def _check_declared(path: Path) -> None:
    """Hold what the file at `path` declares against what it has, and against the ceiling, before anything is made."""
    data = read_pickle(path)
    if data is None:
        raise CheckpointError(f"{_show(path)} is no archive of torch.save. Copy or download it again.")
    there = records(path)
    try:
        contents = declared.Reader(data).load()
        faults = list(declared.faults(contents, there))
    except Exception as error:  # a hostile pickle can raise anything
        raise CheckpointError(
            f"{_show(path)} has a damaged header: {clean(str(error), 160)}. Copy or download it again."
        ) from error
    if faults:
        raise CheckpointError(f"{_show(path)} cannot be loaded: {faults[0]}. Copy or download it again.")
    limits.check(path, declared.loaded_size(contents))


def malformed(found: str) -> CheckpointError:
    """The error which says that a checkpoint holds something else than its kind should; `found` is a sentence."""
    return CheckpointError(f"{found} Get the file again, or update distill.")


def section(contents: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The dictionary `name` of a checkpoint's contents. Raises `CheckpointError` where it has none."""
    value = contents.get(name)
    if not isinstance(value, dict):
        raise malformed(f"The checkpoint has no {name}.")
    return value


def whole_number(config: Mapping[str, Any], name: str, high: int = 2**20, low: int = 1) -> int:
    """The setting `name` of a checkpoint's configuration, `low` to `high`; `CheckpointError` where it is otherwise."""
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise malformed(f"The checkpoint's {name} is {clean(represent(value), 40)}; {low} to {high} is needed.")
    return value


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], part: str) -> None:
    """Give `network`, built on the meta device, its weights: float32 copies of `tensors`, in eval mode.

    Raises `CheckpointError` naming the first tensor that is missing, surplus, of another shape, or a small record
    repeated to a large shape; `part` is what the message calls the network.
    """
    import torch

    wanted = network.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise malformed(f"The checkpoint's {part} lacks the tensor {clean(name)}.")
        if name not in wanted:
            raise malformed(f"The checkpoint's {part} has a tensor too many, {clean(name)}.")
        found = tensors[name]
        if not isinstance(found, torch.Tensor) or found.shape != wanted[name].shape:
            shape = list(found.shape) if isinstance(found, torch.Tensor) else clean(found)
            raise malformed(
                f"The checkpoint's {part} has {clean(name)} of shape {shape}; {list(wanted[name].shape)} is needed."
            )
        if found.nbytes > found.untyped_storage().nbytes():
            raise malformed(f"The checkpoint's {part} has {clean(name)} larger than the file's record of it.")
    copies = {name: tensors[name].to(wanted[name].dtype, copy=True) for name in wanted}
    network.load_state_dict(copies, assign=True)
    network.eval().requires_grad_(False)
