"""The conformance kit passes a loader that keeps its contract, and fails each broken one by the check meant for it."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import hum
import pytest

from distill.testing import CHECKS, ConformanceError, Subject, check_loader, parametrize_with_checks
from distill.testing import subject as subjects
from distill.testing.checks import check_header_is_pure, check_long_files_come_in_chunks, check_options_are_honoured

SOUND = Path(hum.__file__).read_text()


@dataclass(frozen=True)
class Breakage:
    """One change that breaks the sound plugin: `old` becomes `new`, and the check `meant` for it says `said`."""

    meant: str
    old: str
    new: str
    said: str


BREAKAGES = [
    Breakage(
        meant="host_has_no_complaint",
        old='"--bright/--dull"',
        new='"--bright/--dull", "--seed"',
        said="a name that is distill's own",
    ),
    Breakage(
        meant="host_has_no_complaint",
        old="PLUGIN_API = 1",
        new="PLUGIN_API = 1\n@hookimpl\ndef read_headers(path): ...",
        said="near it: read_header",
    ),
    Breakage(
        meant="host_has_no_complaint",
        old="PLUGIN_API = 1",
        new="PLUGIN_API = 1\n@hookimpl\ndef register_commands(cli): cli.command('generate')(print)",
        said="the command generate is distill's own",
    ),
    Breakage(
        meant="claims",
        old='if (header.version, header.model_type) == (3, "hum")',
        new='if header.model_type == "hum"',
        said="claims version 1003",
    ),
    Breakage(
        meant="claims",
        old='[(3, "hum")]',
        new='[(4, "hum"), (3, "hum")]',
        said="version 4, model_type 'hum', which claim_checkpoint then does not",
    ),
    Breakage(
        meant="claims",
        old="def claimed_types():\n    return [(3",
        new="def claimed_types():\n    return []\n    return [(3",
        said="does not list version 3",
    ),
    Breakage(
        meant="claims",
        old='== (3, "hum") else',
        new='== (3, "hum") and header.fields else',
        said="then does not claim",
    ),
    Breakage(
        meant="header_is_pure",
        old="def claim_checkpoint(header):",
        new="def claim_checkpoint(header):\n    if header.path.exists(): header.path.read_bytes()",
        said="opens the checkpoint",
    ),
    Breakage(
        meant="header_is_pure",
        old="if file.read(4) != MAGIC",
        new='path.with_suffix(".seen").touch()\n        if file.read(4) != MAGIC',
        said="read_header opens ",
    ),
    Breakage(
        meant="header_is_pure",
        old="if file.read(4) != MAGIC",
        new='path.with_suffix(".seen").mkdir(exist_ok=True)\n        if file.read(4) != MAGIC',
        said="read_header calls os.mkdir",
    ),
    Breakage(
        meant="header_is_pure",
        old="if file.read(4) != MAGIC",
        new='if file.read(4) not in (MAGIC, b"RIFF")',
        said="damaged header",
    ),
    Breakage(
        meant="header_is_pure",
        old='"start": file.tell()',
        new='"start": file.tell(), "when": __import__("time").time()',
        said="another when it is read again",
    ),
    Breakage(
        meant="imports_are_light",
        old="import json\n",
        new="import json\nimport numpy\n",
        said="import imports numpy",
    ),
    Breakage(
        meant="imports_are_light",
        old='if options["wobble"] > 90',
        new='import torch\n        if options["wobble"] > 90',
        said="check imports numpy and torch",
    ),
    Breakage(
        meant="sound_is_deterministic",
        old='stream(request.seed, "tuning")',
        new="stream(request.seed + np.random.randint(2**30), 'x')",
        said="second time",
    ),
    Breakage(
        meant="sound_is_deterministic",
        old="self.levels = levels",
        new="self.levels = levels * (1 + np.random.random() / 9)",
        said="loaded anew",
    ),
    Breakage(
        meant="imports_are_light",
        old="PLUGIN_API = 1",
        new="PLUGIN_API = 1\n@hookimpl\ndef register_commands(cli): import torch",
        said="register_commands imports numpy and torch",
    ),
    Breakage(
        meant="imports_are_light",
        old='return [(3, "hum")]',
        new='import numpy\n    return [(3, "hum")]',
        said="claimed_types imports numpy",
    ),
    Breakage(
        meant="seed_is_honoured",
        old='stream(request.seed, "tuning")',
        new='stream(request.seed % 2**31 % 2, "tuning")',
        said="two seeds give",
    ),
    Breakage(
        meant="seed_is_honoured",
        old='stream(request.seed, "tuning")',
        new='stream(int(np.int32(request.seed)), "tuning")',
        said="OverflowError",
    ),
    Breakage(
        meant="chunks_have_their_shape",
        old="astype(np.float32)[None]",
        new="astype(np.float64)[None]",
        said="a chunk is float64",
    ),
    Breakage(
        meant="chunks_have_their_shape",
        old="astype(np.float32)[None]",
        new="astype(np.float32)[[0, 0]] if 0 else np.tile(wave.astype(np.float32), (2, 1))",
        said="from a model of 1 channels",
    ),
    Breakage(
        meant="chunks_have_their_shape",
        old="sample_rate = 8000",
        new="sample_rate = 8000\n            channels = 3",
        said="channels is 3",
    ),
    Breakage(
        meant="durations_are_exact",
        old="min(start + CHUNK, request.samples)",
        new="start + CHUNK",
        said="samples came where 1 were",
    ),
    Breakage(
        meant="progress_is_counted",
        old="return -(-request.samples // CHUNK)",
        new="return 1 + request.samples // CHUNK",
        said="generate yields",
    ),
    Breakage(
        meant="files_do_not_depend_on_their_batch",
        old="for start in range(0, request.samples, CHUNK):",
        new="self.tuning = tuning\n"
        "                for start in range(0, request.samples, CHUNK):\n"
        "                    tuning = self.tuning",
        said="made at the same time",
    ),
    Breakage(
        meant="files_do_not_depend_on_their_batch",
        old="sample_rate = 8000\n",
        new="sample_rate = 8000\n"
        "            def generate_batch(self, requests, batch_size=None):\n"
        "                for request in requests:\n"
        "                    other = __import__('dataclasses').replace(request, seed=request.seed + 1)\n"
        "                    chosen = other if batch_size == 4 else request\n"
        "                    yield __import__('distill').Generation(self.generate(chosen))\n",
        said="or on the batch size (here 4)",
    ),
    Breakage(
        meant="files_do_not_depend_on_their_batch",
        old="sample_rate = 8000\n",
        new="sample_rate = 8000\n"
        "            def generate_batch(self, requests, batch_size=None):\n"
        "                return map(self.generate, requests)\n",
        said="gives a generator, not a Generation",
    ),
    Breakage(
        meant="files_do_not_depend_on_their_batch",
        old="sample_rate = 8000\n",
        new="sample_rate = 8000\n"
        "            def generate_batch(self, requests, batch_size=None):\n"
        "                return list(super().generate_batch(requests))[1:]\n",
        said="generate_batch gives 2 files for 3 requests",
    ),
    Breakage(
        meant="requests_of_a_batch_may_differ",
        old="sample_rate = 8000\n",
        new="sample_rate = 8000\n"
        "            def generate_batch(self, requests, batch_size=None):\n"
        "                requests = list(requests)\n"
        "                for request in requests:\n"
        "                    alike = __import__('dataclasses').replace(request, options=requests[0].options)\n"
        "                    yield __import__('distill').Generation(self.generate(alike))\n",
        said="a file depends on the settings of others in its batch",
    ),
    Breakage(
        meant="files_can_be_made_side_by_side",
        old="sample_rate = 8000\n",
        new="sample_rate = 8000\n"
        "            concurrent = True\n"
        "            def generate_batch(self, requests, batch_size=None):\n"
        "                for request in requests:\n"
        "                    yield __import__('distill').Generation(self._elsewhere(self.generate(request)))\n"
        "            def _elsewhere(self, chunks):\n"
        "                import threading\n"
        "                for chunk in chunks:\n"
        "                    yield chunk / (1 + (threading.current_thread() is not threading.main_thread()))\n",
        said="files made in several threads differ",
    ),
    Breakage(
        meant="long_files_come_in_chunks",
        old="CHUNK = 4000",
        new="CHUNK = 10**7",
        said="twice those of one half as long",
    ),
    Breakage(
        meant="damaged_files_are_refused",
        old='if len(data) != 4 * header.fields["partials"]',
        new="if len(data) % 4",
        said="as if it were whole",
    ),
    Breakage(
        meant="damaged_files_are_refused",
        old='raise CheckpointError(f"{header.name} is',
        new='raise RequestError(f"{header.name} is',
        said="raises RequestError",
    ),
    Breakage(
        meant="damaged_files_are_refused",
        old='raise CheckpointError(f"{header.name} is',
        new='raise EOFError(f"{header.name} is',
        said="raises EOFError",
    ),
    Breakage(
        meant="options_are_honoured",
        old="np.tanh(3 * wave)",
        new="wave",
        said="--bright changes nothing",
    ),
    Breakage(
        meant="options_are_honoured",
        old="> 90",
        new="!= 0",
        said="--wobble refuses every value tried",
    ),
    Breakage(
        meant="codes_are_streamed",
        old="yield np.clip(np.round(128 + 127 * block[0])",
        new="yield np.clip(np.round(128 + 127 * block[0] / abs(block).max())",
        said="codes depend on how the sound is cut",
    ),
    Breakage(
        meant="codes_are_streamed",
        old="0, 255).astype(np.int64)",
        new="0, 255)",
        said="codes are float32",
    ),
    Breakage(
        meant="codes_are_streamed",
        old="- 128) / 127",
        new="- piece.mean().astype(np.float32)) / 127",
        said="depends on how the codes are cut up",
    ),
    Breakage(
        meant="codes_are_streamed",
        old="piece[:samples, None]",
        new="piece[:, None]",
        said="were wanted",
    ),
    Breakage(
        meant="codes_are_streamed",
        old="                if samples > 0:",
        new="                if 0:",
        said="as if they were enough",
    ),
    Breakage(
        meant="nothing_is_printed",
        old="data = header",
        new="print('loading')\n        data = header",
        said="it prints 'loading'",
    ),
    Breakage(
        meant="nothing_is_printed",
        old="PLUGIN_API = 1",
        new="print('hello', end='')\nPLUGIN_API = 1",
        said="it prints 'hello'",
    ),
]
IMPLIED = {
    "sound_is_deterministic": {"check_files_do_not_depend_on_their_batch", "check_requests_of_a_batch_may_differ"}
}


@parametrize_with_checks("hum", hum.write_checkpoint)
def test_a_sound_loader_passes(check: Callable[[], None]) -> None:
    check()


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The plugin with something in it replaced, as a module."""

    def make(old: str, new: str) -> Any:
        assert SOUND.count(old) == 1, old
        name = "hum_" + re.sub(r"\W+", "_", request.node.name)[-60:]
        name += f"_{len(list(tmp_path.iterdir()))}"
        (tmp_path / f"{name}.py").write_text(SOUND.replace(old, new))
        monkeypatch.syspath_prepend(str(tmp_path))
        return importlib.import_module(name)

    return make


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda breakage: breakage.meant)
def test_a_broken_loader_fails_the_check_meant_for_it_alone(
    broken: Callable[..., Any], breakage: Breakage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subjects, "LONGEST_S", 3.0)  # for one that never makes three chunks
    subject = Subject(broken(breakage.old, breakage.new), hum.write_checkpoint)
    failed = {}
    for check in CHECKS:
        try:
            check(subject)
        except Exception as error:
            failed[check.__name__] = f"{type(error).__name__}: {error}"
    meant = f"check_{breakage.meant}"
    assert failed.keys() - IMPLIED.get(breakage.meant, set()) == {meant}
    assert breakage.said in failed[meant]


