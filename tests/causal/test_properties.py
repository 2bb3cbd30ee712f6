"""Properties of every causal model, on randomly generated graphs, against a plain evaluator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from cfgen import CausalModel, integers

MODULUS = 7


@dataclass(frozen=True)
class Recipe:
    """A random model: variable -> parents and the numbers in its formula. The last is the output.

    A variable is (the weighted sum of its parents + a constant) modulo 7, or, where ``product``
    says so, their product plus the constant.
    """

    inputs: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, int]
    product: Mapping[str, bool]

    @property
    def variables(self) -> tuple[str, ...]:
        return tuple(self.parents)

    @property
    def output(self) -> str:
        return self.variables[-1]

    def formula(self, name: str, values: list[int]) -> int:
        if self.product[name]:
            made = 1
            for value in values:
                made *= value + 1
        else:
            made = sum(w * v for w, v in zip(self.weights[name], values, strict=True))
        return (made + self.constants[name]) % MODULUS


def function_of(recipe: Recipe, name: str) -> Callable[..., int]:
    """The mechanism of a variable, as a function whose parameters are its parents."""
    parents = ", ".join(recipe.parents[name])
    namespace: dict[str, Any] = {"formula": recipe.formula}
    exec(f"def {name}({parents}):\n    return formula({name!r}, [{parents}])\n", namespace)
    made: Callable[..., int] = namespace[name]
    return made


def model_of(recipe: Recipe, order: list[str] | None = None) -> CausalModel:
    """The causal model; ``order`` is the order in which its names are declared."""
    model = CausalModel("random", output=recipe.output)
    for name in order or [*recipe.inputs, *recipe.variables]:
        if name in recipe.inputs:
            model.input(name, integers(0, MODULUS - 1))
        else:
            model.variable(function_of(recipe, name))
    return model


def evaluate(recipe: Recipe, inputs: Mapping[str, int], fixed: Mapping[str, int]) -> dict[str, int]:
    """The plain evaluator: ask for a value, and for its parents' values before it."""

    def value(name: str) -> int:
        if name in fixed:
            return fixed[name]
        if name in inputs:
            return inputs[name]
        return recipe.formula(name, [value(parent) for parent in recipe.parents[name]])

    return {name: value(name) for name in (*recipe.inputs, *recipe.variables)}


def ancestors(recipe: Recipe, name: str) -> set[str]:
    above = set(recipe.parents.get(name, ()))
    return above.union(*(ancestors(recipe, parent) for parent in above))


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    inputs = tuple(f"x{k}" for k in range(draw(st.integers(1, 4))))
    count = draw(st.integers(1, 6))
    variables = [f"v{k}" for k in range(count)]
    parents: dict[str, tuple[str, ...]] = {}
    for k, name in enumerate(variables):
        above = [*inputs, *variables[:k]]
        chosen = draw(st.lists(st.sampled_from(above), max_size=3, unique=True))
        if k == count - 1:  # whatever nothing depends on yet becomes a parent of the output
            used = {parent for some in parents.values() for parent in some}
            chosen += [v for v in variables[:k] if v not in used and v not in chosen]
        parents[name] = tuple(chosen)
    numbers = st.integers(0, MODULUS - 1)
    return Recipe(
        inputs,
        parents,
        {name: tuple(draw(numbers) for _ in parents[name]) for name in variables},
        {name: draw(numbers) for name in variables},
        {name: draw(st.booleans()) for name in variables},
    )


def inputs_of(recipe: Recipe, data: st.DataObject) -> dict[str, int]:
    return {name: data.draw(st.integers(0, MODULUS - 1), label=name) for name in recipe.inputs}


def some_names(recipe: Recipe, data: st.DataObject) -> list[str]:
    names = [*recipe.inputs, *recipe.variables]
    return data.draw(st.lists(st.sampled_from(names), unique=True, max_size=4), label="names")


@given(recipes(), st.data())
def test_interchange_from_oneself_changes_nothing(recipe: Recipe, data: st.DataObject) -> None:
    model, inputs = model_of(recipe), inputs_of(recipe, data)
    names = some_names(recipe, data)
    held = [name for name in some_names(recipe, data) if name not in names]
    setting = model.interchange(inputs, dict.fromkeys(names, inputs), hold=held)
    assert setting == model.run(inputs)
    assert setting.intervened == {*names, *held}


@given(recipes(), st.data())
def test_interchange_of_all_inputs_is_running_the_counterfactual(
    recipe: Recipe, data: st.DataObject
) -> None:
    model = model_of(recipe)
    original, counterfactual = inputs_of(recipe, data), inputs_of(recipe, data)
    sources = dict.fromkeys(recipe.inputs, counterfactual)
    assert model.interchange(original, sources) == model.run(counterfactual)


@given(recipes(), st.data())
def test_what_the_output_does_not_depend_on_never_changes_it(
    recipe: Recipe, data: st.DataObject
) -> None:
    model, inputs = model_of(recipe), inputs_of(recipe, data)
    outside = set(recipe.inputs) - ancestors(recipe, recipe.output)
    assume(outside)
    values = {name: data.draw(st.integers(0, MODULUS - 1)) for name in sorted(outside)}
    assert model.intervene(inputs, values)[recipe.output] == model.run(inputs)[recipe.output]


@given(recipes(), st.data())
def test_what_is_cut_off_from_the_output_never_changes_it(
    recipe: Recipe, data: st.DataObject
) -> None:
    """Holding every parent of the output makes everything above them a non-ancestor."""
    model, inputs = model_of(recipe), inputs_of(recipe, data)
    parents = recipe.parents[recipe.output]
    above = [n for n in (*recipe.inputs, *recipe.variables) if n not in (*parents, recipe.output)]
    assume(above)
    moved = data.draw(st.lists(st.sampled_from(above), unique=True, min_size=1))
    counterfactual = inputs_of(recipe, data)
    setting = model.interchange(inputs, dict.fromkeys(moved, counterfactual), hold=parents)
    assert setting[recipe.output] == model.run(inputs)[recipe.output]


