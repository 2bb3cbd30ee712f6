"""Factual recall: answers, the designs, and predictions, from the inputs alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from cfgen import CfgenError, load_task
from cfgen.counterfactuals import Pair, draw_inputs
from cfgen.datasets import PairLabeller
from cfgen.prompts import find_spans, load_lexicon
from cfgen.tasks import Task

PAIRS = 200
FACTS = {  # by hand
    "France": {"capital": "Paris", "language": "French", "continent": "Europe"},
    "Japan": {"capital": "Tokyo", "language": "Japanese", "continent": "Asia"},
    "Peru": {"capital": "Lima", "language": "Spanish", "continent": "South America"},
    "Egypt": {"capital": "Cairo", "language": "Arabic", "continent": "Africa"},
    "Germany": {"capital": "Berlin", "language": "German", "continent": "Europe"},
}
RELATIONS = ("capital", "language", "continent")
FRANCE = {
    "template": "two_sentences",
    "subject": "France",
    "relation": "capital",
    "examples": ("Japan", "Peru"),
}
Inputs = Mapping[str, Any]


@cache
def task() -> Task:
    return load_task("factual_recall")


@cache
def table() -> dict[str, dict[str, str]]:
    """The facts as the file has them."""
    read = load_lexicon("countries")
    columns = zip(*read.attributes.values(), strict=True)
    rows = zip(read.entries, columns, strict=True)
    return {country: dict(zip(read.attributes, values, strict=True)) for country, values in rows}


@cache
def pairs_of(design: str) -> tuple[Pair, ...]:
    rng = random.Random(f"pairs of {design}")
    chosen, domains = task().design(design), task().causal_model.domains
    label = PairLabeller(task(), chosen)
    found: list[Pair] = []
    while len(found) < PAIRS:
        sides = draw_inputs(chosen, domains, rng)
        if all(task().supports(side) for side in sides):
            found.append(label(*sides, len(found)))
    return tuple(found)


def told(inputs: Inputs) -> str:
    return table()[inputs["subject"]][inputs["relation"]]


def test_word_for_word() -> None:
    other = FRANCE | {"subject": "Egypt", "relation": "language"}
    pair = PairLabeller(task(), task().design())(FRANCE, other, 0)
    assert pair.original.prompt.text == (
        "The capital of Japan is Tokyo. The capital of Peru is Lima. The capital of France is"
    )
    assert pair.counterfactual.prompt.text == (
        "The language of Japan is Japanese. The language of Peru is Spanish. "
        "The language of Egypt is"
    )
    assert (pair.original.answer_prefix, pair.original.answer) == (" ", "Paris")
    assert pair.predictions == {
        "none": "Paris",
        "all": "Arabic",
        "attributes": "Cairo",
        "relation": "French",
        "answer": "Arabic",
    }
    assert pair.kinds["attributes"] == pair.kinds["relation"] == "third"
    assert pair.decisive


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("country", FACTS)
def test_facts_worked_out_by_hand(country: str, relation: str) -> None:
    examples = [
        one for one in ("Norway", "Kenya", "Thailand", "Chile", "Morocco") if one in table()
    ]
    allowed = [
        (a, b)
        for a, b in itertools.permutations(examples, 2)
        if FACTS[country][relation] not in (table()[a][relation], table()[b][relation])
    ]
    inputs = FRANCE | {"subject": country, "relation": relation, "examples": allowed[0]}
    setting = task().causal_model.run(inputs)
    assert setting["answer"] == FACTS[country][relation]
    assert setting["attributes"] == tuple(FACTS[country].values())
    assert setting["example_answers"] == tuple(table()[one][relation] for one in allowed[0])


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("template", ["two_sentences", "two_questions"])
def test_examples_come_first_and_the_subject_last(template: str, relation: str) -> None:
    inputs = FRANCE | {"template": template, "relation": relation}
    prompt = PairLabeller(task(), task().design())(inputs, inputs, 0).original.prompt
    [subject] = find_spans(prompt, "subject")
    assert prompt.text[subject.start : subject.end] == "France"
    shots = find_spans(prompt, "shot")
    for span, country in zip(shots, ("Japan", "Peru"), strict=True):
        assert span.end < subject.start
        assert country in prompt.text[span.start : span.end]
        assert table()[country][relation] in prompt.text[span.start : span.end]
    assert told(inputs) not in prompt.text


@pytest.mark.parametrize(
    ("template", "relation"),
    [
        ("one_sentence", "capital"),
        ("one_sentence", "language"),
        ("one_sentence", "continent"),
        ("in_country", "capital"),
        ("in_country", "language"),
    ],
)
def test_without_examples_only_the_subject_is_named(template: str, relation: str) -> None:
    inputs = FRANCE | {"template": template, "relation": relation}
    prompt = PairLabeller(task(), task().design())(inputs, inputs, 0).original.prompt
    assert [prompt.text[s.start : s.end] for s in find_spans(prompt, "subject")] == ["France"]
    assert relation in prompt.text
    assert not {"Japan", "Peru"} & {*prompt.text.split()}


@pytest.mark.parametrize(
    "wrong",
    [
        {"examples": ("France", "Peru")},
        {"relation": "language", "subject": "Chile"},  # Peru's language is the answer as well
        {"relation": "continent", "examples": ("Japan", "Germany")},
    ],
)
def test_no_example_has_the_answer(wrong: dict[str, Any]) -> None:
    assert not task().supports(FRANCE | wrong)
    with pytest.raises(CfgenError, match="examples_have_other_answers"):
        task().causal_model.run(FRANCE | wrong)


@pytest.mark.parametrize(
    ("design", "changed"),
    [
        ("other_subject", {"subject"}),
        ("other_relation", {"relation"}),
        ("other_fact", {"subject", "relation"}),
    ],
)
def test_what_the_designs_change(design: str, changed: set[str]) -> None:
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert {name for name in o if o[name] != c[name]} == changed
        for side in (o, c):
            examples = [table()[country][side["relation"]] for country in side["examples"]]
            assert told(side) not in examples


def test_designs_and_hypotheses_are_the_ones_tested_here() -> None:
    assert set(task().designs) == {"other_subject", "other_relation", "other_fact"}
    assert set(task().hypotheses) == {"attributes", "relation", "answer"}


@pytest.mark.parametrize("design", list(load_task("factual_recall").designs))
def test_predictions(design: str) -> None:
    decisive = 0
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        predictions = {
            "none": told(o),
            "all": told(c),
            "attributes": table()[c["subject"]][o["relation"]],
            "relation": table()[o["subject"]][c["relation"]],
            "answer": told(c),
        }
        assert pair.predictions == predictions
        compared = [predictions["none"], *map(predictions.get, task().design(design).contrast)]
        assert pair.decisive is (len({*compared}) == len(compared))
        decisive += pair.decisive
    assert decisive > 0.6 * PAIRS


def test_every_country_has_one_of_each() -> None:
    continents = {"Africa", "Asia", "Europe", "North America", "South America"}
    assert all(set(row) == set(RELATIONS) and all(row.values()) for row in table().values())
    assert {row["continent"] for row in table().values()} == continents
    capitals = [row["capital"] for row in table().values()]
    assert len({*capitals}) == len(capitals)
    assert not [(a, b) for a, b in itertools.permutations(table(), 2) if a in b]
    assert {country: table()[country] for country in FACTS} == FACTS
