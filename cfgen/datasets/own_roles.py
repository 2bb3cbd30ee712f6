"""Roles: what the columns of a file of pairs are for.

- ``original``, ``counterfactual``: the prompts; ``original_answer``, ``counterfactual_answer``;
- ``original_marked``, ``counterfactual_marked``: the prompts instead, with ``[[name|text]]`` around
  what is to be a position;
- ``original_spans``, ``counterfactual_spans``: such positions by their characters, as a list of
  ``name``, ``start``, ``end``;
- ``original.NAME``, ``counterfactual.NAME``: a word of the prompt, all of whose occurrences are the
  position NAME;
- ``predicts.NAME``: the answer that hypothesis NAME predicts;
- ``answer_prefix``: what stands between prompt and answer; ``template``: the wording, by which
  accuracy is broken down; ``id``: a name of the pair.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from cfgen.counterfactuals import ALL, COUNTERFACTUAL, NONE, ORIGINAL
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.prompts import WHOLE_PROMPT

SIDES = (ORIGINAL, COUNTERFACTUAL)
PREDICTS = "predicts"
OF_A_SIDE = ("answer", "marked", "spans")
NAME = r"[^\W\d]\w*"
"""What positions and hypotheses can be called, as a regular expression."""

_FREE = re.compile(rf"({'|'.join(SIDES)}|{PREDICTS})\.({NAME})")
"""Roles that name a position or a hypothesis."""
_FIXED = (
    *("id", "template", "answer_prefix", *SIDES),
    *(f"{side}_{what}" for side in SIDES for what in OF_A_SIDE),
)


def named_by(roles: Iterable[str], kind: str) -> tuple[str, ...]:
    """What roles such as ``original.NAME`` name.

    Args:
        roles: The roles.
        kind: What stands before the dot: a side for positions, ``predicts`` for hypotheses.
    """
    matches = map(_FREE.fullmatch, roles)
    return tuple(match[2] for match in matches if match and match[1] == kind)


def roles_of(there: Collection[str], columns: Mapping[str, str], place: str) -> dict[str, str]:
    """Find the column of each role.

    Args:
        there: The columns of the file.
        columns: Role -> column, where a column is not called by its role.
        place: Where they are, for a person.

    Returns:
        Role -> the column that has it.

    Raises:
        CfgenError: With all that is missing or can't be (``pairs-column``).
    """
    own = {name: name for name in there if _is_role(name) and name not in columns}
    found = {**own, **columns}
    problems = [
        Problem("pairs-column", message, hint=hint)
        for message, hint in (
            *_wrong_columns(there, columns, place),
            *_wrong_names(there, found, place),
            *_missing(there, found, place),
        )
    ]
    if problems:
        raise CfgenError(problems)
    return found


def _is_role(name: str) -> bool:
    return name in _FIXED or bool(_FREE.fullmatch(name))


def _wrong_columns(
    there: Collection[str], columns: Mapping[str, str], place: str
) -> Iterator[tuple[str, str]]:
    """What ``columns:`` says and can't be."""
    for role, column in columns.items():
        if not _is_role(role):
            yield f"columns: there is no role {role!r}", did_you_mean(role, _FIXED)
        elif column not in there:
            yield _no_column(column, there, place), did_you_mean(column, there)


def _wrong_names(
    there: Iterable[str], found: Iterable[str], place: str
) -> Iterator[tuple[str, str]]:
    """Names that can't be those of a hypothesis or a position."""
    for column in there:
        if column.startswith(f"{PREDICTS}.") and not _is_role(column):
            hint = "use letters, digits and _, such as predicts.my_hypothesis"
            yield f"{place}: column {column!r} names no hypothesis", hint
    for name in {*named_by(found, PREDICTS)} & {NONE, ALL}:
        hint = "what it predicts is known from the answers; leave the column out, or rename it"
        yield f"{place}: a hypothesis can't be called {name!r}", hint
    for name in {one for side in SIDES for one in named_by(found, side)} & {*WHOLE_PROMPT}:
        hint = "it stands for tokens of any prompt; give it another name"
        yield f"{place}: a position can't be called {name!r}", hint


def _missing(
    there: Collection[str], found: Collection[str], place: str
) -> Iterator[tuple[str, str]]:
    """Roles without a column, and prompts that are given twice."""
    for side in SIDES:
        given = [name for name in (side, f"{side}_marked") if name in found]
        if len(given) == 2:
            message = f"{place}: the {side} is given twice, by {given[0]!r} and {given[1]!r}"
            yield message, "leave one of them out"
        for role in ([] if given else [side]) + [f"{side}_answer"]:
            if role not in found:
                hint = f"or say which column it is, as in columns: {{{role}: COLUMN}}"
                yield _no_column(role, there, place), f"{did_you_mean(role, there)}; {hint}"


def _no_column(name: str, there: Iterable[str], place: str) -> str:
    return f"{place} has no column {name!r}; it has {', '.join(there)}"
