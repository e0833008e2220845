"""The program with the plugins that are installed, for the pages of its commands."""

from distill.cli import build
from distill.plugins import discover

distill = build(discover())
