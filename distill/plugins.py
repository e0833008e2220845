"""The installed plugins: found by their entry points, called one by one, so that a broken one harms no other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click
import pluggy

from distill import checkpoint, hookspecs
from distill.checkpoint import CheckpointHeader
from distill.errors import DistillError
from distill.models import ModelLoader
from distill.text import clean, describe


class Plugins:
    """A set of plugins and what is wrong with any of them (`problems`, a line each).

    Made by `discover` from what is installed, or by hand: `plugins.register(module, "name")`.
    """

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.GROUP)
        self._manager.add_hookspecs(hookspecs)
        self.problems: list[str] = []
        self.distributions: dict[str, str] = {}

    @property
    def names(self) -> list[str]:
        """The names of the plugins that loaded, in the order they are called."""
        return [name for name, _ in self._manager.list_name_plugin()]

    def register(self, plugin: object, name: str) -> None:
        """Add `plugin` under `name`; what pluggy finds wrong with it, a problem, leaves it out."""
        try:
            self._manager.register(plugin, name)
        except Exception as error:  # a stranger's module: whatever is wrong with it is reported, not raised
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            self._report(name, error)

    def read_header(self, path: Path) -> CheckpointHeader | None:
        """The header of the file at `path` from the first plugin that knows its container, else the host's own."""
        described: Iterator[tuple[str, CheckpointHeader]] = self._call("read_header", CheckpointHeader, path=path)
        _, header = next(described, ("", None))
        return checkpoint.read_header(path) if header is None else header

    def claims(self, header: CheckpointHeader) -> Iterator[tuple[str, ModelLoader]]:
        """Every plugin that claims `header`: its name and its loader."""
        return self._call("claim_checkpoint", ModelLoader, header=header)

    def generation_options(self) -> dict[str, list[click.Option]]:
        """The options of each plugin that has any, by plugin name.

        Plugins may share a declaration; one that declares a flag or a name in use otherwise is reported, and
        that option of it is left out.
        """
        options: dict[str, list[click.Option]] = {}
        taken: dict[str, tuple[str, click.Option]] = {}
        for name, declared in self._call("generation_options", list):
            for option in declared:
                if not isinstance(option, click.Option):
                    self._report(name, f"generation_options gave a {type(option).__name__}, not a click.Option")
                    continue
                words = [str(option.name), *option.opts, *option.secondary_opts]
                holder, first = next((taken[w] for w in words if w in taken), (name, option))
                if first is not option and first.to_info_dict() != option.to_info_dict():
                    self._report(name, f"declares {option.opts[0]} otherwise than plugin {holder}; {holder}'s is used")
                    continue
                taken |= dict.fromkeys(words, (holder, first))
                options.setdefault(name, []).append(first)
        return options

    def register_commands(self, cli: click.Group) -> None:
        """Let every plugin add its commands to `cli`."""
        for _ in self._call("register_commands", object, cli=cli):
            pass

    def _call(self, hook: str, kind: type, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Call one hook of each plugin by itself; give what it returned, unless None or not of `kind`.

        In the order of registration, but those marked `tryfirst` before and `trylast` after the others.
        """
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        for one in sorted(implementations, key=lambda i: (i.trylast, not i.tryfirst)):
            try:
                result = one.function(*(arguments[name] for name in one.argnames))
            except DistillError:
                raise  # not a breakage: the plugin's own clear word on this file
            except (Exception, SystemExit) as error:  # as in `register`
                self._report(one.plugin_name, error)
                continue
            if isinstance(result, kind):
                yield one.plugin_name, result
            elif result is not None:
                self._report(one.plugin_name, f"{hook} gave a {type(result).__name__}, not a {kind.__name__}")

    def _report(self, name: str, problem: object) -> None:
        what = describe(problem) if isinstance(problem, BaseException) else clean(problem, 200)
        self.problems.append(f"Plugin {clean(name)}: {what}.")


def discover(points: Iterable[EntryPoint] | None = None) -> Plugins:
    """The plugins that are installed, or those of `points`; `DISTILL_PLUGINS=a,b` loads only those named."""
    found = sorted(entry_points(group=hookspecs.GROUP) if points is None else points, key=lambda p: p.name)
    plugins = Plugins()
    chosen = os.environ.get("DISTILL_PLUGINS")
    if chosen is not None:
        wanted = {name.strip() for name in chosen.split(",") if name.strip()}
        for name in sorted(wanted - {p.name for p in found}):
            plugins._report(name, "named in DISTILL_PLUGINS but not installed")
        found = [p for p in found if p.name in wanted]
    for point in found:
        try:
            module = point.load()
        except (Exception, SystemExit) as error:  # a stranger's module, as in `register`
            plugins._report(point.name, error)
            continue
        plugins.register(module, point.name)
        if point.dist is not None:
            plugins.distributions[point.name] = f"{point.dist.name} {point.dist.version}"
    return plugins
