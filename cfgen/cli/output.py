"""How commands answer: results, remarks, progress, JSON, problems, exit codes.

Results go to standard output, everything else to standard error. Rich takes time to load, and is
imported when something is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

from cfgen.progress import Progress, no_progress

if TYPE_CHECKING:
    from cfgen.documents import Document, Inline
    from cfgen.errors import CfgenError

OK, FINDINGS, USAGE, BUG, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141
"""Exit codes: all well, findings, a user's mistake, a bug of ours, Ctrl-C, nobody reads on."""


_OUTPUT: ContextVar[TextIO | None] = ContextVar("_OUTPUT", default=None)


@contextmanager
def own_output() -> Iterator[None]:
    """Keep standard output for results; whatever else is printed goes to standard error.

    Code of the folder may print, and what a program reads must not be spoilt by it.
    """
    token = _OUTPUT.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _OUTPUT.reset(token)


def output() -> TextIO:
    """Where results are written."""
    return _OUTPUT.get() or sys.stdout


def present(what: Document | Inline, *, wrap: bool = True, aside: bool = False) -> None:
    """Print what a verb was asked for.

    Args:
        what: A document, or a paragraph.
        wrap: Whether lines are broken at the terminal's width.
        aside: Whether it goes to standard error, since standard output is for JSON.
    """
    from cfgen.documents import Document, Paragraph
    from cfgen.documents.terminal import show

    document = what if isinstance(what, Document) else Document((Paragraph(what),))
    show(document, sys.stderr if aside else output(), wrap=wrap)


def remark(what: Document | Inline) -> None:
    """Print something on the side, on standard error."""
    present(what, wrap=False, aside=True)


def write_json(value: Any) -> None:
    r"""Print a value as JSON on standard output.

    What JSON has no form for is written as Python shows it; characters that a terminal acts on, or
    that cannot be seen, by their escapes, which JSON reads as the characters (``\u009b``).
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    if not text.isprintable():
        text = "".join(
            mark if mark.isprintable() or mark == "\n" else json.dumps(mark)[1:-1] for mark in text
        )
    output().write(text + "\n")


def _plain(value: Any) -> Any:
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else repr(value)


def show_interruption(interrupt: KeyboardInterrupt) -> None:
    """Print on standard error what is kept of what was interrupted, and how to go on."""
    kept = getattr(interrupt, "__notes__", ["Nothing is kept; run the same again to begin anew."])
    remark(" ".join(["Interrupted.", *kept]))


def show_problems(error: CfgenError) -> None:
    """Print every problem of an error on standard error: place first, then what to do."""
    from cfgen.report import problem_text

    for problem in error.problems:
        remark(problem_text(problem))


@contextmanager
def progress_shown(*, quiet: bool = False) -> Iterator[Progress]:
    """Show the progress of whatever runs inside.

    Args:
        quiet: Show nothing unless standard error is a terminal, for output that a program reads.

    Yields:
        The function to call, with as many different steps as there are, one after the other.
    """
    if quiet and not sys.stderr.isatty():
        yield no_progress
        return
    from rich.console import Console

    from cfgen.cli.steps import bars_shown, lines_shown

    console = Console(file=sys.stderr, highlight=False)
    # Not what rich takes for a terminal, which FORCE_COLOR makes of a log as well.
    terminal = sys.stderr.isatty() and not console.is_dumb_terminal
    with bars_shown(console) if terminal else lines_shown() as report:
        yield report
