"""What is impossible is refused before anything is computed, and named."""

from __future__ import annotations

from random import Random

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.interventions import (
    HERE,
    Add,
    Affine,
    Block,
    Constant,
    Copy,
    Edit,
    Mix,
    Read,
    Rotate,
    Run,
    check_runs,
    in_order,
)
from cfgen.lm import COMPONENTS, Place, Stage
from tests.interventions.tiny import codes, engine_of, layout_of, lm_of, text

A, B, SHORT = Run((5, 6, 7, 8)), Run((8, 9, 10, 11)), Run((5, 6))
POST = Place("resid_post", 1)
PATTERN = Place("attn_pattern", 1)


def zeros(*shape):
    return torch.zeros(*shape)


def check(*runs, name="llama"):
    engine = engine_of(lm_of(name), "reference")
    check_runs(engine.layout, engine.facts, in_order(runs))


def problem(*runs, name="llama"):
    with pytest.raises(CfgenError) as caught:
        check(*runs, name=name)
    assert len(codes(caught)) == 1, caught.value
    return caught.value.problems[0]


def of(place, positions, value, run=A):
    return run.with_(Edit(place, positions, value))


BASIS = torch.eye(32)[:, :3]
IMPOSSIBLE = {
    "no prompt": (Run(()), "its prompt has no token"),
    "no position": (of(POST, (), Copy(B)), "an edit without a position"),
    "too far": (of(POST, (1, 4), Copy(B, (0, 1))), "the prompt has positions 0 to 3, not 4"),
    "negative": (of(POST, (-1,), Copy(B, (0,))), "the prompt has positions 0 to 3, not -1"),
    "twice": (of(POST, (1, 1), Copy(B)), "a position is named twice in one edit"),
    "source too far": (
        of(POST, (3,), Copy(SHORT)),
        "the prompt that is read has positions 0 to 1, not 3",
    ),
    "source negative": (
        of(POST, (3,), Copy(SHORT, (-2,))),
        "the prompt that is read has positions 0 to 1, not -2",
    ),
    "own too far": (
        of(POST, (3,), Mix(((1.0, Read(None, (9,), Place("resid_pre", 0))),))),
        "the prompt that is read has positions 0 to 3, not 9",
    ),
    "other count": (
        of(POST, (1, 2), Copy(B, (1,))),
        "2 positions take their values from 1",
    ),
    "other count of rows": (
        of(POST, (1, 2), Constant(zeros(1, 32))),
        "2 positions, but values for 1",
    ),
    "rows for none": (of(POST, (1,), Add(torch.tensor(0.0))), "1 positions, but values for none"),
    "other width": (
        of(POST, (1,), Constant(zeros(1, 31))),
        "values of shape (31,) where one token has (32,) at resid_post, layer 1",
    ),
    "heads": (
        of(Place("v", 1), (1,), Add(zeros(1, 4, 12))),
        "values of shape (4, 12) where one token has (2, 12) at v, layer 1",
    ),
    "a head": (
        of(Place("q", 1, 3), (1,), Add(zeros(1, 4, 12))),
        "values of shape (4, 12) where one token has (12,) at q, layer 1, head 3",
    ),
    "neurons": (
        of(Place("mlp_neuron", 1, neurons=(0, 4)), (1,), Add(zeros(1, 3))),
        "values of shape (3,) where one token has (2,) at mlp_neuron, layer 1, neurons 0, 4",
    ),
    "pattern": (
        of(PATTERN, (1,), Constant(zeros(1, 4, 5))),
        "values of shape (4, 5) where one token has (4, 4) at attn_pattern, layer 1",
    ),
    "pattern of another length": (
        of(PATTERN, (1,), Copy(SHORT)),
        "attention patterns of prompts with 2 and 4 tokens",
    ),
    "other place": (
        of(POST, (1,), Mix(((1.0, HERE), (1.0, Read(B, None, Place("head_out", 1)))))),
        "head_out, layer 1 has (4, 12), but resid_post, layer 1 (32,)",
    ),
    "matrix": (
        of(POST, (1,), Affine(zeros(31, 32), zeros(32))),
        "a matrix (31, 32) where (32, 32) is needed",
    ),
    "offset": (
        of(POST, (1,), Affine(zeros(32, 32), zeros(1))),
        "an offset (1,) where (32,) is needed",
    ),
    "matrix of heads": (
        of(Place("head_out", 1), (1,), Affine(zeros(12, 12), zeros(48))),
        "a matrix (12, 12) where (48, 48) is needed",
    ),
    "basis": (
        of(POST, (1,), Rotate(zeros(3, 32), Copy(B))),
        "a basis (3, 32) where (32, rank) is needed",
    ),
    "basis without rank": (
        of(POST, (1,), Rotate(zeros(32), Copy(B))),
        "a basis (32,) where (32, rank) is needed",
    ),
    "skew basis": (
        of(POST, (1,), Rotate(torch.ones(32, 2), Copy(B))),
        "a basis whose columns are not orthonormal",
    ),
    "weights": (
        of(POST, (1,), Rotate(BASIS, Copy(B), zeros(2))),
        "weights (2,) for 3 directions",
    ),
    "empty sum": (of(POST, (1,), Mix(())), "a sum without terms"),
    "block elsewhere": (
        of(Place("k", 1), (1,), Block((0,))),
        "keys are blocked at attn_pattern, not at k",
    ),
    "no key": (of(PATTERN, (1,), Block(())), "no position at all"),
    "key too far": (of(PATTERN, (1,), Block((4,))), "the prompt has positions 0 to 3, not 4"),
    "every key": (of(PATTERN, (3, 1), Block((0, 1))), "every key that position 1 sees is blocked"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_an_impossible_run_is_named(case):
    run, said = IMPOSSIBLE[case]
    found = problem(run)
    assert found.code == "edit-impossible"
    assert found.message.startswith(f"{said}: a prompt of ")
    assert found.hint
    if run.edits:
        assert f"{type(run.edits[0].value).__name__} at {run.edits[0].place}" in found.message


@pytest.mark.parametrize("name", ["packed", "reference"])
def test_an_engine_refuses_what_is_impossible_wherever_it_is(name):
    bad = IMPOSSIBLE["too far"][0]
    engine = engine_of(lm_of("llama"), name)
    for run in (bad, of(POST, (1,), Copy(bad)), Run(A.prompt, of(POST, (1,), Copy(B)).edits, bad)):
        with pytest.raises(CfgenError) as caught:
            engine.outcomes([A, run])
        assert codes(caught) == ["edit-impossible"]


def test_all_problems_are_said_at_once_up_to_a_few():
    runs = [run for run, _ in IMPOSSIBLE.values()]
    with pytest.raises(CfgenError) as caught:
        check(*runs[:4])
    assert codes(caught) == ["edit-impossible"] * 4
    with pytest.raises(CfgenError) as caught:
        check(*runs)
    assert 1 < len(codes(caught)) < len(runs)


def test_what_is_possible_passes():
    check(A, B, SHORT)
    check(
        of(POST, (3, 0), Copy(SHORT, (1, 1))),
        of(PATTERN, (3, 1), Block((0, 3))),
        of(PATTERN, (3,), Copy(B, (2,))),
        of(Place("q", 3, 3), (0,), Mix(((1.0, Read(B, None, Place("head_out", 2, 1))),))),
        of(Place("v", 1), (1,), Mix(((1.0, Read(B, None, Place("k", 3))),))),
        of(POST, (1,), Rotate(BASIS, Copy(B), zeros(3))),
    )


# Keys that are blocked


def test_the_last_key_of_a_window_is_not_blocked_either():
    """Not the first one, with several edits together, with all heads and one."""
    prompt = Run(text(Random(0), 20))
    window, full = Place("attn_pattern", 0), Place("attn_pattern", 1)  # gemma3: 8 and all
    seen = tuple(range(12, 20))
    check(of(full, (19,), Block(seen), prompt), name="gemma3")
    check(of(window, (19,), Block(seen[1:]), prompt), name="gemma3")
    said = "every key that position 19 sees is blocked"
    assert said in problem(of(window, (19,), Block(seen), prompt), name="gemma3").message
    first = Edit(window, (19, 18), Block(seen[:4]))
    second = Edit(window, (19,), Block(seen[4:]))
    assert said in problem(prompt.with_(first, second), name="gemma3").message
    head = Edit(Place("attn_pattern", 0, 2), (19,), Block(seen[4:]))
    assert said in problem(prompt.with_(first, head), name="gemma3").message
    other = Edit(Place("attn_pattern", 0, 3), (19,), Block(seen[:4]))
    check(prompt.with_(head, other), name="gemma3")
    check(prompt.with_(first, Edit(full, (19,), Block(seen[4:]))), name="gemma3")


# Places


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (Place("resid_pots", 1), "unknown-component"),
        (Place("resid_post", 4), "no-such-layer"),
        (Place("resid_post", -1), "no-such-layer"),
        (Place("embed", 1), "no-such-layer"),
        (Place("v", 1, 2), "no-such-head"),
        (Place("resid_post", 1, 0), "no-such-head"),
        (Place("mlp_neuron", 1, neurons=(48,)), "no-such-neuron"),
        (Place("pos_embed"), "no-such-component"),
    ],
)
def test_places_that_are_not_there_are_named(place, code):
    assert problem(of(place, (1,), Copy(B))).code == code
    mix = Mix(((1.0, HERE), (1.0, Read(B, None, place))))
    assert problem(of(POST, (1,), mix)).code == code


