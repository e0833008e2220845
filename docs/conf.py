"""How the documentation is built: `sphinx-build -W docs build/docs`."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the program, for sphinx-click

project = "distill"
author = "The distill authors"
release = version = importlib.metadata.version("distill")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "sphinx_copybutton"]
exclude_patterns = ["examples"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["attrs_block", "attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports: list[str] = []

html_theme = "furo"
html_title = f"distill {release}"
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp, .c1"
