"""`distill presets`: keep slider positions under a name."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import click

from distill import CheckpointHeader, options, outputs
from distill.errors import DistillError, DistillWarning, RequestError
from distill.tables import table
from distill.text import clean
from distill_vae.headers import version_1
from distill_vae.labels import Labels, Slider, positions, require_sliders
from distill_vae.options import EVOLUTION
from distill_vae.options import slider as slider_option
from distill_vae.presets import Preset, Presets

_SLIDER = re.compile(r"slider [0-9]{1,9}")
"""What a sidecar says of where a slider of MODEL stood; those of others in a blend are told by name."""


@click.group("presets", short_help="Keep slider positions under a name.")
def presets() -> None:
    """Keep slider positions of a version 1 model under a name, for --preset.

    They are kept for the model, by its id, wherever its file goes; in the user's data folder, or in the one that
    DISTILL_PRESETS names.
    """


_json = options.flag("--json", help="Print JSON.")


@presets.command("list", params=[*options.model(), _json])
def _list(model: Path, json: bool) -> None:
    """List the presets of MODEL."""
    header = version_1(model)
    kept = Presets.of(header)
    found = kept.all()
    if json:
        click.echo(outputs.to_json([_preset(one) for one in found]), nl=False)
    elif found:
        titles = ["NAME", "GROUP", "SLIDERS", ">SEED", "MODIFIED", "DESCRIPTION"]
        click.echo(table(titles, [_row(one) for one in found]))
    else:
        click.echo(f"{header.name} has no presets in {clean(str(kept.path), 300)}.", err=True)


def _row(one: Preset) -> list[str]:
    seed = "" if one.seed is None else str(one.seed)
    stand = " ".join(_flags(one)) or "all at 0"
    return [one.name, one.group, clean(stand, 50), seed, one.modified[:10], clean(one.description, 40)]


@presets.command("show", params=[*options.model(), click.Argument(["name"]), _json])
def _show(model: Path, name: str, json: bool) -> None:
    """Show the preset NAME of MODEL, and how to use it."""
    header = version_1(model)
    preset = Presets.of(header).find(name)
    if json:
        click.echo(outputs.to_json(_preset(preset)), nl=False)
        return
    labels = Labels.of(header)
    rows = [
        ("group", preset.group),
        ("description", preset.description),
        ("seed", "" if preset.seed is None else str(preset.seed)),
        ("created", preset.created),
        ("modified", preset.modified),
        *((f"slider {index}", f"{at:>3}  {_label(labels, index)}") for index, at in preset.moved.items()),
    ]
    click.echo("\n".join([preset.name, *(f"  {title:<11}  {said}" for title, said in rows if said)]))


@presets.command(
    "save",
    params=[
        *options.model(),
        click.Argument(["name"]),
        slider_option("all at 0"),
        click.Option(["--preset"], metavar="NAME", help="Start from another preset; --slider changes single ones."),
        click.Option(
            ["--from", "made"], type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
            envvar="DISTILL_PRESETS_SAVE_FROM",
            help="Start from where the sliders stood in a file that distill made, and keep its seed.",
        ),
        options.number("--seed", default=None, low=0, high=2**63 - 1, integer=True, default_means="default none",
                       help="Keep the seed too: the preset then is a file."),
        click.Option(["--group"], default="", metavar="TEXT", help="A group to list it in.  [default none]"),
        click.Option(["--description"], default="", metavar="TEXT", help="What it is.  [default none]"),
        options.flag("--replace", help="Replace the preset of this name."),
    ],
)  # fmt: skip
def _save(
    model: Path, name: str, slider: tuple[tuple[Slider, int], ...], preset: str | None, made: Path | None,
    seed: int | None, group: str, description: str, replace: bool,
) -> None:  # fmt: skip
    """Keep slider positions of MODEL under NAME."""
    header = version_1(model)
    labels, kept = Labels.of(header), Presets.of(header)
    if not labels:
        raise RequestError(f"{header.name} has no sliders: there is nothing to keep. Give a model that has.")
    if preset is not None and made:
        raise RequestError("--preset and --from: each is a start. Leave one of the two out.")
    if not (slider or made) and preset is None:
        raise RequestError("There is nothing to keep: give --slider, --preset or --from.")
    require_sliders(slider, [labels])
    start = Preset(name, ()) if preset is None else kept.find(preset)
    start = _heard(made, header) if made else start
    stand = dict(enumerate(start.positions)) | positions(labels, slider)
    new = Preset(
        name=name,
        positions=tuple(stand.get(index, 0) for index in range(len(labels))),
        seed=start.seed if seed is None else seed,
        group=clean(group),
        description=clean(description, 400),
    )
    kept.save(new, replace)
    click.echo(f"Saved: distill generate {shlex.quote(str(model))} --preset={shlex.quote(name)}", err=True)


@presets.command("rename", params=[*options.model(), click.Argument(["name"]), click.Argument(["new"])])
def _rename(model: Path, name: str, new: str) -> None:
    """Give the preset NAME of MODEL the name NEW."""
    was = Presets.of(version_1(model)).rename(name, new)
    click.echo(f"Renamed {was.name} to {clean(new)}.", err=True)


@presets.command("delete", params=[*options.model(), click.Argument(["name"])])
def _delete(model: Path, name: str) -> None:
    """Delete the preset NAME of MODEL, and say how to have it back."""
    header = version_1(model)
    was = Presets.of(header).delete(name)
    sliders = len(Labels.of(header))
    words = [
        "distill",
        "presets",
        "save",
        *(f"--slider={index}:{at}" for index, at in was.moved.items() if index < sliders),
    ]
    words += [] if was.moved else ["--slider=0:0"]
    words += [] if was.seed is None else [f"--seed={was.seed}"]
    words += [f"--{key}={said}" for key, said in (("group", was.group), ("description", was.description)) if said]
    click.echo(f"Deleted {was.name}. To have it back: {shlex.join([*words, '--', str(model), was.name])}", err=True)


def _heard(made: Path, header: CheckpointHeader) -> Preset:
    """Where the sliders of the model stood in a file that it `made`: a sidecar, or audio that carries one."""
    from distill.record import read

    beside = made.with_suffix(outputs.SIDECAR)
    shown = clean(str(beside), 200)
    try:
        said = read(beside if beside.exists() else made)
        made_by, options, stats = (said.get(key, kind=dict) for key in ("model", "options", "stats"))
        stood = {key.removeprefix("slider "): at for key, at in stats.items() if _SLIDER.fullmatch(key)}
        preset = Preset.of({"name": "heard", "slider_positions": stood, "seed": said.said["seed"]}) if stood else None
        more = [name for name, usual in (("evolution", EVOLUTION), ("blend", [])) if options[name] != usual]
    except (DistillError, ValueError, KeyError):
        if not beside.exists():
            raise DistillError(
                f"{shown} is not there: it says how {clean(made.name)} was made. Give a file that has it."
            ) from None
        raise DistillError(
            f"{shown} does not say where sliders stood. Give a file that distill made with them."
        ) from None
    if not _is_of(made_by, header):
        raise DistillError(f"{clean(made.name)} was made by another model than {header.name}. Give that model.")
    if preset is None:
        raise DistillError(
            f"{clean(made.name)} was made with random latents: no slider stood anywhere. Give one made with sliders."
        )
    if more:
        listed = " and ".join(f"--{name}" for name in more)
        warnings.warn(f"--from: a preset keeps sliders and seed. Its sound needs {listed} too.", DistillWarning, 2)
    return preset


def _is_of(made_by: Any, header: CheckpointHeader) -> bool:
    """Whether the model that a sidecar names is the checkpoint's: by its id, or by its bytes where it has none."""
    model_id = header.metadata.get("model_id")
    if isinstance(model_id, str) and model_id:
        return bool(made_by.get("id") == clean(model_id))
    from distill.sidecar import sha256

    return bool(made_by.get("sha256") == sha256(header.path))


def _preset(preset: Preset) -> dict[str, Any]:
    """What `--json` says of a preset."""
    return {
        "name": preset.name,
        "group": preset.group,
        "slider_positions": list(preset.positions),
        "seed": preset.seed,
        "description": preset.description,
        "created": preset.created,
        "modified": preset.modified,
    }


def _flags(preset: Preset) -> list[str]:
    return [f"{index}:{at}" for index, at in preset.moved.items()]


def _label(labels: Labels, index: int) -> str:
    if index >= len(labels):
        return "(this model has no such slider)"
    own, suggested = labels.own[index], labels.suggested[index]
    return own if own == suggested else f"{own} ({suggested})"
