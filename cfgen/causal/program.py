"""Evaluation: the mechanisms in causal order, and which of them an intervention makes run again."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cfgen.causal.graph import Graph
from cfgen.errors import CfgenError, Problem

Mechanism = Callable[..., Any]
Step = tuple[str, Mechanism, tuple[str, ...]]
"""A variable, the function that computes it, and its parents."""


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
    _reruns: dict[frozenset[str], tuple[Step, ...]] = field(default_factory=dict, compare=False)

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Compute every variable from the inputs, which are trusted to be in their domains."""
        values = {name: inputs[name] for name in self.graph.inputs}
        return self._execute(self.steps, values)

    def rerun(self, values: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
        """Set some variables and compute again what depends on them, and nothing else.

        Args:
            values: A full assignment without interventions.
            fixed: Variable -> the value it is set to.

        Returns:
            The full assignment under the intervention.
        """
        return self._execute(self._affected(fixed), {**values, **fixed})

    def _affected(self, fixed: Iterable[str]) -> tuple[Step, ...]:
        key = frozenset(fixed)
        steps = self._reruns.get(key)
        if steps is None:
            moved = frozenset[str]().union(*(self.graph.descendants(name) for name in key)) - key
            steps = tuple(step for step in self.steps if step[0] in moved)
            self._reruns[key] = steps
        return steps

    def _execute(self, steps: Iterable[Step], values: dict[str, Any]) -> dict[str, Any]:
        name = ""
        parents: tuple[str, ...] = ()
        try:
            for name, mechanism, parents in steps:
                values[name] = mechanism(*[values[parent] for parent in parents])
        except Exception as error:
            raise self._mechanism_failed(name, parents, values, error) from error
        return values

    def _mechanism_failed(
        self, name: str, parents: tuple[str, ...], values: Mapping[str, Any], error: Exception
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


def place_of(mechanism: Mechanism) -> str:
    """``file:line`` of a function's definition."""
    code = mechanism.__code__
    return f"{code.co_filename}:{code.co_firstlineno}"
