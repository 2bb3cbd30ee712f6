"""Random small causal models, domains and designs."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st

from cfgen import CausalModel, Hypothesis, boolean, choice, distinct, edits, integers
from cfgen.causal import Domain, Words
from cfgen.counterfactuals import Design, InputEdit, problems_with

SMALL = Words("small", ("ash", "bay", "elm", "fir"))
OTHER = Words("other", ("elm", "fir", "oak"))  # shares two words with the first
TINY = Words("tiny", ("cat", "dog", "owl"))
DOMAINS: tuple[Domain, ...] = (
    SMALL,
    OTHER,
    TINY,
    distinct(SMALL, 2),
    distinct(TINY, 2),
    distinct(choice(["p", "q", "r"]), 2),
    boolean(),
    integers(0, 2),
    choice(["low", "high"]),
)


@st.composite
def domains(draw: Any) -> dict[str, Domain]:
    chosen = draw(st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=3))
    return {f"x{index}": domain for index, domain in enumerate(chosen)}


def possible_edits(given: dict[str, Domain]) -> list[InputEdit]:
    found: list[InputEdit] = []
    for name, domain in given.items():
        values = list(domain)
        found += [
            edits.keep(name),
            edits.reverse(name),
            edits.permute(name, [1, 0]),
            edits.resample(name),
            edits.resample(name, disjoint=True),
            edits.flip(name),
            edits.set(name, values[0]),
            edits.set(name, values[-1]),
        ]
        found += [
            edits.resample(name, index=k, disjoint=d) for k in range(2) for d in (False, True)
        ]
        found += [edits.copy(name, of=other) for other in given if other != name]
    return [edit for edit in found if not problems_with(edit, given)]


@st.composite
def designs(draw: Any, given: dict[str, Domain]) -> Design:
    steps = st.lists(st.sampled_from(possible_edits(given)), max_size=3)
    return Design("drawn", original=draw(steps.map(lambda s: s[:2])), counterfactual=draw(steps))


@st.composite
def models(draw: Any, given: dict[str, Domain]) -> tuple[CausalModel, list[Hypothesis]]:
    """A model whose mechanisms compare elements of inputs, choose among them, and pass them on."""
    model = CausalModel("drawn", output="out")
    for name, domain in given.items():
        model.input(name, domain)
    parts = [
        (name, index)
        for name, domain in given.items()
        for index in ((None,) if domain.arity is None else range(domain.arity))
    ]
    one, two, three, four = (draw(st.sampled_from(parts)) for _ in range(4))
    names = sorted({name for name, _ in (one, two)})
    others = sorted({name for name, _ in (three, four)})

    def at(values: dict[str, Any], part: tuple[str, int | None]) -> Any:
        value = values[part[0]]
        return value if part[1] is None else value[part[1]]

    def equal(**values: Any) -> bool:
        return bool(at(values, one) == at(values, two))

    def chosen(same: bool, **values: Any) -> Any:
        return at(values, three) if same else at(values, four)

    _declare(model, "same", names, lambda values: equal(**values))
    _declare(
        model, "picked", ["same", *others], lambda values: chosen(values.pop("same"), **values)
    )
    constant = draw(st.sampled_from(["none", "elm", "cat", "p"]))
    _declare(
        model,
        "out",
        ["picked", "same"],
        lambda v: constant if v["same"] and v["picked"] == constant else v["picked"],
    )
    hypotheses = [
        Hypothesis("h_same", interchange=["same"]),
        Hypothesis("h_picked", interchange=["picked"]),
        Hypothesis("h_input", interchange=["x0"], hold=["same"]),
    ]
    return model, hypotheses


def _declare(model: CausalModel, name: str, parents: list[str], function: Any) -> None:
    """A mechanism with given parameters."""
    arguments = ", ".join(parents)
    pairs = ", ".join(f"{parent!r}: {parent}" for parent in parents)
    namespace = {"function": function}
    exec(f"def {name}({arguments}): return function({{{pairs}}})", namespace)
    model.variable(namespace[name])


def cartesian(given: dict[str, Domain]) -> list[dict[str, Any]]:
    return [dict(zip(given, v, strict=True)) for v in itertools.product(*given.values())]