# Circles


def test_a_run_reads_of_itself_only_what_is_over():
    """Every place against every place: what is of the same stage or later is refused."""
    layout = layout_of("gpt2")
    rows = [COMPONENTS[name] for name in layout.components if layout.heads_of(name) == 0]
    rows = [
        row for row in rows if not (row.name == "mlp_neuron" or row.recomputed or row.read_only)
    ]
    wide = [
        Place(row.name, layer) for row in rows for layer in ((0,) if row.before_blocks else (1, 2))
    ]
    refused = 0
    for made in wide:
        for read in wide:
            run = of(made, (2,), Mix(((1.0, HERE), (1.0, Read(None, (1,), read)))))
            moments = [
                (p.layer, p.row.stage) if p.row.boundary != 0 else (p.layer - 1, Stage.OUTPUT)
                for p in (read, made)
            ]
            if moments[0] < moments[1]:
                check(run, name="gpt2")
                continue
            refused += 1
            found = problem(run, name="gpt2")
            assert found.code == "edit-reads-ahead"
            assert str(made) in found.message
            assert str(read) in found.message
    assert refused > len(wide)


def test_its_own_place_at_another_position_is_read_ahead():
    for read in (Read(None, (0,)), Read(None, (2,)), Read(None, None, POST)):
        found = problem(of(POST, (2,), Mix(((1.0, read),))))
        assert found.code == "edit-reads-ahead"
    check(of(POST, (2,), Mix(((2.0, HERE),))))


