"""Plugins are found by their entry points, and a broken one harms no other."""

from __future__ import annotations

import inspect
import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from tones import TonePlugin

import distill
from distill import PLUGIN_API, ModelLoader, hookimpl, hookspecs, options
from distill.checkpoint import CheckpointHeader
from distill.errors import CheckpointError
from distill.plugins import ClaimedType, Plugins, discover

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
        "claimed_types": lambda: call(),
        "bundled_checkpoints": lambda: call(),
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
    assert plugins.names == ["codec", "vae", "vqvae"]
    assert [str(plugins.distribution(name)).split()[0] for name in plugins.names] == ["distill"] * 3


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


def test_nothing_of_a_plugin_that_is_left_out_is_heard() -> None:
    plugin: Any = TonePlugin()
    plugin.read_header = hookimpl(lambda file: None)  # found wrong after its claim_checkpoint was found right
    plugins = of(bad=plugin)
    assert plugins.names == []
    assert list(plugins.claims(HEADER)) == []
    assert plugins.generation_options() == {}


def test_plugins_are_loaded_in_the_order_of_their_names(points: list[EntryPoint]) -> None:
    [good, *_] = points
    both = [EntryPoint("b", good.value, "distill"), EntryPoint("a", "tones:TonePlugin", "distill")]
    assert discover(both).names == discover(reversed(both)).names == ["a", "b"]


class Distribution:
    """What an entry point says of where it came from."""

    version = "1"

    def __init__(self, name: str) -> None:
        self.name = name


def test_of_two_plugins_of_one_name_distills_own_is_first_and_then_the_order_of_distributions(
    points: list[EntryPoint],
) -> None:
    found = [EntryPoint("x", points[0].value, "distill") for _ in range(3)]
    for point, origin in zip(found, ("zebra", "distill", "apple"), strict=True):
        vars(point)["dist"] = Distribution(origin)
    plugins = discover(found)
    assert plugins.distribution("x") == "distill 1"
    assert [one.distribution for one in plugins.found] == ["distill 1", "apple 1", "zebra 1"]


def test_one_module_is_one_plugin() -> None:
    plugin = TonePlugin()
    plugins = of(a=plugin, b=plugin)
    assert plugins.names == ["a"]
    assert plugins.problems == ["Plugin b: it is the same module as plugin a; this one is left out."]


def test_a_wrapper_is_no_claim() -> None:
    @hookimpl(wrapper=True)
    def claim_checkpoint(header: CheckpointHeader) -> Any:
        return (yield)

    plugins = of(a=SimpleNamespace(claim_checkpoint=claim_checkpoint), tones=TonePlugin())
    assert [name for name, _ in plugins.claims(HEADER)] == ["tones"]
    assert plugins.problems == [
        "Plugin a: claim_checkpoint is a wrapper, but hooks are called one by one; it is left out."
    ]
    assert plugins.found[0].hooks == []


def test_a_loader_that_cannot_be_used_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = TonePlugin().claim_checkpoint(HEADER)
    monkeypatch.setattr(loader, "name", None)
    plugin = SimpleNamespace(
        claim_checkpoint=hookimpl(lambda header: loader), claimed_types=hookimpl(lambda: [(1, "tone")])
    )
    plugins = of(a=plugin)
    assert plugins.claimed_types() == {}
    assert plugins.problems == ["Plugin a: its loader has no name or no kind."]


def test_a_name_in_use_is_reported_and_the_first_keeps_it() -> None:
    first = TonePlugin()
    plugins = of(tones=first)
    plugins.register(TonePlugin(level=0.1), "tones")
    assert [loader._plugin for _, loader in plugins.claims(HEADER)] == [first]  # type: ignore[attr-defined]
    assert plugins.problems == ["Plugin tones: the name is taken by the plugin of another; this one is left out."]


def test_a_plugin_may_bring_a_container_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "m.tone"
    path.write_text("any")
    header = of(tones=TonePlugin()).read_header(path)
    assert header is not None
    assert header.model_type == "tone"


