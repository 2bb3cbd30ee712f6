"""Abstract pairs: the same probabilities as counting all concrete pairs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cfgen import CfgenError, boolean, distinct, edits, integers
from cfgen.causal import Domain, Words
from cfgen.counterfactuals import Design
from cfgen.counterfactuals.edits import SetValue
from cfgen.search.atoms import Atoms, Value, elements_of, make_atoms
from cfgen.search.cases import all_cases, canonical, design_cases
from tests.search.brute import Chances, every_pair
from tests.search.strategies import cartesian, designs, domains


def named(design: Design, given: dict[str, Domain]) -> set[str]:
    steps = (*design.original, *design.counterfactual)
    values = [edit.value for edit in steps if isinstance(edit, SetValue)]
    flat = [v for value in values for v in (value if isinstance(value, tuple) else (value,))]
    return {value for value in flat if isinstance(value, str)}


def abstracted(atoms: Atoms, names: list[str], pairs: Chances) -> Chances:
    """Concrete pairs added up by what they are up to renaming."""

    def value(name: str, given: Any) -> Value:
        elements = (given,) if atoms.domains[name].arity is None else given
        kinds = [atoms.by_key[type(e), e] for e in elements]
        return tuple(
            (k, atoms.kinds[k].values.index(e)) for k, e in zip(kinds, elements, strict=True)
        )

    found: Chances = {}
    for sides, chance in pairs.items():
        states = tuple(tuple(map(value, names, side)) for side in sides)
        one, other = canonical(atoms, states)
        found[one, other] = found.get((one, other), Fraction(0)) + chance
    return found


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_probabilities_are_those_of_all_concrete_pairs(data: st.DataObject) -> None:
    given_domains = data.draw(domains())
    design = data.draw(designs(given_domains))
    atoms = make_atoms(given_domains, pinned=named(design, given_domains))
    brute = every_pair(design, given_domains)
    names = list(given_domains)
    if sum(brute.values()) != 1:  # some draw is impossible
        with pytest.raises(CfgenError, match="more words"):
            design_cases(atoms, names, design)
        return
    cases = design_cases(atoms, names, design)
    made = {cases.pair(place): chance for place, chance in enumerate(cases.chances)}
    assert made == abstracted(atoms, names, brute)


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_factors_multiply_to_all_pairs(data: st.DataObject) -> None:
    given_domains = data.draw(domains())
    assume(len(cartesian(given_domains)) <= 100)
    names = list(given_domains)
    atoms = make_atoms(given_domains)
    cases = all_cases(atoms, names)
    made = {canonical(atoms, cases.pair(place)) for place in range(len(cases.before))}
    everything = Design("all", [edits.resample(name) for name in names])
    assert len(made) == len(cases.before)
    drawn = design_cases(atoms, names, everything)
    assert made == {drawn.pair(place) for place in range(len(drawn.before))}


def test_words_of_several_lexicons_are_of_a_kind_where_they_are_in_the_same() -> None:
    one, other = Words("one", ("a", "b", "c")), Words("other", ("b", "c", "d", "e"))
    atoms = make_atoms({"x": one, "y": distinct(other, 2)}, pinned=["e", "z"])
    kinds = {kind.values: (len(kind.pools), kind.interchangeable) for kind in atoms.kinds}
    assert kinds == {
        ("a",): (1, True),
        ("b", "c"): (2, True),
        ("d",): (1, True),
        ("e",): (1, False),
        ("z",): (0, False),
    }


def test_values_that_are_equal_but_of_other_types_are_told_apart() -> None:
    atoms = make_atoms({"x": boolean(), "y": integers(0, 1)})
    assert atoms.value("x", True) != atoms.value("y", 1)


def test_an_input_with_too_many_values_is_not_enumerated() -> None:
    with pytest.raises(CfgenError, match="'n' has too many values to be enumerated"):
        make_atoms({"n": integers(0, 10**9)})
    assert elements_of(integers(0, 3)) == (range(4), False)
