"""Belief tracking against the words of the paper's table, computed here from the inputs alone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest

from cfgen import load_task
from cfgen.counterfactuals import Pair, draw_inputs
from cfgen.datasets import PairLabeller
from cfgen.prompts import find_spans, parse_position, render
from cfgen.tasks import Task

Inputs = Mapping[str, Any]
VISIBILITIES = ("none", "neither", "first_sees_second", "second_sees_first", "both")
PAIRS = 500


@cache
def task() -> Task:
    return load_task("belief_tracking")


@cache
def pairs_of(design: str) -> tuple[Pair, ...]:
    """Pairs of one design, over all templates."""
    rng = random.Random(f"pairs of {design}")
    chosen, domains = task().design(design), task().causal_model.domains
    label = PairLabeller(task(), chosen)
    return tuple(label(*draw_inputs(chosen, domains, rng), index) for index in range(PAIRS))


# The story, told again in plain words.


def gold(inputs: Inputs) -> str:
    """The drink in the asked container if the asked character filled it or observed it filled."""
    who, which = inputs["asked_character"], inputs["asked_container"]
    filled_by = which  # the first character fills the first container
    sees = {
        (0, 1): inputs["visibility"] in ("first_sees_second", "both"),
        (1, 0): inputs["visibility"] in ("second_sees_first", "both"),
    }
    knows = who == filled_by or sees[(who, filled_by)]
    return str(inputs["drinks"][which]) if knows else "unknown"


def other_drink(original: Inputs, counterfactual: Inputs) -> str:
    """The original's other drink: of its two, the one that is not its answer."""
    [other] = [drink for drink in original["drinks"] if drink != gold(original)]
    return str(other)


def own_answer(original: Inputs, counterfactual: Inputs) -> str:
    return gold(original)


def counterfactual_answer(original: Inputs, counterfactual: Inputs) -> str:
    return gold(counterfactual)


def drink_of_the_pair_without_the_character(original: Inputs, counterfactual: Inputs) -> str:
    return str(original["drinks"][1 if original["asked_character"] == 0 else 0])


def drink_of_the_pair_without_the_container(original: Inputs, counterfactual: Inputs) -> str:
    return str(original["drinks"][1 if original["asked_container"] == 0 else 0])


def second_drink(original: Inputs, counterfactual: Inputs) -> str:
    return str(original["drinks"][1])


TABLE: dict[str, tuple[str, Callable[[Inputs, Inputs], str], str]] = {
    # hypothesis: (design, predicted output in the words of the table, original's answer)
    "answer_pointer": ("restate", other_drink, "known"),
    "answer_payload": ("restate", counterfactual_answer, "known"),
    "binding_address_and_payload": ("reorder", other_drink, "known"),
    "source_frozen": ("restate", other_drink, "known"),
    "source_unfrozen": ("restate", own_answer, "known"),
    "character_oi": ("unmatched", drink_of_the_pair_without_the_character, "unknown"),
    "container_oi": ("unmatched_container", drink_of_the_pair_without_the_container, "unknown"),
    "query_character_oi": ("unmatched", drink_of_the_pair_without_the_character, "unknown"),
    "query_container_oi": (
        "unmatched_container",
        drink_of_the_pair_without_the_container,
        "unknown",
    ),
    "joint_query_pointer": ("restate", other_drink, "known"),
    "visibility_source": ("visibility_flip", second_drink, "unknown"),
    "visibility_payload": ("visibility_flip", second_drink, "unknown"),
    "visibility_address_and_pointer": ("visibility_flip", second_drink, "unknown"),
}


# The pair of the paper.

BOB_AND_CARLA: dict[str, Any] = {
    "template": "restaurant",
    "characters": ("Bob", "Carla"),
    "containers": ("bottle", "cup"),
    "drinks": ("beer", "coffee"),
    "visibility": "none",
    "asked_character": 1,
    "asked_container": 1,
}
CARLA_AND_BOB: dict[str, Any] = {
    "template": "restaurant",
    "characters": ("Carla", "Bob"),
    "containers": ("cup", "bottle"),
    "drinks": ("tea", "water"),
    "visibility": "none",
    "asked_character": 0,
    "asked_container": 0,
}


