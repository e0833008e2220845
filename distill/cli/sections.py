"""A command's help in sections: whose options are whose."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import click


class Sectioned(click.Command, ABC):
    """A command that says under which titles its help lists which options."""

    @abstractmethod
    def sections(self, ctx: click.Context) -> Mapping[str, Sequence[click.Parameter]]:
        """The options by title, in the order of the help."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, options in self.sections(ctx).items():
            records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
