"""Evaluation: the mechanisms in causal order, and which of them an intervention makes run again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cfgen.causal.graph import Graph
from cfgen.errors import STOPPING, CfgenError, Problem, own_traceback, shown_error, shown_value

Mechanism = Callable[..., Any]
Step = tuple[str, Mechanism, tuple[str, ...]]
"""A variable, the function that computes it, and its parents."""

Values = Mapping[str, Any]
Columns = Mapping[str, Sequence[Any]]
"""Variable -> the values it has in many settings, which are the rows."""


@dataclass(frozen=True, slots=True)
class Program:
    """A checked causal model, ready to run.

    Many settings are computed variable by variable rather than one setting after the other: a
    mechanism is called for all of them at once. A single setting is a table of one row.

    Attributes:
        name: Name of the causal model.
        graph: Who depends on whom.
        steps: All mechanisms in causal order.
        requirements: What inputs must meet: a name, the function that says whether they do, and
            the inputs that it looks at.
    """

    name: str
    graph: Graph
    steps: tuple[Step, ...]
    requirements: tuple[Step, ...] = ()
    _moved: dict[frozenset[str], tuple[Step, ...]] = field(default_factory=dict, compare=False)

    def run(self, inputs: Values) -> dict[str, Any]:
        """Compute every variable from the inputs, which are trusted to be in their domains.

        Raises:
            CfgenError: If a mechanism raises.
        """
        columns = self.run_columns({name: (inputs[name],) for name in self.graph.inputs}, 1)
        return {name: value for name, (value,) in columns.items()}

    def run_columns(self, inputs: Columns, rows: int) -> dict[str, Sequence[Any]]:
        """Compute every variable of many settings.

        Args:
            inputs: The inputs, trusted to be in their domains.
            rows: How many settings.

        Raises:
            CfgenError: If a mechanism raises.
        """
        return self._compute(self.steps, {name: inputs[name] for name in self.graph.inputs}, rows)

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
        known = {name: (value,) for name, value in {**values, **fixed}.items()}
        columns = self._compute(self._affected(frozenset(fixed)), known, 1)
        return {name: value for name, (value,) in columns.items()}

    def broken(self, inputs: Values) -> list[str]:
        """Names of the requirements that inputs do not meet.

        Raises:
            CfgenError: If one raises, or says something else than yes or no.
        """
        return [step[0] for step in self.requirements if not self._is_met(step, inputs)]

    def _is_met(self, step: Step, inputs: Values) -> bool:
        name, requirement, parents = step
        arguments = tuple(inputs[parent] for parent in parents)
        try:
            found = requirement(*arguments)
        except STOPPING:
            raise
        except BaseException as error:
            raise self._mechanism_failed(step, arguments, error, "requirement") from error
        if type(found) is bool:
            return found
        message = f"requirement {name!r} says {shown_value(found)}, which is neither True nor False"
        hint = "return a comparison, such as `asked != giver`"
        raise CfgenError(Problem("requirement-not-bool", message, place_of(requirement), hint))

    def call(self, step: Step, arguments: Sequence[Sequence[Any]], rows: int) -> list[Any]:
        """Call one mechanism for many settings.

        Args:
            step: The mechanism.
            arguments: The values of its parents, a column for each.
            rows: How many settings.

        Raises:
            CfgenError: If it raises, with the first setting for which it does.
        """
        mechanism = step[1]
        try:
            if not arguments:
                return [mechanism() for _ in range(rows)]
            found = list(map(mechanism, *arguments))
            if len(found) == rows:
                return found
            raise StopIteration  # a mechanism's own, such as of `next`, ends `map` without a word
        except STOPPING:
            raise
        except BaseException as error:
            failed = error
        # Outside of the handler, so that what is raised shows one traceback and not two.
        self._explain(step, zip(*arguments, strict=True) if arguments else [()] * rows)
        raise self._unsteady(failed) from failed

    def _compute(
        self, steps: Sequence[Step], known: Columns, rows: int
    ) -> dict[str, Sequence[Any]]:
        """What is known, and what some steps compute from it one after the other."""
        columns = dict(known)
        for step in steps:
            name, _, parents = step
            columns[name] = self.call(step, [columns[parent] for parent in parents], rows)
        return columns

    def _affected(self, fixed: frozenset[str]) -> tuple[Step, ...]:
        """The mechanisms of what depends on some variables, but not these themselves."""
        if fixed not in self._moved:
            below = frozenset[str]().union(*map(self.graph.descendants, fixed)) - fixed
            self._moved[fixed] = tuple(step for step in self.steps if step[0] in below)
        return self._moved[fixed]

    def _explain(self, step: Step, rows: Iterable[tuple[Any, ...]]) -> None:
        """Call a mechanism again for one setting after the other, to find where it fails."""
        mechanism = step[1]
        for arguments in rows:
            try:
                mechanism(*arguments)
            except STOPPING:
                raise
            except BaseException as error:
                raise self._mechanism_failed(step, arguments, error) from error

    def _unsteady(self, error: BaseException) -> CfgenError:
        return CfgenError(
            Problem(
                "unsteady-mechanism",
                f"a mechanism of causal model {self.name!r} failed, but not when it was run again "
                "for the same values",
                hint="let every mechanism depend on its parents alone: no randomness, no state",
                detail=own_traceback(error),
            )
        )

    def _mechanism_failed(
        self, step: Step, arguments: tuple[Any, ...], error: BaseException, what: str = "variable"
    ) -> CfgenError:
        name, mechanism, parents = step
        pairs = zip(parents, arguments, strict=True)
        given = ", ".join(f"{parent}={shown_value(value)}" for parent, value in pairs)
        failed = f"{what} {name!r} of causal model {self.name!r} failed for {given}"
        if isinstance(error, CfgenError):  # which says itself what to do, and where
            place = place_of(mechanism)
            return CfgenError(
                replace(p, message=f"{failed}: {p.message}", where=p.where or place)
                for p in error.problems
            )
        return CfgenError(
            Problem(
                "mechanism-failed",
                f"{failed}: {shown_error(error)}",
                where=place_of(mechanism),
                hint="mend the mechanism, or the intervention that gave it such a value",
                detail=own_traceback(error),
            )
        )


def place_of(mechanism: Mechanism) -> str:
    """``file:line`` of a function's definition."""
    code = inspect.unwrap(mechanism).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"
