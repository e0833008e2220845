"""The documentation builds without a warning, and its pages of the commands say what the program says."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from distill.cli import build
from distill.cli.sections import Sectioned
from distill.plugins import discover

ROOT = Path(__file__).parents[2]
PROGRAM = build(discover())
COMMANDS = sorted(PROGRAM.commands)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the pages. Warnings are errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-E",
        "-q",
        "-d",
        folder / "doctrees",
        ROOT / "docs",
        folder / "html",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def text_of(page: Path) -> str:
    """What a reader sees, blanks and quotes as they are typed."""
    shown = re.sub(r"<[^>]+>", "", page.read_text().partition("<article")[2].partition("</article>")[0])
    return plain(html.unescape(shown))


def plain(text: str) -> str:
    """In one line, without what marks code."""
    return " ".join(text.replace("\b", "").replace("`", "").split())


def options(command: click.Command, ctx: click.Context) -> Iterator[click.Option]:
    """Those that the command's help lists, and of a group those of its commands."""
    if isinstance(command, Sectioned):
        listed = [one for some in command.sections(ctx).values() for one in some]
    else:
        listed = command.get_params(ctx)
    yield from (one for one in listed if isinstance(one, click.Option) and not one.hidden)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            inner = command.commands[name]
            yield from options(inner, click.Context(inner, info_name=name, parent=ctx))


def test_each_command_has_a_page_and_no_page_is_left_of_another(site: Path) -> None:
    assert sorted(page.stem for page in (ROOT / "docs/commands").glob("*.md") if page.stem != "index") == COMMANDS
    assert {page.stem for page in (site / "commands").glob("*.html")} == {"index", *COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_s_page_says_what_its_help_says(site: Path, name: str) -> None:
    command = PROGRAM.commands[name]
    ctx = click.Context(command, info_name=f"distill {name}")
    page = text_of(site / "commands" / f"{name}.html")
    for line in (command.help or "").split("\n"):
        assert plain(line) in page
    found = list(options(command, ctx))
    for option in found:
        record = option.get_help_record(ctx)
        assert record is not None
        assert all(flag in page for flag in option.opts)
        assert plain(record[1]) in page
    assert found


def test_each_page_is_reached_and_reaches_nothing_outside_while_it_is_read(site: Path) -> None:
    """No fonts, scripts or pictures of other servers."""
    for page in site.rglob("*.html"):
        fetched = re.findall(r'<(?:script|img|link|iframe)[^>]+(?:src|href)="(https?:)?//[^"]*"', page.read_text())
        assert fetched == [], page


def test_no_file_of_the_project_is_large() -> None:
    """A clone stays small: the bundled model is the largest file, what is drawn is under 200 kB each."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no clone")
    sizes = {
        name: (ROOT / name).stat().st_size for name in listed.stdout.split("\0") if name and (ROOT / name).exists()
    }
    large = {name: size for name, size in sizes.items() if size > 200_000}
    assert set(large) == {"plugins/distill_codec/data/starter.distill"}
    assert max(large.values()) < 12_000_000
    assert sum(sizes.values()) < 15_000_000
