"""`distill plugins`, and how a plugin's troubles show at the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from program import Cli, Result
from tones import TonePlugin

from distill import hookimpl, options
from distill.cli import build, run
from distill.errors import DistillError, DistillWarning, Terminated
from distill.plugins import Plugins, discover

BROKEN = EntryPoint("broken", "not_a_module", "distill")


def test_people_see_what_each_plugin_claims_and_brings(cli: Cli) -> None:
    result = cli("plugins")
    assert (result.code, result.err) == (0, "")
    codec, vae, vqvae = result.out.split("\n\n")
    assert codec.splitlines()[1:] == [
        "  claims    version 3, model_type 'codec': codec models, loader codec",
        "  options   --temperature, --top-k, --top-p, --min-p, --novelty, --prompt, --prompt-seconds",
        "  commands  train, train-prior, reconstruct, encode, decode",
        "  models    starter",
    ]
    assert re.fullmatch(r"vae \(distill \d+\.\d+\.\d+, plugin API 1\)", vae.splitlines()[0])
    assert vae.splitlines()[1:] == [
        "  claims    version 1, no model_type: VAE models, loader vae",
        "  claims    version 1, model_type 'vae': VAE models, loader vae",
        "  options   --slider, --randomize-sliders, --evolution, --preset, --blend, --weight, --blend-mode",
        "  commands  sliders, presets",
    ]
    assert vqvae.splitlines()[1:] == [
        "  claims    version 2, model_type 'vqvae': VQ-VAE models, loader vqvae",
        "  options   --temperature, --top-k, --top-p, --min-p, --overlap",
    ]


def test_json_has_the_same(cli: Cli) -> None:
    result = cli("plugins", "--json")
    assert (result.code, result.err) == (0, "")
    [described] = [one for one in json.loads(result.out) if one["name"] == "vqvae"]
    version = described.pop("version")
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert described == {
        "name": "vqvae", "distribution": "distill", "api": 1,
        "hooks": ["claim_checkpoint", "claimed_types", "generation_options"],
        "claims": [{"version": 2, "model_type": "vqvae", "loader": "vqvae", "kind": "VQ-VAE"}],
        "options": ["--temperature", "--top-k", "--top-p", "--min-p", "--overlap"], "commands": [], "models": [],
        "errors": [],
    }  # fmt: skip


def test_a_broken_plugin_is_listed_with_its_error_and_nothing_goes_to_stderr(cli: Cli) -> None:
    plugins = discover()
    plugins.load(BROKEN)
    result = cli("plugins", plugins=plugins)
    assert (result.code, result.err) == (0, "")
    assert result.out.split("\n\n")[3].splitlines() == [
        "broken (of no distribution)", "  error     ModuleNotFoundError: No module named 'not_a_module'"
    ]  # fmt: skip
    plugins.load(BROKEN)
    listed = json.loads(cli("plugins", "--json", plugins=plugins).out)
    assert listed[3]["errors"] == ["ModuleNotFoundError: No module named 'not_a_module'"]
    assert listed[3]["api"] is None


def test_commands_containers_and_problems_of_hooks_are_listed(cli: Cli) -> None:
    plugins = Plugins()
    plugin: Any = TonePlugin()
    plugin.register_commands = hookimpl(lambda cli: cli.add_command(click.Command("strike")))
    plugins.register(plugin, "tones")
    plugins.register(SimpleNamespace(generation_options=hookimpl(lambda: [click.Option(["--pitch"])])), "late")
    tones, late = cli("plugins", plugins=plugins).out.split("\n\n")
    assert tones.splitlines()[1:] == [
        "  reads     files of its own format", "  options   --pitch", "  commands  strike"
    ]  # fmt: skip
    assert late.splitlines()[1:] == ["  error     declares --pitch otherwise than plugin tones; tones's is used"]


def test_a_plugin_whose_name_is_taken_shows_nothing_of_the_other(cli: Cli) -> None:
    plugins = discover()
    plugins.register(TonePlugin(), "vae")
    listed = [one for one in json.loads(cli("plugins", "--json", plugins=plugins).out) if one["name"] == "vae"]
    assert [(one["api"], len(one["claims"]), len(one["options"])) for one in listed] == [(1, 2, 7), (None, 0, 0)]
    assert listed[1]["errors"][0].startswith("the name is taken by the plugin of distill ")


def test_without_plugins_it_says_so(cli: Cli) -> None:
    assert cli("plugins", plugins=Plugins()).out == "No plugins are installed.\n"
    assert json.loads(cli("plugins", "--json", plugins=Plugins()).out) == []


def test_times_names_a_plugin_that_imports_torch_at_the_top(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, imported in {"slow_one": "torch", "quick_one": "json"}.items():
        (tmp_path / f"{name}.py").write_text(f"import {imported}\nplugin = object()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins = Plugins()
    for name in ("slow_one", "quick_one"):
        plugins.load(EntryPoint(name, name, "distill"))
    plugins.load(BROKEN)
    slow, quick, broken = cli("plugins", "--times", plugins=plugins).out.split("\n\n")
    assert re.search(
        r"^  startup   [\d.]+ ms; imports numpy and torch too early, which slows every command$", slow, re.M
    )
    assert re.search(r"^  startup   [\d.]+ ms$", quick, re.M)
    assert "  startup   does not load\n" in broken
    plugins = Plugins()
    plugins.load(EntryPoint("slow_one", "slow_one:plugin", "distill"))
    [described] = json.loads(cli("plugins", "--times", "--json", plugins=plugins).out)
    assert described["startup"]["heavy"] == ["numpy", "torch"]
    assert described["startup"]["seconds"] > 0.01


def test_times_counts_what_a_plugin_imports_to_add_its_commands(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "from distill import hookimpl\n@hookimpl\ndef register_commands(cli): import numpy\n"
    (tmp_path / "late_one.py").write_text(body)
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins = Plugins()
    plugins.load(EntryPoint("late", "late_one", "distill"))
    plugins.load(EntryPoint("typo", "late-one", "distill"))
    late, typo = json.loads(cli("plugins", "--times", "--json", plugins=plugins).out)
    assert late["startup"]["heavy"] == ["numpy"]
    assert typo["startup"] is None
    assert typo["errors"] == ["its entry point is 'late-one', not a module or module:attribute"]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, **more}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH where a plugin lies as pip would have installed it; a broken one beside it."""
    folder = tmp_path / "site"
    for name, body in {
        "hums": "from hum import *\nfrom hum import claim_checkpoint, read_header\n",
        "bad": "raise RuntimeError('torn')\n",
    }.items():
        info = folder / f"distill_{name}-2.5.dist-info"
        info.mkdir(parents=True)
        (folder / f"distill_{name}.py").write_text(body)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: distill-{name}\nVersion: 2.5\n")
        (info / "entry_points.txt").write_text(f"[distill]\n{name} = distill_{name}\n")
    return folder


