"""How the program ends: a user's mistakes without traceback, and the exit codes."""

from __future__ import annotations

import os
import sys
import traceback

import typer
from typer.core import TyperGroup

from cfgen.cli.console import messages
from cfgen.errors import CfgenError, Problem

OK, FINDINGS, USAGE, BUG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141
"""Exit codes: all well, findings, a user's mistake, a bug of ours, Ctrl-C, nobody reads on."""

DEBUG = "cfgen.debug"
"""Under this key the context says whether tracebacks are wanted."""


class Verbs(TyperGroup):
    """The group of all verbs: takes ``--debug`` anywhere, and turns exceptions into messages."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Move ``--debug`` to the front, wherever it stands."""
        rest = [arg for arg in args if arg != "--debug"]
        debug = ["--debug"] if len(rest) < len(args) else []
        return super().parse_args(ctx, [*debug, *rest])

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run a verb; every exception ends in a message and an exit code."""
        try:
            return super().invoke(ctx)
        except CfgenError as error:
            _show_traceback(ctx, error)
            show_problems(error)
            raise typer.Exit(USAGE) from error
        except KeyboardInterrupt as error:
            _show_traceback(ctx, error)
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            _close_output()
            raise typer.Exit(BROKEN_PIPE) from error
        except Exception as error:
            if isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "exit_code"):
                raise  # the parser's own, which end the program themselves
            _show_bug(ctx, error)
            raise typer.Exit(BUG) from error


def show_problems(error: CfgenError) -> None:
    """Print every problem of an error on standard error: place first, then what to do."""
    console = messages()
    for problem in error.problems:
        console.print(_as_text(problem), soft_wrap=True)


def _as_text(problem: Problem) -> object:
    from rich.text import Text

    text = Text()
    if problem.where:
        text.append(f"{problem.where}: ", "bold")
    text.append(problem.message)
    text.append(f" [{problem.code}]", "dim")
    if problem.hint:
        text.append("\n    -> ", "green").append(problem.hint, "green")
    for line in problem.detail.splitlines():
        text.append(f"\n    {line}", "dim")
    return text


def _show_traceback(ctx: typer.Context, error: BaseException) -> None:
    if ctx.meta.get(DEBUG):
        traceback.print_exception(error)


def _show_bug(ctx: typer.Context, error: Exception) -> None:
    if ctx.meta.get(DEBUG):
        traceback.print_exception(error)
        return
    what = f"{type(error).__name__}: {error}".strip(": ")
    problem = Problem(
        "internal-error",
        f"cfgen failed in a way that it should not: {what}",
        hint="run the same again with --debug to see where",
    )
    show_problems(CfgenError(problem))


def _close_output() -> None:
    """Let nothing more be written to a pipe that nobody reads, not even when Python ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
