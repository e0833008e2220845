"""The installed plugins: found by their entry points, asked one by one, so that a broken one harms no other."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import click
import pluggy

from distill import checkpoint, hookspecs
from distill.checkpoint import CheckpointHeader
from distill.declarations import HOST, BreachError, Declared, accept, check_command, words
from distill.errors import INTERRUPTIONS, CheckpointError, traceback_wanted
from distill.hookspecs import GROUP, PLUGIN_API
from distill.models import ModelLoader
from distill.text import clean, describe, near, represent

_MODEL = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True)
class ClaimedType:
    """A kind of checkpoint that a plugin claims, with the name and the kind of the loader it answers with."""

    version: int
    model_type: str | None
    loader: str
    kind: str


@dataclass(eq=False)
class Plugin:
    """A plugin that was found, and what is known of it.

    `point` is None where it was registered by hand. `api` is the version it was written for, None where it did not
    load; then the `errors` say why, and no hook of it is called.
    """

    name: str
    point: EntryPoint | None = None
    api: int | None = None
    hooks: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @cached_property
    def distribution(self) -> str | None:
        """The name and the version of the distribution that brought it, read once."""
        dist = None if self.point is None else self.point.dist
        return None if dist is None else f"{dist.name} {dist.version}"

    @property
    def loads_from(self) -> str | None:
        """The `module` or `module:attribute` of the entry point; None where there is no such point."""
        return self.point.value if self.point is not None and self.point.pattern.match(self.point.value) else None


class Plugins:
    """A set of plugins, each of which is heard, and reported where it breaks its contract.

    Made by `discover` from what is installed, or by hand: `plugins.register(module, "name")`.
    """

    def __init__(self, selected: bool = False) -> None:
        """`selected`: not all that are installed are meant to be in it."""
        self.selected = selected
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._loaded: dict[str, Plugin] = {}
        self._untold: list[str] = []
        self._bundled: dict[str, Path] | None = None
        self.found: list[Plugin] = []

    @property
    def names(self) -> list[str]:
        """The names of the plugins that loaded, in the order they were registered."""
        return list(self._loaded)

    @property
    def problems(self) -> list[str]:
        """All that is wrong with any of them, a line each."""
        return [_line(plugin, error) for plugin in self.found for error in plugin.errors]

    def new_problems(self) -> list[str]:
        """The problems found since this was last called, so that each is told once."""
        untold, self._untold = self._untold, []
        return untold

    def distribution(self, name: str) -> str | None:
        """The name and the version of the distribution that brought the plugin `name`."""
        return self._loaded[name].distribution

    def register(self, plugin: object, name: str) -> None:
        """Add `plugin` under `name`. One that the host cannot work with is reported and left out."""
        found = self._find(name)
        with self._isolated(found):
            self._register(plugin, found)

    def load(self, point: EntryPoint) -> None:
        """Import and register what `point` names. What fails is reported and left out."""
        found = self._find(point.name, point)
        with self._isolated(found):
            if found.loads_from is None:
                raise BreachError(f"its entry point is {clean(point.value)!r}, not a module or module:attribute")
            self._register(point.load(), found)

    def miss(self, name: str) -> None:
        """Report that the plugin `name` was asked for and is not installed."""
        self._report(self._find(name), "named in DISTILL_PLUGINS but not installed")

    def read_header(self, path: Path) -> CheckpointHeader | None:
        """The header of the file at `path` from the first plugin that knows its container, else the host's own."""
        for plugin, ask in self._implementations("read_header"):
            header: CheckpointHeader | None = None
            # What a plugin says of this file, and what the system says of it, is no breakage of the plugin's.
            with self._isolated(plugin, lets_through=(CheckpointError, OSError)):
                header = _of_kind(ask(path=path), CheckpointHeader, "read_header")
            if header is not None:
                return header
        return checkpoint.read_header(path)

    def claims(self, header: CheckpointHeader) -> Iterator[tuple[str, ModelLoader]]:
        """Every plugin that claims `header`: its name and its loader. No two loaders have one name."""
        holders: dict[str, str] = {}
        for plugin, ask in self._implementations("claim_checkpoint"):
            claim = None
            with self._isolated(plugin):
                loader = _of_kind(ask(header=header), ModelLoader, "claim_checkpoint")
                if loader is not None:
                    holders[_name(loader, holders)] = plugin.name
                    claim = plugin.name, loader
            if claim is not None:
                yield claim

    def claimed_types(self) -> dict[str, list[ClaimedType]]:
        """What each plugin says that it claims, by plugin name; what it then does not claim is reported."""
        loaders = {plugin.name: ask for plugin, ask in self._implementations("claim_checkpoint")}
        claimed: dict[str, list[ClaimedType]] = {}
        for plugin, ask in self._implementations("claimed_types"):
            with self._isolated(plugin):
                for pair in _of_kind(ask(), list, "claimed_types") or []:
                    one = _claimed(pair, loaders.get(plugin.name, lambda header: None))
                    claimed.setdefault(plugin.name, []).append(one)
        return claimed

    def generation_options(self, own: Sequence[click.Parameter] = ()) -> dict[str, Declared]:
        """What each plugin declares for `distill generate`, by plugin name; `own` are the host's parameters.

        Plugins may share a declaration, each with its own default. An option whose flag or name is in use otherwise,
        or that would be felt by the models of others, is reported and left out.
        """
        taken: dict[str, tuple[str, click.Parameter | None]] = {"-h": (HOST, None), "--help": (HOST, None)}
        taken |= {word: (HOST, parameter) for parameter in own for word in words(parameter)}
        declared: dict[str, Declared] = {}
        for plugin, ask in self._implementations("generation_options"):
            offered: list[Any] = []
            with self._isolated(plugin):
                offered = _of_kind(ask(), list, "generation_options") or []
            for option in offered:
                accepted = declared.setdefault(plugin.name, Declared())
                with self._isolated(plugin):
                    accept(option, taken, plugin.name, accepted)
        return declared

    def bundled(self) -> dict[str, Path]:
        """The checkpoints that plugins bring along, by name. A name in use stays with who has it."""
        if self._bundled is not None:
            return self._bundled
        owners: dict[str, str] = {}
        bundled: dict[str, Path] = {}
        for plugin, ask in self._implementations("bundled_checkpoints"):
            with self._isolated(plugin):
                for name, path in (_of_kind(ask(), dict, "bundled_checkpoints") or {}).items():
                    if not (isinstance(name, str) and _MODEL.fullmatch(name) and isinstance(path, Path)):
                        raise BreachError(
                            f"bundled_checkpoints has {clean(name)}: {clean(path)}, not a name and a Path"
                        )
                    if name in owners:
                        self._report(plugin, f"the model {name} is {_whose(owners[name])}; this one is left out")
                        continue
                    owners[name] = plugin.name
                    plugin.models.append(name)
                    bundled[name] = path
        self._bundled = bundled
        return bundled

    def register_commands(self, cli: click.Group) -> dict[str, str]:
        """Let every plugin add its commands to `cli`; return which plugin brought each, by command name."""
        owners = dict.fromkeys(cli.commands, HOST)
        for plugin, ask in self._implementations("register_commands"):
            brought = click.Group(cli.name)  # its own, so that it can neither replace nor remove another's
            with self._isolated(plugin):
                ask(cli=brought)
                for name, command in brought.commands.items():
                    check_command(name, command)
                    if name in owners:
                        self._report(plugin, f"the command {name} is {_whose(owners[name])}; this one is left out")
                        continue
                    owners[name] = plugin.name
                    plugin.commands.append(name)
                    cli.add_command(command, name)
        return {name: owner for name, owner in owners.items() if owner != HOST}

    def _register(self, plugin: object, found: Plugin) -> None:
        """Add `plugin`, which was `found`; raises where the host cannot work with it."""
        if found.name in self._loaded:
            holder = self._loaded[found.name].distribution or "another"
            raise BreachError(f"the name is taken by the plugin of {holder}; this one is left out")
        twin = self._manager.get_name(plugin)
        if twin is not None:
            raise BreachError(f"it is the same module as plugin {twin}; this one is left out")
        api = _api(plugin)
        self._manager.register(plugin, found.name)
        found.api = api
        self._loaded[found.name] = found
        for caller in self._manager.get_hookcallers(plugin) or []:
            [own] = (one for one in caller.get_hookimpls() if one.plugin is plugin)
            if caller.spec is None:
                if not own.optionalhook:
                    self._report(found, _unknown_hook(caller.name))
            elif own.wrapper or own.hookwrapper:
                self._report(found, f"{caller.name} is a wrapper, but hooks are called one by one; it is left out")
            else:
                found.hooks.append(caller.name)

    def _find(self, name: str, point: EntryPoint | None = None) -> Plugin:
        self.found.append(Plugin(name, point))
        return self.found[-1]

    def _implementations(self, hook: str) -> list[tuple[Plugin, Callable[..., Any]]]:
        """Who implements `hook`, and what to call with its arguments by name.

        In the order of registration, but those marked `tryfirst` before and `trylast` after the others.
        """
        found = getattr(self._manager.hook, hook).get_hookimpls()
        plain = (one for one in found if not (one.wrapper or one.hookwrapper))
        ordered = sorted(plain, key=lambda one: (one.trylast, not one.tryfirst))
        return [(self._loaded[one.plugin_name], _ask(one)) for one in ordered]

    @contextmanager
    def _isolated(self, plugin: Plugin, lets_through: tuple[type[BaseException], ...] = ()) -> Iterator[None]:
        """Report whatever `plugin` raises, except what is its own to say. What it prints goes to stderr."""
        try:
            with redirect_stdout(sys.stderr):
                yield
        except (*INTERRUPTIONS, *lets_through):
            raise
        except BreachError as breach:
            self._report(plugin, str(breach))
        except BaseException as error:  # a stranger's code: whatever is wrong with it is not ours
            self._report(plugin, describe(error))
            if traceback_wanted():
                traceback.print_exc()

    def _report(self, plugin: Plugin, problem: str) -> None:
        error = clean(problem, 200)
        if error not in plugin.errors:
            plugin.errors.append(error)
            self._untold.append(_line(plugin, error))


