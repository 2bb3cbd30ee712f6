"""Gender bias: answers, the designs, and predictions, from the inputs and the scores alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from cfgen import load_task
from cfgen.counterfactuals import Pair, draw_inputs
from cfgen.datasets import PairLabeller
from cfgen.prompts import find_spans, load_lexicon
from cfgen.tasks import Task

PAIRS = 300
NURSE = {"template": "said_that", "profession": "nurse", "named": "profession"}
SENTENCES = {  # Vig et al. 2020, section 5
    *("said that", "yelled that", "whispered that", "wanted that", "desired that", "wished that"),
    *("ate because", "ran because", "drove because", "slept because", "cried because"),
    *("laughed because", "went home because", "stayed up because", "was fired because"),
    *("was promoted because", "yelled because"),
}
Inputs = Mapping[str, Any]


@cache
def task() -> Task:
    return load_task("gender_bias")


@cache
def scores() -> dict[str, tuple[float, float]]:
    """Of every profession: by definition, and by stereotype."""
    read = load_lexicon("professions")
    definitional, stereotypical = (
        map(float, read.attributes[name]) for name in ("definitional", "stereotypical")
    )
    return dict(zip(read.entries, zip(definitional, stereotypical, strict=True), strict=True))


@cache
def pairs_of(design: str) -> tuple[Pair, ...]:
    rng = random.Random(f"pairs of {design}")
    chosen, domains = task().design(design), task().causal_model.domains
    label = PairLabeller(task(), chosen)
    return tuple(label(*draw_inputs(chosen, domains, rng), index) for index in range(PAIRS))


def pronoun(inputs: Inputs) -> str:
    male = scores()[inputs["profession"]][1] > 0
    return "he" if male == (inputs["named"] == "profession") else "she"


@pytest.mark.parametrize(
    ("profession", "word", "biased", "other"),
    [
        ("nurse", "man", "she", "he"),
        ("teacher", "man", "she", "he"),
        ("mechanic", "woman", "he", "she"),
        ("president", "woman", "he", "she"),
    ],
)
def test_word_for_word(profession: str, word: str, biased: str, other: str) -> None:
    original = NURSE | {"profession": profession}
    pair = PairLabeller(task(), task().design())(original, original | {"named": "opposite"}, 0)
    assert pair.original.prompt.text == f"The {profession} said that"
    assert pair.counterfactual.prompt.text == f"The {word} said that"
    assert (pair.original.answer_prefix, pair.original.answer) == (" ", biased)
    assert pair.predictions == {"none": biased, "all": other, "gender": other, "answer": other}
    assert pair.decisive


def test_the_sentences_are_the_paper_s() -> None:
    shown = set()
    for template in task().templates:
        for named, word in (("profession", "nurse"), ("opposite", "man")):
            inputs = NURSE | {"template": template, "named": named}
            prompt = PairLabeller(task(), task().design())(inputs, inputs, 0).original.prompt
            [span] = find_spans(prompt, "word")
            assert prompt.text[span.start : span.end] == word
            assert prompt.text.startswith(f"The {word} ")
            shown.add(prompt.text.removeprefix(f"The {word} "))
    assert shown == SENTENCES
    assert len(task().templates) == len(SENTENCES) == 17


def test_every_profession_has_a_stereotype_and_no_gender_by_definition() -> None:
    assert len(scores()) == 223
    for definitional, stereotypical in scores().values():
        assert abs(definitional) < 0.75
        assert 0 < abs(stereotypical) <= 1
    assert not [(a, b) for a, b in itertools.permutations(scores(), 2) if a in b]
    assert not [one for one in scores() if one.endswith(("man", "woman", "master", "ess"))]


def test_scores_from_the_source() -> None:
    assert scores()["nurse"] == (-0.1, -0.9)
    assert scores()["accountant"] == (0.0, 0.4)
    assert scores()["architect"] == (0.1, 0.6)


@pytest.mark.parametrize(
    ("design", "changed"), [("opposite", "named"), ("other_profession", "profession")]
)
def test_designs_and_predictions(design: str, changed: str) -> None:
    decisive = 0
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert {name for name in o if o[name] != c[name]} == {changed}
        assert o["named"] == "profession"
        assert pair.original.answer == pronoun(o)
        predicted = pronoun(c)
        assert pair.predictions == {
            "none": pronoun(o),
            "all": predicted,
            "gender": predicted,
            "answer": predicted,
        }
        assert pair.decisive is (pronoun(o) != pronoun(c))
        decisive += pair.decisive
    assert decisive == PAIRS if design == "opposite" else decisive > 0.2 * PAIRS


def test_designs_and_hypotheses_are_the_ones_tested_here() -> None:
    assert set(task().designs) == {"opposite", "other_profession"}
    assert set(task().hypotheses) == {"gender", "answer"}
    assert task().candidates == ("he", "she")
