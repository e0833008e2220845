"""What the checks look at: a loader plugin, with a checkpoint that it claims."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from distill import registry, startup
from distill.checkpoint import CheckpointHeader
from distill.cli.generate import own_parameters
from distill.declarations import Declared
from distill.hookspecs import GROUP
from distill.models import GenerationRequest, GenerativeModel
from distill.plugins import Plugins
from distill.registry import Claim

Checkpoint = str | Path | Callable[[Path], Path]
"""A checkpoint's path, or a function that writes one into the empty folder it is given and returns its path."""

Sound = NDArray[np.float32]

LONGEST_S = 30.0
"""Three chunks of a model are looked for in files up to this length, in seconds."""


class ConformanceError(AssertionError):
    """A loader plugin does not keep its contract; the message says where."""


@dataclass(frozen=True)
class Stage:
    """One step of a `LightRun`: the heavy modules imported by then, what it changed, if it read the checkpoint."""

    heavy: list[str]
    changes: list[str]
    reads: bool


@dataclass(frozen=True)
class LightRun:
    """What a plugin did before `load`: what it printed, and by hook, in order, what else it did."""

    printed: str
    stages: dict[str, Stage]


class Subject:
    """A loader plugin with a checkpoint that it claims, everything about it found out once and when it is needed.

    `loader`: the name the plugin is installed under, or its module. `checkpoint`: see `Checkpoint`; small, so that
    some minutes of sound are soon made. `examples`: for an option whose values cannot be guessed, values to try, as
    they stand on the command line, with other options where it matters only beside those: `{"slider": ["0:5"],
    "rate": ["2 --depth 5"]}`. An empty list says that this checkpoint cannot show what the option does.
    """

    def __init__(
        self, loader: str | ModuleType, checkpoint: Checkpoint, examples: Mapping[str, Sequence[object]] | None = None
    ) -> None:
        self.name = loader if isinstance(loader, str) else loader.__name__
        self.examples = examples or {}
        self._checkpoint = checkpoint

    @cached_property
    def point(self) -> EntryPoint:
        """The plugin's entry point; one made up for a module that is not installed."""
        installed = entry_points(group=GROUP, name=self.name)
        if installed:
            return next(iter(installed))
        return EntryPoint(self.name, self.name, GROUP)

    def host(self) -> Plugins:
        """A set of plugins with this one alone, whose `new_problems` are those to come.

        Raises `ConformanceError` where it cannot be loaded.
        """
        plugins = Plugins()
        plugins.load(self.point)
        problems = plugins.new_problems()
        if not plugins.names:
            raise ConformanceError(" ".join(problems))
        return plugins

    @cached_property
    def path(self) -> Path:
        """The checkpoint's file."""
        return self._checkpoint(self.folder) if callable(self._checkpoint) else Path(self._checkpoint)

    @cached_property
    def folder(self) -> Path:
        """A folder for this subject, gone with it."""
        folder = Path(tempfile.mkdtemp(prefix="distill-check-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    @cached_property
    def header(self) -> CheckpointHeader:
        return registry.identify(self.host(), self.path)

    @cached_property
    def claim(self) -> Claim:
        return registry.claim(self.host(), self.header)

    @cached_property
    def model(self) -> GenerativeModel:
        """The checkpoint, loaded on the CPU."""
        return self.load()

    def load(self) -> GenerativeModel:
        """The checkpoint, loaded anew."""
        return self.claim.loader.load(self.header, "cpu")

    @cached_property
    def declared(self) -> Declared:
        """The options that the plugin declares and the host accepts, and what becomes of the others."""
        return self.host().generation_options(own_parameters()).get(self.claim.plugin, Declared())

    def values(self, *arguments: str) -> dict[str, Any]:
        """The options' values, by parameter name, for `arguments` as on the command line."""
        command = click.Command("generate", params=list(self.declared.options))
        return self.declared.defaults | command.make_context("generate", list(arguments), obj=self.host()).params

    def request(self, *arguments: str, seed: int = 1, samples: int | None = None) -> GenerationRequest:
        """A request for a file of `samples`, with options as on the command line, checked by the loader."""
        options = self.claim.check(self.values(*arguments)).options
        return GenerationRequest(seed, self.samples if samples is None else samples, options)

    @cached_property
    def samples(self) -> int:
        """A length that the model makes in three chunks or more, if it does so within half a minute."""
        samples = self.model.sample_rate // 2
        while samples < LONGEST_S * self.model.sample_rate:
            if self.model.count_chunks(self.request(samples=samples)) >= 3:
                break
            samples *= 2
        return samples

    def sound(self, request: GenerationRequest, model: GenerativeModel | None = None) -> Sound:
        """The file `[channels, samples]` for `request`."""
        return joined((model or self.model).generate(request))

    @cached_property
    def light(self) -> LightRun:
        """What happened when a fresh interpreter imported the plugin and had it do all that comes before `load`.

        On a copy of the checkpoint, beside which nothing is that was not made then.
        """
        copy = Path(tempfile.mkdtemp(dir=self.folder)) / self.path.name
        shutil.copyfile(self.path, copy)
        arguments = (self.point.name, self.point.value, str(copy), json.dumps(startup.HEAVY))
        try:
            printed, stages = json.loads(startup.run_fresh(_LIGHT, *arguments))
        except subprocess.CalledProcessError as error:
            raise ConformanceError(f"in a fresh interpreter it fails: {error.stderr.strip()[-500:]}") from error
        return LightRun(printed, {name: Stage(**seen) for name, seen in stages.items()})


def joined(chunks: Iterator[Sound]) -> Sound:
    """One sound `[channels, samples]` of its chunks."""
    return np.concatenate(list(chunks), axis=-1)


_LIGHT = """
import contextlib, io, json, os, sys
sys.path[:] = json.loads(sys.argv[1])
sys.dont_write_bytecode = True
from importlib.metadata import EntryPoint
from pathlib import Path
import click
from distill.errors import DistillError
from distill.plugins import Plugins

CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod",
           "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"}
name, value, path, heavy = sys.argv[2:]
events, stages = [], {}
sys.addaudithook(lambda event, arguments: events.append((event, arguments[0], arguments[-1])) if arguments else None)

def stage(name):
    opened = [(os.path.abspath(os.fsdecode(file)), flags) for event, file, flags in events
              if event == "open" and not isinstance(file, int)]
    written = [file for file, flags in opened if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)]
    stages[name] = {
        "heavy": [module for module in json.loads(heavy) if module in sys.modules],
        "changes": [f"opens {file} to write" for file in written]
                   + [f"calls {event} for {what!r}" for event, what, _ in events if event in CHANGES],
        "reads": path in [file for file, _ in opened],
    }
    events.clear()

def run():
    plugins = Plugins()
    plugins.load(EntryPoint(name, value, "distill"))
    stage("import")
    plugins.register_commands(click.Group("distill"))
    stage("register_commands")
    plugins.claimed_types()
    stage("claimed_types")
    header = plugins.read_header(Path(path))
    stage("read_header")
    loaders = [loader for _, loader in plugins.claims(header)]
    stage("claim_checkpoint")
    options = [option for declared in plugins.generation_options().values() for option in declared.options]
    values = click.Command("generate", params=options).make_context("generate", []).params
    stage("generation_options")
    for loader in loaders:
        try:
            loader.check(header, values)
        except DistillError:
            pass
    stage("check")

with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(printed):
    run()
print(json.dumps([printed.getvalue(), stages]))
"""
