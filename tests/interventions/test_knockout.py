"""Keys that are blocked: by hand, in the kernel that ran, over layers, heads and windows."""

from __future__ import annotations

from random import Random

import pytest
import torch

from cfgen.errors import CfgenError
from cfgen.interventions import HERE, Add, Block, Constant, Copy, Edit, Mix, Question, Read, Run
from cfgen.interventions.masks import without_blocked
from cfgen.lm import Place
from tests.families import ALL
from tests.interventions.tiny import (
    PATTERN,
    assert_equal,
    codes,
    compare,
    engine_of,
    layout_of,
    lm_of,
    logits_of,
    off,
    outcomes,
    swap,
    text,
)

ENGINES = pytest.mark.parametrize("engine", ["packed", "reference"])
RUN = Run(text(Random(7), 14))
LOOKING, KEYS = (9, 13), (6, 8)
"""Within the windows of those LMs that have some."""
FAMILIES = ("llama", "gpt2", "gptj", "gemma2", "olmo2", "cohere")


def block(layer, looking=LOOKING, keys=KEYS, head=None):
    return Edit(Place(PATTERN, layer, head), looking, Block(keys))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_blocked_pattern_by_hand(name):
    """A / (1 - sum of the blocked) in the first blocked layer, on heads and on all of them."""
    lm, engine = lm_of(name), engine_of(lm_of(name), "reference")
    runs, by_hand = [], []
    for layer in (0, 2, 3):
        for head in (None, 1):
            place = Place(PATTERN, layer, head)
            (pattern,) = engine.values([Read(RUN, LOOKING, place)])  # (tokens, heads, keys)
            gone = pattern[..., list(KEYS)].double().sum(-1, keepdim=True)
            assert float(gone.max()) > 1e-3
            scores = pattern.double().log()
            scores[..., list(KEYS)] = -torch.inf
            left = scores.softmax(-1).float()
            few = gone < 0.9  # else so little is left that it is mostly rounding
            kept = torch.where(scores.isinf(), 0.0, pattern.double() / (1 - gone)).float()
            torch.testing.assert_close(left * few, kept * few, atol=1e-5, rtol=1e-4)
            runs.append(RUN.with_(block(layer, head=head)))
            by_hand.append(RUN.with_(Edit(place, LOOKING, Constant(left))))
            (got,) = engine.values([Read(runs[-1], LOOKING, place)])
            torch.testing.assert_close(got, left, atol=1e-5, rtol=1e-4)
    expected = logits_of(lm, by_hand, "reference")
    for kind in ("reference", "packed"):
        assert_equal(runs, expected, logits_of(lm, runs, kind))
    assert bool((off(expected, logits_of(lm, [RUN])) > 5e-4).all())


@pytest.mark.parametrize("name", ALL)
def test_windows_of_layers_and_heads_on_both_engines(name):
    """Geva et al. (2023) block windows of layers around each."""
    lm, layout = lm_of(name), layout_of(name)
    other = Run(text(Random(8), 14))
    runs = []
    for layer in range(4):
        window = [block(k) for k in range(max(0, layer - 1), min(4, layer + 2))]
        heads = [block(layer, (13,), (h, 12), h) for h in range(layout.heads)]
        change = Edit(Place("resid_post", 0), (2,), Copy(other))
        frozen = [Edit(Place("resid_post", k), (8, 11), Copy(RUN)) for k in range(4)]
        runs += [
            RUN.with_(*window),
            RUN.with_(*heads),
            RUN.with_(heads[2]),
            RUN.with_(block(layer, range_(1, 14), (0,))),
            RUN.with_(change, *window),
            RUN.with_(change).with_(*window),
            RUN.with_(*window, *frozen),
            RUN.with_(block(layer), block(layer, (13,), (6, 7), 1)),
            swap(Place(PATTERN, layer), other, [13], RUN.with_(*window)),
            swap(Place("resid_post", layer), other, [13], RUN.with_(*window)),
        ]
    changed, found = compare(lm, runs)
    assert changed > 0.9 * len(runs)
    assert found.work.blocks == 1


def range_(start, end):
    return tuple(range(start, end))


def test_blocking_what_is_not_seen_changes_nothing():
    """What lies behind, or out of the window."""
    for name, layer, looking, keys in (("llama", 1, (4,), (5, 9)), ("mistral", 1, (13,), (1, 5))):
        run = RUN.with_(block(layer, looking, keys))
        for engine in ("packed", "reference"):
            got = logits_of(lm_of(name), [run, RUN], engine)
            assert_equal([run], got[1:], got[:1])
    found = outcomes(lm_of("llama"), [RUN.with_(block(1, (4,), (5, 9)))])
    assert found.changed.tolist() == [False]