def discover(points: Iterable[EntryPoint] | None = None) -> Plugins:
    """The plugins that are installed, or those of `points`; `DISTILL_PLUGINS=a,b` loads only those named."""
    found = _in_order(list(entry_points(group=GROUP) if points is None else points))
    chosen = os.environ.get("DISTILL_PLUGINS")
    plugins = Plugins(selected=chosen is not None)
    if chosen is not None:
        wanted = {name.strip() for name in chosen.split(",") if name.strip()}
        for name in sorted(wanted - {point.name for point in found}):
            plugins.miss(name)
        found = [point for point in found if point.name in wanted]
    for point in found:
        plugins.load(point)
    return plugins


def _in_order(points: Sequence[EntryPoint]) -> list[EntryPoint]:
    """By name; of one name, distill's own first, then by distribution, which is read from the disk for these alone."""
    count = Counter(point.name for point in points)

    def rank(point: EntryPoint) -> tuple[str, bool, str]:
        origin = point.dist.name if count[point.name] > 1 and point.dist is not None else ""
        return point.name, origin != "distill", origin

    return sorted(points, key=rank)


def _ask(implementation: pluggy.HookImpl) -> Callable[..., Any]:
    """One plugin's implementation of a hook, to be called with the hook's arguments by name; it may take fewer."""
    return lambda **arguments: implementation.function(*(arguments[name] for name in implementation.argnames))