def test_plugins_may_share_a_declaration_each_with_its_own_default() -> None:
    plain, warm = options.temperature(), options.temperature(default=0.7)
    plugins = of(a=hook("generation_options", [plain]), b=hook("generation_options", [warm]))
    declared = plugins.generation_options()
    assert (declared["a"].options, declared["a"].defaults) == ([plain], {"temperature": 1.0})
    assert (declared["b"].options, declared["b"].defaults) == ([warm], {"temperature": 0.7})
    assert plugins.problems == []


@pytest.mark.parametrize(
    ("other", "default"),
    [
        (options.number("--temperature", "-t", help="x", default=1.5, low=0.1, high=3.0), 1.5),
        (click.Option(["--temperature", "-t"], help="Another thing.", type=options.Number(0.1, 2.0)), None),
        (click.Option(["--temp", "-t"]), None),
        (click.Option(["--heat", "temperature"]), None),
    ],
    ids=["range", "help", "short flag", "parameter name"],
)
def test_an_option_declared_otherwise_is_reported_with_both_names_and_left_out(
    other: click.Option, default: float | None
) -> None:
    ours = options.temperature()
    plugins = of(a=hook("generation_options", [ours]), b=hook("generation_options", [other, options.top_k()]))
    declared = plugins.generation_options()
    assert declared["a"].options == [ours]
    assert [o.name for o in declared["b"].options] == ["top_k"]
    assert declared["b"].defaults == {other.name: default, "top_k": 0}
    assert plugins.problems == [f"Plugin b: declares {other.opts[0]} otherwise than plugin a; a's is used."]


def test_the_other_name_of_a_switch_is_a_name_in_use_too() -> None:
    plugins = of(
        a=hook("generation_options", [click.Option(["--bright/--dull"])]),
        b=hook("generation_options", [click.Option(["--dull"])]),
    )
    plugins.generation_options()
    assert plugins.problems == ["Plugin b: declares --dull otherwise than plugin a; a's is used."]


@pytest.mark.parametrize("flag", ["/foo", "+x", "--a\x1b[31mb", "--é"[:2] + "é "])
def test_what_is_no_flag_is_reported_and_left_out(flag: str) -> None:
    plugins = of(a=hook("generation_options", [click.Option([flag, "value"])]))
    assert plugins.generation_options()["a"].options == []
    assert plugins.problems[0].endswith(" is no flag: hyphens, letters and digits are allowed.")


def test_a_plugin_that_declares_an_option_twice_has_it_once() -> None:
    twice = hook("generation_options", [options.top_k(), options.top_k(default=3)])
    for plugins in (of(a=twice), of(other=hook("generation_options", [options.top_k()]), a=twice)):
        declared = plugins.generation_options()["a"]
        assert (len(declared.options), declared.defaults) == (1, {"top_k": 0})
        assert plugins.problems == ["Plugin a: declares --top-k twice; the first is used."]


def test_what_is_no_option_is_reported_and_left_out() -> None:
    plugins = of(a=hook("generation_options", ["--size", options.top_k()]))
    assert [o.name for o in plugins.generation_options()["a"].options] == ["top_k"]
    assert plugins.problems == ["Plugin a: generation_options gave a str, not an Option."]


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        (click.Option(["--seed"]), "declares --seed, a name that is distill's own; this one is left out"),
        (click.Option(["--host"]), "declares --host, a name that is distill's own; this one is left out"),
        (click.Option(["--x", "-h"]), "declares --x, a name that is distill's own; this one is left out"),
        (click.Option(["--x"], required=True), "--x is required, prompts, is eager or has a callback, which other"),
        (click.Option(["--x"], prompt=True), "--x is required, prompts, is eager or has a callback, which other"),
        (click.Option(["--x"], callback=lambda *_: 1 / 0), "--x is required, prompts, is eager or has a callback"),
        (click.Option(["--x"], is_eager=True), "--x is required, prompts, is eager or has a callback, which other"),
        (click.Option(["--x"], expose_value=False), "--x is required, prompts, is eager or has a callback, which"),
        (options.number("--x", help="X.", default=9.0, low=0, high=1), "--x has a default that its type refuses: "),
    ],
    ids=["flag", "parameter", "help", "required", "prompt", "callback", "eager", "unexposed", "default"],
)
def test_an_option_that_others_would_feel_is_reported_and_left_out(option: click.Option, problem: str) -> None:
    own = [click.Option(["--seed"]), click.Argument(["host"])]
    plugins = of(
        a=hook("generation_options", [option, options.top_k()]), b=hook("generation_options", [options.top_p()])
    )
    declared = plugins.generation_options(own)
    assert [o.name for o in declared["a"].options] == ["top_k"]
    assert [o.name for o in declared["b"].options] == ["top_p"]
    assert declared["a"].defaults.keys() == {option.name, "top_k"}
    [said] = plugins.problems
    assert said.startswith(f"Plugin a: {problem}")
    assert said.endswith(".")
    assert not said.endswith("..")