def distill(*arguments: str, path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    fixtures = Path(__file__).parents[2] / "fixtures"
    return subprocess.run(
        [sys.executable, "-m", "distill", *arguments],
        env=environment(PYTHONPATH=f"{path}{os.pathsep}{fixtures}", **more),
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_an_installed_plugin_is_found_and_a_broken_one_beside_it_is_one_line(installed: Path) -> None:
    warning = "Warning: Plugin bad: RuntimeError: torn.\n"
    for arguments in (["--help"], ["generate", "--help"], ["nonsense"], []):
        run = distill(*arguments, path=installed)
        assert run.stderr.count(warning) == 1, arguments
    assert "Options for models of plugin hums:\n  --wobble N" in distill("generate", "--help", path=installed).stdout
    listed = distill("plugins", path=installed)
    assert listed.stderr == ""
    assert "bad (distill-bad 2.5)\n  error     RuntimeError: torn\n" in listed.stdout
    assert "hums (distill-hums 2.5, plugin API 1)\n  claims    version 3, model_type 'hum'" in listed.stdout


def test_the_environment_chooses_which_plugins_load(installed: Path) -> None:
    run = distill("plugins", "--json", path=installed, DISTILL_PLUGINS="hums,absent")
    assert [(one["name"], one["errors"]) for one in json.loads(run.stdout)] == [
        ("absent", ["named in DISTILL_PLUGINS but not installed"]), ("hums", [])
    ]  # fmt: skip
    help_text = distill("generate", "--help", path=installed, DISTILL_PLUGINS="hums")
    assert help_text.stderr == ""
    assert "--wobble" in help_text.stdout
    assert "--temperature" not in help_text.stdout


def of(**plugins: object) -> Plugins:
    made = Plugins()
    for name, plugin in plugins.items():
        made.register(plugin, name)
    return made


def test_a_plugins_command_runs_and_its_breakage_names_it(cli: Cli) -> None:
    def register(cli: click.Group) -> None:
        @cli.command()
        def greet() -> None:
            click.echo("hello")

        @cli.command()
        def crash() -> None:
            raise ZeroDivisionError("by\nzero")

    plugin = SimpleNamespace(register_commands=hookimpl(register))
    assert cli("greet", plugins=of(p=plugin)).out == "hello\n"
    result = cli("crash", plugins=of(p=plugin))
    assert (result.code, result.out, result.errors) == (
        1, "", ["Error: The command crash of plugin p broke: ZeroDivisionError: by zero. "
                "Set DISTILL_TRACEBACK=1 to see where."]
    )  # fmt: skip


def test_a_name_that_a_plugins_command_cannot_print_is_told_as_elsewhere(cli: Cli) -> None:
    def register(cli: click.Group) -> None:
        cli.add_command(click.Command("show", callback=lambda: "\udcff".encode()))

    result = cli("show", plugins=of(p=SimpleNamespace(register_commands=hookimpl(register))))
    assert result.errors == ["Error: A name cannot be written in this system's encoding, utf-8. Set PYTHONUTF8=1."]


def test_problems_found_on_the_way_are_told_when_they_are_found(cli: Cli, tmp_path: Path) -> None:
    def torn(header: Any) -> None:
        raise RuntimeError("torn")

    (tmp_path / "hum.tone").touch()
    clash = SimpleNamespace(generation_options=hookimpl(lambda: [click.Option(["--seed"])]))
    plugins = of(clash=clash, tones=TonePlugin(), torn=SimpleNamespace(claim_checkpoint=hookimpl(torn)))
    shown = cli("generate", "--help", plugins=plugins)
    assert shown.errors == [
        "Warning: Plugin clash: declares --seed, a name that is distill's own; this one is left out."
    ]
    refused = cli("generate", "hum.tone", "--loader", "other", plugins=plugins)
    assert refused.errors[0] == "Warning: Plugin torn: RuntimeError: torn."
    assert refused.errors[1].startswith("Error: No loader named 'other'")


def test_one_program_can_be_called_again(capsys: pytest.CaptureFixture[str]) -> None:
    program = build(discover())
    shown = set()
    for _ in range(2):
        assert program.main(["generate", "--help"], prog_name="distill", standalone_mode=False) == 0
        shown.add(capsys.readouterr().out)
    assert len(shown) == 1


class Panic(BaseException):
    """As extension modules raise that are not written in Python."""


def raises(error: BaseException) -> Any:
    def call(*_: object, **__: object) -> Any:
        raise error

    return call


@pytest.mark.parametrize("error", [Panic("at\nonce"), SystemExit(0), GeneratorExit()], ids=repr)
def test_whatever_a_plugin_raises_is_one_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    (tmp_path / "hum.tone").touch()
    torn = SimpleNamespace(generation_options=hookimpl(lambda: raises(error)()))
    shown = cli("generate", "--help", plugins=of(tones=TonePlugin(), torn=torn))
    assert (shown.code, len(shown.errors)) == (0, 1)
    assert shown.errors[0].startswith(f"Warning: Plugin torn: {type(error).__name__}")
    for name in ("count_chunks", "generate"):
        with monkeypatch.context() as patch:
            patch.setattr(f"tones.Tone.{name}", raises(error))
            result = cli("generate", "hum.tone", "-d", 0.1, plugins=of(tones=TonePlugin()))
        assert (result.code, result.out, len(result.errors)) == (1, "", 1)
        assert f"Loader tone of plugin tones broke while generating with hum: {type(error).__name__}" in result.err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143)], ids=repr)