def test_blocking_all_but_itself_is_its_own_value():
    """One key is left, so the head's output is the value there."""
    lm = lm_of("gpt2")
    run = RUN.with_(block(2, (9,), range_(0, 9)))
    alone = RUN.with_(
        Edit(Place("head_out", 2), (9,), Mix(((1.0, Read(RUN, (9,), Place("v", 2))),)))
    )
    for engine in ("packed", "reference"):
        got = logits_of(lm, [run, alone], engine)
        assert_equal([run], got[1:], got[:1])


# In the kernel that ran


@ENGINES
@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral", "cohere"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_value_of_a_blocked_key_does_nothing_where_it_is_blocked(name, attention, engine):
    """And does so at every other query, head and layer."""
    lm, layout = lm_of(name, attn_implementation=attention), layout_of(name)
    shape = layout.shape_of(Place("v", 0), 14)
    some = {"all heads": None, "a head": 2}
    for head in some.values():
        for layer in (0, 2):
            edit = block(layer, (9,), (5, 7), head)
            strong = Edit(Place("v", layer), (7,), Add(torch.full((1, *shape), 50.0)))
            plain, pushed = RUN.with_(edit), RUN.with_(edit, strong)
            place = Place("head_out", layer)
            reads = [Read(run, (9, 8, 10), place) for run in (plain, pushed)]
            one, other = engine_of(lm, engine).values(reads)  # (tokens, heads, head width)
            apart = (one - other).abs().amax(-1)  # (tokens, heads)
            hidden = torch.zeros(3, layout.heads, dtype=torch.bool)
            hidden[0, slice(None) if head is None else head] = True
            assert float(apart[hidden].max()) < 1e-4
            assert float((apart[~hidden] > 1e-4).float().mean()) > 0.7, (head, layer)
            reads = [Read(run, (9,), place) for run in (RUN, RUN.with_(strong))]
            one, other = engine_of(lm, engine).values(reads)
            free = (one - other).abs().amax(-1)[hidden[:1]]
            assert float(free.max()) > 0.01  # what blocking keeps out


def test_a_kernel_that_ignores_what_is_blocked_is_found(monkeypatch):
    def ignoring(seen, blocked, placement, pads, heads):
        return without_blocked(seen, [], placement, pads, heads)

    run = RUN.with_(block(1))
    engine = engine_of(lm_of("llama"))
    assert engine.outcomes([run]).work.blocks == 1
    monkeypatch.setattr("cfgen.interventions.packed.without_blocked", ignoring)
    with pytest.raises(CfgenError) as caught:
        engine.outcomes([run])
    assert codes(caught) == ["block-not-kept"]
    assert "layer 1" in caught.value.problems[0].message


def test_a_kernel_that_has_one_mask_for_all_heads_is_found(monkeypatch):
    def first_head(*given):
        return without_blocked(*given)[:, :1]

    run = RUN.with_(block(1, head=3))
    engine = engine_of(lm_of("llama"))
    assert engine.outcomes([run]).work.blocks == 1
    monkeypatch.setattr("cfgen.interventions.packed.without_blocked", first_head)
    with pytest.raises(CfgenError) as caught:
        engine.outcomes([run])
    assert codes(caught) == ["block-not-kept"]


# What is written at a pattern before is not the mask's


def test_blocks_before_and_behind_other_edits_of_a_pattern():
    lm, other = lm_of("llama"), Run(text(Random(9), 14))
    copied = Edit(Place(PATTERN, 1), LOOKING, Copy(other))
    halved = Edit(Place(PATTERN, 1, 2), (13,), Mix(((0.5, HERE),)))
    runs = [
        RUN.with_(block(1), copied),
        RUN.with_(copied, block(1)),
        RUN.with_(block(1), halved, block(1, (13,), (7,))),
        RUN.with_(block(1, (13,), (7,)), halved),
        RUN.with_(copied),
    ]
    changed, found = compare(lm, runs)
    assert changed == len(runs)
    got = found.vocabulary
    assert_equal(runs[:1], got[4:5], got[:1])  # what is blocked is written over
    assert float(off(got[4:5], got[1:2])) > 1e-3


@ENGINES
def test_what_is_counted(engine):
    found = engine_of(lm_of("llama"), engine).outcomes(
        [RUN.with_(block(1)), RUN.with_(block(1, (13,)), block(2, (13,)))], question=Question()
    )
    assert found.changed.tolist() == [True, True]
    assert found.work.edited.edits == 4