def test_a_plugin_can_add_commands() -> None:
    cli = click.Group("distill")
    plugins = of(trainer=adds("train"))
    assert plugins.register_commands(cli) == {"train": "trainer"}
    assert list(cli.commands) == ["train"]
    assert plugins.found[0].commands == ["train"]


def adds(*names: str, then: BaseException | None = None) -> object:
    """A plugin that adds commands of these names, and then raises."""

    def register(cli: click.Group) -> None:
        for name in names:
            cli.add_command(click.Command(name))
        if then is not None:
            raise then

    return SimpleNamespace(register_commands=hookimpl(register))


def test_a_command_in_use_is_reported_and_stays_with_who_has_it() -> None:
    own = click.Command("generate")
    cli = click.Group("distill", commands=[own])
    plugins = of(a=adds("train"), b=adds("generate", "train", "more"))
    assert plugins.register_commands(cli) == {"train": "a", "more": "b"}
    assert cli.commands["generate"] is own
    assert plugins.problems == [
        "Plugin b: the command generate is distill's own; this one is left out.",
        "Plugin b: the command train is plugin a's; this one is left out.",
    ]


def test_a_plugin_that_breaks_while_it_adds_commands_adds_none() -> None:
    cli = click.Group("distill")
    plugins = of(a=adds("train", then=SystemExit(2)), b=adds("more"))
    assert plugins.register_commands(cli) == {"more": "b"}
    assert plugins.problems == ["Plugin a: SystemExit: 2."]


def test_a_plugin_cannot_take_away_the_commands_of_others() -> None:
    cli = click.Group("distill", commands=[click.Command("generate")])
    of(a=SimpleNamespace(register_commands=hookimpl(lambda cli: cli.commands.clear()))).register_commands(cli)
    assert list(cli.commands) == ["generate"]


def test_what_is_no_command_is_reported() -> None:
    plugins = of(a=SimpleNamespace(register_commands=hookimpl(lambda cli: cli.commands.update(train=print))))
    assert plugins.register_commands(click.Group("distill")) == {}
    assert plugins.problems == ["Plugin a: the command train is a builtin_function_or_method, not a Command."]


def test_a_problem_is_one_printable_line() -> None:
    name = "a\n\x1b[31mtrain"  # named as it is reported
    plugins = of(a=SimpleNamespace(register_commands=hookimpl(lambda cli: cli.commands.update({name: None}))))
    plugins.register_commands(click.Group("distill"))
    assert plugins.problems == ["Plugin a: the command a [31mtrain is a NoneType, not a Command."]


@pytest.mark.parametrize("name", [3, "", "two words", "--flag", "\x1b[31mred"])
def test_a_command_whose_name_cannot_be_typed_is_left_out(name: object) -> None:
    plugins = of(
        a=SimpleNamespace(register_commands=hookimpl(lambda cli: cli.commands.update({name: click.Command("x")})))
    )
    assert plugins.register_commands(click.Group("distill")) == {}
    assert plugins.problems[0].endswith(" has no name that can be typed.")


def test_a_command_that_breaks_the_help_is_left_out() -> None:
    class Torn(click.Command):
        def get_short_help_str(self, limit: int = 45) -> str:
            raise ZeroDivisionError("torn")

    plugins = of(a=SimpleNamespace(register_commands=hookimpl(lambda cli: cli.add_command(Torn("train")))))
    assert plugins.register_commands(click.Group("distill")) == {}
    assert plugins.problems == ["Plugin a: ZeroDivisionError: torn."]


