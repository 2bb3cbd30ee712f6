from __future__ import annotations

import random

import pytest
import torch

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError
from cfgen.interventions import (
    align,
    branch_of,
    choose_engine,
    clean,
    open_chunk,
    reference,
    run_chunk,
)
from cfgen.interventions.batches import make_batch
from cfgen.interventions.clean import run_part
from cfgen.interventions.values import Reads
from cfgen.lm import encode_pairs, find_layout

BLOCKS = {"llama": "model.layers", "gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers"}


def blocks_of(model):
    return model.get_submodule(BLOCKS.get(model.config.model_type, "model.decoder.layers"))


def residuals(model, ids):
    """Residual stream after every block, without batches, masks or the engine's hooks."""
    found = []
    handles = [
        block.register_forward_hook(lambda m, a, o: found.append(o.detach().clone()))
        for block in blocks_of(model)
    ]
    logits = model(torch.tensor([ids])).logits[0, -1]
    for handle in handles:
        handle.remove()
    return found, logits


def plain(model, ids, writes):
    """Logits when ``writes``, {layer: {token: value}}, is written over the residual stream."""

    def hook(values):
        def write(_module, _arguments, output):
            output = output.clone()
            for token, value in values.items():
                output[0, token] = value
            return output

        return write

    handles = [
        blocks_of(model)[layer].register_forward_hook(hook(values))
        for layer, values in writes.items()
    ]
    logits = model(torch.tensor([ids])).logits[0, -1]
    for handle in handles:
        handle.remove()
    return logits


def sweep(lm, swaps, site, layers=range(4), engine="reference"):
    """Layer -> logits (swaps, vocabulary)."""
    prompts = [side.ids for swap in swaps for side in (swap.original, swap.source)]
    cells = [(layer, row) for layer in layers for row in range(len(swaps))]
    branches = {
        index: branch_of(swaps[row], site, layer, 4, 2 * row, 2 * row + 1)
        for index, (layer, row) in enumerate(cells)
    }
    chosen = choose_engine(lm, engine, batch_size=5)
    found = {}
    for answered in run_chunk(chosen, open_chunk(chosen, prompts, branches)):
        found |= dict(zip(answered.indices, answered.logits, strict=True))
    rows = torch.stack([found[index] for index in range(len(cells))])
    return dict(zip(layers, torch.split(rows, len(swaps)), strict=True))


def word_tokens(lm, text, start, end):
    """Token positions of characters, found by counting tokens of the text before them."""
    before = len(lm.tokenizer(text[:start].rstrip())["input_ids"])
    return list(range(before, len(lm.tokenizer(text[:end])["input_ids"])))


def tokens_of(lm, side, name):
    if name == "last":
        return [len(lm.tokenizer(side.prompt.text)["input_ids"]) - 1]
    name, _, part = name.partition(".")
    return [
        token
        for span in side.prompt.spans
        if span.name == name
        for token in word_tokens(lm, side.prompt.text, span.start, span.end)[
            slice(None) if part == "all" else slice(-1, None)
        ]
    ]


SITES = {
    "last": Site(),
    "slot": Site(("drink_1",)),
    "several": Site(("drink_1", "drink_2", "last")),
    "phrase": Site(("sentence_2.all",)),
    "all mentions up to": Site(("name_1", "name_2"), layers="up_to"),
    "frozen": Site(("name_1", "jar_2"), frozen=("drink_1", "drink_2"), layers="up_to"),
    "frozen, one layer": Site(("sentence_1.all",), frozen=("sentence_2", "question")),
}


@pytest.mark.parametrize("name", SITES)
def test_a_sweep_equals_one_pair_at_a_time_by_hand(family_lm, make, name):
    lm, site, pairs = family_lm, SITES[name], make.pairs(5)
    swaps = align(encode_pairs(lm.tokenizer, pairs), site).swaps
    engines = ("reference", "packed")
    got = [sweep(lm, list(swaps.values()), site, engine=engine) for engine in engines]
    assert sorted(swaps) == list(range(5))
    changed = 0
    for row, pair in enumerate(pairs):
        sides = pair.original, pair.counterfactual
        ids = [lm.tokenizer(side.prompt.text)["input_ids"] for side in sides]
        (own, clean), (other, _) = (residuals(lm.model, each) for each in ids)
        for layer in range(4):
            writes = {}
            for frozen in site.frozen:
                for each in range(4):
                    for token in tokens_of(lm, sides[0], frozen):
                        writes.setdefault(each, {})[token] = own[each][0, token]
            for position in site.positions:
                to, of = (tokens_of(lm, side, position) for side in sides)
                for each in range(layer + 1) if site.layers == "up_to" else [layer]:
                    for a, b in zip(to, of, strict=True):
                        writes.setdefault(each, {})[a] = other[each][0, b]
            expected = plain(lm.model, ids[0], writes)
            for said in got:
                torch.testing.assert_close(said[layer][row], expected, atol=2e-4, rtol=1e-4)
            changed += not torch.allclose(expected, clean, atol=1e-3)
    assert changed > 5


