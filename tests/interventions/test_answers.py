"""Answers read through the engine, against a loop that continues one prompt after the other."""

from __future__ import annotations

import math

import pytest
import torch

from cfgen.interventions import (
    HERE,
    Add,
    Affine,
    Block,
    Constant,
    Copy,
    Edit,
    Mix,
    Question,
    Read,
    Rotate,
    Run,
    choose_engine,
    read_answers,
)
from cfgen.lm import Place, build_tree
from tests.interventions.tiny import lm_of

ENGINES = ["reference", "packed"]
PROMPTS = [(5, 9, 14, 20, 7), (30, 9, 41, 20, 7), (5, 12, 14, 33, 7)]
ALL = Question(said=True, normaliser=True, ranks=True, kl=True)


@pytest.fixture(scope="module")
def lm(build_tiny_lm):
    return build_tiny_lm()


class ByHand:
    """The LM with the states of some positions after a block overwritten, for any continuation."""

    def __init__(self, lm, layer=None, positions=(), values=None):
        self.lm, self.layer, self.positions, self.values = lm, layer, list(positions), values

    def log_probabilities(self, ids):
        handles = []
        if self.layer is not None:

            def overwrite(_module, _given, output):
                output = output.clone()
                output[0, self.positions] = self.values
                return output

            block = self.lm.model.model.layers[self.layer]
            handles.append(block.register_forward_hook(overwrite))
        logits = self.lm.model(torch.tensor([ids])).logits[0, -1]
        for handle in handles:
            handle.remove()
        return logits.log_softmax(-1)

    def said(self, ids, count):
        found = []
        for _ in range(count):
            found.append(int(self.log_probabilities([*ids, *found]).argmax()))
        return tuple(found)

    def probability(self, ids, path):
        parts = [
            float(self.log_probabilities([*ids, *path[:n]])[token]) for n, token in enumerate(path)
        ]
        return math.exp(sum(parts))

    def goes_on(self, ids, path, tokens):
        return sum(float(self.log_probabilities([*ids, *path])[t].exp()) for t in tokens)


def swapped(lm, layer, position):
    """The first prompt with a state of the second, as a run and by hand."""
    kept = []
    block = lm.model.model.layers[layer]
    handle = block.register_forward_hook(lambda m, a, out: kept.append(out[0, [position]].clone()))
    lm.model(torch.tensor([PROMPTS[1]]))
    handle.remove()
    run = Run(PROMPTS[0]).with_(
        Edit(Place("resid_post", layer), (position,), Copy(Run(PROMPTS[1])))
    )
    return run, ByHand(lm, layer, [position], kept[0])


def trees_around(lm, hand, ids):
    """Trees whose answers the LM says, nearly says, or does not say."""
    first, second, third = hand.said(ids, 3)
    other = (first + 1) % 50
    return [
        build_tree({"yes": [(first,)], "no": [(other,)]}),
        build_tree({"short": [(first,)], "long": [(first, second)], "no": [(other,)]}),
        build_tree({"short": [(first,)], "long": [(first, other)], "no": [(other, 3)]}),
        build_tree({"a": [(first, second, third), (other, 1)], "b": [(first, second, other)]}),
        build_tree({"a": [(first, second, other)], "b": [(first, other, 2)], "c": [(other,)]}),
        build_tree({}),
    ]


def label_by_hand(tree, said):
    for path, right in tree.leaves.items():
        if said[: len(path)] == path:
            return right
    for path, right in tree.ends.items():
        if said[: len(path)] == path and said[len(path)] not in tree.children[path]:
            return right
    return frozenset()


def probability_by_hand(tree, answer, hand, ids):
    total = 0.0
    for path, right in tree.leaves.items():
        total += hand.probability(ids, path) if answer in right else 0
    for path, right in tree.ends.items():
        if answer in right:
            on = hand.goes_on(ids, path, tree.children[path])
            total += hand.probability(ids, path) * (1 - on)
    return total


@pytest.mark.parametrize("name", ENGINES)
def test_replies_equal_those_of_a_plain_loop(lm, name):
    engine = choose_engine(lm, name)
    cases = [(Run(PROMPTS[0]), ByHand(lm)), (Run(PROMPTS[2]), ByHand(lm))]
    cases += [swapped(lm, layer, position) for layer in range(3) for position in (1, 4)]
    runs, trees, hands = [], [], []
    for run, hand in cases:
        for tree in trees_around(lm, hand, run.prompt):
            runs.append(Run((*run.prompt, *tree.fed), run.edits))
            trees.append(tree)
            hands.append(hand)
    replies, work = read_answers(engine, runs, trees, [t.answers for t in trees], ALL, verified=4)
    labels = set()
    for run, tree, hand, reply in zip(runs, trees, hands, replies, strict=True):
        said = hand.said(run.prompt, 4)
        assert reply.said == said[: len(reply.said)]
        assert reply.right == label_by_hand(tree, said)
        labels |= reply.right
        assert set(reply.log_probabilities) == set(tree.answers)
        for answer, value in reply.log_probabilities.items():
            expected = probability_by_hand(tree, answer, hand, run.prompt)
            assert math.exp(value) == pytest.approx(expected, rel=1e-3, abs=1e-7)
        now = hand.log_probabilities(run.prompt)
        for answer, rank in reply.ranks.items():
            likeliest = max(float(now[path[0]]) for path in tree.tracked(answer))
            assert rank == int((now > likeliest).sum())
        clean = ByHand(lm).log_probabilities(run.prompt)
        divergence = float((clean.exp() * (clean - now)).sum())
        assert reply.kl == pytest.approx(divergence, abs=1e-4)
        assert reply.changed == bool(run.edits)
    assert labels >= {"yes", "short", "long", "a"}
    assert work.verified == (4 if name == "packed" else 0)


