"""The options that say what finished files are: where, of which format, how loud, in what space, with which tags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from distill import options
from distill.audio.formats import BEST_QUALITY, BIT_DEPTHS, FORMATS, MOST_COMPRESSION
from distill.audio.space import MODES, WIDEST, Space
from distill.cli.messages import warn
from distill.errors import RequestError
from distill.output import LUFS, NAME, NORMALIZATIONS, Output, check_tags
from distill.text import clean

STDOUT = "-"


class Tag(click.ParamType[tuple[str, str]]):
    """KEY=VALUE."""

    name = "tag"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        key, equals, said = value.partition("=")
        if not equals:
            self.fail(f"{clean(value)!r} is not KEY=VALUE.", param, ctx)
        return key.strip().lower(), said


def parameters() -> list[click.Parameter]:
    """The options, in the order of the help."""
    return [
        click.Option(["--output-dir", "-o"], type=click.Path(file_okay=False, allow_dash=True),
                     default=".", metavar="DIR",
                     help="Folder for the files, made if missing; - writes one to stdout.  [default: this folder]"),
        click.Option(["--name"], default=NAME, metavar="TEMPLATE",
                     help="Names of the files, of {model} {seed} {index} {date} {duration} {loader} {rate} {format}; "
                     f"{{index:03}} is 001.  [default {NAME}]"),
        options.flag("--overwrite", help="Replace files of these names, instead of adding a number."),
        click.Option(["--format", "-f"], type=click.Choice(list(FORMATS)), default="wav",
                     help="Kind of audio file.  [default wav]"),
        options.number("--sample-rate", default=None, low=8000, high=192000, integer=True, unit="Hz", metavar="HZ",
                       default_means="default the model's own", help="Sample rate of the files."),
        click.Option(["--bit-depth"], type=click.Choice(BIT_DEPTHS),
                     help="Sample format of WAV and FLAC files.  [default 24-bit]"),
        options.number("--compression", default=None, low=0, high=MOST_COMPRESSION, integer=True,
                       default_means="default 5", help="How hard FLAC is compressed, without loss."),
        options.number("--quality", default=None, low=0.0, high=BEST_QUALITY, metavar="Q",
                       default_means="default ogg 9, opus 6, mp3 10", help="Quality of ogg, opus and mp3."),
        click.Option(["--spatial-mode"], type=click.Choice(MODES),
                     help="Channels and space; binaural is for headphones.  [default the model's own channels]"),
        options.number("--spatial-width", default=None, low=0.0, high=WIDEST, default_means="default 1",
                       help="How wide stereo and binaural are; 0 is a point."),
        options.number("--spatial-depth", default=None, low=0.0, high=1.0, default_means="default 0.5",
                       help="How much space is around the sound; of no effect on stereo of a stereo model."),
        click.Option(["--hrtf"], type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
                     help="Head-related impulse responses for binaural, a SOFA file; needs sofar: "
                     "pip install 'distill[binaural]'.  [default MIT KEMAR]"),
        click.Option(["--stereo"], type=click.Choice(("mid_side", "dual_seed")), hidden=True, allow_from_autoenv=False),
        click.Option(["--normalize"], type=click.Choice(NORMALIZATIONS),
                     help="What sets the level: each file's peak, its loudness, the peak of all files of the run, or "
                     "nothing.  [default peak, at -1 dBFS]"),
        options.number("--lufs", default=None, low=-70.0, high=0.0, unit="LUFS", default_means=f"default {LUFS:g}",
                       help="Loudness to bring files to; implies --normalize loudness."),
        *(click.Option([f"--{name}"], metavar="TEXT", help=f"Tag {name}.  [default {default}]")
          for name, default in (("title", "model and seed"), ("artist", "none"), ("album", "the model"))),
        click.Option(["--tag"], type=Tag(), multiple=True, metavar="KEY=VALUE", help="Another tag; repeatable."),
        options.flag("--plot", help="A picture beside each file: waveform and spectrogram. Needs matplotlib: "
                     "pip install 'distill[plot]'."),
    ]  # fmt: skip


def output(values: Mapping[str, Any]) -> Output:
    """What the values of these options ask for. Raises `RequestError` where they contradict each other."""
    mode, two_seeds = _mode(values)
    space = None
    if mode is not None:
        unsaid = Space(mode)
        width, depth = values["spatial_width"], values["spatial_depth"]
        space = Space(
            mode,
            unsaid.width if width is None else width,
            unsaid.depth if depth is None else depth,
            values["hrtf"].absolute() if mode == "binaural" and values["hrtf"] is not None else None,
        )
    normalize, lufs = values["normalize"], values["lufs"]
    if normalize != "loudness":  # which goes well with any loudness
        normalize, lufs = options.strongest({"normalize": normalize, "lufs": lufs}).values()
    normalize = normalize or ("peak" if lufs is None else "loudness")
    if lufs is not None and normalize != "loudness":
        raise RequestError(f"--lufs: the level is set by --normalize {normalize}. Leave one of the two out.")
    named = [(name, values[name]) for name in ("title", "artist", "album") if values[name] is not None]
    asked = [*named, *values["tag"]]
    for key, _ in asked:
        if [name for name, _ in asked].count(key) > 1:
            raise RequestError(f"--tag: {key} is given twice; once is allowed.")
    check_tags(dict(asked))
    return Output(
        directory=Path(values["output_dir"]),
        name=values["name"],
        overwrite=values["overwrite"],
        format=values["format"],
        sample_rate=values["sample_rate"],
        **_encoding(values),
        space=space,
        two_seeds=two_seeds,
        normalize=normalize,
        lufs=LUFS if lufs is None else lufs,
        tags=dict(asked),
        plot=values["plot"],
    )


def _encoding(values: Mapping[str, Any]) -> dict[str, Any]:
    """How samples are encoded. What is only configured counts for those formats that have it."""
    form = FORMATS[values["format"]]
    has = {
        "bit_depth": values["bit_depth"] in form.subtypes,
        "quality": form.quality is not None,
        "compression": form.compression is not None,
    }
    return {name: values[name] if has[name] or options.is_given(name) else None for name in has}


def _mode(values: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The spatial mode, and whether left and right are of two seeds."""
    mode, stereo = options.strongest({name: values[name] for name in ("spatial_mode", "stereo")}).values()
    if stereo and mode:
        raise RequestError("--stereo is the old spelling of --spatial-mode. Leave it out.")
    if stereo:
        warn("--stereo is deprecated, and will go. Use --spatial-mode stereo.")
        mode = "stereo" if stereo == "mid_side" else None
    where = {"spatial_width": ("stereo", "binaural"), "spatial_depth": ("stereo", "binaural"), "hrtf": ("binaural",)}
    for name, modes in where.items():
        if values[name] is not None and mode not in modes and options.is_given(name):
            warn(f"--{name.replace('_', '-')}: only with --spatial-mode {' or '.join(modes)}. Ignored.")
    return mode, stereo == "dual_seed"


def check_stdout(values: Mapping[str, Any], to_terminal: bool) -> None:
    """Raise `RequestError` where one file to stdout is not what the other options ask for."""
    if values["count"] > 1:
        raise RequestError(f"--output-dir -: stdout takes one file, not --count {values['count']}. Leave --count out.")
    if values["format"] not in ("wav", "flac"):
        raise RequestError(f"--output-dir -: stdout takes wav or flac, not {values['format']}.")
    for name in ("json", "plot"):
        if values[name] and options.is_given(name):
            raise RequestError(f"--output-dir -: stdout takes the sound alone. Leave --{name} out.")
    if to_terminal:
        raise RequestError("--output-dir -: stdout is a terminal. Send it on: distill generate MODEL -o - | play -")