def test_every_check_has_a_loader_that_it_fails() -> None:
    assert {f"check_{breakage.meant}" for breakage in BREAKAGES} == {check.__name__ for check in CHECKS}


def test_check_loader_passes_a_sound_loader(tmp_path: Path) -> None:
    check_loader("hum", hum.write_checkpoint(tmp_path))


def test_check_loader_lists_all_that_fails(broken: Callable[..., Any]) -> None:
    module = broken("astype(np.float32)", "astype(np.float64)[:, :0]")
    with pytest.raises(ConformanceError, match=rf"{module.__name__} fails \d+ of {len(CHECKS)} checks:") as caught:
        check_loader(module, hum.write_checkpoint)
    assert "\n  check_chunks_have_their_shape: " in str(caught.value)


def test_an_option_that_cannot_be_guessed_asks_for_an_example(broken: Callable[..., Any]) -> None:
    module = broken('"--bright/--dull"], default=False', '"--bright"], default=""')
    make = partial(check_loader, module, hum.write_checkpoint)
    with pytest.raises(ConformanceError, match=r"--bright takes cannot be guessed.*examples=\{'bright': \[\.\.\.\]\}"):
        make()
    make(examples={"bright": ["yes"]})
    make(examples={"bright": []})


class Shape(Enum):
    """Values of an option."""

    SOFT = 0
    HARD = 1


