"""Subject-verb agreement: answers, the designs, and predictions, from the inputs alone."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from cfgen import load_task
from cfgen.counterfactuals import Pair, draw_inputs
from cfgen.datasets import PairLabeller
from cfgen.prompts import find_spans, load_lexicon
from cfgen.tasks import Task

PAIRS = 600
NUMBERS = ("singular", "plural")
VERBS = {  # number, tense -> verb
    ("singular", "present"): "is",
    ("singular", "past"): "was",
    ("plural", "present"): "are",
    ("plural", "past"): "were",
}
ALONE = ("over_there", "it_seems")
ACROSS = ("in_front_of", "next_to", "spoke_of", "wrote_about")
BOY = {
    "template": "next_to",
    "nouns": ("boy", "teacher"),
    "subject_number": "singular",
    "attractor_number": "plural",
    "tense": "present",
}
Inputs = Mapping[str, Any]


@cache
def task() -> Task:
    return load_task("subject_verb_agreement")


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


def verb(number: str, tense: str) -> str | None:
    return VERBS.get((number, tense))


def test_word_for_word() -> None:
    other = BOY | {"nouns": ("girl", "pilot"), "subject_number": "plural", "tense": "past"}
    pair = PairLabeller(task(), task().design())(BOY, other, 0)
    assert pair.original.prompt.text == "Everybody says that the boy next to the teachers"
    assert pair.counterfactual.prompt.text == "Everybody said that the girls next to the pilots"
    assert (pair.original.answer_prefix, pair.original.answer) == (" ", "is")
    assert pair.predictions == {
        "none": "is",
        "all": "were",
        "subject_number": "are",
        "attractor_number": "are",
        "number": "are",
        "tense": "was",
        "answer": "were",
    }
    assert pair.kinds["number"] == pair.kinds["tense"] == "third"
    assert pair.decisive


@pytest.mark.parametrize("tense", ["present", "past"])
@pytest.mark.parametrize(("number", "other"), list(itertools.product(NUMBERS, NUMBERS)))
@pytest.mark.parametrize("template", ACROSS)
def test_subject_comes_before_attractor_and_both_are_spans(
    template: str, number: str, other: str, tense: str
) -> None:
    inputs = {
        **BOY,
        "template": template,
        "subject_number": number,
        "attractor_number": other,
        "tense": tense,
    }
    prompt = PairLabeller(task(), task().design())(inputs, inputs, 0).original.prompt
    [subject], [attractor], [told] = (
        find_spans(prompt, name) for name in ("subject", "attractor", "tense")
    )
    assert prompt.text[subject.start : subject.end] == {"singular": "boy", "plural": "boys"}[number]
    assert prompt.text[attractor.start : attractor.end] in ("teacher", "teachers")
    assert prompt.text[attractor.start : attractor.end].endswith("s") == (other == "plural")
    assert told.end < subject.start < subject.end < attractor.start
    assert not {*prompt.text.split()} & {*VERBS.values()}


@pytest.mark.parametrize("template", ALONE)
def test_templates_without_attractor_show_one_noun(template: str) -> None:
    inputs = {**BOY, "template": template, "attractor_number": "none"}
    prompt = PairLabeller(task(), task().design())(inputs, inputs, 0).original.prompt
    assert len(find_spans(prompt, "subject")) == 1
    assert "attractor" not in {span.name for span in prompt.spans}
    assert "teacher" not in prompt.text


def test_every_template_has_either_an_attractor_or_none() -> None:
    assert {*ALONE, *ACROSS} == {*task().templates}
    for template, number in itertools.product(task().templates, ("none", *NUMBERS)):
        inputs = {**BOY, "template": template, "attractor_number": number}
        assert task().supports(inputs) is ((template in ALONE) == (number == "none"))


def test_all_settings() -> None:
    model = task().causal_model
    for number, attractor, tense in itertools.product(
        NUMBERS, ("none", *NUMBERS), ("present", "past")
    ):
        inputs = {
            **BOY,
            "subject_number": number,
            "attractor_number": attractor,
            "tense": tense,
            "template": "over_there" if attractor == "none" else "next_to",
        }
        setting = model.run(inputs)
        assert setting["answer"] == verb(number, tense)
        assert setting["number"] == number
        assert setting["attractor"] == {"none": None, "singular": "teacher"}.get(
            attractor, "teachers"
        )


@pytest.mark.parametrize(
    ("design", "changed"),
    [
        ("flip_subject", {"subject_number"}),
        ("flip_attractor", {"attractor_number"}),
        ("other_nouns", {"nouns", "tense"}),
        ("other_sentence", {"nouns", "subject_number", "tense"}),
    ],
)
def test_what_the_designs_change(design: str, changed: set[str]) -> None:
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert {name for name in o if o[name] != c[name]} == changed
        assert "nouns" not in changed or not {*o["nouns"]} & {*c["nouns"]}
        for side in (pair.original, pair.counterfactual):
            assert side.answer == verb(side.inputs["subject_number"], side.inputs["tense"])


def test_designs_and_hypotheses_are_the_ones_tested_here() -> None:
    designs = {"flip_subject", "flip_attractor", "other_nouns", "other_sentence"}
    hypotheses = {"subject_number", "attractor_number", "number", "tense", "answer"}
    assert set(task().designs) == designs
    assert set(task().hypotheses) == hypotheses


@pytest.mark.parametrize("design", list(load_task("subject_verb_agreement").designs))
def test_predictions(design: str) -> None:
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        here, there = o["tense"], c["tense"]
        assert pair.predictions == {
            "none": verb(o["subject_number"], here),
            "all": verb(c["subject_number"], there),
            "subject_number": verb(c["subject_number"], here),
            "attractor_number": verb(c["attractor_number"], here),
            "number": verb(c["subject_number"], here),
            "tense": verb(o["subject_number"], there),
            "answer": verb(c["subject_number"], there),
        }
        matching = o["subject_number"] == o["attractor_number"]
        assert pair.decisive is (design != "flip_attractor" or matching)


def test_the_attractor_has_either_number_whatever_the_subject_has() -> None:
    """Else the last noun would tell the verb."""
    seen = [
        (i["subject_number"], i["attractor_number"])
        for pair in pairs_of("other_sentence")
        if (i := pair.original.inputs)["attractor_number"] != "none"
    ]
    for both in itertools.product(NUMBERS, NUMBERS):
        assert 0.18 < seen.count(both) / len(seen) < 0.32


def test_flipping_the_attractor_needs_one() -> None:
    assert {pair.original.inputs["template"] for pair in pairs_of("flip_attractor")} == {*ACROSS}


def test_plurals() -> None:
    table = load_lexicon("people")
    [plurals] = table.attributes.values()
    for noun, plural in zip(table.entries, plurals, strict=True):
        sibilant = noun.endswith(("ss", "ch"))
        assert plural == re.sub("(?<![aeiou])y$", "ie", noun) + ("es" if sibilant else "s")
    assert {*table.entries}.isdisjoint(plurals)
