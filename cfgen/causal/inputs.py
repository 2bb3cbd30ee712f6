"""Inputs: their declarations, and values checked against these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.causal.domains import Choice, Domain, as_tuples
from cfgen.errors import CfgenError, Problem, did_you_mean, shown_value

REQUIRED: Any = object()
"""Marks an input without a default value."""


@dataclass(frozen=True, slots=True)
class Input:
    """A declared input.

    Attributes:
        name: Its name.
        domain: The values it may take.
        each: Slot name of one element, for inputs whose values are tuples.
        default: Value it has when nobody gives one; ``REQUIRED`` if it must be given.
        where: ``file:line`` of the declaration.
        problems: What is wrong with this declaration in itself.
    """

    name: str
    domain: Domain
    each: str
    default: Any
    where: str
    problems: tuple[Problem, ...] = ()


def declare_input(name: str, domain: Domain, each: str | None, default: Any, where: str) -> Input:
    """Record a declaration, with what is wrong with it."""
    problems: tuple[Problem, ...] = ()
    default = as_tuples(default)
    if not isinstance(domain, Domain):
        message = f"input {name!r} was given a {type(domain).__name__}, not a domain"
        hint = "use choice([...]), integers(...), lexicon(...) or another domain"
        problems = (Problem("not-a-domain", message, where, hint),)
        domain = Choice(())
    elif default is not REQUIRED and (wrong := domain.problem_with(default)):
        message = f"the default of input {name!r} is {default!r}, but it {wrong}"
        problems = (Problem("bad-default", message, where, "give another default, or none"),)
    singular = each or (name[:-1] if name.endswith("s") else name)
    return Input(name, domain, singular, default, where, problems)


def complete_inputs(model: str, declared: Sequence[Input], given: Any) -> dict[str, Any]:
    """Check given inputs, make lists tuples, and fill in defaults.

    Args:
        model: Name of the causal model, for messages.
        declared: Its inputs.
        given: Input -> value.

    Raises:
        CfgenError: With every unknown, missing or impossible input.
    """
    if not isinstance(given, Mapping):
        message = f"inputs of causal model {model!r} are needed, not {shown_value(given)}"
        hint = "give a mapping from every input to its value"
        raise CfgenError(Problem("not-inputs", message, hint=hint))
    names = [item.name for item in declared]
    problems = [
        Problem(
            "unknown-input",
            f"causal model {model!r} has no input {name!r}",
            hint=did_you_mean(name, names),
        )
        for name in map(str, given)
        if name not in names
    ]
    full: dict[str, Any] = {}
    for item in declared:
        value = as_tuples(given.get(item.name, item.default))
        if value is REQUIRED:
            problems.append(
                Problem(
                    "missing-input",
                    f"input {item.name!r} of causal model {model!r} is not given",
                    hint=f"give a value for {item.name!r}",
                )
            )
        else:
            problems += _value_problems(item, value)
        full[item.name] = value
    if problems:
        raise CfgenError(problems)
    return full


def check_values(declared: Sequence[Input], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of some values that are inputs', checked, lists made tuples.

    Raises:
        CfgenError: With every impossible input.
    """
    found = {item.name: as_tuples(values[item.name]) for item in declared if item.name in values}
    problems = [
        problem
        for item in declared
        if item.name in found
        for problem in _value_problems(item, found[item.name])
    ]
    if problems:
        raise CfgenError(problems)
    return found


def _value_problems(item: Input, value: Any) -> list[Problem]:
    wrong = item.domain.problem_with(value)
    if not wrong:
        return []
    message = f"input {item.name!r} is {shown_value(value)}, but it {wrong}"
    return [Problem("bad-input", message, hint="give it such a value")]


def every_input(domains: Sequence[tuple[str, Domain]]) -> Iterator[dict[str, Any]]:
    """Every combination of values, the last domain's varying fastest."""
    if not domains:
        yield {}
        return
    (name, domain), *others = domains
    for value in domain:
        for rest in every_input(others):
            yield {name: value, **rest}
