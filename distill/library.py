"""The library: the checkpoints in the user's folders, what each says of itself, and which file a reference means.

The files are the truth; a folder that another program wrote is used as it is. Imports neither torch nor numpy.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill import configuration, registry
from distill.catalogue import Catalogue
from distill.checkpoint import CheckpointHeader
from distill.errors import CheckpointError, DistillError
from distill.paths import expand
from distill.plugins import Plugins
from distill.text import clean, folded, near_ones

if TYPE_CHECKING:
    import click

FOLDERS = "distill.library.folders"
"""Where the command line's folders are kept in `click.Context.meta`."""
SUFFIX = ".distill"
MOST_LISTED = 8
"""How many models an error lists."""


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint of the library. Its text is clean: fit to be printed.

    `size` in bytes. `date`: when it was saved, else trained, else when its file was last changed; ISO 8601. `prior`:
    whether it has one, None for a kind that does without. `words`: what else of it a search looks in. `problem` says
    why it cannot be read; then its name is its file's, and `version` is None. `bundled`: it came with a plugin.
    """

    path: Path
    size: int
    name: str
    id: str = ""
    version: int | None = None
    model_type: str | None = None
    date: str = ""
    prior: bool | None = None
    words: str = ""
    problem: str = ""
    bundled: bool = False


class Library:
    """The checkpoints in `folders`, subfolders included, and those that `plugins` bring along.

    Hidden files and folders are left out, and folders that are links are not gone into.
    """

    def __init__(self, plugins: Plugins, folders: Sequence[Path]) -> None:
        self._plugins = plugins
        self.folders = folders
        self._claims: dict[tuple[int, str | None], list[tuple[str, str]]] = {}

    @cached_property
    def models(self) -> Sequence[Model]:
        """All of them, those of the folders first. Files that are no checkpoints are left out, but for `.distill`."""
        catalogue = Catalogue(self._stamp())
        folders = [str(folder.resolve()) for folder in self.folders]
        files = {file: entry for folder in folders for file, entry in _files(folder)}  # one in two folders counts once
        found = [model for file in files if (model := self._read(file, files[file], catalogue)) is not None]
        for name, path in self._plugins.bundled().items():
            model = self._read(str(path), path, catalogue)
            if model is not None:
                found.append(_renamed(model, clean(name)))
        catalogue.keep_only(files.keys(), folders)
        catalogue.save()
        return found

    def find(self, reference: str | os.PathLike[str]) -> Path:
        """The file that `reference` stands for.

        A path; a model id, or the beginning of one; a name; a part of a name, in any case. What is in the folders goes
        before what plugins bring. Raises `DistillError` where several match, which it lists, or none, with the near
        ones.
        """
        path = expand(reference)
        try:
            if _is_file(path) or self.own(path):
                return path
            matches = self.matches(str(reference))
            if not matches:
                raise self._missing(str(reference), path)
        except OSError as error:
            raise DistillError(
                f"{clean(str(path), 200)} cannot be looked up: {error.strerror}. Give another path."
            ) from error
        if len(matches) > 1:
            listed = [f"{one.name} ({', '.join(filter(None, [one.id, str(one.path)]))})" for one in matches]
            more = f", and {len(listed) - MOST_LISTED} more" if len(listed) > MOST_LISTED else ""
            raise DistillError(
                f"{clean(str(reference))!r} is several models: {', '.join(listed[:MOST_LISTED])}{more}. "
                "Give more of the name, an id, or a path."
            )
        return matches[0].path

    def own(self, path: Path) -> Model | None:
        """The model of the folders whose file, or link, lies at `path`; None where there is none, or it came along."""
        if not os.path.lexists(path):
            return None
        place = path.parent.resolve() / path.name  # the file itself may be a link
        return next((one for one in self.models if one.path == place and not one.bundled), None)

    def describe(self, path: Path) -> Model:
        """The model at `path`, of the library or not."""
        place = path.parent.resolve() / path.name
        known = next((one for one in self.models if one.path == place), None)
        if known is None:
            known = self._read(str(place), place, Catalogue(self._stamp()))
        return Model(place, 0, clean(path.stem)) if known is None else known

    def matches(self, reference: str) -> list[Model]:
        """The models that `reference` stands for: one, if it is not ambiguous. One like a path can be a name alone."""
        wanted = folded(reference)
        named = _own([one for one in self.models if one.name == reference])
        if _is_path(reference):
            return named
        found = _own([one for one in self.models if folded(one.id) == wanted])
        found = found or _own([one for one in self.models if folded(one.id).startswith(wanted)])
        if len(found) > 1 and len(named) == 1:
            return named  # a name that happens to begin several ids
        return found or named or _own([one for one in self.models if wanted in folded(one.name)])

    def loaders(self, model: Model) -> list[tuple[str, str]]:
        """Name and kind of each loader that claims `model`: one, if all is well."""
        if model.version is None:
            return []
        key = model.version, model.model_type
        if key not in self._claims:  # loaders claim by these two alone
            claims = self._plugins.claims(CheckpointHeader(model.path, *key))
            self._claims[key] = [(clean(loader.name), clean(loader.kind)) for _, loader in claims]
        return self._claims[key]

    def _stamp(self) -> str:
        """What, beside a file, decides what is read of it: who reads."""
        readers = [plugin for plugin in self._plugins.found if "read_header" in plugin.hooks]
        return ", ".join(f"{plugin.name} {plugin.distribution}" for plugin in readers)

    def _read(self, file: str, entry: os.DirEntry[str] | Path, catalogue: Catalogue) -> Model | None:
        """What the file says of itself; None where it is none that belongs here."""
        path = Path(file)
        try:
            stat_ = entry.stat()
            if not stat.S_ISREG(stat_.st_mode):
                return None
            said = catalogue.value(file, stat_, lambda: _said(self._plugins, path))
        except OSError as error:
            if path.suffix != SUFFIX or not os.path.lexists(path):  # removed since it was listed
                return None
            return Model(path, 0, clean(path.stem), problem=f"{clean(file, 200)}: {error.strerror}.")
        if said is None:
            return None
        if not said["date"]:
            said = said | {"date": datetime.fromtimestamp(stat_.st_mtime, UTC).isoformat(timespec="seconds")}
        return Model(path, stat_.st_size, **said)

    def _missing(self, reference: str, path: Path) -> DistillError:
        """The error which says that there is nothing at `path`, and what is near."""
        shown = clean(str(path), 200)
        if path.is_symlink():
            return DistillError(
                f"{shown} is a link to {clean(str(path.readlink()), 200)}, which leads to no file. "
                "Mend or remove the link."
            )
        if path.is_dir():
            return DistillError(f"{shown} is a folder. Give one of its checkpoints (*{SUFFIX}).")
        if path.exists():
            return DistillError(f"{shown} is neither a file nor a folder. Give the path of a checkpoint (*{SUFFIX}).")
        there = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        near = near_ones(path.name, [*there, *(one.name for one in self.models if one.name != reference)])
        if _is_path(reference):
            hint = near or f" Give the path of a checkpoint (*{SUFFIX})."
            return DistillError(f"{shown} does not exist.{hint}")
        hint = near or " 'distill models list' shows those there are."
        return DistillError(f"{shown} is no file, and no model of the library.{hint}")


def of(ctx: click.Context) -> Library:
    """The library of a command: in the folders of the command line, else the configuration's, else the user's own."""
    chosen = ctx.meta.get(FOLDERS) or configuration.of(ctx).library or [default_folder()]
    folders = [expand(folder) for folder in chosen]
    known = ctx.meta.get(Library.__name__)
    if known is None or known.folders != folders:
        plugins = ctx.find_object(Plugins)
        assert plugins is not None, "the program puts its plugins in ctx.obj"
        ctx.meta[Library.__name__] = known = Library(plugins, folders)
    library: Library = known
    return library


def default_folder() -> Path:
    """The folder of the library where nothing else is said."""
    from platformdirs import user_data_path

    return user_data_path("distill", appauthor=False) / "models"


def _is_path(reference: str) -> bool:
    """Whether `reference` can be nothing but a path."""
    separators = (os.sep, os.altsep or os.sep, "\0")
    return not reference or reference.endswith(SUFFIX) or any(separator in reference for separator in separators)


def _own(models: list[Model]) -> list[Model]:
    """Those in the user's folders; those that plugins bring where there are none."""
    return [one for one in models if not one.bundled] or models


