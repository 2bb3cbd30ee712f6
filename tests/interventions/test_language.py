"""Which runs are the same, what they are built upon, and what values write."""

from __future__ import annotations

from dataclasses import replace
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
)
from cfgen.lm import Place
from tests.interventions.tiny import assert_equal, engine_of, layout_of, lm_of, logits_of, off, text

A, B = Run((5, 6, 7)), Run((8, 9, 10))
HERE_1, HERE_2 = Place("resid_post", 1), Place("resid_post", 2)


def numbers(seed=0, *shape):
    return torch.randn(*(shape or (1, 4)), generator=torch.Generator().manual_seed(seed))


# Equality


def make(tensor, name=""):
    """A value of every kind with a tensor, equal tensors having equal numbers."""
    basis = torch.eye(4)[:, :2]
    return [
        Constant(tensor, name),
        Add(tensor, name),
        Affine(tensor, tensor, name),
        Rotate(tensor, Copy(B), None, name),
        Rotate(basis if name else tensor, Copy(B, (1,)), tensor, name),
    ]


def test_tensors_are_told_apart_by_identity_or_by_name():
    one, other = numbers(), numbers()
    assert torch.equal(one, other)
    for a, b, c in zip(make(one), make(one), make(other), strict=True):
        assert a == b
        assert hash(a) == hash(b)
        assert a != c
    for a, b, c, d in zip(
        make(one, "mean"), make(other, "mean"), make(one, "noise"), make(one), strict=True
    ):
        assert a == b
        assert hash(a) == hash(b)
        assert a != c
        assert a != d


def test_kinds_are_told_apart():
    one = numbers()
    values = [
        *make(one),
        *make(one, "x"),
        Copy(A),
        Copy(B),
        Copy(A, (0,)),
        Block((1,)),
        Block((2,)),
    ]
    values += [Mix(((1.0, HERE),)), Mix(((1.0, Read(A)),)), Mix(((2.0, HERE),)), Mix(())]
    assert len(set(values)) == len(values)
    assert Constant(one) != 3
    assert (Constant(one) == one) is False


def test_runs_are_equal_if_prompts_and_edits_are_and_bases_do_not_count():
    edit = Edit(HERE_1, (1,), Copy(B))
    one, other = A.with_(edit), Run((5, 6, 7)).with_(Edit(HERE_1, (1,), Copy(Run((8, 9, 10)))))
    assert one == other
    assert hash(one) == hash(other)
    assert one is not other
    upon = Run((5, 6, 7), (edit,), base=Run((5, 6, 7)))
    assert upon == one
    assert hash(upon) == hash(one)
    assert len({one, other, upon}) == 1
    different = [
        Run((5, 6, 8), (edit,)),
        A,
        A.with_(replace(edit, positions=(2,))),
        A.with_(replace(edit, place=HERE_2)),
        A.with_(replace(edit, place=Place("head_out", 1, 0))),
        A.with_(replace(edit, place=Place("head_out", 1, 1))),
        A.with_(replace(edit, value=Copy(A))),
        A.with_(replace(edit, value=Copy(one))),
        A.with_(replace(edit, value=Copy(B, (1,)))),
        A.with_(edit, edit),
    ]
    assert len({one, *different}) == 11


def test_the_order_of_edits_counts():
    first, second = Edit(HERE_1, (1,), Copy(B)), Edit(HERE_1, (1,), Add(numbers()))
    assert A.with_(first, second) != A.with_(second, first)


def test_runs_many_deep_are_hashed_and_executed():
    """Each made from the one before, twice: a tree of two to the hundredth."""

    def deep(count):
        run = A
        for _ in range(count):
            run = B.with_(Edit(HERE_1, (1,), Copy(run)), Edit(HERE_2, (2,), Copy(run)))
        return run

    assert deep(6) == deep(6)
    assert len({deep(6), deep(6), deep(5)}) == 2
    run, lm = deep(100), lm_of("llama")
    packed, reference = (logits_of(lm, [run], name) for name in ("packed", "reference"))
    assert_equal([0], reference, packed)


def test_values_and_runs_say_what_they_are_in_a_line():
    shown = repr(A.with_(Edit(HERE_1, (1,), Copy(B))))
    assert "resid_post" in shown
    assert "base" not in shown


# Bases


def test_a_run_with_further_edits_is_computed_upon_the_first_with_any():
    one, two, three = (Edit(HERE_1, (p,), Copy(B)) for p in range(3))
    assert A.base is None
    first = A.with_(one)
    assert first.base is None  # the clean run
    second = first.with_(two)
    assert second.base is first
    third = second.with_(three)
    assert third.base is first  # which has no base itself
    assert third.edits == (one, two, three)
    assert third == A.with_(one, two, three)
    assert A.with_() == A


