"""What may be answered in a task: the candidates of a run, and the texts that count as each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args, get_origin

from cfgen.causal import CausalModel
from cfgen.counterfactuals import Pair, answers_of, output_text
from cfgen.errors import STOPPING, CfgenError, Problem, shown_error
from cfgen.tasks.records import Accept, Task

ENUMERATED = 1000
"""How many outputs are listed at most instead of looking at the pairs at hand."""


def candidates_of(task: Task, pairs: Iterable[Pair]) -> dict[str, tuple[str, ...]]:
    """What may be answered in a run.

    Args:
        task: The task.
        pairs: The pairs of the run.

    Returns:
        Answer -> the texts any of which is this answer. The answers are the task's ``candidates``;
        or else all outputs of its causal model, where they can be listed; or else what the pairs
        answer and predict.

    Raises:
        CfgenError: ``accept`` of the task is wrong about one of them (``bad-accept``).
    """
    answers = task.candidates or output_texts(task.causal_model) or tuple(answers_of(pairs))
    return accepted_texts(task.accept, answers, task.where)


def output_texts(model: CausalModel) -> tuple[str, ...]:
    """All outputs of a causal model as texts, if its output says which there are.

    It does if it is an input with a finite domain, or annotated as ``bool`` or ``Literal``.
    """
    domain = model.domains.get(model.output)
    if domain is not None:
        values: Iterable[Any] = domain if domain.count() <= ENUMERATED else ()
    else:
        values = _listed(model.types[model.output]) or ()
    return tuple(dict.fromkeys(text for value in values if (text := output_text(value))))


def _listed(kind: Any) -> list[Any] | None:
    """The values of a type, None if they are not few."""
    if kind is bool:
        return [True, False]
    if kind is type(None):
        return [None]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    parts = [_listed(part) for part in get_args(kind)] if _is_union(kind) else [None]
    values: list[Any] = []
    for part in parts:
        if part is None:
            return None
        values += part
    return values


def _is_union(kind: Any) -> bool:
    return type(None) in get_args(kind)


def accepted_texts(
    accept: Accept | None, answers: Iterable[str], where: str
) -> dict[str, tuple[str, ...]]:
    """The texts that count as each answer; without ``accept`` the answer itself.

    Args:
        accept: What the author of the task wrote.
        answers: The answers.
        where: ``file:line`` of the task's definition.

    Raises:
        CfgenError: It raises, or does not give the same texts for the same answer, at least one
            (``bad-accept``).
    """
    if accept is None:
        return {answer: (answer,) for answer in answers}
    found, problems = {}, []
    for answer in dict.fromkeys(answers):
        try:
            texts, again = accept(answer), accept(answer)
        except STOPPING:
            raise
        except BaseException as error:
            wrong = f"raises {shown_error(error)}"
        else:
            wrong = _wrong_with(texts, again)
        if wrong:
            hint = "return a list of texts, the same ones every time"
            problems.append(Problem("bad-accept", f"accept({answer!r}) {wrong}", where, hint))
        else:
            found[answer] = tuple(dict.fromkeys(texts))
    if problems:
        raise CfgenError(problems)
    return found


def _wrong_with(texts: Any, again: Any) -> str:
    """What is wrong with the texts that two calls gave; empty if nothing is."""
    if not isinstance(texts, (list, tuple)):
        return f"gives a {type(texts).__name__}, not a list"
    odd = [text for text in texts if not isinstance(text, str) or not text]
    if odd:
        return f"gives {odd[0]!r}, which is not a text"
    if not texts:
        return "gives no text, so nothing could be this answer"
    return "" if list(texts) == list(again) else "gives other texts when it is called again"