def test_the_pair_of_the_paper_word_for_word() -> None:
    pair = PairLabeller(task(), task().design("restate"))(BOB_AND_CARLA, CARLA_AND_BOB, 0)
    assert pair.original.prompt.text == (
        "Bob and Carla are working in a busy restaurant. To complete an order, Bob grabs an opaque "
        "bottle and fills it with beer. Then Carla grabs another opaque cup and fills it with "
        "coffee. Question: What does Carla believe the cup contains? Answer:"
    )
    assert pair.counterfactual.prompt.text == (
        "Carla and Bob are working in a busy restaurant. To complete an order, Carla grabs an "
        "opaque cup and fills it with tea. Then Bob grabs another opaque bottle and fills it with "
        "water. Question: What does Carla believe the cup contains? Answer:"
    )
    assert (pair.original.answer, pair.counterfactual.answer) == ("coffee", "tea")
    assert pair.original.answer_prefix == " "
    expected = {
        "none": ("coffee", "original"),
        "all": ("tea", "counterfactual"),
        "answer_pointer": ("beer", "third"),
        "answer_payload": ("tea", "counterfactual"),
        "source_frozen": ("beer", "third"),
        "source_unfrozen": ("coffee", "original"),
        "joint_query_pointer": ("beer", "third"),
    }
    assert {n: (pair.predictions[n], pair.kinds[n]) for n in expected} == expected
    assert pair.contrast == ("answer_pointer", "answer_payload")
    assert pair.decisive


def test_the_pair_of_the_paper_is_a_restated_one() -> None:
    """Reversed names, two new drinks, the same question."""
    model = task().causal_model
    pairs = pairs_of("restate")
    for pair in pairs:
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert c["characters"] == o["characters"][::-1]
        assert c["containers"] == o["containers"][::-1]
        assert not {*c["drinks"]} & {*o["drinks"]}
    assert model.complete(BOB_AND_CARLA) == BOB_AND_CARLA
    without_defaults = {
        k: v for k, v in BOB_AND_CARLA.items() if k not in ("template", "visibility")
    }
    assert model.run(without_defaults) == model.run(BOB_AND_CARLA)


# Answers.


@pytest.mark.parametrize(
    ("visibility", "who", "which"), list(itertools.product(VISIBILITIES, (0, 1), (0, 1)))
)
def test_gold_answers(visibility: str, who: int, which: int) -> None:
    inputs = BOB_AND_CARLA | {
        "visibility": visibility,
        "asked_character": who,
        "asked_container": which,
    }
    assert task().causal_model.run(inputs)["answer"] == gold(inputs)


def test_gold_answers_of_random_stories() -> None:
    rng = random.Random(5)
    answers = []
    for _ in range(PAIRS):
        inputs = task().causal_model.sample(rng)
        answers.append(task().causal_model.run(inputs)["answer"])
        assert answers[-1] == gold(inputs)
    assert 0.2 < answers.count("unknown") / PAIRS < 0.4  # 3 of 10 combinations


# The table.


def test_the_table_lists_every_hypothesis() -> None:
    assert set(task().hypotheses) == set(TABLE)
    for name, (design, _, _) in TABLE.items():
        assert task().hypothesis(name).design == design


@pytest.mark.parametrize("name", TABLE)
def test_prediction_is_what_the_table_says(name: str) -> None:
    design, in_words, original_answer = TABLE[name]
    for pair in pairs_of(design):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert pair.predictions[name] == in_words(o, c)
        assert pair.predictions["none"] == pair.original.answer == gold(o)
        assert pair.predictions["all"] == pair.counterfactual.answer == gold(c)
        assert (pair.original.answer == "unknown") == (original_answer == "unknown")
        assert pair.counterfactual.answer != "unknown"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("answer_pointer", "third"),
        ("answer_payload", "counterfactual"),
        ("binding_address_and_payload", "third"),
        ("source_frozen", "third"),
        ("source_unfrozen", "original"),
        ("character_oi", "third"),
        ("container_oi", "third"),
        ("query_character_oi", "third"),
        ("query_container_oi", "third"),
        ("joint_query_pointer", "third"),
        ("visibility_source", "third"),
        ("visibility_payload", "third"),
        ("visibility_address_and_pointer", "third"),
    ],
)
def test_kind_of_each_prediction(name: str, kind: str) -> None:
    assert {pair.kinds[name] for pair in pairs_of(TABLE[name][0])} == {kind}