@pytest.mark.parametrize("name", ENGINES)
def test_without_a_normaliser_only_answers_are_projected(lm, name):
    engine = choose_engine(lm, name)
    run, hand = swapped(lm, 1, 4)
    quick = Question(said=False, normaliser=False)
    tree = build_tree({"a": [(11,)], "b": [(12,)]})
    (reply,), _ = read_answers(engine, [run], [tree], [("a", "b")], quick)
    now = hand.log_probabilities(run.prompt)
    difference = reply.log_probabilities["a"] - reply.log_probabilities["b"]
    assert difference == pytest.approx(float(now[11] - now[12]), abs=1e-4)
    assert (reply.said, reply.right, reply.ranks, reply.kl) == ((), frozenset(), {}, None)
    # of answers that one token does not tell, these differences would be wrong
    tree = build_tree({"a": [(11, 3)], "b": [(12,)], "c": [(11, 4)]})
    (reply,), _ = read_answers(engine, [run], [tree], [("a", "b")], quick)
    for answer in ("a", "b"):
        expected = probability_by_hand(tree, answer, hand, run.prompt)
        assert math.exp(reply.log_probabilities[answer]) == pytest.approx(expected, rel=1e-3)
    assert "c" not in reply.log_probabilities


@pytest.mark.parametrize("name", ENGINES)
def test_patterns_of_attention_are_those_of_the_prompt(lm, name):
    """Tokens behind the prompt are not looked at by it, and look themselves as they would."""
    engine = choose_engine(lm, name)
    place, last = Place("attn_pattern", 1), len(PROMPTS[0]) - 1
    clean, other = Run(PROMPTS[0]), Run(PROMPTS[1])
    tree = build_tree({"a": [(11, 3)], "b": [(11, 4)], "c": [(12,)]})
    even = torch.full((1, 4, len(PROMPTS[0])), 1 / len(PROMPTS[0]))
    runs = [
        clean,
        clean.with_(Edit(place, (last,), Copy(clean))),
        clean.with_(Edit(place, (last,), Copy(other))),
        clean.with_(Edit(place, (last,), Constant(even))),
        clean.with_(Edit(place, (last,), Block((0, 2)))),
    ]
    wanted = [tree.answers] * len(runs)
    replies, _ = read_answers(engine, runs, [tree] * len(runs), wanted, Question())
    longer = engine.outcomes(
        [run.followed_by((11,)) for run in runs], tracked=[(3, 4)] * len(runs)
    ).log_probabilities
    first = engine.outcomes(runs, tracked=[(11, 12)] * len(runs)).log_probabilities
    for reply, start, end in zip(replies, first.tolist(), longer.tolist(), strict=True):
        expected = {"a": start[0] + end[0], "b": start[0] + end[1], "c": start[1]}
        assert reply.log_probabilities == pytest.approx(expected, abs=1e-4)
    assert replies[1].log_probabilities == pytest.approx(replies[0].log_probabilities, abs=1e-4)
    for reply in replies[2:]:
        assert reply.log_probabilities != pytest.approx(replies[0].log_probabilities, abs=1e-3)


def test_a_run_followed_by_tokens_keeps_its_edits():
    source = Run((1, 2, 3))
    one = Edit(Place("resid_post", 1), (2,), Copy(source))
    two = Edit(Place("attn_pattern", 2), (2,), Copy(source, (1,)))
    run = Run((4, 5, 6)).with_(one).with_(two)
    longer = run.followed_by((7, 8))
    assert longer.prompt == (4, 5, 6, 7, 8)
    assert longer.edits == (
        one,
        Edit(two.place, (2,), Copy(source, (1,)), keys=3),
    )
    assert longer.base == Run((4, 5, 6, 7, 8), (one,))


@pytest.mark.parametrize("engine", ["reference", "packed"])
def test_patterns_are_written_over_the_keys_of_the_prompt_alone(engine):
    """Tokens that follow change nothing of what a prompt's own run has, of whatever kind."""
    lm = lm_of("llama")
    chosen = choose_engine(lm, engine)
    a, b = Run((5, 9, 12, 33, 8)), Run((7, 9, 60, 21, 50))
    place, to = Place("attn_pattern", 1, head=1), (3, 4)
    size = 5
    eye = torch.eye(size)
    kinds = (
        Copy(b),
        Constant(torch.full((2, size), 1 / size)),
        Add(torch.full((2, size), 0.1)),
        Affine(0.5 * eye, torch.full((size,), 0.1)),
        Rotate(eye[:, :2], Copy(b)),
        Mix(((0.5, HERE), (0.5, Read(b)))),
        Block((1, 2)),
    )
    runs = [a.with_(Edit(place, to, value)) for value in kinds]
    short = chosen.values([Read(run, to, place) for run in runs])
    longer = [run.followed_by((17, 18)) for run in runs]
    wide = chosen.values([Read(run, to, place) for run in longer])
    for one, other in zip(short, wide, strict=True):
        assert torch.allclose(one, other[..., :size], atol=1e-6)
        assert not other[..., size:].any()
    state = Place("resid_post", 3)
    states = [chosen.values([Read(run, to, state) for run in some]) for some in (runs, longer)]
    for one, other in zip(*states, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
