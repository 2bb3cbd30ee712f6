"""The one error type that users see: every problem found, each with its place and its remedy."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable
from dataclasses import dataclass


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


def shortened(text: str, most: int = 120) -> str:
    """A text on one line and not too long, for the ``repr`` of a record."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 4]}...)"


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Suggest what a mistyped name may have meant.

    Args:
        name: The name that is not known.
        options: The names that are.

    Returns:
        ``did you mean 'x'?``, or the list of what there is when nothing is close.
    """
    known = sorted(options)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there is: {', '.join(known)}" if known else "there is none"


def caller_place(depth: int) -> str:
    """``file:line`` of a calling frame, for records that remember where they were declared.

    Args:
        depth: How many frames up from the function that calls this one.
    """
    frame = sys._getframe(depth + 1)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