def test_every_pair_of_every_design_is_decisive() -> None:
    for design in task().designs:
        assert all(pair.decisive for pair in pairs_of(design)), design


def test_half_of_the_visibility_copies_are_not_enough() -> None:
    """Address and pointer have to move together: one alone finds nothing to look back at."""
    model = task().causal_model
    for pair in pairs_of("visibility_flip")[:50]:
        o, c = pair.original.inputs, pair.counterfactual.inputs
        for alone in ("visibility_address", "visibility_pointer"):
            assert model.interchange(o, {alone: c})["answer"] == "unknown"


def test_source_frozen_and_unfrozen_differ_in_what_is_held_alone() -> None:
    frozen, unfrozen = (task().hypothesis(f"source_{kind}") for kind in ("frozen", "unfrozen"))
    assert frozen.interchange == unfrozen.interchange
    assert (bool(frozen.hold), bool(unfrozen.hold)) == (True, False)
    assert (bool(frozen.site.frozen), bool(unfrozen.site.frozen)) == (True, False)


# Designs.


def question(inputs: Inputs) -> tuple[str, str]:
    """The names that the question asks about."""
    return (
        inputs["characters"][inputs["asked_character"]],
        inputs["containers"][inputs["asked_container"]],
    )


def test_which_design_asks_about_what() -> None:
    for name in ("reorder", "restate"):
        for pair in pairs_of(name):
            o, c = pair.original.inputs, pair.counterfactual.inputs
            assert question(o) == question(c)
            assert o["asked_character"] == o["asked_container"]
    for pair in pairs_of("reorder"):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert c["drinks"] == o["drinks"][::-1]
        assert pair.original.answer == pair.counterfactual.answer
    for pair in pairs_of("matched"):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert {n for n in o if o[n] != c[n]} == {"asked_character", "asked_container"}
        assert gold(c) == other_drink(o, c)
    for name, same in (("unmatched", 0), ("unmatched_container", 1)):
        for pair in pairs_of(name):
            o, c = pair.original.inputs, pair.counterfactual.inputs
            assert o["asked_character"] != o["asked_container"]
            assert c["asked_character"] == c["asked_container"]
            assert question(o)[same] == question(c)[same]
            assert question(o)[1 - same] != question(c)[1 - same]
    for name in ("fresh", "visibility_flip"):
        for pair in pairs_of(name):
            o, c = pair.original.inputs, pair.counterfactual.inputs
            for entities in ("characters", "containers", "drinks"):
                assert not {*o[entities]} & {*c[entities]}
    for pair in pairs_of("visibility_flip"):
        o, c = pair.original.inputs, pair.counterfactual.inputs
        assert (o["visibility"], c["visibility"]) == ("neither", "first_sees_second")
        assert {(s["asked_character"], s["asked_container"]) for s in (o, c)} == {(0, 1)}


@pytest.mark.parametrize("design", list(task().designs))
def test_both_indices_and_all_templates_are_drawn(design: str) -> None:
    pairs = pairs_of(design)
    assert {pair.original.inputs["template"] for pair in pairs} == set(task().templates)
    if design != "visibility_flip":
        share = sum(pair.original.inputs["asked_character"] for pair in pairs) / PAIRS
        assert 0.4 < share < 0.6
    for pair in pairs:
        assert pair.original.inputs["template"] == pair.counterfactual.inputs["template"]


# Variables.