def test_a_padded_batch_gives_the_unpadded_logits(family_lm, make):
    lm = family_lm
    encoded = encode_pairs(lm.tokenizer, make.pairs(6, seed=1))
    prompts = [pair.original for pair in encoded]
    assert len({len(prompt) for prompt in prompts}) > 1
    layout, none = find_layout(lm.model), Reads((), {})
    given = [prompt.ids for prompt in prompts]
    together = run_part(lm, layout, make_batch(lm, given, 4), range(6), none).logits
    for row, prompt in enumerate(prompts):
        alone = lm.model(torch.tensor([prompt.ids])).logits[0, -1]
        torch.testing.assert_close(together[row], alone, atol=2e-4, rtol=1e-4)


def test_swapping_every_token_gives_the_counterfactuals_logits(family_lm, make):
    lm = family_lm
    text = make.prompt(("whole", "Ann fills the mug"))
    other = make.prompt(("whole", "Cid with Then box"))
    sides = [
        make.story(("Ann", "Ben"), ("mug", "jar"), ("tea", "milk"), 0),
        make.story(("Cid", "Dora"), ("pot", "box"), ("juice", "water"), 0),
    ]
    sides = [
        type(side)({}, prompt, None, "", {}, {})
        for side, prompt in zip(sides, (text, other), strict=True)
    ]
    encoded = encode_pairs(lm.tokenizer, [make.pair(*sides)])
    swaps = list(align(encoded, Site(("whole.all",))).swaps.values())
    unchanged, expected = (
        lm.model(torch.tensor([side.ids])).logits[:, -1]
        for side in (encoded[0].original, encoded[0].counterfactual)
    )
    assert not torch.allclose(expected, unchanged, atol=1e-2)
    for logits in sweep(lm, swaps, Site(("whole.all",))).values():
        torch.testing.assert_close(logits, expected, atol=2e-4, rtol=1e-4)


def test_frozen_positions_keep_the_originals_activations(family_lm, make):
    lm = family_lm
    site = Site(("sentence_1.all", "name_2"), frozen=("drink_2", "question"), layers="up_to")
    pairs = [
        make.pair(
            make.story(("Ann", "Ben"), ("mug", "jar"), ("tea", "milk"), 0),
            make.story(("Cid", "Dora"), ("pot", "box"), ("juice", "water"), 0),
        )
    ]
    encoded = encode_pairs(lm.tokenizer, pairs)
    swap = align(encoded, site).swaps[0]
    own, _ = residuals(lm.model, encoded[0].original.ids)
    after = []
    layout = find_layout(lm.model)
    branch = branch_of(swap, site, 3, 4, 0, 1)
    engine = choose_engine(lm, "reference")
    prompts = [encoded[0].original.ids, encoded[0].counterfactual.ids]
    chunk = open_chunk(engine, prompts, {0: branch})
    inner = reference.forward

    def watched(lm, batch):
        handles = [
            block.register_forward_hook(lambda m, a, o: after.append(o.clone()))
            for block in layout.blocks
        ]
        logits = inner(lm, batch)
        for handle in handles:
            handle.remove()
        return logits

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "forward", watched)
        list(run_chunk(engine, chunk))
    assert len(after) == 4
    moved = [a for a, _ in swap.moves]
    for layer in range(4):
        torch.testing.assert_close(after[layer][0, list(swap.held)], own[layer][0, list(swap.held)])
        assert not torch.allclose(after[layer][0, moved], own[layer][0, moved], atol=1e-2)


