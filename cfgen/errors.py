"""The one error type that users see: every problem found, each with its place and its remedy."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


LONGEST_MESSAGE = 2_000
"""Characters of a message; of a longer one the beginning and the end are kept."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        code: Stable name of the kind of problem, explained in ``docs/errors/``.
        message: What is wrong, in one sentence.
        where: ``file:line`` (or just the file), empty if the problem has no place in a file.
        hint: What to do about it.
        detail: Further text shown indented below, such as the traceback of a mechanism.
    """

    code: str
    message: str
    where: str = ""
    hint: str = ""
    detail: str = ""

    def __post_init__(self) -> None:
        if len(self.message) > LONGEST_MESSAGE:  # such as for a name of a million letters
            half = LONGEST_MESSAGE // 2
            message = f"{self.message[:half]} [...] {self.message[-half:]}"
            object.__setattr__(self, "message", message)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        lines = [f"{place}{self.message} [{self.code}]"]
        if self.hint:
            lines.append(f"    -> {self.hint}")
        lines += [f"    {line}" for line in self.detail.splitlines()]
        return "\n".join(lines)


class CfgenError(Exception):
    """A mistake that a user can mend; carries every problem that was found, not only the first.

    Attributes:
        problems: What is wrong, in the order it was found.
    """

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (
            (problems,) if isinstance(problems, Problem) else tuple(problems)
        )
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[CfgenError], tuple[tuple[Problem, ...]]]:
        return (type(self), (self.problems,))


class Ending(SystemExit):
    """A signal asks the program to end; any other exit is somebody's who wrote what runs in it."""


STOPPING = (KeyboardInterrupt, Ending)
"""What ends a program from outside, and is no fault of code that others wrote. Whatever else that
code raises, ``sys.exit`` and exceptions of its own kind among it, becomes an error of ours."""


OURS = os.path.dirname(__file__) + os.sep
"""What the files of our own code begin with."""
FRAMES = 30
"""Frames of a traceback that are shown."""


def own_traceback(error: BaseException) -> str:
    """The traceback of an error in code that others wrote, without the frames that led there.

    Args:
        error: What their code raised.
    """
    frames = error.__traceback__
    while frames and frames.tb_frame.f_code.co_filename.startswith(OURS):
        frames = frames.tb_next
    # the innermost frames alone: a function that calls itself without end has a thousand
    return "".join(traceback.format_exception(type(error), error, frames, limit=-FRAMES))


def shortened(text: str, most: int = 120) -> str:
    """A text on one line and not too long, for the ``repr`` of a record."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 4]}...)"


def first_line(error: BaseException) -> str:
    """The first line of what a library says of an error."""
    return str(error).strip().partition("\n")[0]


def shown_value(value: Any) -> str:
    """A value of somebody else's making on one short line, even if it cannot be printed."""
    try:
        return shortened(repr(value))
    except Exception:  # such as a whole number of thousands of digits
        return f"something of type {type(value).__name__}"


def shown_error(error: BaseException) -> str:
    """What somebody else's code raised, with its type, even if it cannot be printed."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}".removesuffix(": ")


LONGEST_NAME = 200
"""Characters up to which a name is compared with others; a longer one is no mistyped name."""
LISTED = 100
"""Names that are listed at most."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Suggest what a mistyped name may have meant.

    Args:
        name: The name that is not known.
        options: The names that are.

    Returns:
        ``did you mean 'x'?``, or the list of what there is when nothing is close.
    """
    known = sorted(options)
    close = difflib.get_close_matches(name, known, n=1) if len(name) <= LONGEST_NAME else []
    if close:
        return f"did you mean {close[0]!r}?"
    more = f", and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return f"there is: {', '.join(known[:LISTED])}{more}" if known else "there is none"


def authored(function: F) -> F:
    """Say where, and what to write, if what an author writes is called in a way that it cannot be.

    For functions of a few lines that do no more than to record what they are given: whatever fails
    in them does so because of that.

    Raises:
        CfgenError: Of the function (``wrong-arguments``).
    """
    signature = inspect.signature(function)
    name = function.__qualname__.removesuffix(".__init__")
    shown = re.sub(r"\s*->.*$|self, |self", "", str(signature)).replace("'", "")

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        try:
            signature.bind(*given, **named)
            return function(*given, **named)
        except CfgenError:
            raise
        except Exception as error:
            said = str(error) if isinstance(error, TypeError | ValueError) else shown_error(error)
            message = f"{name}() cannot be written like that: {said}"
            problem = Problem("wrong-arguments", message, caller_place(0), f"write {name}{shown}")
        raise CfgenError(problem)

    return cast(F, call)


def authored_record(kind: type[T]) -> type[T]:
    """The same for a record that an author writes; see :func:`authored`."""
    setattr(kind, "__init__", authored(vars(kind)["__init__"]))  # noqa: B010
    return kind


def caller_place(depth: int) -> str:
    """``file:line`` of a calling frame, for records that remember where they were declared.

    Args:
        depth: How many frames up from the function that calls this one; those of
            :func:`authored` are not counted.
    """
    frame = sys._getframe(1)
    while depth or frame.f_code.co_filename == __file__:
        depth -= frame.f_code.co_filename != __file__
        assert frame.f_back is not None
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
