"""Plugins are found by their entry points, and a broken one harms no other."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from tones import TonePlugin

from distill import hookimpl, options
from distill.checkpoint import CheckpointHeader
from distill.errors import CheckpointError
from distill.plugins import Plugins, discover

HEADER = CheckpointHeader(path=Path("m.tone"), version=1, model_type="tone")


def of(**plugins: object) -> Plugins:
    """A set of plugins by name."""
    made = Plugins()
    for name, plugin in plugins.items():
        made.register(plugin, name)
    return made


def hook(name: str, body: Any) -> object:
    """A plugin with one hook; `body` is what it returns, or an exception that it raises."""

    def call(**_: object) -> Any:
        if isinstance(body, BaseException):
            raise body
        return body

    parameters = {
        "claim_checkpoint": lambda header: call(),
        "read_header": lambda path: call(),
        "register_commands": lambda cli: call(),
        "generation_options": lambda: call(),
    }
    return SimpleNamespace(**{name: hookimpl(parameters[name])})


@pytest.fixture
def points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points of three modules: one sound, one that fails, one that ends the program."""
    bodies = {
        "good_one": "from tones import TonePlugin\nplugin = TonePlugin()\n",
        "bad_one": "import a_module_that_is_not_there\n",
        "rude_one": "raise SystemExit(3)\n",
    }
    for name, body in bodies.items():
        (tmp_path / f"{name}.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    values = {"good": "good_one:plugin", "bad": "bad_one", "rude": "rude_one"}
    return [EntryPoint(name, value, "distill") for name, value in values.items()]


def test_the_bundled_plugins_are_found_like_any_other() -> None:
    plugins = discover()
    assert plugins.problems == []
    assert plugins.names == ["vae", "vqvae"]
    assert {d.split()[0] for d in plugins.distributions.values()} == {"distill"}


def test_a_plugin_that_cannot_be_imported_is_reported_and_the_others_load(points: list[EntryPoint]) -> None:
    plugins = discover(points)
    assert plugins.names == ["good"]
    assert plugins.problems == [
        "Plugin bad: ModuleNotFoundError: No module named 'a_module_that_is_not_there'.",
        "Plugin rude: SystemExit: 3.",
    ]


def test_distill_plugins_chooses_which_load(points: list[EntryPoint], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILL_PLUGINS", " good, absent ,")
    plugins = discover(points)
    assert plugins.names == ["good"]
    assert plugins.problems == ["Plugin absent: named in DISTILL_PLUGINS but not installed."]


def test_an_empty_distill_plugins_loads_none(points: list[EntryPoint], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILL_PLUGINS", "")
    plugins = discover(points)
    assert (plugins.names, plugins.problems) == ([], [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (RuntimeError("no\nluck"), "Plugin broken: RuntimeError: no luck."),
        ("text", "Plugin broken: claim_checkpoint gave a str, not a ModelLoader."),
    ],
)
def test_a_plugin_that_breaks_in_a_hook_is_reported_and_the_others_are_asked(body: object, message: str) -> None:
    plugins = of(broken=hook("claim_checkpoint", body), tones=TonePlugin())
    assert [name for name, _ in plugins.claims(HEADER)] == ["tones"]
    assert plugins.problems == [message]


def test_a_plugins_own_clear_word_on_a_file_is_not_a_breakage() -> None:
    plugins = of(strict=hook("read_header", CheckpointError("it is half a file")))
    with pytest.raises(CheckpointError, match="it is half a file"):
        plugins.read_header(Path("m.tone"))
    assert plugins.problems == []


def test_a_hook_of_another_signature_is_reported() -> None:
    bad = SimpleNamespace(claim_checkpoint=hookimpl(lambda checkpoint: None))
    plugins = of(bad=bad, tones=TonePlugin())
    assert plugins.names == ["tones"]
    assert len(plugins.problems) == 1
    assert "checkpoint" in plugins.problems[0]


def test_a_name_in_use_is_reported_and_the_first_keeps_it() -> None:
    first = TonePlugin()
    plugins = of(tones=first)
    plugins.register(TonePlugin(level=0.1), "tones")
    assert [loader._plugin for _, loader in plugins.claims(HEADER)] == [first]  # type: ignore[attr-defined]
    assert len(plugins.problems) == 1


def test_a_plugin_may_bring_a_container_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "m.tone"
    path.write_text("any")
    header = of(tones=TonePlugin()).read_header(path)
    assert header is not None
    assert header.model_type == "tone"


def test_plugins_may_share_a_declaration() -> None:
    plugins = of(
        a=hook("generation_options", [options.temperature()]),
        b=hook("generation_options", [options.temperature()]),
    )
    declared = plugins.generation_options()
    assert declared["a"] == declared["b"]
    assert plugins.problems == []


@pytest.mark.parametrize(
    "other",
    [
        options.temperature(default=0.7),
        options.number("--temperature", "-t", help="x", default=1.0, low=0.1, high=3.0),
        click.Option(["--temp", "-t"]),
        click.Option(["--heat", "temperature"]),
    ],
    ids=["default", "range", "short flag", "parameter name"],
)
def test_an_option_declared_otherwise_is_reported_with_both_names_and_left_out(other: click.Option) -> None:
    ours = options.temperature()
    plugins = of(a=hook("generation_options", [ours]), b=hook("generation_options", [other, options.top_k()]))
    declared = plugins.generation_options()
    assert declared["a"] == [ours]
    assert [o.name for o in declared["b"]] == ["top_k"]
    assert plugins.problems == [f"Plugin b: declares {other.opts[0]} otherwise than plugin a; a's is used."]


def test_what_is_no_option_is_reported_and_left_out() -> None:
    plugins = of(a=hook("generation_options", ["--size", options.top_k()]))
    assert [o.name for o in plugins.generation_options()["a"]] == ["top_k"]
    assert plugins.problems == ["Plugin a: generation_options gave a str, not a click.Option."]


def test_a_plugin_can_add_commands() -> None:
    cli = click.Group("distill")
    hooks = SimpleNamespace(register_commands=hookimpl(lambda cli: cli.add_command(click.Command("train"))))
    of(trainer=hooks).register_commands(cli)
    assert list(cli.commands) == ["train"]