def _line(plugin: Plugin, error: str) -> str:
    return f"Plugin {clean(plugin.name)}: {error.rstrip('.')}."


def _of_kind(value: Any, kind: type, what: str) -> Any:
    """`value`, which must be None or of `kind`; `what` it is that came."""
    if value is not None and not isinstance(value, kind):
        raise BreachError(f"{what} gave a {type(value).__name__}, not a {kind.__name__}")
    return value


def _name(loader: ModelLoader, holders: Mapping[str, str]) -> str:
    """The name of `loader`; `holders` are the plugins whose loaders have a name already."""
    if not all(isinstance(getattr(loader, said, None), str) and getattr(loader, said) for said in ("name", "kind")):
        raise BreachError("its loader has no name or no kind")
    if loader.name in holders:
        holder = holders[loader.name]
        raise BreachError(f"its loader is named {loader.name}, as plugin {holder}'s is; {holder}'s is used")
    return loader.name


def _api(plugin: object) -> int:
    """The API that `plugin` was written for: what its `PLUGIN_API` says, the first where it says none."""
    api = getattr(plugin, "PLUGIN_API", 1)
    if api != PLUGIN_API:
        helps = "Update distill" if isinstance(api, int) and api > PLUGIN_API else "Update the plugin"
        raise BreachError(
            f"it is written for plugin API {clean(represent(api), 20)}, this distill has {PLUGIN_API}. {helps}"
        )
    return PLUGIN_API


def _unknown_hook(name: str) -> str:
    hooks = [hook for hook in vars(hookspecs) if hasattr(getattr(hookspecs, hook), f"{GROUP}_spec")]
    found = near(name, hooks, most=1)
    return f"there is no hook {name}" + (f"; near it: {found[0]}" if found else "")


def _whose(holder: str) -> str:
    return "distill's own" if holder == HOST else f"plugin {holder}'s"


def _claimed(pair: Any, claim: Callable[..., Any]) -> ClaimedType:
    """The kind of checkpoint that `pair`, version and model type, names, as `claim` answers for it."""
    try:
        version, model_type = pair
        header = CheckpointHeader(Path("any"), version, model_type)
    except (TypeError, ValueError):
        raise BreachError(f"claimed_types has {clean(pair)}, not (version, model_type)") from None
    loader = claim(header=header)
    if not isinstance(loader, ModelLoader):
        raise BreachError(f"claimed_types has {header}, which claim_checkpoint then does not claim")
    return ClaimedType(version, model_type, clean(_name(loader, {})), clean(loader.kind))
