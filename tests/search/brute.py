"""Brute force: every pair of inputs that a design can draw, one by one, with its probability."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from cfgen.causal import Choice, Distinct, Domain
from cfgen.counterfactuals import Design, InputEdit
from cfgen.counterfactuals.edits import CopyValue, Flip, Keep, Permute, Resample, Reverse, SetValue

Inputs = dict[str, Any]
Chances = dict[tuple[tuple[Any, ...], tuple[Any, ...]], Fraction]


def outcomes(edit: InputEdit, inputs: Inputs, domains: Mapping[str, Domain]) -> list[Any]:
    """The values an edit can give, all equally likely."""
    old, domain = inputs[edit.input], domains[edit.input]
    if isinstance(edit, Resample) and edit.index is None:
        taken = set(old) if isinstance(domain, Distinct) else {old}
        if not edit.disjoint:
            return list(domain)
        return [v for v in domain if not taken & (set(v) if isinstance(v, tuple) else {v})]
    if isinstance(edit, Resample):
        assert isinstance(domain, Distinct)
        assert edit.index is not None
        others = [v for k, v in enumerate(old) if k != edit.index]
        avoid = old if edit.disjoint else others
        new = [v for v in domain.of if v not in avoid]
        return [(*old[: edit.index], v, *old[edit.index + 1 :]) for v in new]
    if isinstance(edit, Flip):
        assert isinstance(domain, Choice)
        return [v for v in domain if v != old]
    if isinstance(edit, Reverse):
        return [old[::-1]]
    if isinstance(edit, Permute):
        return [tuple(old[k] for k in edit.order)]
    if isinstance(edit, SetValue):
        return [edit.value]
    if isinstance(edit, CopyValue):
        return [inputs[edit.source]]
    assert isinstance(edit, Keep)
    return [old]


def _steps(
    edits: tuple[InputEdit, ...], inputs: Inputs, domains: Mapping[str, Domain]
) -> Iterator[tuple[Inputs, Fraction]]:
    if not edits:
        yield inputs, Fraction(1)
        return
    values = outcomes(edits[0], inputs, domains)
    for value in values:
        changed = {**inputs, edits[0].input: value}
        for made, chance in _steps(edits[1:], changed, domains):
            yield made, chance / len(values)


def every_pair(design: Design, domains: Mapping[str, Domain]) -> Chances:
    """Probability of every pair; values in the order of the domains."""
    found: Chances = {}
    count = Fraction(1)
    for domain in domains.values():
        count /= domain.count()
    for values in itertools.product(*domains.values()):
        drawn = dict(zip(domains, values, strict=True))
        for original, first in _steps(design.original, drawn, domains):
            for other, second in _steps(design.counterfactual, original, domains):
                key = (tuple(original[n] for n in domains), tuple(other[n] for n in domains))
                found[key] = found.get(key, Fraction(0)) + count * first * second
    return found
