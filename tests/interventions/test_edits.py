"""What is wrong with interventions is said before any is run, all of it at once."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfgen.errors import CfgenError
from cfgen.interventions import Branch, Constant, Edit, FromPrompt, check_branches, run_branches
from cfgen.lm import Place
from tests.families import ALL
from tests.interventions.branching import (
    given as some_values,
)
from tests.interventions.branching import (
    layout_of,
    lm_of,
    numbers_of,
    places_of,
    random_edits,
    random_prompts,
    swap,
    text,
)

PROMPTS = [text(Random(0), 5), text(Random(1), 5), text(Random(2), 3)]


def problems(*branches, name="llama", prompts=PROMPTS):
    with pytest.raises(CfgenError) as caught:
        check_branches(layout_of(name), prompts, branches)
    return [(problem.code, problem.message) for problem in caught.value.problems]


def accepted(*branches, name="llama"):
    check_branches(layout_of(name), PROMPTS, branches)


def of(component, to, value, layer=1, **where):
    return Branch(0, (Edit(Place(component, layer, **where), tuple(to), value),))


RESID = "resid_post"
IMPOSSIBLE = {
    "no such prompt": (Branch(3, ()), "there is no prompt 3"),
    "a negative prompt": (Branch(-1, ()), "there is no prompt -1"),
    "no such source": (swap(Place(RESID), 0, [1], 3, [1]), "there is no prompt 3"),
    "a negative source": (swap(Place(RESID), 0, [1], -1, [1]), "there is no prompt -1"),
    "no position": (of(RESID, [], FromPrompt(1, ())), "an edit without a position"),
    "past the end": (swap(Place(RESID), 0, [5], 1, [1]), "prompt 0 has positions 0 to 4, not 5"),
    "negative": (swap(Place(RESID), 0, [-1], 1, [1]), "prompt 0 has positions 0 to 4, not -1"),
    "source past the end": (
        swap(Place(RESID), 0, [1], 2, [3]),
        "prompt 2 has positions 0 to 2, not 3",
    ),
    "source negative": (
        swap(Place(RESID), 0, [1], 2, [-2]),
        "prompt 2 has positions 0 to 2, not -2",
    ),
    "twice": (swap(Place(RESID), 0, [1, 1], 1, [1, 2]), "a position is named twice in one edit"),
    "other counts": (swap(Place(RESID), 0, [1, 2], 1, [1]), "2 positions take their values from 1"),
    "other count of values": (
        of(RESID, [1, 2], Constant(torch.zeros(3, 32))),
        "2 positions, but values for 3",
    ),
    "a pattern of another length": (
        swap(Place("attn_pattern", 1), 0, [1], 2, [1]),
        "attention patterns of prompts with 3 and 5 tokens",
    ),
    "a given pattern of another length": (
        of("attn_pattern", [1], Constant(torch.zeros(1, 4, 6))),
        "values of shape (4, 6) where one token has (4, 5): attn_pattern, layer 1",
    ),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_each_problem(kind):
    branch, message = IMPOSSIBLE[kind]
    found = problems(Branch(0, ()), branch)
    assert found[0] == ("edit-impossible", f"intervention 1: {message}")


def test_a_prompt_without_tokens_is_a_problem():
    with pytest.raises(CfgenError, match="prompt 0 has no token"):
        run_branches(lm_of("llama"), [()], [Branch(0, ())])


def test_all_problems_at_once():
    found = problems(*(branch for branch, _ in IMPOSSIBLE.values()))
    assert len(found) > 5
    named = {message.partition(":")[0] for _, message in found}
    assert len(named) > 5


def test_places_that_the_lm_lacks_are_reported_together():
    found = problems(
        swap(Place("resid_psot"), 0, [1], 1, [1]),
        swap(Place(RESID, 4), 0, [1], 1, [1]),
        swap(Place("v", 0, head=2), 0, [1], 1, [1]),
        swap(Place("mlp_neuron", 0, neurons=(48,)), 0, [1], 1, [1]),
        swap(Place("pos_embed"), 0, [1], 1, [1]),
        swap(Place(RESID, 0, head=0), 0, [1], 1, [1]),
    )
    assert [code for code, _ in found] == [
        "unknown-component",
        "no-such-layer",
        "no-such-head",
        "no-such-neuron",
        "no-such-component",
        "no-such-head",
    ]


# The shape of given values


@pytest.mark.parametrize("name", ALL)
def test_values_of_the_right_shape_are_accepted(name):
    layout = layout_of(name)
    for place in places_of(layout):
        value = some_values(layout, place, (1, 4), 5, 0)
        check_branches(layout, PROMPTS, [Branch(0, (Edit(place, (1, 4), value),))])


@pytest.mark.parametrize(
    ("place", "shape"),
    [
        (Place(RESID, 1), (1,)),
        (Place(RESID, 1), (31,)),
        (Place(RESID, 1), ()),
        (Place(RESID, 1), (1, 32)),
        (Place("embed"), (33,)),
        (Place("head_out", 1), (48,)),
        (Place("head_out", 1), (4, 1)),
        (Place("head_out", 1, head=2), (4, 12)),
        (Place("head_out", 1, head=2), (1,)),
        (Place("v", 1), (4, 12)),
        (Place("mlp_neuron", 1), (1,)),
        (Place("mlp_neuron", 1, neurons=(0, 1)), (48,)),
        (Place("mlp_neuron", 1, neurons=(0, 1)), (1,)),
        (Place("attn_pattern", 1), (5,)),
        (Place("attn_pattern", 1, head=2), (4, 5)),
    ],
)
def test_values_of_another_shape_are_an_error(place, shape):
    """Also where they could be stretched: that would write numbers that nobody gave."""
    branch = Branch(0, (Edit(place, (1, 4), Constant(torch.zeros(2, *shape))),))
    ((code, message),) = problems(branch)
    assert code == "edit-impossible"
    assert message.startswith("intervention 0: ")


# Edits that meet


OVERLAPS = {
    "the same": (Place(RESID, 1), Place(RESID, 1)),
    "a head and all": (Place("q", 1, head=2), Place("q", 1)),
    "all and a head": (Place("q", 1), Place("q", 1, head=2)),
    "the same head": (Place("q", 1, head=2), Place("q", 1, head=2)),
    "neurons in common": (
        Place("mlp_neuron", 1, neurons=(1, 2)),
        Place("mlp_neuron", 1, neurons=(4, 2)),
    ),
    "neurons and all": (Place("mlp_neuron", 1, neurons=(1, 2)), Place("mlp_neuron", 1)),
}
APART = {
    "other layers": (Place(RESID, 1), Place(RESID, 2)),
    "other components": (Place("resid_post", 1), Place("resid_pre", 2)),
    "other heads": (Place("q", 1, head=2), Place("q", 1, head=3)),
    "a head of another component": (Place("q", 1, head=1), Place("k", 1, head=1)),
    "other neurons": (
        Place("mlp_neuron", 1, neurons=(1, 2)),
        Place("mlp_neuron", 1, neurons=(4, 3)),
    ),
}


def both(places, one=(1, 2), other=(2, 3)):
    return Branch(
        0,
        tuple(
            Edit(place, to, FromPrompt(1, to))
            for place, to in zip(places, (one, other), strict=True)
        ),
    )


@pytest.mark.parametrize("kind", OVERLAPS)
def test_edits_that_write_the_same_numbers(kind):
    one, _ = OVERLAPS[kind]
    ((code, message),) = problems(both(OVERLAPS[kind]))
    assert code == "edits-overlap"
    assert f"{one.component} of layer 1 at position 2" in message
    accepted(both(OVERLAPS[kind], (1, 2), (3, 4)))


@pytest.mark.parametrize("kind", APART)
def test_edits_that_write_other_numbers(kind):
    accepted(both(APART[kind]))


@given(st.randoms(use_true_random=False), st.sampled_from(("llama", "gpt2")))
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=150)
def test_overlaps_are_those_of_the_numbers_written(rng, name):
    layout, prompts = layout_of(name), random_prompts(rng)
    prompt = rng.randrange(len(prompts))
    edits = [e for _ in range(3) for e in random_edits(rng, layout, prompts, prompt)]
    written = [number for edit in edits for number in numbers_of(layout, edit)]
    branch = Branch(prompt, tuple(edits))
    if len(set(written)) == len(written):
        check_branches(layout, prompts, [branch])
    else:
        ((code, _),) = problems(branch, name=name, prompts=prompts)
        assert code == "edits-overlap"


def test_sources_are_named_once_and_in_order():
    edits = [
        Edit(Place(RESID, layer), (1,), FromPrompt(source, (1,)))
        for layer, source in enumerate((2, 0, 2))
    ]
    edits.append(Edit(Place(RESID, 3), (1,), Constant(torch.zeros(1, 32))))
    assert Branch(0, tuple(edits)).sources == (2, 0)


@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_a_job_checks_before_it_runs_anything(engine, monkeypatch):
    lm = lm_of("llama")
    monkeypatch.setattr("cfgen.interventions.jobs.open_chunk", None)
    with pytest.raises(CfgenError) as caught:
        run_branches(lm, PROMPTS, [swap(Place(RESID), 0, [9], 1, [1])], engine=engine)
    assert [problem.code for problem in caught.value.problems] == ["edit-impossible"]
