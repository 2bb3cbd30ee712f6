"""Checks of a causal model's definition: every problem is found before any is reported."""

from __future__ import annotations

import inspect
import keyword
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from cfgen.causal.graph import Graph, causal_order
from cfgen.causal.inputs import Input
from cfgen.causal.program import Mechanism, Program, place_of
from cfgen.errors import CfgenError, Problem, did_you_mean, shown_value

_NOT_AT_ONCE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
"""Functions that only promise a value."""


def build_program(
    name: str,
    output: str,
    inputs: Sequence[Input],
    mechanisms: Sequence[Mechanism],
    requirements: Sequence[Mechanism],
    where: str,
) -> Program:
    """Check a definition and put its mechanisms in causal order.

    Args:
        name: Name of the causal model.
        output: Name of the output variable.
        inputs: Declared inputs.
        mechanisms: One function per variable; its parameters are the parents.
        requirements: Functions of inputs that say whether these may go together.
        where: ``file:line`` of the model, for problems of no single variable.

    Returns:
        The model, ready to run.

    Raises:
        CfgenError: With every problem of the definition.
    """
    problems = [problem for item in inputs for problem in item.problems]
    problems += [_not_a_function(m, "variable", where) for m in mechanisms if not _is_function(m)]
    problems += [
        _not_a_function(m, "requirement", where) for m in requirements if not _is_function(m)
    ]
    rejected = [str(getattr(m, "__name__", "")) for m in mechanisms if not _is_function(m)]
    mechanisms = [m for m in mechanisms if _is_function(m)]
    requirements = [m for m in requirements if _is_function(m)]
    problems += _duplicates(inputs, [*mechanisms, *requirements])
    problems += _requirement_problems(requirements, inputs, mechanisms)
    places = {item.name: item.where for item in inputs}
    places |= {m.__name__: place_of(m) for m in mechanisms}
    known = [*places, *rejected]  # what is wrong with those is said already
    parents: dict[str, tuple[str, ...]] = {item.name: () for item in inputs}
    for mechanism in mechanisms:
        problems += _signature_problems(mechanism, known)
        named = tuple(inspect.signature(mechanism).parameters)
        parents[mechanism.__name__] = tuple(name for name in named if name in places)
    order, cycles = causal_order(parents)
    problems += [_circle(cycle, places[cycle[0]]) for cycle in cycles]
    graph = _graph(inputs, order, parents, output)
    if output not in places:
        message = f"causal model {name!r} has no variable {output!r}, its declared output"
        problems.append(Problem("missing-output", message, where, did_you_mean(output, places)))
    if problems:
        raise CfgenError(problems)
    by_name = {mechanism.__name__: mechanism for mechanism in mechanisms}
    steps = tuple((v, by_name[v], parents[v]) for v in order if v in by_name)
    required = tuple((r.__name__, r, tuple(inspect.signature(r).parameters)) for r in requirements)
    return Program(name, graph, steps, required)


def _requirement_problems(
    requirements: Sequence[Mechanism], inputs: Sequence[Input], mechanisms: Sequence[Mechanism]
) -> list[Problem]:
    """Requirements are about inputs: what else there is follows from these."""
    names = [item.name for item in inputs]
    made = {mechanism.__name__ for mechanism in mechanisms}
    problems = []
    for requirement in requirements:
        said, place = f"requirement {requirement.__name__!r}", place_of(requirement)
        parameters = inspect.signature(requirement).parameters.values()
        problems += _annotation_problems(requirement, "requirement")
        if not parameters:
            message = f"{said} looks at no input, so it holds always or never"
            hint = "name the inputs that it is about as parameters"
            problems.append(Problem("empty-requirement", message, place, hint))
        for parameter in parameters:
            if parameter.name in made:
                message = f"{said} is about {parameter.name!r}, which is a variable"
                hint = "make it about inputs; variables are computed from them"
                problems.append(Problem("requirement-of-variable", message, place, hint))
            else:
                problems += _parameter_problems(requirement, parameter, names, "requirement")
    return problems


def _circle(cycle: Sequence[str], place: str) -> Problem:
    return Problem(
        "cycle",
        f"variables depend on each other in a circle: {' -> '.join(cycle)}",
        where=place,
        hint="drop one of these parents, or split a variable in two",
    )


