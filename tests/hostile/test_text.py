"""What a checkpoint says of itself, wherever it is shown: every command on one whose every text would harm."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import mutagen
import pytest
from checkpoints import codec_prior_contents, save, vae_contents
from corpus import CANARY, ESCAPES
from forking import Done, Nursery
from sidecars import sidecar_of

SCRIPT = "<script>alert(1)</script>"
HARM = f"{ESCAPES}../../{CANARY}\n\u202e{SCRIPT}\0"
ROOT = Path(__file__).parents[2]


def poisoned(contents: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint of which every text that is shown to people is `HARM`."""
    keys = ("name", "model_id", "save_date", "training_date", "description", "dataset_name", "author", HARM)
    contents["metadata"] |= dict.fromkeys(keys, HARM) | {"tags": [HARM, HARM]}
    return contents


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The folder of two such models."""
    save(poisoned(codec_prior_contents()), tmp_path / "codec.distill")
    vae = poisoned(vae_contents())
    labels = vae["latent_analysis"]
    labels |= {
        "component_labels": [HARM] * 3, "suggested_labels": [HARM] * 3, "feature_correlations": {HARM: [0.9, 0.1, 0.2]},
    }  # fmt: skip
    save(vae, tmp_path / "vae.distill")
    return tmp_path


def test_nothing_that_it_says_reaches_terminal_name_tag_or_page_as_it_is(forked: Nursery, models: Path) -> None:
    def run(*arguments: object) -> Done:
        done = forked.run(*arguments, cwd=models)
        shown = (done.out + done.err).split("\n")
        assert [line for line in shown if not line.replace("\t", "").isprintable()] == [], arguments
        return done

    good = [
        run("models", "list", "--library", models),
        run("models", "list", "--library", models, "--json"),
        run("models", "info", "codec.distill"),
        run("models", "info", "vae.distill", "--json"),
        run("models", "verify", "codec.distill", "vae.distill"),
        run("inspect", "codec.distill"),
        run("inspect", "vae.distill", "--json"),
        run("sliders", "vae.distill"),
        run("sliders", "vae.distill", "--json"),
        run("presets", "save", "vae.distill", "calm", "--slider", "1:5"),
        run("presets", "list", "vae.distill"),
        run("presets", "show", "vae.distill", "calm"),
        run("generate", "codec.distill", "-d", "0.3", "-s", "1", "-o", "out", "--stats", "--tag", "mood=calm"),
        run("generate", "vae.distill", "-d", "0.3", "-s", "1", "-o", "out", "--preset", "calm", "--json", "-f", "flac"),
        run("generate", "vae.distill", "-d", "0.3", "-s", "2", "-o", "out", "--name", "{model}-{loader}-{seed}"),
        run("batch", "codec.distill", "--seeds", "1-2", "-d", "0.3", "-o", "batch", "--workers", "1"),
        report := run("report", "out"),
        run("pick", "batch", "--keep", "1"),
        run("encode", "codec.distill", "out/" + next((models / "out").glob("*.wav")).name, "-o", "c.npz"),
        run("decode", "codec.distill", "c.npz", "-o", "d.wav"),
        run("replay", next((models / "out").glob("*.wav")), "--check"),
    ]
    assert [done.code for done in good] == [0] * len(good), [done.err for done in good if done.code]
    refused = [
        run("generate", "codec.distill", "-d", "0.3", "--precision", "bf17"),
        run("presets", "show", "vae.distill", "calmer"),
        run("generate", "codec.distill", "-d", "0.3", "--loader", "vae"),
        run("generate", ESCAPES),
        run("models", "info", f"{ESCAPES}.distill"),
        run("replay", f"{ESCAPES}.wav"),
    ]
    assert all(done.code for done in refused)
    made = [path for folder in ("out", "batch") for path in (models / folder).rglob("*")]
    assert all(path.name.isprintable() and SCRIPT not in path.name for path in made)
    assert not (models.parent / CANARY).exists()
    for path in made:
        if path.suffix in {".wav", ".flac"}:
            tags = chain.from_iterable(mutagen.File(path).tags.values())
            assert [tag for tag in map(str, tags) if not tag.isprintable()] == []
            assert [text for text in texts(sidecar_of(path)) if not text.isprintable()] == []
    assert SCRIPT not in (models / report.out.strip()).read_text()


def texts(value: object) -> Iterator[str]:
    """Every text in a value of JSON, keys too."""
    if isinstance(value, dict):
        yield from chain(value, *map(texts, value.values()))
    elif isinstance(value, list):
        yield from chain(*map(texts, value))
    elif isinstance(value, str):
        yield value


# --- the code itself --------------------------------------------------------------------------------------------------

RAW = {"metadata", "model_type", "stands_for"}
"""Attributes that hold what a file says, as it says it."""
CLEANERS = {"clean", "file_stem", "represent", "plain", "isinstance", "CheckpointHeader"}
"""What makes a text of it that may be shown, or looks at its kind."""
SHOWING = {"echo", "write", "warn", "fail", "print", "secho"}


def sources() -> list[Path]:
    return [path for folder in ("distill", "plugins") for path in sorted((ROOT / folder).rglob("*.py"))]


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def shown_raw(tree: ast.AST) -> list[int]:
    """The lines on which something of `RAW` gets into a text, an error or an output without having been cleaned."""
    found = []

    def visit(node: ast.AST, shows: bool) -> None:
        if isinstance(node, ast.Call) and called(node) in CLEANERS:
            return
        shows |= isinstance(node, ast.JoinedStr | ast.Raise) or (isinstance(node, ast.Call) and called(node) in SHOWING)
        if shows and isinstance(node, ast.Attribute) and node.attr in RAW:
            found.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            visit(child, shows)

    visit(tree, False)
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_code_shows_what_a_file_says_as_it_is(path: Path) -> None:
    assert shown_raw(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    ("code", "is_shown"),
    [
        ('click.echo(header.metadata["name"])', True), ('raise DistillError(f"no {header.model_type}")', True),
        ('x = f"{header.metadata}"', True), ("warn(str(header.metadata))", True),
        ('click.echo(clean(header.metadata["name"]))', False), ('x = header.metadata.get("name")', False),
        ('x = f"{clean(header.model_type, 40)!r}"', False),
    ],
)  # fmt: skip
def test_what_would_be_shown_as_it_is_is_found(code: str, is_shown: bool) -> None:
    assert bool(shown_raw(ast.parse(code))) == is_shown


def test_one_module_cleans() -> None:
    """Which characters may be shown is decided in one place; two others look at widths, and at paths of the user's."""
    deciding = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if any(word in path.read_text() for word in ("isprintable", "unicodedata", r"\x1b", r"\033"))
    }
    assert deciding == {"distill/text.py", "distill/tables.py", "distill/cli/pick.py"}


def test_errors_and_warnings_are_lines_of_one_module() -> None:
    prefixes = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if re.search(r"""["'](Error|Warning): ?""", path.read_text())
    }
    assert prefixes == {"distill/cli/messages.py"}