@pytest.mark.parametrize("missing", ["name", "kind"])
def test_a_loader_without_a_name_or_kind_is_reported(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = TonePlugin(), TonePlugin()
    loader = bad.claim_checkpoint(HEADER)
    monkeypatch.setattr(loader, missing, None)
    plugins = of(bad=hook("claim_checkpoint", loader), good=good)
    assert [name for name, _ in plugins.claims(HEADER)] == ["good"]
    assert plugins.problems == ["Plugin bad: its loader has no name or no kind."]


def test_two_loaders_of_one_name_are_told_apart_by_a_report() -> None:
    plugins = of(a=TonePlugin(loader="t"), b=TonePlugin(loader="t"), c=TonePlugin(loader="u"))
    assert [name for name, _ in plugins.claims(HEADER)] == ["a", "c"]
    assert plugins.problems == ["Plugin b: its loader is named t, as plugin a's is; a's is used."]


def test_a_problem_is_told_once_however_often_the_hook_is_called() -> None:
    plugins = of(broken=hook("claim_checkpoint", RuntimeError("no luck")))
    for _ in range(3):
        list(plugins.claims(HEADER))
    assert plugins.new_problems() == ["Plugin broken: RuntimeError: no luck."]
    assert plugins.new_problems() == []
    assert len(plugins.problems) == 1


@pytest.mark.parametrize(
    ("api", "helps"),
    [(2, "2, this distill has 1. Update distill"), (0, "0, this distill has 1. Update the plugin"), ("1", "'1', this")],
)
def test_a_plugin_for_another_api_is_left_out_with_what_helps(api: object, helps: str) -> None:
    other = TonePlugin()
    other.PLUGIN_API = api  # type: ignore[attr-defined]
    plugins = of(other=other, tones=TonePlugin())
    assert plugins.names == ["tones"]
    [said] = plugins.problems
    assert f"Plugin other: it is written for plugin API {helps}" in said


def test_the_api_is_the_first_where_a_plugin_does_not_say() -> None:
    assert PLUGIN_API == 1  # when this rises, a plugin that says nothing is left out
    assert of(tones=TonePlugin()).found[0].api == 1


def test_a_hook_that_does_not_exist_is_reported_with_the_near_one() -> None:
    typo = SimpleNamespace(claim_chekpoint=hookimpl(lambda header: None))
    later = SimpleNamespace(a_later_hook=hookimpl(lambda: None, optionalhook=True))
    assert of(typo=typo).problems == ["Plugin typo: there is no hook claim_chekpoint; near it: claim_checkpoint."]
    assert of(later=later).problems == []


def test_a_damaged_file_or_disk_is_no_breakage_of_the_plugin_but_any_other_error_is() -> None:
    assert issubclass(PermissionError, OSError)
    plugins = of(a=hook("read_header", PermissionError(13, "no")))
    with pytest.raises(PermissionError):
        plugins.read_header(Path("m.tone"))
    for name in ("claim_checkpoint", "generation_options", "register_commands", "claimed_types"):
        plugins = of(a=hook(name, CheckpointError("half a file")))
        list(plugins.claims(HEADER))
        plugins.generation_options()
        plugins.claimed_types()
        plugins.register_commands(click.Group("distill"))
        assert plugins.problems == ["Plugin a: CheckpointError: half a file."]


@pytest.mark.parametrize(
    ("listed", "problem"),
    [
        ([(9, "tone")], None),
        ([("9", "tone")], "claimed_types has ('9', 'tone'), not (version, model_type)"),
        ([9], "claimed_types has 9, not (version, model_type)"),
        ([(9, "gong")], "claimed_types has version 9, model_type 'gong', which claim_checkpoint then does not claim"),
        ({9: "tone"}, "claimed_types gave a dict, not a list"),
    ],
)
def test_what_a_plugin_says_it_claims_is_held_against_what_it_claims(listed: object, problem: str | None) -> None:
    plugin = TonePlugin()
    plugin.claimed_types = hookimpl(lambda: listed)  # type: ignore[attr-defined]
    plugins = of(tones=plugin, other=hook("claimed_types", [(1, "x")]))
    claimed = plugins.claimed_types()
    assert plugins.problems[:-1] == ([] if problem is None else [f"Plugin tones: {problem}."])
    assert plugins.problems[-1].startswith("Plugin other: claimed_types has version 1, model_type 'x', which")
    assert claimed == ({"tones": [ClaimedType(9, "tone", "tone", "TONE")]} if problem is None else {})


@pytest.mark.parametrize("order", [{"tryfirst": True}, {}, {"trylast": True}])
def test_plugins_are_asked_in_their_order_unless_they_say_otherwise(order: dict[str, bool]) -> None:
    def header(_: str) -> CheckpointHeader:
        return CheckpointHeader(Path(_), 1, None)

    plugins = of(
        a=SimpleNamespace(read_header=hookimpl(lambda path: header("a"))),
        b=SimpleNamespace(read_header=hookimpl(lambda path: header("b"), **order)),
    )
    found = plugins.read_header(Path("m"))
    assert found is not None
    assert found.path == Path("b" if "tryfirst" in order else "a")


@pytest.mark.parametrize("values", [{"path": "m.tone"}, {"fields": None}])
def test_a_header_has_a_path_and_fields(values: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="the path of a header is a Path, its fields are a mapping"):
        CheckpointHeader(**{"path": Path("m"), "version": 1, "model_type": None} | values)


@pytest.mark.parametrize(("version", "model_type"), [("1", None), (True, None), (1.0, None), (1, b"x"), (None, "x")])
def test_a_header_is_of_plain_values(version: Any, model_type: Any) -> None:
    with pytest.raises(TypeError, match="of a header is"):
        CheckpointHeader(Path("m"), version, model_type)


def bundling(**models: Any) -> SimpleNamespace:
    return SimpleNamespace(bundled_checkpoints=hookimpl(lambda: models))


def test_a_bundled_name_stays_with_who_has_it() -> None:
    plugins = of(a=bundling(bell=Path("a.distill")), b=bundling(bell=Path("b.distill"), gong=Path("c.distill")))
    assert plugins.bundled() == {"bell": Path("a.distill"), "gong": Path("c.distill")}
    assert plugins.problems == ["Plugin b: the model bell is plugin a's; this one is left out."]


@pytest.mark.parametrize("models", [{"bell": "a.distill"}, {"Bell": Path("a")}, {"a/b": Path("a")}, {"": Path("a")}])
def test_what_is_bundled_has_a_name_and_a_path(models: dict[str, Any]) -> None:
    plugins = of(a=bundling(**models))
    assert plugins.bundled() == {}
    assert "bundled_checkpoints has" in plugins.problems[0]


def examples_of_hooks() -> list[tuple[str, str]]:
    """Each hook, with the example in its contract."""
    hooks = [name for name, value in vars(hookspecs).items() if hasattr(value, "distill_spec")]
    return [(name, inspect.getdoc(getattr(hookspecs, name)).partition("@hookimpl")[2]) for name in hooks]  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "example"), examples_of_hooks())
