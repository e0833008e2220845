"""`distill completion`: what makes a shell complete commands, options and the names of models."""

from __future__ import annotations

import os
import re

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, get_completion_class

VARIABLE = "_DISTILL_COMPLETE"
"""By which click's scripts ask for what completes a line."""


class _Bash(BashComplete):
    """Bash's, which takes what it is given as typed: blanks and the like must come quoted, if no quote is open."""

    def format_completion(self, item: CompletionItem) -> str:
        if item.type == "plain" and not self._in_quotes():
            # Twice: the script reads each line with `read`, which takes one backslash of two away.
            value = re.sub(r"([^\w@%+=:,./-])", r"\\\\\1", str(item.value))
            return f"{item.type},{value}"
        return super().format_completion(item)

    def _in_quotes(self) -> bool:
        words = os.environ["COMP_WORDS"].split("\n")  # as they are typed
        return "".join(words[int(os.environ["COMP_CWORD"]) :]).startswith(("'", '"'))


add_completion_class(_Bash)


@click.command(
    "completion",
    params=[click.Argument(["shell"], type=click.Choice(["bash", "zsh", "fish"]))],
    short_help="Print what makes a shell complete commands and models.",
)
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options and names of models.

    \b
    In ~/.bashrc, or after compinit in ~/.zshrc:
      eval "$(distill completion bash)"
      eval "$(distill completion zsh)"
    For fish, once:
      cd ~/.config/fish/completions
      distill completion fish > distill.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "distill", VARIABLE).source())