def test_a_word_swap_takes_the_value_from_the_slot_with_that_word(tiny_lm, make):
    lm = tiny_lm
    original = make.story(("Ann", "Ben"), ("mug", "jar"), ("tea", "milk"), 0)
    reversed_ = make.story(("Ben", "Ann"), ("jar", "mug"), ("milk", "tea"), 1)
    encoded = encode_pairs(lm.tokenizer, [make.pair(original, reversed_)])
    positions = ("drink_1", "drink_1+1", "drink_2", "drink_2+1")
    swap = align(encoded, Site(positions, align="word")).swaps[0]
    shown = [
        (
            lm.tokenizer.decode([swap.original.ids[a]]).strip(),
            lm.tokenizer.decode([swap.source.ids[b]]).strip(),
        )
        for a, b in swap.moves
    ]
    assert shown == [("tea", "tea"), (".", "."), ("milk", "milk"), (".", ".")]
    (a, b), (a2, b2) = swap.moves[0], swap.moves[2]
    assert a < a2
    assert b > b2
    by_slot = align(encoded, Site(positions)).swaps[0]
    assert [a for a, b in by_slot.moves] == [b for a, b in by_slot.moves]
    branch = branch_of(swap, Site(positions, align="word"), 2, 4, 0, 1)
    (edit,) = branch.edits
    assert (edit.place.component, edit.place.layer) == ("resid_post", 2)
    assert list(zip(edit.positions, edit.value.positions, strict=True)) == list(swap.moves)


def test_the_order_of_a_batch_makes_no_difference(tiny_lm, make):
    lm = tiny_lm
    swaps = list(
        align(encode_pairs(lm.tokenizer, make.pairs(7)), Site(("drink_2",))).swaps.values()
    )
    order = random.Random(0).sample(range(7), 7)
    first = sweep(lm, swaps, Site(("drink_2",)))
    second = sweep(lm, [swaps[i] for i in order], Site(("drink_2",)))
    for layer in range(4):
        torch.testing.assert_close(first[layer][order], second[layer], atol=1e-4, rtol=1e-4)


@pytest.fixture
def job(tiny_lm, make):
    """An engine, and a chunk with one intervention at layer 2."""
    swap = align(encode_pairs(tiny_lm.tokenizer, make.pairs(1)), Site()).swaps[0]
    engine = choose_engine(tiny_lm, "reference")
    prompts = [swap.original.ids, swap.source.ids]
    return engine, prompts, {0: branch_of(swap, Site(), 2, 4, 0, 1)}


def hooks_of(engine):
    modules = list(engine.lm.model.modules())
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


def test_hooks_are_gone_after_a_run_and_after_a_failure(job, monkeypatch):
    engine, prompts, branches = job
    before = hooks_of(engine)
    chunk = open_chunk(engine, prompts, branches)
    assert len(list(run_chunk(engine, chunk))) == 1
    monkeypatch.setattr(reference, "forward", lambda lm, batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(run_chunk(engine, chunk))
    monkeypatch.setattr(clean, "forward", lambda lm, batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_chunk(engine, prompts, branches)
    assert hooks_of(engine) == before


def test_an_edit_that_does_not_fire_is_an_error(job, monkeypatch):
    engine, prompts, branches = job
    chunk = open_chunk(engine, prompts, branches)
    logits = chunk.clean.logits
    monkeypatch.setattr(reference, "forward", lambda lm, batch: logits[:1])
    with pytest.raises(CfgenError, match=r"resid_post of layer 2: 0 times.*edit-did-not-fire"):
        list(run_chunk(engine, chunk))
    monkeypatch.setattr(clean, "forward", lambda lm, batch: logits[:1])
    with pytest.raises(CfgenError, match=r"reading .*edit-did-not-fire"):
        open_chunk(engine, prompts, branches)


def test_an_edit_that_fires_twice_is_an_error(job, monkeypatch):
    engine, prompts, branches = job
    chunk = open_chunk(engine, prompts, branches)
    inner = reference.forward
    monkeypatch.setattr(
        reference, "forward", lambda lm, batch: (inner(lm, batch), inner(lm, batch))[1]
    )
    with pytest.raises(CfgenError, match=r"resid_post of layer 2: 2 times.*edit-did-not-fire"):
        list(run_chunk(engine, chunk))


def test_an_edit_over_another_token_is_an_error(job, monkeypatch):
    engine, prompts, branches = job
    chunk = open_chunk(engine, prompts, branches)
    real = reference.make_batch

    def shifted(lm, texts, padding=0):
        return real(lm, [[*text[1:], text[0]] for text in texts], padding)

    monkeypatch.setattr(reference, "make_batch", shifted)
    with pytest.raises(CfgenError, match="edit-off-target"):
        list(run_chunk(engine, chunk))
