"""The command line: one module a command. This one builds the group and turns errors into one line and an exit code."""

from __future__ import annotations

import atexit
import os
import platform
import signal
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import click

from distill import configuration, options, startup
from distill.cli import batch, completion, config, doctor, generate, inspect, models, pick, replay, report, signals
from distill.cli import plugins as plugins_command
from distill.cli.messages import fail, warn, warn_of_problems
from distill.errors import INTERRUPTIONS, DistillError, DistillWarning, PluginError, Terminated, traceback_wanted
from distill.plugins import Plugins, discover
from distill.text import clean, describe, of_system

_NOT_BREAKAGE: tuple[type[BaseException], ...] = (
    DistillError,
    OSError,
    MemoryError,
    UnicodeEncodeError,
    click.ClickException,
    click.exceptions.Exit,
    click.Abort,
    SystemExit,
    *INTERRUPTIONS,
)
"""What a plugin's command may raise: it is answered as that of any command is."""


_INTERRUPTED = "Interrupted. Finished files are kept."


def main() -> None:
    """Run the program. Exit codes: 0 done, 1 failed, 2 usage, 130 and 143 interrupted."""
    leave = _LeaveAtOnce()
    atexit.register(leave)
    try:
        signals.heed()
        startup.keep_idle_threads_quiet()
        leave.settle(run(discover, sys.argv[1:]))
    except KeyboardInterrupt:  # as it began, when all was done, or another while the first was answered
        leave.settle(130)
        fail(_INTERRUPTED)
    except Terminated:
        leave.settle(143)
    sys.exit(leave.code)


class _LeaveAtOnce:
    """Ends the process with exit code `code`, once that is settled, without Python taking its modules apart first.

    With torch's that takes 0.4 s, a third of the time of a short run. As the first function that is registered to be
    called at exit, it is called last: the others have done what they wish to. A signal that comes meanwhile has it
    leave before that.
    """

    code: int | None = None

    def settle(self, code: int) -> None:
        """Have the process end with `code`, and a signal change it no more."""
        self.code = code
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._meanwhile)

    def _meanwhile(self, number: int, _frame: object) -> None:
        try:
            self()
        except RuntimeError:  # what was printed is being written, and its reader does not read it
            os._exit(128 + number)

    def __call__(self) -> None:
        if self.code is None:
            return
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        except (OSError, ValueError):
            return  # Python tells of it as it always does
        os._exit(self.code)


def build(plugins: Plugins) -> click.Group:
    """The command group with the commands of the host and of `plugins`."""
    return _Program(plugins)


_BEGIN = """Generate audio with models made from small, personal corpora.

\b
distill generate starter           ten seconds, at once
distill train sounds/ --name rain  a model of your own
distill generate rain.distill      what it makes
distill report .                   a page to hear it all
distill COMMAND --help             what a command can do
distill doctor                     if anything is amiss
"""


def _versions(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print the versions of all that a sound depends on, distill's first, and end."""
    if not wanted or ctx.resilient_parsing:
        return
    plugins = ctx.obj
    click.echo(f"distill, version {version('distill')}")
    click.echo(f"Python {platform.python_version()}, torch {version('torch')}")
    for plugin in plugins.found:
        state = "" if plugin.api is not None else ", does not load"
        click.echo(f"plugin {clean(plugin.name)}: {clean(plugin.distribution or 'of no distribution')}{state}")
    ctx.exit()


class _Program(click.Group):
    """The command group, which knows the commands that plugins brought from its own."""

    def __init__(self, plugins: Plugins) -> None:
        super().__init__(
            "distill",
            help=_BEGIN,
            params=[
                options.library(envvar="DISTILL_LIBRARY"),
                options.max_model_size(),
                click.Option(
                    ["--version"],
                    is_flag=True,
                    is_eager=True,
                    expose_value=False,
                    allow_from_autoenv=False,
                    callback=_versions,
                    help="Show the versions of distill and its plugins, and exit.",
                ),
            ],
            context_settings={
                "help_option_names": ["-h", "--help"],
                "max_content_width": 110,
                "auto_envvar_prefix": configuration.PREFIX,
            },
        )
        self._plugins = plugins
        for command in (
            generate.command(plugins),
            batch.command(plugins),
            replay.command(plugins),
            report.report,
            pick.pick,
            models.models,
            inspect.inspect,
            plugins_command.command(plugins),
            config.config,
            doctor.doctor,
            completion.completion,
        ):
            self.add_command(command)
        self._owners = plugins.register_commands(self)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj = self._plugins
        if (
            args[:1] not in ([plugins_command.NAME], [doctor.doctor.name]) and not ctx.resilient_parsing
        ):  # which list the problems themselves
            warn_of_problems(self._plugins)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is asked for, its options' defaults set as the user configured them.

        Not those of two: `config` tells of the configuration itself, and a shell's start must not fail by it.
        """
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None and command not in (config.config, completion.completion):
            asks_help = not {"-h", "--help"}.isdisjoint(rest)
            config.apply(ctx, name, command, quiet=asks_help or ctx.resilient_parsing)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> None:
        """Run the command that was asked for, which finds the plugins in `ctx.obj`. What it returns is no exit code."""
        try:
            super().invoke(ctx)
        except _NOT_BREAKAGE:
            raise
        except BaseException as error:
            owner = self._owners.get(ctx.invoked_subcommand or "")
            if owner is None:
                raise
            raise PluginError(
                f"The command {clean(ctx.invoked_subcommand)} of plugin {clean(owner)} broke: {describe(error)}. "
                "Set DISTILL_TRACEBACK=1 to see where."
            ) from error


def run(find: Callable[[], Plugins], arguments: list[str]) -> int:
    """Run the program with the plugins that `find` finds; return the exit code.

    What a user or a plugin can cause ends in one line on stderr.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", DistillWarning)
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            result = build(find()).main(arguments, prog_name="distill", standalone_mode=False)
            return result if isinstance(result, int) else 0
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return error.exit_code
        except click.ClickException as error:
            fail(_usage(error))
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            fail(_INTERRUPTED)
            return 130
        except Terminated:
            return 143
        except DistillError as error:
            if traceback_wanted():
                raise
            fail(str(error))
            return error.exit_code
        except BrokenPipeError:  # the reader of our output has gone, as `head` does
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - so that Python's own flush at exit is quiet
            return 1
        except OSError as error:
            if traceback_wanted():
                raise
            fail(of_system(error))
            return 1
        except UnicodeEncodeError as error:
            if traceback_wanted():
                raise
            fail(f"A name cannot be written in this system's encoding, {error.encoding}. Set PYTHONUTF8=1.")
            return 1
        except MemoryError:
            fail("Not enough memory. End other programs, and try again.")
            return 1
        except SystemExit:
            raise
        except BaseException as error:  # of a plugin, or of ours
            if traceback_wanted():
                raise
            fail(f"distill or a plugin broke: {describe(error)}. Set DISTILL_TRACEBACK=1 to see where.")
            return 1


def _usage(error: click.ClickException) -> str:
    """What click has to say in one line, with where to look where the line itself does not say what is allowed."""
    said = " ".join(error.format_message().split())
    if isinstance(error, click.BadParameter) and error.ctx is not None and error.param is not None:
        origin = configuration.origin(error.ctx, error.param)
        said += f" That is from {origin}." if origin else ""
    if isinstance(error, click.UsageError) and type(error) is not click.BadParameter and error.ctx is not None:
        return f"{said} See '{error.ctx.command_path} --help'."
    return said


def _show_warning(message: Warning | str, category: type[Warning], *rest: Any) -> None:
    if issubclass(category, DistillWarning):
        warn(str(message))
