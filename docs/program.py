"""The program and its commands, as attributes of a module: what the pages of the commands are made from."""

from __future__ import annotations

from distill.cli import build
from distill.plugins import discover

distill = build(discover())
globals().update({name.replace("-", "_"): command for name, command in distill.commands.items()})
