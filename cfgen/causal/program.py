"""Evaluation: the mechanisms in causal order, and which of them an intervention makes run again."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cfgen.causal.graph import Graph
from cfgen.errors import CfgenError, Problem

Mechanism = Callable[..., Any]
Step = tuple[str, Mechanism, tuple[str, ...]]
"""A variable, the function that computes it, and its parents."""


Values = Mapping[str, Any]
Runner = Callable[[Values, Values], Any]
"""From known values and fixed values to what is computed from them."""


@dataclass(frozen=True, slots=True)
class Program:
    """A checked causal model, ready to run.

    Attributes:
        name: Name of the causal model.
        graph: Who depends on whom.
        steps: All mechanisms in causal order.
    """

    name: str
    graph: Graph
    steps: tuple[Step, ...]
    _runners: dict[frozenset[str], Runner] = field(default_factory=dict, compare=False)

    def run(self, inputs: Values) -> dict[str, Any]:
        """Compute every variable from the inputs, which are trusted to be in their domains.

        Raises:
            CfgenError: If a mechanism raises.
        """
        return self.rerun({name: inputs[name] for name in self.graph.inputs}, {})

    def rerun(self, values: Values, fixed: Values) -> dict[str, Any]:
        """Set some variables and compute again what depends on them, and nothing else.

        Args:
            values: A full assignment without interventions.
            fixed: Variable -> the value it is set to.

        Returns:
            The full assignment under the intervention.

        Raises:
            CfgenError: If a mechanism raises.
        """
        key = frozenset(fixed)
        runner = self._runners.get(key)
        if runner is None:
            runner = self._runners[key] = self._prepare(key, "")
        return {**values, **fixed, **runner(values, fixed)}

    def output_under(self, fixed: Iterable[str]) -> Runner:
        """Prepare an intervention of which only the output is wanted.

        Args:
            fixed: The variables that will be set.

        Returns:
            A function (full assignment, variable -> value it is set to) -> output. It raises
            :class:`CfgenError` if a mechanism raises.
        """
        return self._prepare(frozenset(fixed), self.graph.output)

    def _prepare(self, fixed: frozenset[str], wanted: str) -> Runner:
        steps = self._affected(fixed) if fixed else self.steps
        runner = straight_line(steps, fixed, wanted)

        def run(values: Values, given: Values) -> Any:
            try:
                return runner(values, given)
            except Exception as error:
                failed = error
            # Outside of the handler, so that what is raised shows one traceback and not two.
            self._explain(steps, {**values, **given})
            raise self._unsteady(failed) from failed

        return run

    def _affected(self, fixed: frozenset[str]) -> tuple[Step, ...]:
        moved = frozenset[str]().union(*(self.graph.descendants(name) for name in fixed)) - fixed
        return tuple(step for step in self.steps if step[0] in moved)

    def _explain(self, steps: Sequence[Step], values: dict[str, Any]) -> None:
        """Run again step by step to find out which mechanism failed, and for which values."""
        for name, mechanism, parents in steps:
            try:
                values[name] = mechanism(*[values[parent] for parent in parents])
            except Exception as error:
                raise self._mechanism_failed(name, parents, values, error) from error

    def _unsteady(self, error: Exception) -> CfgenError:
        shown = "".join(traceback.format_exception(error))
        return CfgenError(
            Problem(
                "unsteady-mechanism",
                f"a mechanism of causal model {self.name!r} failed, but not when it was run again "
                "for the same values",
                hint="let every mechanism depend on its parents alone: no randomness, no state",
                detail=shown,
            )
        )

    def _mechanism_failed(
        self, name: str, parents: tuple[str, ...], values: Values, error: Exception
    ) -> CfgenError:
        mechanism = next(step[1] for step in self.steps if step[0] == name)
        given = ", ".join(f"{parent}={values[parent]!r}" for parent in parents)
        # The first frame is ours; what follows is the mechanism's own.
        frames = error.__traceback__.tb_next if error.__traceback__ else None
        shown = "".join(traceback.format_exception(type(error), error, frames))
        return CfgenError(
            Problem(
                "mechanism-failed",
                f"variable {name!r} of causal model {self.name!r} failed for {given}: "
                f"{type(error).__name__}: {error}",
                where=place_of(mechanism),
                hint="mend the mechanism, or the intervention that gave it such a value",
                detail=shown,
            )
        )


def straight_line(steps: Sequence[Step], fixed: frozenset[str], wanted: str) -> Runner:
    """Write a function that makes the given steps one after the other, without a loop.

    Every value is a local variable of the function, which is much faster than looking it up by
    name at each step; datasets need some hundred steps per pair.

    Args:
        steps: What to compute, in causal order.
        fixed: Names whose value is taken from the second argument instead of the first.
        wanted: The one value to return; if empty, a dictionary of all that the steps compute.

    Returns:
        A function (known values, fixed values) -> what is wanted.
    """
    local: dict[str, str] = {}
    lines = ["def run(known, fixed):"]
    mechanisms: dict[str, Mechanism] = {}

    def name_of(variable: str) -> str:
        if variable not in local:
            local[variable] = f"v{len(local)}"
            source = "fixed" if variable in fixed else "known"
            lines.append(f"    {local[variable]} = {source}[{variable!r}]")
        return local[variable]

    for number, (name, mechanism, parents) in enumerate(steps):
        mechanisms[f"f{number}"] = mechanism
        arguments = ", ".join([name_of(parent) for parent in parents])
        local[name] = f"v{len(local)}"
        lines.append(f"    {local[name]} = f{number}({arguments})")
    everything = ", ".join(f"{name!r}: {local[name]}" for name, _, _ in steps)
    lines.append(f"    return {name_of(wanted) if wanted else f'{{{everything}}}'}")
    namespace: dict[str, Any] = dict(mechanisms)
    exec("\n".join(lines), namespace)
    runner: Runner = namespace["run"]
    return runner


def place_of(mechanism: Mechanism) -> str:
    """``file:line`` of a function's definition."""
    code = inspect.unwrap(mechanism).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"
