"""What a machine has of what the program needs: found out, and what would mend what is missing.

Each check is asked alone, so that one which fails hides no other. Imports torch, and so is no light room.
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from distill import catalogue, devices
from distill.errors import INTERRUPTIONS, DistillError
from distill.library import Library
from distill.plugins import Plugins
from distill.sizes import readable
from distill.text import clean, describe, of_system

OK, NOTE, FIX = "ok", "note", "fix"
"""It is there; it is not, and nothing needs it but what is named; it must be mended."""
LITTLE_ROOM = 2**30
"""Bytes of a disk below which a batch soon fills it."""
LITTLE_MEMORY = 2**30
"""Bytes of memory below which most models do not load."""
EXTRAS = {
    "matplotlib": ("plot", "--plot and 'sliders --plot'"),
    "sofar": ("binaural", "--hrtf"),
    "distributed": ("distributed", "'batch --scheduler'"),
    "s3fs": ("s3", "'batch -o s3://...'"),
    "accelerate": ("accelerate", "training in several processes"),
}
"""By the package that brings it: the name of the extra, and what it is for."""


@dataclass(frozen=True)
class Finding:
    """What was found of `what`: a `verdict` of `OK`, `NOTE` or `FIX`, what is `said`, and what `helps`."""

    what: str
    verdict: str
    said: str
    helps: str = ""


def examine(plugins: Plugins, library: Callable[[], Library]) -> list[Finding]:
    """All findings, in the order in which they are best mended. `library` gives the user's, or says why it cannot."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "torch": _torch,
        "audio": _audio,
        "plugins": lambda: _plugins(plugins),
        "library": lambda: _library(library()),
        "folders": _folders,
        "extras": _extras,
    }
    findings: list[Finding] = []
    for what, check in checks.items():
        try:
            findings += check()
        except INTERRUPTIONS:
            raise
        except OSError as error:
            findings.append(Finding(what, FIX, of_system(error)))
        except DistillError as error:
            findings.append(Finding(what, FIX, str(error)))
        except BaseException as error:  # a package that is broken, whatever it raises
            findings.append(
                Finding(what, FIX, f"{describe(error)}.", "Make a new environment and install distill anew.")
            )
    return findings


def _python() -> Iterator[Finding]:
    said = f"Python {platform.python_version()} on {platform.platform()}, distill {version('distill')}"
    yield Finding("python", OK, f"{said}.")


def _torch() -> Iterator[Finding]:
    import torch

    device = devices.choose("auto")
    free = devices.memory_free(device)
    with_memory = "" if free is None else f", {readable(free)} of memory free"
    yield Finding(
        "torch", OK, f"torch {torch.__version__} computes on {device}, {devices.threads()} threads{with_memory}."
    )
    value = float((torch.ones(2, device=device) * 2).sum())
    if value != 4.0:
        yield Finding("torch", FIX, f"{device} computes wrongly.", "Use --device cpu, and look for a newer torch.")
    if free is not None and free < LITTLE_MEMORY:
        yield Finding("memory", NOTE, f"Less than {readable(LITTLE_MEMORY)} is free.", "End other programs.")


def _audio() -> Iterator[Finding]:
    import soundfile

    from distill.audio.formats import FORMATS

    missing = [
        name
        for name, kind in FORMATS.items()
        if not all(soundfile.check_format(kind.container, subtype) for subtype in kind.subtypes.values())
    ]
    libsndfile = soundfile.__libsndfile_version__
    if missing:
        yield Finding("audio", FIX, f"libsndfile {libsndfile} cannot write {', '.join(missing)}.",
                      "pip install --force-reinstall soundfile, whose own libsndfile can.")  # fmt: skip
    else:
        yield Finding("audio", OK, f"libsndfile {libsndfile} writes {', '.join(FORMATS)}.")


def _plugins(plugins: Plugins) -> Iterator[Finding]:
    claimed = plugins.claimed_types()
    for name, path in plugins.bundled().items():
        if not path.is_file():
            yield Finding("plugins", FIX, f"The model {name} is missing: {clean(str(path), 200)}.",
                          "Install the package that brings it anew.")  # fmt: skip
    if not claimed:
        yield Finding("plugins", FIX, "No plugin claims any kind of model.", _chosen() or "Install distill anew.")
    for plugin in plugins.found:
        name = f"{clean(plugin.name)} ({plugin.distribution or 'of no distribution'})"
        for error in plugin.errors:
            yield Finding("plugins", FIX, f"{name}: {error.rstrip('.')}.", "Update it, or uninstall it.")
        if not plugin.errors:
            yield Finding("plugins", OK, f"{name}.")


def _chosen() -> str:
    return "DISTILL_PLUGINS names those that are loaded; unset it." if "DISTILL_PLUGINS" in os.environ else ""


def _library(library: Library) -> Iterator[Finding]:
    for folder in library.folders:
        if not folder.exists():
            yield Finding("library", NOTE, f"{clean(str(folder), 200)} is not there yet.",
                          "'distill models add FILE' makes it.")  # fmt: skip
        elif not folder.is_dir() or not os.access(folder, os.R_OK | os.X_OK):
            yield Finding("library", FIX, f"{clean(str(folder), 200)} cannot be read.",
                          "Choose another with --library, or in 'distill config path'.")  # fmt: skip
        elif not os.access(folder, os.W_OK):
            yield Finding("library", NOTE, f"{clean(str(folder), 200)} takes no new models.", "Make it writable.")
        else:
            yield Finding("library", OK, f"{clean(str(folder), 200)}.")
    broken = [model for model in library.models if model.problem]
    for model in broken[:8]:
        yield Finding("library", NOTE, model.problem, f"Look at it: distill inspect '{clean(str(model.path), 200)}'.")
    yield Finding("library", OK, f"{len(library.models) - len(broken)} models, {len(broken)} that cannot be read.")


def _folders() -> Iterator[Finding]:
    for what, folder in {"temporary files": Path(tempfile.gettempdir()), "cache": catalogue.path().parent}.items():
        there = next(one for one in (folder, *folder.parents) if one.exists())
        if not os.access(there, os.W_OK):
            yield Finding("folders", FIX, f"The folder for {what}, {clean(str(folder), 200)}, cannot be written.",
                          "Set TMPDIR or XDG_CACHE_HOME to one that can.")  # fmt: skip
            continue
        room = os.statvfs(there)
        free = room.f_bavail * room.f_frsize
        yield Finding("folders", NOTE if free < LITTLE_ROOM else OK,
                      f"The folder for {what}, {clean(str(folder), 200)}, has {readable(free)} free.",
                      "Make room, or name another with TMPDIR." if free < LITTLE_ROOM else "")  # fmt: skip


def _extras() -> Iterator[Finding]:
    for package, (extra, purpose) in EXTRAS.items():
        if find_spec(package) is None:
            yield Finding("extras", NOTE, f"{package} is not installed; {purpose} needs it.",
                          f"pip install 'distill[{extra}]'.")  # fmt: skip
        else:
            yield Finding("extras", OK, f"{package} {version(package)}.")


def worst(findings: Sequence[Finding]) -> str:
    """The gravest verdict."""
    return max((one.verdict for one in findings), key=(OK, NOTE, FIX).index, default=OK)
