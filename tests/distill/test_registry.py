"""From a file to exactly one loader, or a line that says what was found and what would help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tones import TonePlugin

from distill import Settings, registry
from distill.checkpoint import CheckpointHeader
from distill.errors import CheckpointError, PluginError
from distill.plugins import Plugins

HEADER = CheckpointHeader(path=Path("m.tone"), version=7, model_type="tone")


def installed(*names: str) -> Plugins:
    """Tone plugins of these names, whose loaders are named after them."""
    plugins = Plugins()
    for name in names:
        plugins.register(TonePlugin(loader=name), name)
    return plugins


def test_one_claim_is_the_loader() -> None:
    claim = registry.claim(installed("a"), HEADER)
    assert (claim.plugin, claim.loader.name, claim.header) == ("a", "a", HEADER)


def test_settings_stand_where_the_loader_gives_any_and_else_the_options_do() -> None:
    options = {"pitch": "A"}
    looked_up = Settings({"pitch": 440}, seed=5)
    for given, expected in ((None, Settings(options)), (looked_up, looked_up)):
        assert claimed(check=lambda header, options, given=given: given).check(options) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pitch": 440}, "check gave a dict, not Settings or None"),
        (Settings({}, seed=-1), "check gave the seed -1"),
        (Settings({}, seed=0.5), "check gave the seed 0.5"),  # type: ignore[arg-type]
        (Settings({}, seed=True), "check gave the seed True"),
        (Settings([]), "check gave options that are no mapping"),  # type: ignore[arg-type]
        (Settings({}, models=[Path("m")]), "check gave .* models that are no headers"),  # type: ignore[list-item]
    ],
)
def test_what_is_no_settings_is_the_loaders_breakage(given: Any, said: str) -> None:
    with pytest.raises(PluginError, match=f"Loader tone of plugin tones broke while checking m: {said}"):
        claimed(check=lambda header, options: given).check({})


def claimed(**how: Any) -> registry.Claim:
    plugins = Plugins()
    plugins.register(TonePlugin(**how), "tones")
    return registry.claim(plugins, HEADER)


def test_no_claim_lists_what_is_installed_and_what_the_file_says_it_is() -> None:
    header = CheckpointHeader(path=Path("m.x"), version=9, model_type="gan")
    with pytest.raises(PluginError, match=r"loads m\.x \(version 9, model_type 'gan'\)\. Installed: a, b\. Install"):
        registry.claim(installed("b", "a"), header)


def test_two_claims_name_both_and_ask_which() -> None:
    with pytest.raises(PluginError, match=r"version 7.*: a, b\. Choose one with --loader a\."):
        registry.claim(installed("b", "a"), HEADER)


def test_a_loader_asked_for_settles_it() -> None:
    assert registry.claim(installed("b", "a"), HEADER, "b").plugin == "b"


def test_a_loader_that_does_not_claim_is_answered_with_those_that_do() -> None:
    with pytest.raises(PluginError, match=r"No loader named 'c' claims .*These do: a, b\."):
        registry.claim(installed("b", "a"), HEADER, "c")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"hello, world\n", "is text"),
        (b"PK\x05\x06" + bytes(18), "holds data of an unknown kind"),
        (bytes(range(256)) * 4, "holds data of an unknown kind"),
        ("é".encode() * 400, "is text"),
        (b"\x80\x02}q\x00.", "is a bare pickle"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_told_by_what_it_is(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "m.distill"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"m\.distill is no checkpoint: it {found}.* Give a \.distill file"):
        registry.identify(installed(), path)


@pytest.mark.parametrize(("suffix", "found"), [("wav", "RIFF"), ("flac", "FLAC"), ("ogg", "Ogg")])
def test_audio_is_told_as_such(tmp_path: Path, suffix: str, found: str) -> None:
    path = tmp_path / f"m.{suffix}"
    soundfile.write(path, np.zeros(100), 48000)
    with pytest.raises(CheckpointError, match=f"is.* {found}.* audio"):
        registry.identify(installed(), path)


def test_another_torch_file_is_told_from_ours(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save({"weights": 1}, path)
    with pytest.raises(CheckpointError, match="zip archive, but not one of this format"):
        registry.identify(installed(), path)