def test_the_example_in_each_hooks_contract_is_accepted(name: str, example: str, tmp_path: Path) -> None:
    class SinesLoader(ModelLoader):
        name = kind = "sines"

        def load(self, header: CheckpointHeader, device: str) -> Any: ...

    names = vars(distill) | {"SinesLoader": SinesLoader, "click": click, "Path": Path, "__file__": "distill_sines.py"}
    exec(textwrap.dedent("    @hookimpl" + example), names)
    plugins = of(example=SimpleNamespace(**{name: names[name]}))
    path = tmp_path / "m.sines"
    path.write_bytes(b"SINE\x07\x00")
    header = plugins.read_header(path)
    claims = list(plugins.claims(CheckpointHeader(path, 7, "sines")))
    brought = {
        "read_header": header is not None and (header.version, header.model_type) == (7, "sines"),
        "claim_checkpoint": len(claims) == 1,
        "generation_options": [len(d.options) for d in plugins.generation_options().values()] == [2],
        "register_commands": plugins.register_commands(click.Group("distill")) == {"train-sines": "example"},
        "bundled_checkpoints": list(plugins.bundled()) == ["sines"],
    }
    assert plugins.problems == []
    assert [hook for hook, worked in brought.items() if worked] == ([name] if name in brought else [])
    assert name in plugins.found[0].hooks
