"""How the documentation is built: `sphinx-build -W docs build/docs`."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import click
from sphinx.application import Sphinx
from sphinx.util.rst import escape

from distill.cli.sections import Sectioned

sys.path.insert(0, str(Path(__file__).parent))  # program.py, which the pages of the commands name

project = "distill"
author = "The distill authors"
release = version = version_of("distill")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "sphinx_copybutton"]
exclude_patterns = ["examples", "pictures/*.py"]
default_role = "literal"  # what a docstring has between backquotes
smartquotes = False  # a dash of two hyphens begins an option
nitpicky = False  # annotations name classes of numpy, torch and click, whose own pages are elsewhere

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # click's are written for its own pages

html_theme = "furo"
html_title = f"distill {release}"


def options_as_help_shows_them(_app: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    """Say of each option what the help says, its range and default too, under the help's own titles."""
    command = ctx.command
    listed = command.sections(ctx) if isinstance(command, Sectioned) else {"": command.get_params(ctx)}
    lines.clear()
    for title, parameters in listed.items():
        options = [one for one in parameters if isinstance(one, click.Option) and not one.hidden]
        lines += [f".. rubric:: {title}", ""] if len(listed) > 1 and options else []
        for option in options:
            record = option.get_help_record(ctx)
            assert record is not None
            value = "" if option.is_flag else f" <{option.make_metavar(ctx).strip('[]<>')}>"
            names = ", ".join([*option.opts, *option.secondary_opts])
            lines += [f".. option:: {names}{value}", "", f"   {escape(record[1])}", ""]


def indented_as_code(_app: Sphinx, _what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Have what a docstring indents, after a line that it does not, be code, as in Markdown."""
    before, said = "", []
    for line in lines:
        begins = line.startswith("    ") and not before.startswith(" ")
        said += ["::", ""] if begins else []
        said.append(line)
        before = line or before
    lines[:] = said


def setup(app: Sphinx) -> dict[str, Any]:
    """Listen to what is to be written of commands and of docstrings."""
    app.connect("sphinx-click-process-options", options_as_help_shows_them)
    app.connect("autodoc-process-docstring", indented_as_code)
    return {"parallel_read_safe": True}
