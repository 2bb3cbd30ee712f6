"""Checks of a causal model's definition: every problem is found before any is reported."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.causal.domains import Domain
from cfgen.causal.graph import Graph
from cfgen.causal.program import Mechanism, Program, place_of
from cfgen.errors import CfgenError, Problem, did_you_mean


@dataclass(frozen=True, slots=True)
class Input:
    """A declared input.

    Attributes:
        name: Its name.
        domain: The values it may take.
        each: Slot name of one element, for inputs whose values are tuples.
        default: Value it has when nobody gives one; ``REQUIRED`` if it must be given.
        where: ``file:line`` of the declaration.
    """

    name: str
    domain: Domain
    each: str
    default: Any
    where: str


def build_program(
    name: str, output: str, inputs: Sequence[Input], mechanisms: Sequence[Mechanism], where: str
) -> Program:
    """Check a definition and put its mechanisms in causal order.

    Args:
        name: Name of the causal model.
        output: Name of the output variable.
        inputs: Declared inputs.
        mechanisms: One function per variable; its parameters are the parents.
        where: ``file:line`` of the model, for problems of no single variable.

    Returns:
        The model, ready to run.

    Raises:
        CfgenError: With every problem of the definition.
    """
    problems = _duplicates(inputs, mechanisms)
    places = {item.name: item.where for item in inputs}
    places |= {m.__name__: place_of(m) for m in mechanisms}
    parents: dict[str, tuple[str, ...]] = {item.name: () for item in inputs}
    for mechanism in mechanisms:
        problems += _signature_problems(mechanism, list(places))
        parents[mechanism.__name__] = _parents(mechanism, list(places))
    order, cycles = _causal_order(parents)
    problems += [
        Problem(
            "cycle",
            f"variables depend on each other in a circle: {' -> '.join(cycle)}",
            where=places[cycle[0]],
            hint="drop one of these parents, or split a variable in two",
        )
        for cycle in cycles
    ]
    children: dict[str, tuple[str, ...]] = {
        parent: tuple(child for child in order if parent in parents[child]) for parent in order
    }
    graph = Graph(tuple(item.name for item in inputs), order, parents, children, output)
    if output in places:
        problems += _unreachable(graph, places)
    else:
        problems.append(
            Problem(
                "missing-output",
                f"causal model {name!r} has no variable {output!r}, its declared output",
                where=where,
                hint=did_you_mean(output, places),
            )
        )
    if problems:
        raise CfgenError(problems)
    by_name = {mechanism.__name__: mechanism for mechanism in mechanisms}
    steps = tuple((v, by_name[v], parents[v]) for v in order if v in by_name)
    return Program(name, graph, steps)


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
        if not name.isidentifier():
            problems.append(
                Problem(
                    "bad-variable-name",
                    f"{name!r} cannot be the name of a variable",
                    where=place,
                    hint="use a function with a name that is a Python identifier",
                )
            )
    return problems


def _signature_problems(mechanism: Mechanism, known: Sequence[str]) -> list[Problem]:
    name, place = mechanism.__name__, place_of(mechanism)
    problems = []
    for parameter in inspect.signature(mechanism).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            problems.append(
                Problem(
                    "variadic-parent",
                    f"variable {name!r} takes *{parameter.name}, which names no parent",
                    where=place,
                    hint="name each parent as a parameter of its own",
                )
            )
            continue
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_ONLY):
            problems.append(
                Problem(
                    "special-parameter",
                    f"variable {name!r} has a positional-only or keyword-only parameter "
                    f"{parameter.name!r}",
                    where=place,
                    hint="drop the '/' or '*' from its signature",
                )
            )
        if parameter.default is not parameter.empty:
            problems.append(
                Problem(
                    "default-argument",
                    f"variable {name!r} gives its parent {parameter.name!r} a default value",
                    where=place,
                    hint="drop the default: a parent's value always comes from the model",
                )
            )
        if parameter.name not in known:
            problems.append(
                Problem(
                    "unknown-parent",
                    f"variable {name!r} depends on {parameter.name!r}, which is not declared",
                    where=place,
                    hint=did_you_mean(parameter.name, (k for k in known if k != name)),
                )
            )
    return problems


def _parents(mechanism: Mechanism, known: Sequence[str]) -> tuple[str, ...]:
    """Parents of a variable; a mistyped one counts as the name it is closest to.

    So that one slip is reported once, and not again as a variable that nothing depends on.
    """
    close = (
        [parameter] if parameter in known else difflib.get_close_matches(parameter, known, n=1)
        for parameter in inspect.signature(mechanism).parameters
    )
    return tuple(match[0] for match in close if match)


def _causal_order(
    parents: Mapping[str, tuple[str, ...]],
) -> tuple[tuple[str, ...], list[list[str]]]:
    """Names with parents before children, ties by order of declaration; and the cycles found."""
    order: list[str] = []
    cycles: list[list[str]] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name in path:
            cycles.append([*path[path.index(name) :], name][::-1])
        elif name not in order:
            path.append(name)
            for parent in parents[name]:
                visit(parent)
            path.pop()
            order.append(name)

    for name in parents:
        visit(name)
    return tuple(order), cycles


def _unreachable(graph: Graph, places: Mapping[str, str]) -> list[Problem]:
    """Variables that the output does not depend on. Inputs may be there for the wording alone."""
    needed = graph.ancestors(graph.output) | {graph.output} | set(graph.inputs)
    return [
        Problem(
            "unreachable-variable",
            f"the output {graph.output!r} does not depend on variable {name!r}",
            where=places[name],
            hint="make it a parent of something the output depends on, or drop it",
        )
        for name in graph.order
        if name not in needed
    ]
