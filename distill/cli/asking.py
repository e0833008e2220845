"""From the values of the options of `generate`, those of the current context, to the job they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from distill import options
from distill.cli import output
from distill.cli.messages import warn
from distill.declarations import Declared
from distill.jobs import MAX_SEED, Job
from distill.models import Settings
from distill.plugins import Plugins
from distill.registry import Claim


def settings(claim: Claim, brought: Mapping[str, Declared], values: Mapping[str, Any]) -> Settings:
    """What is asked of the model of `claim`, as its loader has checked it; `brought` are the options of all plugins.

    A warning of each option that is given and that such models do not know. Raises what `ModelLoader.check` raises.
    """
    declared = brought.get(claim.plugin, Declared())
    known = {str(option.name) for option in declared.options}
    for name, flag in _flags(brought).items():
        if name not in known and options.is_given(name):
            warn(f"{flag} is not supported for {claim.loader.kind} models. Ignored.")
    return claim.check(declared.defaults | {name: values[name] for name in known if _is_said(name)})


def job(plugins: Plugins, claim: Claim, checked: Settings, values: Mapping[str, Any], seeds: Sequence[int]) -> Job:
    """The job that makes a file for each of `seeds`, with the settings that were `checked`."""
    return Job(
        claim=claim,
        options=checked.options,
        duration=values["duration"],
        seeds=seeds,
        output=output.output(values),
        device=values["device"],
        precision=values["precision"],
        batch_size=values["batch_size"],
        distribution=plugins.distribution(claim.plugin),
        models=checked.models,
    )


def seeds(first: int, count: int, given: bool) -> range:
    """So many seeds from the `first`, which may be `given`. Raises `click.BadParameter` where they are too large."""
    if first + count - 1 > MAX_SEED:
        hint = "--seed" if given else "--count"
        raise click.BadParameter(
            f"{first} is too large: the last file's seed would exceed {MAX_SEED}.", param_hint=hint
        )
    return range(first, first + count)


def _flags(brought: Mapping[str, Declared]) -> dict[str, str]:
    """The flags of the options of plugins, by parameter name."""
    return {str(option.name): option.opts[0] for declared in brought.values() for option in declared.options}


def _is_said(name: str) -> bool:
    """Whether the user says what this option is: on the command line, in the environment or in the configuration."""
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT
