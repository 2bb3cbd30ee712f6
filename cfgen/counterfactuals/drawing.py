"""Draws written out: one straight function for a design, where a dataset needs very many pairs.

It makes the same draws as :func:`~cfgen.counterfactuals.designs.draw_inputs`, from the same state
of the generator, and leaves it in the same state.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from cfgen.causal import Choice, Distinct, Domain, Words
from cfgen.counterfactuals.designs import Design, draw_inputs
from cfgen.counterfactuals.operation import InputEdit

Draw = Callable[[random.Random], tuple[Any, ...]]
"""From a source of randomness to the original's inputs, then the counterfactual's, in the order of
the domains."""


def compile_draw(design: Design, domains: Mapping[str, Domain]) -> Draw:
    """Prepare the drawing of many pairs of inputs.

    Args:
        design: How pairs are made; its edits have been checked.
        domains: Input -> domain to draw from.

    Returns:
        A function that draws one pair. It raises :class:`CfgenError` if a domain has too few
        values.
    """
    writer = _Writer(domains)
    for name in domains:
        writer.draw(name)
    for edit in design.original:
        writer.edit(edit)
    original = [writer.now[name] for name in domains]
    for edit in design.counterfactual:
        writer.edit(edit)
    if not writer.possible:
        return _plain(design, domains)
    everything = ", ".join([*original, *(writer.now[name] for name in domains)])
    lines = ["def draw(rng):", "bits = rng.getrandbits", *writer.lines, f"return ({everything},)"]
    exec("\n    ".join(lines), writer.constants)
    drawn: Draw = writer.constants["draw"]
    return drawn


def _plain(design: Design, domains: Mapping[str, Domain]) -> Draw:
    def draw(rng: random.Random) -> tuple[Any, ...]:
        original, counterfactual = draw_inputs(design, domains, rng)
        return (*original.values(), *counterfactual.values())

    return draw


class _Writer:
    """Lines of a function, and the names that the values of the inputs have by then.

    Attributes:
        lines: The lines, without the indentation that all of them have.
        constants: Everything they refer to.
        now: Input -> name of the local variable, or constant, that holds its present value.
        possible: Whether all domains and edits could be written out.
    """

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        self.domains = domains
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.now: dict[str, str] = {}
        self.possible = True
        self._names = 0

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}{self._names}"

    def _constant(self, value: Any) -> str:
        name = self._name("c")
        self.constants[name] = value
        return name

    def draw(self, name: str, avoid: str = "") -> None:
        """Draw an input, with nothing in common with the value in ``avoid``."""
        domain = self.domains[name]
        if not isinstance(domain, (Choice, Words, Distinct)):
            self.possible = False
            return
        single = domain.of if isinstance(domain, Distinct) else domain
        size, count = domain.arity or 1, single.count()
        if count < size + (size if avoid else 0):  # the plain way says whether this is too few
            self.possible = False
        listed = self._constant(single.values)
        drawn: list[str] = []
        if avoid and domain.arity is None:
            avoid = f"({avoid},)"
        for _ in range(size):
            element = self._name("v")
            unlike = [f"{element} not in ({', '.join(drawn)},)"] if drawn else []
            unlike += [f"{element} not in {avoid}"] if avoid else []
            self._element(element, listed, count, " and ".join(unlike))
            drawn.append(element)
        self.now[name] = drawn[0]
        if domain.arity is not None:
            self.now[name] = self._name("v")
            self.lines.append(f"{self.now[name]} = ({', '.join(drawn)},)")

    def _element(self, element: str, listed: str, count: int, condition: str) -> None:
        """One value by rejection on raw bits."""
        draw = f"i = bits({count.bit_length()})"
        if not condition:
            self.lines += [draw, f"while i >= {count}: {draw}", f"{element} = {listed}[i]"]
            return
        self.lines += [
            "while True:",
            f"    {draw}",
            f"    if i < {count}:",
            f"        {element} = {listed}[i]",
            f"        if {condition}: break",
        ]

    def edit(self, edit: InputEdit) -> None:
        """Apply an edit to the present values."""
        if not self.possible:
            return
        apply, domains = self._constant(edit.apply), self._constant(self.domains)
        inputs = ", ".join(f"{key!r}: {value}" for key, value in self.now.items())
        self._let(edit.input, f"{apply}({{{inputs}}}, {domains}, rng)")

    def _let(self, name: str, expression: str) -> None:
        self.now[name] = self._name("v")
        self.lines.append(f"{self.now[name]} = {expression}")
