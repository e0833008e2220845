"""From the values of the options of `generate` to the job they ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from distill.cli.messages import warn
from distill.declarations import Declared
from distill.jobs import MAX_SEED, Job
from distill.models import Settings
from distill.output import Output
from distill.plugins import Plugins
from distill.registry import Claim


@dataclass(frozen=True)
class Understood:
    """What the models of a plugin make of the options: those `known`, with `defaults`, and the flags of the `others`.

    By parameter name.
    """

    known: list[str]
    defaults: Mapping[str, Any]
    others: Mapping[str, str]

    @classmethod
    def by(cls, plugin: str, brought: Mapping[str, Declared]) -> Understood:
        """By those of `plugin`, where those `brought` are the options of all plugins."""
        own = brought.get(plugin, Declared())
        known = [str(option.name) for option in own.options]
        flags = {str(option.name): option.opts[0] for declared in brought.values() for option in declared.options}
        return cls(known, own.defaults, {name: flag for name, flag in flags.items() if name not in known})


def settings(
    claim: Claim, understood: Understood, values: Mapping[str, Any],
    source: Callable[[str], ParameterSource | None], tell: Callable[[str], object] = warn,
) -> Settings:  # fmt: skip
    """What is asked of the model of `claim`, as its loader has checked it.

    `source` says where a value is from. A warning is told of each option that is on the command line and that such
    models do not know. Raises what `ModelLoader.check` raises.
    """
    for name, flag in understood.others.items():
        if source(name) is ParameterSource.COMMANDLINE:
            tell(f"{flag} is not supported for {claim.loader.kind} models. Ignored.")
    said = {name: values[name] for name in understood.known if source(name) is not ParameterSource.DEFAULT}
    return claim.check({**understood.defaults, **said})


def job(
    plugins: Plugins, claim: Claim, checked: Settings, values: Mapping[str, Any], asked: Output, seeds: Sequence[int],
    described: Mapping[str, Any] | None = None,
) -> Job:  # fmt: skip
    """The job that makes a file for each of `seeds`, as `asked`, with the settings that were `checked`."""
    return Job(
        claim=claim,
        options=checked.options,
        duration=values["duration"],
        seeds=seeds,
        output=asked,
        device=values["device"],
        precision=values["precision"],
        batch_size=values["batch_size"],
        distribution=plugins.distribution(claim.plugin),
        models=checked.models,
        described=described,
    )


def seeds(first: int, count: int, given: bool) -> range:
    """So many seeds from the `first`, which may be `given`. Raises `click.BadParameter` where they are too large."""
    if first + count - 1 > MAX_SEED:
        hint = "--seed" if given else "--count"
        raise click.BadParameter(
            f"{first} is too large: the last file's seed would exceed {MAX_SEED}.", param_hint=hint
        )
    return range(first, first + count)
