"""What changes the library: checkpoints copied or linked into it, removed, renamed. Whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

from distill import outputs, registry, renaming
from distill.errors import DistillError, RequestError
from distill.library import Library
from distill.plugins import Plugins
from distill.text import clean, file_stem


def add(plugins: Plugins, library: Library, source: Path, name: str | None = None, *, link: bool = False) -> Path:
    """Have the first folder of `library` hold the checkpoint `source`, called `name` or what it is called.

    A copy, or a symbolic link, which keeps the name. Raises `DistillError` where it is no checkpoint, or the library
    has it or one of its name already.
    """
    header = registry.identify(plugins, source)
    if library.own(source) is not None:
        raise DistillError(f"{_shown(source)} is in the library already. Use it as it is.")
    if link and name is not None:
        raise RequestError("--name: a link shows the file as it is. Leave --link or --name out.")
    called = header.name if name is None else renaming.check_name(name)
    _refuse_name(library, called, f"Give it another with {'--name, and without --link' if link else '--name'}.")
    folder = library.folders[0]
    outputs.prepare(folder, "Choose a folder with --library.")
    target = folder / f"{source.stem if name is None else file_stem(name, 100)}{source.suffix}"
    if link:
        if target.exists() or target.is_symlink():
            raise _in_use(target)
        target.symlink_to(source.resolve())
        return target
    with outputs.temporary(folder) as draft:
        if name is None:
            shutil.copyfile(source, draft)
        else:
            renaming.write_renamed(header, called, draft)
        _place(draft, target)
    return target


def remove(library: Library, path: Path) -> None:
    """Take the checkpoint at `path` out of `library`: the file, or a link to it alone.

    Raises `DistillError` where it is not the library's own.
    """
    refuse_outsider(library, path, "removed")
    path.unlink()


def rename(plugins: Plugins, library: Library, path: Path, name: str) -> Path:
    """Call the checkpoint at `path` in `library` `name`; where it now lies. Its file follows if it had the old name.

    Raises `DistillError` where it is not the library's own, or the name is in use.
    """
    refuse_outsider(library, path, "renamed")
    if path.is_symlink():
        raise DistillError(
            f"{_shown(path)} is a link to {_shown(path.readlink())}, which is not ours to change. "
            "Rename that file yourself."
        )
    header = registry.identify(plugins, path)
    _refuse_name(library, renaming.check_name(name), "Choose another.")
    is_called_so = path.stem == file_stem(header.name, 100)  # else it is some other program's name for the file
    target = path.with_name(f"{file_stem(name, 100)}{path.suffix}") if is_called_so else path
    with outputs.temporary(path.parent) as draft:
        renaming.write_renamed(header, name, draft)
        if target.exists() and target.samefile(path):  # its own name, or that in another case where these are one
            outputs.sync(draft)
            draft.replace(path)
            path.rename(target)
        else:
            _place(draft, target)
            path.unlink()
    return target


def refuse_outsider(library: Library, path: Path, what: str) -> None:
    """Raise `DistillError` where the file at `path` is not the library's to be `what`, "removed"."""
    if library.own(path) is None:
        folders = ", ".join(_shown(folder) for folder in library.folders)
        raise DistillError(
            f"{_shown(path)} is not in the library ({folders}), and is not {what} by it. "
            "Add it first, or change the file itself."
        )


def _place(draft: Path, target: Path) -> None:
    outputs.sync(draft)
    if not outputs.place(draft, target):
        raise _in_use(target)


def _refuse_name(library: Library, name: str, helps: str) -> None:
    for one in library.models:
        if one.name == name and not one.bundled:
            raise DistillError(f"The library has a model named {name}: {_shown(one.path)}. {helps}")


def _in_use(path: Path) -> DistillError:
    return DistillError(f"{_shown(path)} is there already. Give another name.")


def _shown(path: Path) -> str:
    return clean(str(path), 200)
