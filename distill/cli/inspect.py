"""`distill inspect`: what is inside a checkpoint, without running or loading it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import click

from distill import inspection, options, outputs, registry
from distill.cli.messages import warn_of_problems
from distill.declared import Tensor
from distill.errors import CheckpointError, DistillError
from distill.inspection import Contents
from distill.plugins import Plugins
from distill.sizes import readable
from distill.tables import table
from distill.text import clean

MOST_LINES = 1000
"""How many values, modules or globals of a kind are shown to people."""
_VERDICTS = {
    "allowed": "allowed",
    "inert": "OUTSIDE THE ALLOW-LIST: never imported, stays inert",
    "left to torch": "OUTSIDE THE ALLOW-LIST: inert here; torch's own list decides when the model is loaded",
    "refused": "OUTSIDE THE ALLOW-LIST: could run programs, so the file is refused",
}


@click.command(
    "inspect",
    params=[*options.model("file"), options.flag("--json", help="Print one JSON object.")],
    short_help="Show what is inside a checkpoint, without running it.",
)
@click.pass_obj
def inspect(plugins: Plugins, /, file: Path, json: bool) -> None:
    """Show what is inside FILE, any checkpoint, without running or loading it.

    That is its container, what it says it is, who claims it, its configuration and metadata, the parameters of each
    module, and every global that its pickle names. FILE is a path, or a name or id from 'distill models list'.
    """
    refusal: DistillError | None = None
    header = None
    try:
        header = registry.identify(plugins, file)
    except CheckpointError as error:
        refusal = error
    fields = None if header is None else header.fields
    try:
        contents = inspection.look(file, fields)
    except CheckpointError as error:
        raise refusal or error from error
    if refusal is not None and not (contents.values or contents.tensors or contents.globals):
        raise refusal  # there is nothing to show
    claims = [] if header is None else [
        {"plugin": clean(plugin), "loader": clean(loader.name), "kind": clean(loader.kind)}
        for plugin, loader in plugins.claims(header)
    ]  # fmt: skip
    warn_of_problems(plugins)
    if json:
        click.echo(outputs.to_json(_described(file, contents, claims)), nl=False)
    else:
        click.echo("\n".join(_shown(file, contents, claims)))
    if refusal is not None:
        raise refusal
    if contents.problems:
        raise CheckpointError(
            f"{clean(str(file), 200)} cannot be used: {contents.problems[0]}. Copy or download it again."
        )


def _described(file: Path, contents: Contents, claims: list[dict[str, str]]) -> dict[str, Any]:
    """What `--json` says."""
    return {
        "path": str(file.absolute()),
        "size": file.stat().st_size,
        "container": contents.container,
        "records": contents.records,
        "version": contents.values.get("version"),
        "model_type": contents.values.get("model_type"),
        "claimed_by": claims,
        "values": contents.values,
        "tensors": {
            clean(key, 200): [
                {"name": clean(name, 200), "shape": list(one.shape), "dtype": one.dtype, "bytes": one.size}
                for name, one in group.items()
            ]
            for key, group in contents.tensors.items()
        },
        "globals": [{"name": clean(one.name, 200), "verdict": one.verdict} for one in contents.globals],
        "problems": list(contents.problems),
    }


def _shown(file: Path, contents: Contents, claims: list[dict[str, str]]) -> Iterator[str]:
    """What people read."""
    values = contents.values
    records = f", {contents.records} records" if contents.records else ""
    yield clean(str(file), 200)
    yield f"  container   {contents.container}{records}, {readable(file.stat().st_size)}"
    for key in ("format", "version", "model_type"):
        if key in values:
            yield f"  {key:<10}  {inspection.in_a_line(values[key])}"
    listed = "; ".join(f"loader {one['loader']} of plugin {one['plugin']}, {one['kind']} models" for one in claims)
    yield f"  claimed by  {listed or 'nobody'}"
    known = ("format", "version", "model_type")
    single = {key: value for key, value in values.items() if key not in known and not isinstance(value, Mapping)}
    sections = {"values": single} | {key: value for key, value in values.items() if isinstance(value, Mapping)}
    for title, section in sections.items():
        if section:
            yield from _section(title, section)
    for key, group in contents.tensors.items():
        yield from _tensors(key, group)
    if contents.globals:
        yield "\nglobals"
        yield _indented(
            table(["NAME", "VERDICT"], [[clean(g.name, 100), _VERDICTS[g.verdict]] for g in contents.globals])
        )


def _section(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    """`values` under a title, a line each."""
    yield f"\n{title}"
    shown = dict(islice(values.items(), MOST_LINES))
    width = min(max(map(len, shown)), 32)
    yield from (f"  {key:<{width}}  {inspection.in_a_line(value)}" for key, value in shown.items())
    yield from _more(len(values))


def _more(count: int) -> list[str]:
    """A line that says how many of `count` are not shown."""
    return [f"  … and {count - MOST_LINES:,} more (--json has them)"] if count > MOST_LINES else []


def _tensors(title: str, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """A line for each module: how many parameters it has, how large they are, its tensors with their shapes."""
    dtype, _ = Counter(one.dtype for one in tensors.values()).most_common(1)[0]
    modules: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        module, _, own = name.rpartition(".")
        modules.setdefault(module, {})[own] = tensor
    rows = []
    for module, inside in islice(modules.items(), MOST_LINES):
        shapes = [_shape(name, one, "" if one.dtype == dtype else f" {one.dtype}") for name, one in inside.items()]
        rows.append([clean(module, 100) or "(itself)", *_sizes(inside.values()), ", ".join(shapes)])
    parameters, size = _sizes(tensors.values())
    yield f"\n{clean(title)}: {len(tensors)} tensors, {parameters} parameters, {size}, {dtype}"
    yield _indented(table(["MODULE", ">PARAMETERS", ">SIZE", "TENSORS"], rows))
    yield from _more(len(modules))


def _shape(name: str, tensor: Tensor, dtype: str) -> str:
    return f"{clean(name)} {list(tensor.shape)}{dtype}"


def _sizes(tensors: Collection[Tensor]) -> tuple[str, str]:
    return f"{sum(one.parameters for one in tensors):,}", readable(sum(one.size for one in tensors))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
