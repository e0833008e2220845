"""`distill sliders`: what a model's sliders are, in a table, as JSON, or drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill import options, outputs
from distill.errors import DistillError
from distill.tables import table
from distill_vae.headers import version_1
from distill_vae.labels import Labels

if TYPE_CHECKING:
    from distill_vae.latents import Sliders


@click.command(
    "sliders",
    params=[
        *options.model(),
        options.flag("--json", help="Print one JSON array."),
        click.Option(
            ["--plot"], type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
            help="Draw what each slider does: .png, .pdf or .svg. Needs matplotlib: pip install 'distill[plot]'.",
        ),
    ],
)  # fmt: skip
def sliders(model: Path, json: bool, plot: Path | None) -> None:
    """List the sliders of MODEL, of version 1.

    SAFE are the positions that hold most of the recordings it was trained on, WARNING those that hold nearly all;
    VARIANCE is the share of their variety that lies along the slider; FOLLOWS is what of the sound goes with it most.
    """
    header = version_1(model)
    labels = Labels.of(header)
    if plot is not None:
        from distill_vae.plot import check, draw

        check(plot)
    from distill_vae.latents import Sliders

    found = Sliders.load(header)
    if found is None or not len(found):
        raise DistillError(
            f"{header.name} has no sliders: no latent analysis was saved with it, or it found none. "
            "It generates without them."
        )
    if plot is not None:
        from distill_vae.networks import Vae

        draw(Vae.load(header, "cpu"), found, labels, plot)
    if json:
        click.echo(outputs.to_json(_describe(labels, found)), nl=False)
    elif plot is not None:
        click.echo(plot)
    else:
        click.echo(table(_TITLES, [_row(one) for one in _describe(labels, found)]))


_TITLES = [">#", "LABEL", "SUGGESTED", "SAFE", "WARNING", ">VARIANCE", "FOLLOWS"]


def _describe(labels: Labels, found: Sliders) -> list[dict[str, Any]]:
    """What `--json` says of each slider. Ranges are in positions."""
    return [
        {
            "index": index,
            "label": labels.own[index],
            "suggested_label": labels.suggested[index],
            "safe": list(found.safe[index]),
            "warning": list(found.warning[index]),
            "variance": None if found.variance is None else float(found.variance[index]),
            "correlations": {name: float(row[index]) for name, row in found.correlations.items()},
        }
        for index in range(len(found))
    ]


def _row(one: Mapping[str, Any]) -> list[str]:
    """One slider for people."""
    suggested = "" if one["suggested_label"] == one["label"] else one["suggested_label"]
    variance = "" if one["variance"] is None else f"{one['variance']:.1%}"
    feature, r = max(one["correlations"].items(), key=lambda pair: abs(pair[1]), default=("", 0.0))
    spans = [f"{low} to {high}" for low, high in (one["safe"], one["warning"])]
    return [str(one["index"]), one["label"], suggested, *spans, variance, f"{feature} {r:+.2f}" if feature else ""]