def test_an_interruption_in_a_plugin_ends_the_program(cli: Cli, error: BaseException, code: int) -> None:
    for hooks in ({"generation_options": lambda: raises(error)()}, {"register_commands": lambda cli: raises(error)()}):
        plugin = SimpleNamespace(**{name: hookimpl(call) for name, call in hooks.items()})
        result = cli("generate", "--help", plugins=of(torn=plugin))
        assert (result.code, result.out) == (code, "")
        assert "torn" not in result.err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "Error: Interrupted. Finished files are kept."),
        (Terminated(), 143, ""),
        (DistillError("no corpus"), 1, "Error: no corpus"),
        (Panic("torn"), 1, "Error: The command train of plugin a broke: Panic: torn. "
                           "Set DISTILL_TRACEBACK=1 to see where."),
    ],
    ids=repr,
)  # fmt: skip
def test_what_a_plugins_command_raises_is_answered(cli: Cli, error: BaseException, code: int, said: str) -> None:
    plugin = SimpleNamespace(
        register_commands=hookimpl(lambda cli: cli.add_command(click.Command("train", callback=raises(error))))
    )
    result = cli("train", plugins=of(a=plugin))
    assert (result.code, result.err.strip()) == (code, said)


def test_a_plugins_command_may_end_the_program(cli: Cli) -> None:
    plugin = SimpleNamespace(
        register_commands=hookimpl(lambda cli: cli.add_command(click.Command("train", callback=raises(SystemExit(4)))))
    )
    with pytest.raises(SystemExit, match="4"):
        cli("train", plugins=of(a=plugin))


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"x", 0, 1, "torn"), Panic("torn")], ids=repr)
def test_what_finding_the_plugins_raises_is_one_line(capsys: pytest.CaptureFixture[str], error: BaseException) -> None:
    assert run(raises(error), ["--help"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: distill or a plugin broke: {type(error).__name__}")


def test_what_a_plugin_prints_does_not_reach_stdout(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hum.tone").touch()
    (tmp_path / "loud_one.py").write_text("print('loud')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("tones.Tone.count_chunks", lambda self, request: sys.stdout.write("loud"))
    plugins = of(tones=TonePlugin())
    plugins.load(EntryPoint("loud", "loud_one", "distill"))
    assert capsys.readouterr() == ("", "loud\n")
    result = cli("generate", "hum.tone", "-d", 0.1, "--json", plugins=plugins)
    assert "loud" in result.err
    assert len(json.loads(result.out)) == 1


@pytest.mark.parametrize("flag", ["--plugins", "--brought"])
def test_an_option_may_be_named_as_the_program_names_its_own_things(cli: Cli, tmp_path: Path, flag: str) -> None:
    (tmp_path / "hum.tone").touch()
    other = SimpleNamespace(generation_options=hookimpl(lambda: [click.Option([flag])]))
    result = cli("generate", "hum.tone", "-d", 0.1, flag, "x", plugins=of(tones=TonePlugin(), other=other))
    assert result.errors == [f"Warning: {flag} is not supported for TONE models. Ignored."]


def test_a_plugin_with_nothing_to_show_leaves_the_help_whole(cli: Cli) -> None:
    class Torn(click.Option):
        def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
            raise ZeroDivisionError("torn")

    secret = SimpleNamespace(generation_options=hookimpl(lambda: [click.Option(["--secret"], hidden=True)]))
    torn = SimpleNamespace(generation_options=hookimpl(lambda: [Torn(["--torn"])]))
    result = cli("generate", "--help", plugins=of(secret=secret, torn=torn))
    assert (result.code, result.errors) == (0, ["Warning: Plugin torn: ZeroDivisionError: torn."])
    assert "secret" not in result.out


def test_what_a_command_returns_is_no_exit_code(cli: Cli) -> None:
    def register(cli: click.Group) -> None:
        cli.add_command(click.Command("five", callback=lambda: 5))
        cli.add_command(click.Command("six", callback=lambda: click.get_current_context().exit(6)))

    plugins = of(p=SimpleNamespace(register_commands=hookimpl(register)))
    assert [cli(name, plugins=plugins).code for name in ("five", "six")] == [0, 6]


def test_errors_and_warnings_are_one_printable_line(cli: Cli) -> None:
    def register(cli: click.Group) -> None:
        @cli.command("hostile")
        def hostile() -> None:
            warnings.warn("a\n\x1b[2Jb", DistillWarning, 2)
            raise DistillError("c\n\x1b[2Jd")

    result = cli("hostile", plugins=of(p=SimpleNamespace(register_commands=hookimpl(register))))
    assert result.errors == ["Warning: a [2Jb", "Error: c [2Jd"]


def test_a_plugin_that_is_not_chosen_is_not_said_to_be_missing(
    cli: Cli, vqvae_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILL_PLUGINS", "vae")
    [line] = cli("generate", vqvae_file).errors
    assert line.startswith("Error: No plugin that DISTILL_PLUGINS chooses loads ")
    assert line.endswith("It chooses: vae.")


def test_an_option_type_that_breaks_is_one_line(cli: Cli) -> None:
    class Torn(click.ParamType[str]):
        name = "torn"

        def convert(self, value: Any, param: Any, ctx: Any) -> Any:
            raise ZeroDivisionError("torn")

    plugin = SimpleNamespace(generation_options=hookimpl(lambda: [click.Option(["--x"], type=Torn())]))
    result = cli("generate", "m", "--x", "1", plugins=of(p=plugin))
    assert (result.code, result.errors) == (
        1, ["Error: distill or a plugin broke: ZeroDivisionError: torn. Set DISTILL_TRACEBACK=1 to see where."]
    )  # fmt: skip


def test_with_a_traceback_asked_for_a_breakage_is_raised(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILL_TRACEBACK", "1")
    plugin = SimpleNamespace(
        register_commands=hookimpl(lambda cli: cli.add_command(click.Command("x", callback=[].pop)))
    )
    with pytest.raises(Exception, match="pop from empty list"):
        cli("x", plugins=of(p=plugin))


def test_with_a_traceback_asked_for_a_hook_that_breaks_shows_where_and_all_goes_on(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTILL_TRACEBACK", "1")
    plugins = of(torn=SimpleNamespace(generation_options=hookimpl(raises(ZeroDivisionError("torn")))))
    plugins.load(BROKEN)
    result = cli("generate", "--help", plugins=plugins)
    assert result.code == 0
    assert f'File "{__file__}"' in result.err
    assert "Warning: Plugin torn: ZeroDivisionError: torn." in result.errors


def used(result: Result) -> Any:
    return json.loads(result.files[0].with_suffix(".json").read_text())["options"]


def gives(*given: click.Option) -> Any:
    """The hook of a plugin with these options."""
    return hookimpl(lambda *_: list(given))


def test_an_option_that_plugins_share_has_each_ones_default(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "hum.tone").touch()
    warm: Any = TonePlugin()
    warm.generation_options = gives(options.temperature(default=0.7))
    plugins = of(a=SimpleNamespace(generation_options=gives(options.temperature())), b=warm)
    shown = cli("generate", "--help", plugins=plugins)
    for name, default in {"a": "1", "b": "0.7"}.items():
        section = shown.out.partition(f"plugin {name}:\n")[2].partition("\n\n")[0]
        assert f"[0.1 to 2; default {default}]" in " ".join(section.split())
    for words, value in {(): 0.7, ("-t", 1.5): 1.5, ("-t", 1): 1.0}.items():
        result = cli("generate", "hum.tone", "-d", 0.1, *words, plugins=plugins)
        assert (result.err, used(result)) == ("", {"temperature": value})


def test_an_option_left_out_for_a_conflict_has_its_default_and_the_model_generates(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "hum.tone").touch()
    hot: Any = TonePlugin()
    hot.generation_options = gives(options.number("--temperature", help="Heat.", default=80.0, low=0.0, high=100.0))
    plugins = of(a=SimpleNamespace(generation_options=gives(options.temperature())), b=hot)
    result = cli("generate", "hum.tone", "-d", 0.1, "-t", 1.5, plugins=plugins)
    assert result.code == 0
    assert result.errors == [
        "Warning: Plugin b: declares --temperature otherwise than plugin a; a's is used.",
        "Warning: --temperature is not supported for TONE models. Ignored.",
    ]
    assert used(result) == {"temperature": 80.0}


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("sample_rate", 48000.0, "the model has sample_rate 48000.0 and channels 1"),
        ("channels", 3, "the model has sample_rate 48000 and channels 3"),
        ("count_chunks", lambda request: None, "count_chunks gave None"),
    ],
)
def test_a_model_that_breaks_its_contract_is_named(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attribute: str, value: object, said: str
) -> None:
    (tmp_path / "hum.tone").touch()
    plugin = TonePlugin()
    if attribute == "count_chunks":
        monkeypatch.setattr("tones.Tone.count_chunks", lambda self, request: None)
    else:
        setattr(plugin, attribute, value)
    result = cli("generate", "hum.tone", "-d", 0.1, plugins=of(tones=plugin))
    assert result.code == 1
    assert said in result.err
    assert "Loader tone of plugin tones broke while" in result.err
    assert not list(tmp_path.glob("*.wav"))
