"""Entry point: all verbs, the version, and how the program ends.

A user's mistakes end without traceback; every end has an exit code.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from cfgen import __version__
from cfgen.cli.behave import behave
from cfgen.cli.datasets import export, generate, power
from cfgen.cli.lint import lint
from cfgen.cli.methods import methods
from cfgen.cli.models import models
from cfgen.cli.new import new
from cfgen.cli.options import example
from cfgen.cli.output import (
    BROKEN_PIPE,
    BUG,
    INTERRUPTED,
    USAGE,
    own_output,
    show_interruption,
    show_problems,
)
from cfgen.cli.pairs import predict, preview
from cfgen.cli.results import compare, figure, merge, results, runs
from cfgen.cli.run import demo, run
from cfgen.cli.schema import schema
from cfgen.cli.search import design, prove
from cfgen.cli.tasks import show, tasks
from cfgen.cli.watch import watch
from cfgen.errors import CfgenError, Ending, Problem
from cfgen.overtime import bounded_code
from cfgen.processes import ENDING, leave_current_folder

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
            show_interruption(error)
            raise typer.Exit(INTERRUPTED) from error
        except BrokenPipeError as error:
            _close_output()
            raise typer.Exit(BROKEN_PIPE) from error
        except Exception as error:
            if isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "exit_code"):
                if getattr(error, "ctx", ctx) is None:  # so that it says where to find help
                    setattr(error, "ctx", self._context_of_verb(ctx))  # noqa: B010
                if isinstance(said := getattr(error, "message", None), str):
                    from cfgen.documents import visible

                    setattr(error, "message", visible(said))  # noqa: B010  (it repeats what was typed)
                raise  # the parser's own, which end the program themselves
            _show_bug(ctx, error)
            raise typer.Exit(BUG) from error

    def _context_of_verb(self, ctx: typer.Context) -> typer.Context:
        verb = self.get_command(ctx, ctx.invoked_subcommand or "")
        return ctx if verb is None else typer.Context(verb, info_name=verb.name, parent=ctx)


class Verb(TyperCommand):
    """A verb: runs code of the folder within bounds, and keeps standard output for its results."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run it."""
        with own_output(), bounded_code():
            return super().invoke(ctx)


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


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("cfgen demo", "cfgen show {task}", "cfgen preview {task} -n 3"),
)

app.command(epilog=example("cfgen demo", "cfgen demo -n 8"))(demo)
app.command(epilog=example("cfgen tasks"))(tasks)
app.command(epilog=example("cfgen show {task}", "cfgen show {task} --graph mermaid"))(show)
app.command(epilog=example("cfgen new my_task"))(new)
app.command(epilog=example("cfgen lint", "cfgen lint {task}"))(lint)
app.command(epilog=example("cfgen watch {task}"))(watch)
app.command(epilog=example("cfgen preview {task} -n 3 --seed 1"))(preview)
app.command(
    epilog=example("cfgen predict {task} --file pair.json", "cfgen predict {task} < pair.json")
)(predict)
app.command(epilog=example("cfgen generate {task} -n 1000 --out datasets/first"))(generate)
app.command(epilog=example("cfgen behave {task} -n 64"))(behave)
app.command(
    epilog=example("cfgen run {task} -n 16", "cfgen run {task} -n 64 --layers 15-29 --out runs/one")
)(run)
app.command(epilog=example("cfgen methods", "cfgen methods mediation"))(methods)
app.command(epilog=example("cfgen runs"))(runs)
app.command(epilog=example("cfgen results runs/NAME"))(results)
app.command(epilog=example("cfgen figure runs/NAME -o layers.pdf"))(figure)
app.command(epilog=example("cfgen compare runs/ONE runs/OTHER"))(compare)
app.command(epilog=example("cfgen merge one/NAME other/NAME --out runs/NAME"))(merge)
app.command(epilog=example("cfgen design {task}", "cfgen design {task} --target A --against B"))(
    design
)
app.command(
    epilog=example(
        "cfgen prove {task} A B --out proof.json", "cfgen prove --check proof.json {task}"
    )
)(prove)
app.command(epilog=example("cfgen schema"))(schema)
app.command(epilog=example("cfgen export DATASET --to causalab --out exported"))(export)
app.command(epilog=example("cfgen power --iia 0.8 --against 0.5 --cells 30"))(power)
for registered in app.registered_commands:
    registered.cls = Verb
app.add_typer(models, name="models", epilog=example("cfgen models", "cfgen models pull NAME"))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cfgen {__version__}")
        raise typer.Exit


@app.callback()
def common(
    ctx: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may also stand after the verb.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Design counterfactuals, generate datasets, and test causal hypotheses about LMs."""
    ctx.meta[DEBUG] = debug


def main() -> None:
    """Run the command line. Exit codes: 0 ok, 1 findings, 2 a mistake in what was asked for."""
    leave_current_folder()
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # behind nohup, SIGHUP is to be ignored
            signal.signal(number, _end)
    # Threads of torch that wait by spinning take the cores from whatever else runs: two runs
    # on two cores then hold each other up for most of the time. Must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="cfgen")


def _end(number: int, frame: object) -> None:
    """End as by an exception, so that what was half written is removed."""
    raise Ending(128 + number)