def _duplicates(inputs: Sequence[Input], mechanisms: Sequence[Mechanism]) -> list[Problem]:
    first: dict[str, str] = {}
    problems = []
    declared = [(item.name, item.where) for item in inputs]
    declared += [(m.__name__, place_of(m)) for m in mechanisms]
    for name, place in declared:
        if name in first:
            problems.append(
                Problem(
                    "duplicate-variable",
                    f"{name!r} is declared twice, first at {first[name]}",
                    where=place,
                    hint="give one of them another name",
                )
            )
        first.setdefault(name, place)
        if not name.isidentifier() or keyword.iskeyword(name):
            problems.append(
                Problem(
                    "bad-variable-name",
                    f"{name!r} cannot be the name of a variable",
                    where=place,
                    hint="use letters, digits and underscores; a variable is a function made "
                    "with def, and its name is the function's",
                )
            )
    return problems


def _is_function(mechanism: Any) -> bool:
    """Whether something gives a value where it is called: no class, coroutine or generator."""
    made = inspect.unwrap(mechanism)
    return inspect.isfunction(made) and not made.__code__.co_flags & _NOT_AT_ONCE


def _not_a_function(given: Any, what: str, where: str) -> Problem:
    decorator = "require" if what == "requirement" else what
    if inspect.isfunction(made := inspect.unwrap(given)):
        return Problem(
            "not-a-function",
            f"{what} {made.__name__!r} gives no value where it is called: it is made with `async` "
            "or has a `yield`",
            where=place_of(given),
            hint="make it with a plain def, and return the value",
        )
    return Problem(
        "not-a-function",
        f"{shown_value(given)} was declared as a {what}, but it is not a function",
        where=where,
        hint=f"write @model.{decorator} above a function made with def",
    )


def _annotation_problems(mechanism: Mechanism, what: str = "variable") -> list[Problem]:
    try:
        typing.get_type_hints(mechanism)
    except Exception as error:
        return [
            Problem(
                "bad-annotation",
                f"{what} {mechanism.__name__!r} has an annotation that cannot be read: {error}",
                where=place_of(mechanism),
                hint="import what it names, or drop it",
            )
        ]
    return []


def _signature_problems(mechanism: Mechanism, known: Sequence[str]) -> list[Problem]:
    problems = _annotation_problems(mechanism)
    for parameter in inspect.signature(mechanism).parameters.values():
        problems += _parameter_problems(mechanism, parameter, known)
    return problems


def _parameter_problems(
    mechanism: Mechanism,
    parameter: inspect.Parameter,
    known: Sequence[str],
    what: str = "variable",
) -> list[Problem]:
    name, place = mechanism.__name__, place_of(mechanism)
    problems = []
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return [
            Problem(
                "variadic-parent",
                f"{what} {name!r} takes {parameter}, which names no parent",
                where=place,
                hint="name each parent as a parameter of its own",
            )
        ]
    if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_ONLY):
        problems.append(
            Problem(
                "special-parameter",
                f"{what} {name!r} has a positional-only or keyword-only parameter "
                f"{parameter.name!r}",
                where=place,
                hint="drop the '/' or '*' from its signature",
            )
        )
    if parameter.default is not parameter.empty:
        problems.append(
            Problem(
                "default-argument",
                f"{what} {name!r} gives its parent {parameter.name!r} a default value",
                where=place,
                hint="drop the default: a parent's value always comes from the model",
            )
        )
    if parameter.name not in known:
        problems.append(
            Problem(
                "unknown-parent",
                f"{what} {name!r} depends on {parameter.name!r}, which is not declared",
                where=place,
                hint=did_you_mean(parameter.name, (k for k in known if k != name)),
            )
        )
    return problems


def _graph(
    inputs: Sequence[Input],
    order: tuple[str, ...],
    parents: Mapping[str, tuple[str, ...]],
    output: str,
) -> Graph:
    children: dict[str, list[str]] = {name: [] for name in order}
    for child in order:
        for parent in dict.fromkeys(parents[child]):
            children[parent].append(child)
    named = tuple(item.name for item in inputs)
    return Graph(named, order, parents, {p: tuple(cs) for p, cs in children.items()}, output)