def test_what_reads_leave_open_is_what_the_edit_says():
    edit = Edit(HERE_1, (2, 0), Copy(B))
    assert edit.reads == (Read(B, (2, 0), HERE_1),)
    edit = Edit(HERE_1, (2, 0), Copy(B, (1, 1)))
    assert edit.reads == (Read(B, (1, 1), HERE_1),)
    mix = Mix(((1.0, HERE), (2.0, Read(B, None, HERE_2)), (3.0, Read(None, (0, 0), HERE_2))))
    edit = Edit(HERE_1, (2, 1), mix)
    assert edit.reads == (Read(B, (2, 1), HERE_2), Read(None, (0, 0), HERE_2))
    assert Edit(HERE_1, (2,), Add(numbers())).reads == ()
    rotate = Rotate(torch.eye(4), Copy(B, (1,)))
    assert Edit(HERE_1, (2,), rotate).reads == (Read(B, (1,), HERE_1),)


def test_sources_are_each_run_once():
    edits = [Edit(HERE_1, (p,), Copy(B)) for p in range(2)]
    edits.append(
        Edit(HERE_2, (0,), Mix(((1.0, HERE), (1.0, Read(A)), (1.0, Read(None, None, HERE_1)))))
    )
    assert A.with_(*edits).sources == (B, A)
    assert A.sources == ()


# What is written, by hand


def test_what_each_kind_writes_by_hand():
    now, other, third = (numbers(seed, 3, 4) for seed in range(3))
    assert torch.equal(Copy(B).write(now, other), other)
    assert torch.equal(Constant(other).write(now, other), other)
    assert torch.equal(Add(other).write(now, other), now + other)
    matrix, offset = numbers(5, 4, 4), numbers(6, 4)
    expected = torch.stack([row @ matrix + offset for row in now])
    torch.testing.assert_close(Affine(matrix, offset).write(now), expected)
    mix = Mix(((0.5, Read(B)), (-2.0, HERE), (1.0, Read(A))))
    torch.testing.assert_close(mix.write(now, other, third), 0.5 * other - 2 * now + third)
    basis = torch.eye(4)[:, [1, 3]]
    got = Rotate(basis, Copy(B)).write(now, other)
    assert torch.equal(got[:, [0, 2]], now[:, [0, 2]])
    torch.testing.assert_close(got[:, [1, 3]], other[:, [1, 3]])
    got = Rotate(basis, Copy(B), torch.tensor([0.0, 0.25])).write(now, other)
    torch.testing.assert_close(got[:, :3], now[:, :3])
    torch.testing.assert_close(got[:, 3], 0.75 * now[:, 3] + 0.25 * other[:, 3])


def test_what_each_kind_writes_over_heads_by_hand():
    """A token is one row of numbers for maps of it, whatever its shape."""
    now, other = numbers(0, 3, 2, 4), numbers(1, 3, 2, 4)
    matrix, offset = numbers(5, 8, 8), numbers(6, 8)
    expected = (now.reshape(3, 8) @ matrix + offset).reshape(3, 2, 4)
    torch.testing.assert_close(Affine(matrix, offset).write(now), expected)
    basis = torch.eye(8)[:, [5]]
    got = Rotate(basis, Copy(B)).write(now, other)
    torch.testing.assert_close(got[:, 1, 1], other[:, 1, 1])
    assert int((got != now).sum()) <= 3


def test_blocking_is_a_softmax_without_some_keys():
    scores = numbers(3, 2, 4, 6)
    got = Block((1, 4)).write(scores.softmax(-1))
    scores[..., [1, 4]] = -torch.inf
    torch.testing.assert_close(got, scores.softmax(-1))
    one_head = Block((1, 4)).write(numbers(3, 2, 4, 6).softmax(-1)[:, 2])
    torch.testing.assert_close(one_head, got[:, 2])


@pytest.mark.parametrize("kind", ["all", "a head"])
def test_a_rotation_with_a_whole_basis_is_a_copy_and_with_its_complement_the_rest(kind):
    lm, layout = lm_of("llama"), layout_of("llama")
    rng = Random(0)
    a, b = Run(text(rng, 9)), Run(text(rng, 9))
    place = Place("head_out", 1) if kind == "all" else Place("head_out", 1, 2)
    size = torch.Size(layout.shape_of(place, 9)).numel()
    q = torch.linalg.qr(numbers(0, size, size)).Q
    copied = a.with_(Edit(place, (4, 8), Copy(b)))
    whole = a.with_(Edit(place, (4, 8), Rotate(q, Copy(b))))
    part = a.with_(Edit(place, (4, 8), Rotate(q[:, :5], Copy(b))))
    both = part.with_(Edit(place, (4, 8), Rotate(q[:, 5:], Copy(b))))
    none = a.with_(Edit(place, (4, 8), Rotate(q, Copy(b), torch.zeros(size))))
    for name in ("packed", "reference"):
        got = logits_of(lm, [copied, whole, both, part, none, a], name)
        assert_equal([whole, both, none], got[[0, 0, 5]], got[[1, 2, 4]])
        assert off(got[3:4], got[:1]).item() > 1e-3
        assert off(got[3:4], got[5:]).item() > 1e-3