@given(recipes(), st.data())
def test_order_of_declaration_does_not_matter(recipe: Recipe, data: st.DataObject) -> None:
    names = [*recipe.inputs, *recipe.variables]
    shuffled = data.draw(st.permutations(names))
    one, other = model_of(recipe), model_of(recipe, shuffled)
    inputs, counterfactual = inputs_of(recipe, data), inputs_of(recipe, data)
    assert one.run(inputs) == other.run(inputs)
    moved = dict.fromkeys(some_names(recipe, data), counterfactual)
    assert one.interchange(inputs, moved) == other.interchange(inputs, moved)
    assert {*one.graph().order} == {*other.graph().order}
    for graph in (one.graph(), other.graph()):
        place = {name: number for number, name in enumerate(graph.order)}
        assert all(place[p] < place[n] for n in graph.order for p in graph.parents[n])
        assert all(p in graph.parents[c] for p in graph.order for c in graph.children[p])


@given(recipes(), st.data())
def test_agrees_with_the_plain_evaluator(recipe: Recipe, data: st.DataObject) -> None:
    model, inputs = model_of(recipe), inputs_of(recipe, data)
    assert dict(model.run(inputs)) == evaluate(recipe, inputs, {})
    fixed = {name: data.draw(st.integers(0, MODULUS - 1)) for name in some_names(recipe, data)}
    assert dict(model.intervene(inputs, fixed)) == evaluate(recipe, inputs, fixed)


@given(recipes(), st.data())
def test_interchange_agrees_with_the_plain_evaluator(recipe: Recipe, data: st.DataObject) -> None:
    """Several counterfactuals, some across variables, some names held, on a changed original."""
    model, inputs = model_of(recipe), inputs_of(recipe, data)
    others = [inputs_of(recipe, data), inputs_of(recipe, data)]
    every = [*recipe.inputs, *recipe.variables]
    before = {name: data.draw(st.integers(0, MODULUS - 1)) for name in some_names(recipe, data)}
    sources, fixed = {}, dict(before)
    start = evaluate(recipe, inputs, before)
    held = some_names(recipe, data)
    fixed |= {name: start[name] for name in held}
    for name in some_names(recipe, data):
        if name in held:
            continue
        counterfactual = data.draw(st.sampled_from(others))
        taken = data.draw(st.sampled_from(every))
        sources[name] = (counterfactual, taken) if taken != name else counterfactual
        fixed[name] = evaluate(recipe, counterfactual, {})[taken]
    original = model.intervene(inputs, before)
    setting = model.interchange(original, sources, hold=held)
    assert dict(setting) == evaluate(recipe, inputs, fixed)
    assert setting.intervened == set(fixed)


@given(recipes(), st.data())
def test_many_settings_at_once_are_those_of_one_after_the_other(
    recipe: Recipe, data: st.DataObject
) -> None:
    program = model_of(recipe).program
    rows = [inputs_of(recipe, data) for _ in range(data.draw(st.integers(1, 4)))]
    columns = {name: [row[name] for row in rows] for name in recipe.inputs}
    made = program.run_columns(columns, len(rows))
    for number, row in enumerate(rows):
        assert {name: column[number] for name, column in made.items()} == program.run(row)
        assert program.run(row) == evaluate(recipe, row, {})


@given(recipes())
def test_count_is_the_number_of_inputs(recipe: Recipe) -> None:
    model = model_of(recipe)
    assert model.count() == sum(1 for _ in model.enumerate()) == MODULUS ** len(recipe.inputs)


# Other processes, other hash seeds.

SCRIPT = """
import json, random
from cfgen import CausalModel, boolean, choice, distinct, integers

model = CausalModel("m", output="said")
model.input("pair", distinct(choice(["red", "green", "blue", "pink"]), 2))
model.input("index", integers(0, 1))
model.input("loud", boolean())

@model.variable
def word(pair, index):
    return pair[index]

@model.variable
def marks(loud, index):
    return ("!", "?")[index] * (1 + loud)

@model.variable
def said(word, marks):
    return word + marks

rng = random.Random(11)
lines = []
for _ in range(50):
    original, counterfactual = model.sample(rng), model.sample(rng)
    setting = model.interchange(original, {"word": counterfactual, "marks": counterfactual})
    lines.append([list(setting.items()), sorted(setting.intervened), repr(model.run(original))])
graph = model.graph()
print(json.dumps([lines, graph.mermaid(), graph.dot(), list(model.enumerate())[:9]]))
"""


def test_results_are_the_same_in_other_processes() -> None:
    root = Path(__file__).parents[2]
    printed = []
    for hash_seed in ("0", "1", "31337"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
        made = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(made.stdout)
    assert len(set(printed)) == 1
    lines, mermaid, _, inputs = json.loads(printed[0])
    assert lines[0] == FIRST
    assert mermaid.startswith("flowchart TD\n    pair([pair])\n    index([index])\n")
    assert inputs[0] == {"pair": ["red", "green"], "index": 0, "loud": False}


FIRST = [
    [
        ["pair", ["pink", "green"]],
        ["index", 0],
        ["loud", True],
        ["word", "red"],
        ["marks", "??"],
        ["said", "red??"],
    ],
    ["marks", "word"],
    "Setting(pair=('pink', 'green'), index=0, loud=True, word='pink', marks='!!', said='pink!!')",
]