def test_variables_of_any_story() -> None:
    rng = random.Random(9)
    model = task().causal_model
    for _ in range(200):
        s = model.run(model.sample(rng))
        for i in (1, 2):
            assert s[f"character_oi_{i}"] == s[f"container_oi_{i}"] == s[f"drink_oi_{i}"] == i - 1
            assert s[f"address_{i}"] == (i - 1, i - 1)
            assert s[f"binding_payload_{i}"] == s[f"answer_address_{i}"] == i - 1
        assert s["query_character_oi"] == s["asked_character"]
        assert s["query_container_oi"] == s["asked_container"]
        assert s["binding_pointer"][0] == (s["asked_character"], s["asked_container"])
        assert s["visibility_address"] == s["visibility_pointer"] == s["visibility_id"]
        if s["visibility"] in ("none", "neither"):
            assert s["visibility_payload"] is None
        if s["visibility_payload"] is not None:
            assert s["visibility_payload"] == 1 - s["asked_character"]
            assert len(s["binding_pointer"]) == 2
        if s["answer"] == "unknown":
            assert s["answer_pointer"] is s["answer_payload"] is None
        else:
            assert s["answer"] == s["answer_payload"] == s["drinks"][s["answer_pointer"]]
            assert s["answer_pointer"] == s["asked_container"]


def test_visibility_ids_say_who_observes_whom() -> None:
    ids = {
        visibility: task().causal_model.run(BOB_AND_CARLA | {"visibility": visibility})[
            "visibility_id"
        ]
        for visibility in VISIBILITIES
    }
    assert ids["none"] == ()
    for visibility in VISIBILITIES[1:]:
        seen = {(observer, observed) for observer, observed, sees in ids[visibility] if sees}
        assert (
            seen
            == {
                "neither": set(),
                "first_sees_second": {(0, 1)},
                "second_sees_first": {(1, 0)},
                "both": {(0, 1), (1, 0)},
            }[visibility]
        )


# Sites.


@pytest.mark.parametrize("name", TABLE)
def test_sites_name_spans_of_every_template(name: str) -> None:
    site, design = task().hypothesis(name).site, TABLE[name][0]
    pair = pairs_of(design)[0]
    for template in task().templates.values():
        for side in (pair.original, pair.counterfactual):
            prompt = render(template, {**side.inputs, "template": template.id})
            for position in (*site.positions, *site.frozen):
                if position != "last":
                    assert find_spans(prompt, position)


@pytest.mark.parametrize("name", TABLE)
def test_nothing_is_both_swapped_and_frozen(name: str) -> None:
    site = task().hypothesis(name).site
    pair = pairs_of(TABLE[name][0])[0]
    for template in task().templates.values():
        prompt = render(template, {**pair.original.inputs, "template": template.id})
        swapped, frozen = (
            {
                (span.start, parse_position(position).offset)
                for position in positions
                if position != "last"
                for span in find_spans(prompt, position)
            }
            for positions in (site.positions, site.frozen)
        )
        assert not swapped & frozen


@pytest.mark.parametrize(
    "name", [name for name in TABLE if task().hypothesis(name).site.align == "word"]
)
def test_a_value_swapped_by_word_comes_from_the_slot_of_the_other_number(name: str) -> None:
    """What the symbolic side crosses is what the words of the story cross."""
    hypothesis = task().hypothesis(name)
    slots = {parse_position(position).name for position in hypothesis.site.positions}
    for variable, source in hypothesis.sources.items():
        assert (variable[:-1], {variable[-1], source[-1]}) == (source[:-1], {"1", "2"})
    for pair in pairs_of(TABLE[name][0]):
        for slot in slots:
            other = slot[:-1] + {"1": "2", "2": "1"}[slot[-1]]
            assert pair.counterfactual.slots[other] == pair.original.slots[slot]


def test_question_words_are_swapped_one_by_one_and_together() -> None:
    positions = {name: set(task().hypothesis(name).site.positions) for name in TABLE}
    character, container = positions["query_character_oi"], positions["query_container_oi"]
    assert positions["joint_query_pointer"] == character | container
    source, payload = positions["visibility_source"], positions["visibility_payload"]
    assert positions["visibility_address_and_pointer"] == source | payload
    assert positions["answer_pointer"] == positions["answer_payload"] == {"last"}
