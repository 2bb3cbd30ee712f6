"""Causal models: mechanisms are functions, their parameter names are their parents."""

from __future__ import annotations

import copy
import random
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cfgen.causal.check import build_program
from cfgen.causal.domains import Domain, Pools
from cfgen.causal.graph import Graph
from cfgen.causal.inputs import (
    REQUIRED,
    Input,
    check_values,
    complete_inputs,
    declare_input,
    every_input,
)
from cfgen.causal.program import Mechanism, Program, place_of
from cfgen.causal.setting import Setting, Source, read_sources
from cfgen.errors import CfgenError, Problem, authored, caller_place, did_you_mean
from cfgen.faces import found_later

TRIES = 5_000
"""Inputs that are drawn before it is said that hardly any meet the requirements."""
F = typing.TypeVar("F", bound=Callable[..., Any])


class CausalModel:
    """A symbolic, deterministic causal model.

    Declare inputs with :meth:`input` and variables with the decorator :meth:`variable`. The
    definition is checked, all of it at once, the first time the model is used.

    Attributes:
        name: Name of the model.
        output: Name of the variable that is the model's answer.
    """

    @authored
    def __init__(self, name: str, *, output: str) -> None:
        if not isinstance(name, str) or not isinstance(output, str):
            raise TypeError("its name and its output are texts")
        self.name = name
        self.output = output
        self._where = caller_place(1)
        self._inputs: list[Input] = []
        self._mechanisms: list[Mechanism] = []
        self._requirements: list[Mechanism] = []
        self._program: Program | None = None

    def __repr__(self) -> str:
        counts = f"{len(self._inputs)} inputs, {len(self._mechanisms)} variables"
        return f"CausalModel({self.name}, {counts}, output {self.output})"

    def _repr_html_(self) -> str:
        shown: str = found_later("cfgen.notebooks", "model_html")(self)
        return shown

    @authored
    def input(
        self, name: str, domain: Domain, *, each: str | None = None, default: Any = REQUIRED
    ) -> None:
        """Declare an input.

        Args:
            name: Its name.
            domain: The values it may take.
            each: For tuples, what one element is called in templates: ``each="box"`` gives
                ``box_1``, ``box_2``; the input's name without its last "s" if not given.
            default: Value used by :meth:`run` when the input is not given.
        """
        self._inputs.append(declare_input(name, domain, each, default, caller_place(1)))
        self._program = None

    def variable(self, mechanism: F) -> F:
        """Declare a variable: the function's name is its name, the parameters are its parents."""
        self._mechanisms.append(mechanism)
        self._program = None
        return mechanism

    def require(self, requirement: F) -> F:
        """Declare what inputs must meet: a function of some of them that returns True or False.

        Whatever draws, edits, lists or proves keeps to it: inputs that break it do not occur, in
        originals and counterfactuals alike, and all that are left are as likely as before. An
        intervention may set an input to a value that breaks it.
        """
        self._requirements.append(requirement)
        self._program = None
        return requirement

    @property
    def program(self) -> Program:
        """The checked model, in the form that evaluates fastest; its inputs are trusted.

        Raises:
            CfgenError: With every problem of the definition.
        """
        if self._program is None:
            self._program = build_program(
                self.name,
                self.output,
                self._inputs,
                self._mechanisms,
                self._requirements,
                self._where,
            )
        return self._program

    def graph(self) -> Graph:
        """Parents, children and causal order of every variable."""
        return self.program.graph

    @property
    def names(self) -> tuple[str, ...]:
        """Everything declared, inputs first, whether or not the definition is sound."""
        made = [getattr(mechanism, "__name__", "") for mechanism in self._mechanisms]
        return tuple(dict.fromkeys([*(item.name for item in self._inputs), *made]))

    @property
    def domains(self) -> dict[str, Domain]:
        """Input -> its domain."""
        return {item.name: item.domain for item in self._inputs}

    @property
    def defaults(self) -> dict[str, Any]:
        """Input -> the value it has when nobody gives one, for inputs that have such a value."""
        return {item.name: item.default for item in self._inputs if item.default is not REQUIRED}

    @property
    def slots(self) -> dict[str, tuple[str, ...]]:
        """Input -> names under which templates show its elements (or itself, if a scalar)."""
        return {
            item.name: (item.name,)
            if item.domain.arity is None
            else tuple(f"{item.each}_{k + 1}" for k in range(item.domain.arity))
            for item in self._inputs
        }

    @property
    def types(self) -> dict[str, Any]:
        """Name -> type of its values, by domain or return annotation; ``object`` if unknown."""
        known = {item.name: item.domain.type for item in self._inputs}
        hints = {m.__name__: typing.get_type_hints(m) for m in self._mechanisms}
        return known | {name: hint.get("return", object) for name, hint in hints.items()}

    @property
    def places(self) -> dict[str, str]:
        """Name -> ``file:line`` of its declaration."""
        made = {m.__name__: place_of(m) for m in (*self._requirements, *self._mechanisms)}
        return {item.name: item.where for item in self._inputs} | made

    def run(self, inputs: Mapping[str, Any]) -> Setting:
        """Compute every variable from the inputs.

        Args:
            inputs: A value for each input that has no default; lists stand for tuples.

        Raises:
            CfgenError: For unknown, missing or impossible inputs (all of them together), or if a
                mechanism raises.
        """
        return Setting(self.program.run(self.complete(inputs)))

    def complete(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs checked against their domains, lists made tuples, defaults filled in.

        Raises:
            CfgenError: With every unknown, missing or impossible input, or with every requirement
                that the inputs do not meet (``broken-requirement``).
        """
        program = self.program
        full = complete_inputs(self.name, self._inputs, inputs)
        broken = program.broken(full)
        problems = [
            Problem(
                "broken-requirement",
                f"the inputs do not meet requirement {name!r} of causal model {self.name!r}: "
                + ", ".join(f"{parent}={full[parent]!r}" for parent in parents),
                where=place_of(requirement),
                hint="give other values, or drop the requirement",
            )
            for name, requirement, parents in program.requirements
            if name in broken
        ]
        if problems:
            raise CfgenError(problems)
        return full

    def intervene(self, inputs: Mapping[str, Any], values: Mapping[str, Any]) -> Setting:
        """Run with some variables set by hand.

        Args:
            inputs: Inputs, or a setting (whose own interventions stay in force).
            values: Variable -> the value it is set to; an input's must be in its domain.

        Raises:
            CfgenError: For names that the model does not have, impossible inputs, or if a
                mechanism raises.
        """
        self._check_names(values)
        base, fixed = self._base(inputs)
        fixed |= {**values, **check_values(self._inputs, values)}
        return Setting(self.program.rerun(base, fixed), frozenset(fixed))

    def interchange(
        self, original: Mapping[str, Any], sources: Mapping[str, Source], hold: Iterable[str] = ()
    ) -> Setting:
        """Run on the original, but give variables the values they have in counterfactuals.

        Args:
            original: Inputs, or a setting (whose own interventions stay in force).
            sources: Variable -> counterfactual (inputs or a setting), or a pair (counterfactual,
                variable to take the value from).
            hold: Variables kept at the original's value while their parents move.

        Raises:
            CfgenError: For unknown names, for a variable both interchanged and held, or if a
                mechanism raises.
        """
        held = (hold,) if isinstance(hold, str) else tuple(hold)
        pairs = read_sources(sources)
        self._check_names([*pairs, *held, *(taken for _, taken in pairs.values())])
        both = [name for name in held if name in pairs]
        if both:
            raise CfgenError(
                Problem(
                    "held-and-interchanged",
                    f"{', '.join(both)} cannot be held and interchanged at once",
                    hint="drop the name from one of the two",
                )
            )
        base, fixed = self._base(original)
        fixed |= {name: base[name] for name in held}
        settings: dict[int, dict[str, Any]] = {}
        for name, (counterfactual, taken) in pairs.items():
            if id(counterfactual) not in settings:
                settings[id(counterfactual)], _ = self._base(counterfactual)
            fixed[name] = settings[id(counterfactual)][taken]
        return Setting(self.program.rerun(base, fixed), frozenset(fixed))

    def sample(self, rng: random.Random, pools: Pools | None = None) -> dict[str, Any]:
        """Draw inputs uniformly and independently, of those that meet all requirements.

        Args:
            rng: Source of randomness; equal states give equal inputs.
            pools: Lexicon -> the words to draw from instead of all of it.

        Raises:
            CfgenError: If hardly any inputs meet the requirements (``rare-requirement``).
        """
        program = self.program
        domains = {n: d.restrict(pools) if pools else d for n, d in self.domains.items()}
        broken = dict.fromkeys((name for name, *_ in program.requirements), 0)
        for _ in range(TRIES):
            inputs = {name: domain.sample(rng) for name, domain in domains.items()}
            failed = program.broken(inputs)
            if not failed:
                return inputs
            for name in failed:
                broken[name] += 1
        shares = ", ".join(f"{name!r} {1 - n / TRIES:.1%}" for name, n in broken.items())
        raise CfgenError(
            Problem(
                "rare-requirement",
                f"of {TRIES:,} inputs drawn for causal model {self.name!r} none met all its "
                f"requirements; met each by itself: {shares}",
                where=place_of(program.requirements[0][1]),
                hint="choose domains that break them less often, or drop one",
            )
        )

    def restrict(self, pools: Pools) -> CausalModel:
        """The same model, drawing from smaller lexicons where ``pools`` names them."""
        smaller = copy.copy(self)
        smaller._inputs = [
            replace(item, domain=item.domain.restrict(pools)) for item in self._inputs
        ]
        smaller._program = None
        return smaller

    def count(self) -> int:
        """Number of different inputs, whether or not they meet the requirements."""
        _ = self.program
        total = 1
        for domain in self.domains.values():
            total *= domain.count()
        return total

    def enumerate(self, limit: int = 100_000) -> Iterator[dict[str, Any]]:
        """Yield every possible input that meets the requirements, the last one varying fastest.

        Args:
            limit: How many at most.

        Raises:
            CfgenError: At once, if there are more than ``limit``.
        """
        if self.count() > limit:
            raise CfgenError(
                Problem(
                    "too-many-inputs",
                    f"causal model {self.name!r} has {self.count():,} inputs, "
                    f"more than the limit of {limit:,}",
                    hint="raise limit=, or give the inputs smaller domains",
                )
            )
        program, every = self.program, every_input(list(self.domains.items()))
        return (inputs for inputs in every if not program.broken(inputs))

    def _base(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Values under which interventions are made, and those already in force."""
        if isinstance(given, Setting):
            if {*given} != {*self.program.graph.order}:
                message = f"the setting is not one of causal model {self.name!r}"
                hint = f"give inputs, or a setting that {self.name!r} has made"
                raise CfgenError(Problem("foreign-setting", message, hint=hint))
            return dict(given), {name: given[name] for name in given.intervened}
        return dict(self.run(given)), {}

    def _check_names(self, names: Iterable[str]) -> None:
        known = self.program.graph.order
        unknown = [name for name in dict.fromkeys(names) if name not in known]
        if unknown:
            raise CfgenError(
                Problem(
                    "unknown-variable",
                    f"causal model {self.name!r} has no variable {name!r}",
                    hint=did_you_mean(name, known),
                )
                for name in unknown
            )