def test_a_run_that_is_made_from_itself_is_refused():
    """It can't be made but by force."""
    run = of(POST, (1,), Copy(B))
    through = of(POST, (2,), Copy(run))
    object.__setattr__(run.edits[0].value, "run", through)
    for engine in ("packed", "reference"):
        with pytest.raises(CfgenError) as caught:
            engine_of(lm_of("llama"), engine).outcomes([run])
        assert codes(caught) == ["runs-in-a-circle"]
        message = caught.value.problems[0].message
        assert message.startswith("a run takes values from itself: a prompt of 4 tokens (Copy at ")
        assert message.count(" from ") >= 2
    own = of(POST, (3,), Copy(B))
    object.__setattr__(own.edits[0].value, "run", own)
    with pytest.raises(CfgenError, match="runs-in-a-circle"):
        in_order([own])


def test_a_base_made_from_its_branch_is_a_circle():
    base = of(POST, (1,), Copy(B))
    branch = base.with_(Edit(POST, (2,), Copy(A)))
    object.__setattr__(base.edits[0].value, "run", branch)
    with pytest.raises(CfgenError, match="runs-in-a-circle"):
        in_order([branch])


def test_runs_come_after_what_they_are_made_from():
    base = of(POST, (1,), Copy(B))
    branch = base.with_(Edit(POST, (2,), Copy(SHORT, (1,))))
    last = of(POST, (0,), Copy(branch))
    order = in_order([last, branch, B])
    assert order.index(B) < order.index(base) < order.index(branch) < order.index(last)
    assert order.index(SHORT) < order.index(branch)
    assert len(order) == len(set(order)) == 5
    assert in_order([]) == []


# Bases


def test_bases_that_are_none():
    edited = of(POST, (1,), Copy(B))
    found = problem(Run(B.prompt, edited.edits, edited))
    assert found.code == "base-impossible"
    assert "it has another prompt" in found.message
    deeper = edited.with_(Edit(POST, (2,), Copy(B)))
    found = problem(Run(A.prompt, (*deeper.edits, Edit(POST, (3,), Copy(B))), deeper))
    assert found.code == "base-impossible"
    assert "it has a base itself" in found.message
    check(Run(A.prompt, edited.edits, A))
    check(Run(A.prompt, (), edited))
