"""`distill reconstruct`, `encode` and `decode`: sound to codes and back, with any model that has codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distill import Tokenizer, devices, options, outputs, registry, startup
from distill.audio.formats import FORMATS, check_length, output_format
from distill.errors import DistillError, NotFiniteError, RequestError
from distill.plugins import Plugins
from distill.registry import Claim
from distill.text import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _file(name: str, *, exists: bool = False) -> click.Argument:
    return click.Argument([name], type=click.Path(dir_okay=False, exists=exists, path_type=Path))


def _output(what: str) -> click.Option:
    return click.Option(
        ["--output", "-o"], required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help=what
    )


def _others() -> list[click.Parameter]:
    return [
        options.flag("--overwrite", help="Replace a file of this name."),
        click.Option(
            ["--device"],
            type=click.Choice(devices.DEVICES),
            default="auto",
            help="What to compute on; auto is a GPU if there is one.  [default auto]",
        ),
        click.Option(["--loader"], metavar="NAME", help="Which loader to use, where several claim MODEL."),
        options.flag("--quiet", "-q", help="No progress."),
    ]


_SOUND = f"The sound, {', '.join(FORMATS)} by its suffix."


@click.command("reconstruct", params=[*options.model(), _file("recording", exists=True), _output(_SOUND),
                                      *_others()])  # fmt: skip
@click.pass_obj
def reconstruct(plugins: Plugins, /, model: Path, recording: Path, output: Path, overwrite: bool, device: str,
                loader: str | None, quiet: bool) -> None:  # fmt: skip
    """Write what MODEL makes of a RECORDING.

    It is encoded and decoded again, as long as it was and at its sample rate. For models that have codes: version 2
    and version 3. Any length; memory does not grow with it. The level is left as the model gives it, but peaks over
    full scale are turned down to it.
    """
    claim = _claim(plugins, model, loader)
    _check_name(output, overwrite)
    _suffix(output)
    tokenizer = _tokenizer(claim, device)
    from distill.audio.recordings import Reader
    from distill.audio.resampling import resample, samples_needed

    with Reader(recording) as reader, _Bar(reader.seconds, tokenizer.sample_rate, quiet) as bar:
        rate = reader.sample_rate if _holds(output, reader.sample_rate) else tokenizer.sample_rate
        samples = round(reader.samples * rate / reader.sample_rate)
        needed = samples_needed(samples, tokenizer.sample_rate, rate)
        if not samples:
            raise _empty(recording)
        blocks = bar.count(reader.blocks(tokenizer.sample_rate, tokenizer.channels))
        decoded = tokenizer.decode(tokenizer.encode(_padded(blocks, needed)), needed)
        _write(output, resample(decoded, tokenizer.sample_rate, rate, tokenizer.channels), rate, tokenizer.channels,
               samples, overwrite)  # fmt: skip
    click.echo(str(output))


@click.command("encode", params=[*options.model(), _file("recording", exists=True),
                                 _output("The codes, .npz."), *_others()])  # fmt: skip
@click.pass_obj
def encode(plugins: Plugins, /, model: Path, recording: Path, output: Path, overwrite: bool, device: str,
           loader: str | None, quiet: bool) -> None:  # fmt: skip
    """Write the codes of a RECORDING.

    They go to an .npz file. Its arrays: `codes`, time along the first axis; `samples` and `sample_rate` of the sound
    at the model's rate; and `model_id`.
    """
    claim = _claim(plugins, model, loader)
    _check_name(output, overwrite)
    tokenizer = _tokenizer(claim, device)
    from distill.audio.recordings import Reader
    from distill_codec import code_files

    with Reader(recording) as reader, _Bar(reader.seconds, tokenizer.sample_rate, quiet) as bar:
        blocks = bar.count(reader.blocks(tokenizer.sample_rate, tokenizer.channels))
        pieces = list(tokenizer.encode(blocks))
        if not bar.counted:
            raise _empty(recording)
    codes = code_files.Codes.joined(pieces, bar.counted, tokenizer.sample_rate, _model_id(claim))
    _place(output, overwrite, lambda draft: code_files.write(draft, codes))
    click.echo(str(output))


@click.command("decode", params=[*options.model(), _file("codes", exists=True), _output(_SOUND),
                                 *_others()])  # fmt: skip
@click.pass_obj
def decode(plugins: Plugins, /, model: Path, codes: Path, output: Path, overwrite: bool, device: str,
           loader: str | None, quiet: bool) -> None:  # fmt: skip
    """Make the sound that CODES stand for.

    CODES is an .npz file that `distill encode` wrote with MODEL.
    """
    claim = _claim(plugins, model, loader)
    _check_name(output, overwrite)
    _suffix(output)
    from distill_codec import code_files

    found = code_files.read(codes)
    if found.model_id and (other := _model_id(claim)) and other != found.model_id:
        raise RequestError(
            f"{clean(str(codes), 200)} has codes of another model ({clean(found.model_id, 40)}); they mean nothing to "
            f"{claim.header.name}. Give the model that they are of."
        )
    tokenizer = _tokenizer(claim, device)
    if not _holds(output, tokenizer.sample_rate):
        output_format(_suffix(output), tokenizer.sample_rate)  # which says what it can hold
    if found.sample_rate != tokenizer.sample_rate:
        raise RequestError(
            f"{clean(str(codes), 200)} has codes of sound at {found.sample_rate} Hz; {claim.header.name} has "
            f"{tokenizer.sample_rate} Hz. Give the model that encoded them."
        )
    with _Bar(found.samples / found.sample_rate, found.sample_rate, quiet) as bar:
        sound = bar.count(tokenizer.decode([found.codes], found.samples))
        _write(output, sound, tokenizer.sample_rate, tokenizer.channels, found.samples, overwrite)
    click.echo(str(output))


def _empty(recording: Path) -> DistillError:
    return DistillError(f"{clean(str(recording), 200)} has no samples. Give one that has.")


def _claim(plugins: Plugins, model: Path, loader: str | None) -> Claim:
    return registry.claim(plugins, registry.identify(plugins, model), loader)


def _tokenizer(claim: Claim, device: str) -> Tokenizer:
    with startup.building():
        import torch  # noqa: F401 - by what is imported next and by the model
    with claim.breakage_named("loading"):
        return claim.loader.load_tokenizer(claim.header, devices.choose(device))


def _model_id(claim: Claim) -> str:
    found = claim.header.metadata.get("model_id")
    return clean(found, 100) if isinstance(found, str) else ""


def _suffix(output: Path) -> str:
    """The format that `output` names. Raises `RequestError` where it is none."""
    name = output.suffix.lower().removeprefix(".")
    if name not in FORMATS:
        raise RequestError(
            f"--output: {clean(output.name, 100)!r} does not end in a known format; there are {', '.join(FORMATS)}."
        )
    return name


def _holds(output: Path, sample_rate: int) -> bool:
    return FORMATS[_suffix(output)].holds_rate(sample_rate)


def _check_name(output: Path, overwrite: bool) -> None:
    """Refuse a name in use before anything is computed."""
    if output.exists() and not overwrite:
        raise DistillError(f"{clean(str(output), 200)} is there already. Give another name, or --overwrite.")
    if not output.parent.is_dir():
        raise DistillError(f"{clean(str(output.parent), 200)} is no folder. Make it, or give another --output.")


def _place(output: Path, overwrite: bool, write: Callable[[Path], object]) -> None:
    """Have `output` hold what `write` writes, once that is whole."""
    with outputs.temporary(output.parent) as draft:
        write(draft)
        if overwrite:
            draft.replace(output)
        elif not outputs.place(draft, output):
            raise DistillError(f"{clean(str(output), 200)} is there already. Give another name, or --overwrite.")


def _write(
    output: Path, blocks: Iterable[NDArray[np.float32]], sample_rate: int, channels: int, samples: int, overwrite: bool
) -> None:
    """Write `samples` of `blocks` to `output`, its peak at full scale at most."""
    import numpy as np

    from distill.audio import files

    form = output_format(_suffix(output), sample_rate)
    check_length(form, samples, channels, "--output")
    with outputs.temporary(output.parent) as spooled:
        left, peak = samples, 0.0
        with files.Spool(spooled, channels) as spool:
            for block in blocks:
                kept = block[:, :left]
                if not np.isfinite(kept).all():
                    raise NotFiniteError("samples")
                left -= kept.shape[1]
                peak = max(peak, float(np.abs(kept).max(initial=0.0)))
                spool.append(kept)
            spool.append(np.zeros((channels, left), np.float32))
        gain = np.float32(1.0 / max(1.0, peak))
        _place(
            output, overwrite, lambda draft: files.write(draft, (b * gain for b in spool.blocks()), form, channels)
        )  # fmt: skip


def _padded(blocks: Iterable[NDArray[np.float32]], samples: int) -> Iterator[NDArray[np.float32]]:
    """`blocks [channels, any]`, with silence after them up to `samples`."""
    import numpy as np

    channels = 1
    for block in blocks:
        channels = block.shape[0]
        samples -= block.shape[1]
        yield block
    if samples > 0:
        yield np.zeros((channels, samples), np.float32)


class _Bar:
    """A bar on stderr that counts the samples which pass, in seconds; `counted` says how many."""

    def __init__(self, seconds: float, sample_rate: int, quiet: bool) -> None:
        from tqdm import tqdm

        self._rate = sample_rate
        self.counted = 0
        self._bar: Any = tqdm(
            total=round(seconds, 1), unit="s", leave=False, disable=True if quiet or sys.stderr is None else None,
            bar_format="{n:.0f}/{total:.0f} s |{bar}| {elapsed}<{remaining}",
        )  # fmt: skip

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def count(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """`blocks [channels, any]` as they come, without empty ones."""
        for block in blocks:
            if block.shape[1]:
                yield block
            self.counted += block.shape[1]
            self._bar.update(min(block.shape[1] / self._rate, self._bar.total - self._bar.n))