@pytest.mark.parametrize(
    ("declared", "used"),
    [
        ('click.Option(["--bright"], type=float)', "request.options['bright']"),
        ('click.Option(["--bright"], type=float, default=lambda: 0.0)', "request.options['bright']"),
        ('click.Option(["--bright"], type=float, multiple=True, default=(1.0,))',
         "sum(request.options['bright']) != 1"),
        ('click.Option(["--bright"], type=click.FloatRange(0, 1, min_open=True), default=0.5)',
         "request.options['bright'] > 0.6"),
        ('click.Option(["--bright"], type=int, nargs=2, default=(0, 1))', "request.options['bright'] != (0, 1)"),
        ('click.Option(["--bright"], type=click.Choice(["soft", "hard"]), default="soft")',
         "request.options['bright'] == 'hard'"),
        ('click.Option(["--bright"], type=click.Choice(__import__("shapes").Shape), default="SOFT")',
         "request.options['bright'].value"),
        ('click.Option(["--bright"], count=True)', "request.options['bright']"),
    ],
)  # fmt: skip
def test_options_of_any_kind_can_be_sound(
    broken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, declared: str, used: str
) -> None:
    monkeypatch.setitem(sys.modules, "shapes", sys.modules[__name__])
    text = SOUND.replace('click.Option(["--bright/--dull"], default=False, help="Saturation.")', declared)
    monkeypatch.setattr(sys.modules[__name__], "SOUND", text)
    check_options_are_honoured(Subject(broken('request.options["bright"]', used), hum.write_checkpoint))
    with pytest.raises(ConformanceError, match="--bright changes nothing"):
        check_options_are_honoured(Subject(broken('if request.options["bright"]', "if 0"), hum.write_checkpoint))


def test_an_option_that_matters_beside_another_is_tried_beside_it(broken: Callable[..., Any]) -> None:
    used = 'request.options["bright"] and wobble'
    module = broken('request.options["bright"]', used)
    with pytest.raises(ConformanceError, match="--bright changes nothing"):
        check_options_are_honoured(Subject(module, hum.write_checkpoint))
    check_options_are_honoured(Subject(module, hum.write_checkpoint, {"bright": ["--wobble 20"]}))


def test_a_model_of_long_chunks_is_sound(broken: Callable[..., Any]) -> None:
    check_long_files_come_in_chunks(Subject(broken("CHUNK = 4000", "CHUNK = 600_000"), hum.write_checkpoint))


def test_a_header_may_hold_what_does_not_compare(broken: Callable[..., Any]) -> None:
    module = broken('"start": file.tell()', '"start": file.tell(), "x": object()')
    check_header_is_pure(Subject(module, hum.write_checkpoint))


def test_a_name_that_is_not_installed_says_so() -> None:
    with pytest.raises(ConformanceError, match="absent_one: ModuleNotFoundError"):
        check_loader("absent_one", hum.write_checkpoint)