@pytest.mark.parametrize("name", ["packed", "reference"])
def test_edits_of_one_place_are_made_in_order(name):
    lm = lm_of("llama")
    run = Run(text(Random(0), 9))
    place, at = Place("resid_post", 1), (4,)
    one, two = numbers(0, 1, 32), numbers(1, 1, 32)
    halve = Edit(place, at, Mix(((0.5, HERE),)))
    edits = Edit(place, at, Constant(one)), Edit(place, at, Add(two)), halve
    given = [one + two, one, (one + two) / 2, one / 2 + two, one]
    runs = [
        run.with_(*edits[:2]),
        run.with_(edits[1], edits[0]),
        run.with_(*edits),
        run.with_(edits[0], halve, edits[1]),
        run.with_(halve, edits[1], edits[0]),
    ]
    expected = [run.with_(Edit(place, at, Constant(each))) for each in given]
    found = logits_of(lm, [*runs, *expected], name)
    assert_equal(runs, found[5:], found[:5])
    assert len({round(float(row[0]), 3) for row in found[:5]}) == 4
    # what enters the next block is the same tensor, so it stands in the same order
    entering = replace(edits[0], place=Place("resid_pre", 2))
    both = [run.with_(entering, edits[1]), run.with_(edits[1], entering)]
    assert_equal(both, found[:2], logits_of(lm, both, name))


@pytest.mark.parametrize("name", ["packed", "reference"])
def test_named_tensors_are_computed_once(name):
    """Two edits with one name are one, so the first's numbers stand for both."""
    run = Run(text(Random(0), 9))
    edits = [Edit(HERE_1, (4,), Add(numbers(seed, 1, 32), "the same")) for seed in (0, 0)]
    runs = [run.with_(edit) for edit in edits]
    found = engine_of(lm_of("llama"), name).outcomes(runs)
    assert found.work.run == 1


def test_deep_graphs_that_were_built_twice_are_compared_at_once():
    """Each run is made from the one before twice over: by all ways through it there are 2 ** 60."""

    def deep(levels):
        run = Run((5, 6, 7))
        for level in range(levels):
            run = Run(
                run.prompt,
                (
                    Edit(Place("resid_post", level), (0,), Copy(run)),
                    Edit(Place("mlp_out", level), (1,), Copy(run)),
                ),
            )
        return run

    one, other = deep(60), deep(60)
    assert one is not other
    assert one == other
    assert len({one, other}) == 1
    assert deep(60) != deep(61)


POST, CLEAN = Place("resid_post", 1), Run((5, 6, 7, 8, 9))
MADE_WRONGLY = {
    "a position that is no tuple": lambda: Edit(POST, 4, Copy(CLEAN)),
    "positions in a list": lambda: Edit(POST, [4], Copy(CLEAN)),
    "a place by its name": lambda: Edit("resid_post", (4,), Copy(CLEAN)),
    "a tensor for a value": lambda: Edit(POST, (4,), torch.zeros(1, 8)),
    "a prompt for a run": lambda: Edit(POST, (4,), Copy((5, 6, 7))),
    "numbers in a list": lambda: Edit(POST, (4,), Constant([0.0])),
    "a run for what is copied": lambda: Edit(POST, (4,), Rotate(torch.eye(8), CLEAN)),
    "a place for a read": lambda: Edit(POST, (4,), Mix(((1.0, POST),))),
    "a place by its name, read": lambda: engine_of(lm_of("llama"), "packed").values(
        [Read(CLEAN, (4,), "resid_post")]
    ),
    "a place by its name, in a sum": lambda: Edit(
        POST, (4,), Mix(((1.0, Read(CLEAN, (4,), "resid_post")),))
    ),
    "a prompt in a list": lambda: Run([5, 6, 7]),
    "a text": lambda: Run("text"),
    "no edits": lambda: Run((5, 6, 7), (POST,)),
    "a single edit": lambda: Run((5, 6, 7), Edit(POST, (1,), Copy(CLEAN))),
    "runs that are none": lambda: engine_of(lm_of("llama"), "packed").outcomes(["text"]),
    "no sequence of runs": lambda: engine_of(lm_of("llama"), "packed").outcomes(CLEAN),
}


@pytest.mark.parametrize("case", MADE_WRONGLY)
def test_what_is_made_wrongly_is_said_where_it_is_made(case):
    with pytest.raises(CfgenError) as error:
        MADE_WRONGLY[case]()
    assert error.value.problems[0].code == "edit-malformed"