def _renamed(model: Model, name: str) -> Model:
    """The bundled `model` under the `name` that the plugin gives it."""
    return replace(model, name=name, bundled=True)


def _files(folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The files below `folder`, by path, and links to them; what cannot be listed is passed over."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        inner = []
        for entry in found:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                inner.append(entry.path)
            elif entry.is_symlink() or entry.is_file():
                yield entry.path, entry
        waiting += reversed(inner)


def _is_file(path: Path) -> bool:
    """Whether there is a file at `path`, or a link to one; a link in a circle leads to none."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise


def _said(plugins: Plugins, path: Path) -> dict[str, Any] | None:
    """What the file at `path` says of itself, as plain values; None where it is no checkpoint and not called one."""
    try:
        header = plugins.read_header(path)
        if header is None:
            if path.suffix != SUFFIX:
                return None
            registry.identify(plugins, path)  # which says what it is instead
        else:
            return _summary(header)
    except CheckpointError as error:
        return {"name": clean(path.stem), "date": "", "problem": str(error)}
    return None


def _summary(header: CheckpointHeader) -> dict[str, Any]:
    metadata = header.metadata
    model_id = metadata.get("model_id")
    return {
        "name": header.name,
        "id": clean(model_id) if isinstance(model_id, str) else "",
        "version": header.version,
        "model_type": header.model_type,
        "date": _date(metadata),
        "prior": header.prior,
        "words": clean(" ".join(_words(metadata)), 400),
    }


def _words(metadata: Mapping[str, Any]) -> Iterator[str]:
    for key in ("description", "dataset_name"):
        if isinstance(metadata.get(key), str):
            yield metadata[key]
    tags = metadata.get("tags")
    yield from (one for one in (tags if isinstance(tags, list) else []) if isinstance(one, str))


def _date(metadata: Mapping[str, Any]) -> str:
    for key in ("save_date", "training_date"):
        said = metadata.get(key)
        if isinstance(said, str):
            try:
                return datetime.fromisoformat(said).isoformat(timespec="seconds")
            except ValueError:
                continue
    return ""
