"""From a file to exactly one loader, or a clear error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from distill.checkpoint import CheckpointHeader
from distill.devices import is_out_of_memory
from distill.errors import INTERRUPTIONS, CheckpointError, DistillError, NotFiniteError, PluginError
from distill.models import ModelLoader, Settings
from distill.plugins import Plugins
from distill.text import clean, describe

_NOT_BREAKAGE: tuple[type[BaseException], ...] = (
    DistillError,
    OSError,
    MemoryError,
    *INTERRUPTIONS,
)


@dataclass(frozen=True)
class Claim:
    """A checkpoint with the loader that answers for it and the plugin that brought the loader."""

    header: CheckpointHeader
    plugin: str
    loader: ModelLoader

    def check(self, options: Mapping[str, Any]) -> Settings:
        """Have the loader refuse what it can refuse early, and look up what `options` name.

        Raises what `ModelLoader.check` raises.
        """
        with self.breakage_named("checking"):
            settings = self.loader.check(self.header, options)
        if settings is None:
            return Settings(options)
        if not isinstance(settings, Settings):
            raise self.broken("checking", f"check gave a {type(settings).__name__}, not Settings or None")
        seed = settings.seed
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
            raise self.broken("checking", f"check gave the seed {clean(seed)}")
        if not isinstance(settings.options, Mapping) or not all(
            isinstance(m, CheckpointHeader) for m in settings.models
        ):
            raise self.broken("checking", "check gave options that are no mapping, or models that are no headers")
        return settings

    def breakage_named(self, doing: str) -> AbstractContextManager[None]:
        """Turn the loader's own breakage, whatever it is, into an error that names it and the plugin."""
        return _Named(self, doing)

    def broken(self, doing: str, what: str) -> PluginError:
        """The error which says that the loader broke its contract."""
        return PluginError(
            f"Loader {clean(self.loader.name)} of plugin {clean(self.plugin)} broke while {doing} "
            f"{self.header.name}: {what}. Set DISTILL_TRACEBACK=1 to see where."
        )


class _Named(AbstractContextManager[None]):
    """What `Claim.breakage_named` gives. No generator: one that is dropped in the middle, as by Ctrl+C, is told so by
    an exception of its own, which looks like the loader's."""

    def __init__(self, claim: Claim, doing: str) -> None:
        self._claim, self._doing = claim, doing

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, NotFiniteError):
            raise NotFiniteError(error.what, self._claim.header.name) from error
        if error is None or isinstance(error, _NOT_BREAKAGE):
            return
        if is_out_of_memory(error):
            raise MemoryError from error
        raise self._claim.broken(self._doing, describe(error)) from error


def identify(plugins: Plugins, path: Path) -> CheckpointHeader:
    """The header of the checkpoint at `path`. Raises `CheckpointError`, saying what the file is, where it is none."""
    header = plugins.read_header(path)
    if header is None:
        raise CheckpointError(
            f"{clean(str(path), 200)} is no checkpoint: it {_describe(path)}. "
            "Give a .distill file, or install the plugin that reads this kind."
        )
    return header


def claim(plugins: Plugins, header: CheckpointHeader, loader: str | None = None) -> Claim:
    """The one loader that claims `header`; `loader` names which, where several do.

    Raises `PluginError` where none does, or several do and none is named.
    """
    claims = [Claim(header, plugin, found) for plugin, found in plugins.claims(header)]
    shown = f"{clean(str(header.path), 200)} ({header})"
    if not claims:
        listed = _listed(plugins.names) or "none"
        if plugins.selected:
            raise PluginError(f"No plugin that DISTILL_PLUGINS chooses loads {shown}. It chooses: {listed}.")
        raise PluginError(
            f"No installed plugin loads {shown}. Installed: {listed}. "
            "Install the plugin that made it, or update distill."
        )
    chosen = [c for c in claims if loader in (None, c.loader.name)]
    if len(chosen) == 1:
        return chosen[0]
    names = sorted(c.loader.name for c in claims)
    if not chosen:
        raise PluginError(f"No loader named {clean(loader)!r} claims {shown}. These do: {_listed(names)}.")
    raise PluginError(f"Several plugins claim {shown}: {_listed(names)}. Choose one with --loader {names[0]}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(clean(n) for n in sorted(names))


_SIGNATURES = {
    b"RIFF": "is a RIFF file, such as WAV audio",
    b"fLaC": "is FLAC audio",
    b"OggS": "is Ogg audio",
    b"ID3": "is MP3 audio",
    b"PK\x03\x04": "is a zip archive, but not one of this format",
    b"\x80": "is a bare pickle, as old versions of torch wrote",
    b"\x89PNG": "is a PNG picture",
}


def _describe(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "is empty"
    for signature, description in _SIGNATURES.items():
        if start.startswith(signature):
            return description
    try:
        start[:500].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 16:
            return "holds data of an unknown kind"
    return "is text" if b"\x00" not in start else "holds data of an unknown kind"
