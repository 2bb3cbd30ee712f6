"""Every check is sabotaged here: it has to fire."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError
from cfgen.interventions import (
    align,
    batches,
    check_padding,
    check_self_swap,
    check_tokens,
    check_words,
    checks,
    choose_engine,
    packed,
    swaps_to_try,
    traffic,
    whole,
)
from cfgen.lm import encode_pairs, tokens
from cfgen.prompts import Prompt, Span
from tests.cutters import CUTTERS, SCRIPTS, fast

LAYERS = (0, 1, 2, 3)


SITE = Site(("drink_1", "sentence_2"), frozen=("question",))
ENGINES = pytest.mark.parametrize("name", ["reference", "packed"])


@pytest.fixture
def swaps(tiny_lm, make):
    return list(align(encode_pairs(tiny_lm.tokenizer, make.pairs(6)), SITE).swaps.values())


@ENGINES
@pytest.mark.parametrize("layers", ["each", "up_to"])
def test_all_pass_on_every_family(family_lm, make, layers, name):
    site = Site(("drink_1", "sentence_2.all", "last"), frozen=("drink_1+1",), layers=layers)
    aligned = align(encode_pairs(family_lm.tokenizer, make.pairs(6)), site)
    swaps = list(aligned.swaps.values())
    engine = choose_engine(family_lm, name)
    assert check_self_swap(engine, swaps, site, LAYERS) == 18
    assert check_padding(engine, swaps, site, 2) == 12
    assert check_tokens(family_lm.tokenizer, swaps) == 6 * (3 + 3 + 1)


@ENGINES
@pytest.mark.parametrize("shift", ["rows", "columns"])
def test_writing_to_the_wrong_place_fails_the_self_swap(tiny_lm, swaps, monkeypatch, shift, name):
    real = traffic.Write.make

    def moved(write, view, fetch):
        rows = write.rows.flip(0) if shift == "rows" else write.rows
        columns = (write.columns - 1).clamp(min=0) if shift == "columns" else write.columns
        return real(dataclasses.replace(write, rows=rows, columns=columns), view, fetch)

    monkeypatch.setattr(traffic.Write, "make", moved)
    site = dataclasses.replace(SITE, component="resid_mid")
    with pytest.raises(CfgenError, match="self-swap-changes-output"):
        check_self_swap(choose_engine(tiny_lm, name), swaps, site, LAYERS)


@ENGINES
def test_values_of_another_token_fail_the_self_swap(tiny_lm, swaps, monkeypatch, name):
    real = traffic.Operand.fetch

    def other(operand, captured, store):
        return real(operand, captured, store).roll(1, dims=0)

    monkeypatch.setattr(traffic.Operand, "fetch", other)
    site = dataclasses.replace(SITE, layers="up_to")
    with pytest.raises(CfgenError, match="self-swap-changes-output"):
        check_self_swap(choose_engine(tiny_lm, name), swaps, site, LAYERS)


@ENGINES
def test_a_model_that_is_set_to_training_later_fails_the_self_swap(build_tiny_lm, make, name):
    lm = build_tiny_lm(attention_dropout=0.5)
    engine = choose_engine(lm, name)
    lm.model.train()
    swaps = align(encode_pairs(lm.tokenizer, make.pairs(4)), SITE).swaps
    with pytest.raises(CfgenError, match="self-swap-changes-output"):
        check_self_swap(engine, list(swaps.values()), SITE, LAYERS)


@ENGINES
def test_positions_that_count_padding_fail_the_padding_check(
    build_tiny_lm, make, monkeypatch, name
):
    lm = build_tiny_lm(family="gpt2")
    swaps = list(align(encode_pairs(lm.tokenizer, make.pairs(4)), Site()).swaps.values())
    monkeypatch.setattr(
        batches, "position_ids", lambda mask: torch.arange(mask.shape[1]).expand_as(mask)
    )
    with pytest.raises(CfgenError, match=r"unchanged.*padding-changes-output"):
        check_padding(choose_engine(lm, name), swaps, Site(), 2)


@ENGINES
def test_a_mask_that_shows_padding_fails_the_padding_check(tiny_lm, swaps, monkeypatch, name):
    real = batches.make_batch

    def unmasked(lm, prompts, padding=0):
        batch = real(lm, prompts, padding)
        return dataclasses.replace(batch, attention_mask=torch.ones_like(batch.attention_mask))

    monkeypatch.setattr(whole, "make_batch", unmasked)
    with pytest.raises(CfgenError, match="padding-changes-output"):
        check_padding(choose_engine(tiny_lm, name), swaps, SITE, 2)


def test_a_packed_mask_that_shows_padding_fails_the_padding_check(tiny_lm, swaps, monkeypatch):
    real = packed.block_mask

    def shown(owners, batch, *more):
        everything = torch.ones_like(batch.attention_mask)
        return real(owners, dataclasses.replace(batch, attention_mask=everything), *more)

    monkeypatch.setattr(packed, "block_mask", shown)
    with pytest.raises(CfgenError, match=r"swapped at layer 2.*padding-changes-output"):
        check_padding(choose_engine(tiny_lm, "packed"), swaps, SITE, 2)


@ENGINES
def test_columns_that_forget_the_padding_are_off_target(tiny_lm, swaps, monkeypatch, name):
    """The unchanged run is right; only what is read and written is off under padding."""
    monkeypatch.setattr(batches.Batch, "column", lambda batch, row, position: position)
    with pytest.raises(CfgenError, match=r"edit-off-target|padding-changes-output"):
        check_padding(choose_engine(tiny_lm, name), swaps, SITE, 2)


@pytest.mark.parametrize("shift", [-1, 1])
def test_shifted_tokens_are_not_the_slot(tiny_lm, make, monkeypatch, shift):
    real = tokens.tokens_over
    monkeypatch.setattr(
        tokens, "tokens_over", lambda *given: tuple(token + shift for token in real(*given))
    )
    aligned = align(encode_pairs(tiny_lm.tokenizer, make.pairs(3)), Site(("drink_1",)))
    swaps = list(aligned.swaps.values())
    with pytest.raises(CfgenError, match=r"'drink_1' is .*tokens-not-the-slot"):
        check_tokens(tiny_lm.tokenizer, swaps)


@pytest.mark.parametrize("word", ["the\u0301", "tea", "\u1100\u1161"])
def test_tokens_may_be_composed_but_not_cut(make, word):
    """Many tokenizers compose characters; that moves nothing, unless a span ends within one."""
    tokenizer = fast(CUTTERS["bytes NFC"](SCRIPTS))
    pair, text = make.pairs(1)[0], f"Ann puts {word} into the mug"

    def swaps_of(end):
        span = Span("x", 0, 9, 9 + end)
        side = dataclasses.replace(pair.original, prompt=Prompt(text, (span,)))
        both = dataclasses.replace(pair, original=side, counterfactual=side)
        return align(encode_pairs(tokenizer, [both]), Site(("x.all",))).swaps.values()

    assert check_tokens(tokenizer, swaps_of(len(word))) == 2
    if word.startswith("the"):
        with pytest.raises(CfgenError, match=r"'x.all' is 'the', but its tokens are 'thé'"):
            check_tokens(tokenizer, swaps_of(3))


@pytest.mark.parametrize("part", ["to", "of", "frozen"])
def test_every_part_of_a_swap_is_decoded(tiny_lm, swaps, part):
    def shifted(swap):
        moved = tuple(
            dataclasses.replace(
                one,
                tokens=tuple(token - 1 for token in one.tokens),
                context=tuple(token - 1 for token in one.context),
            )
            for one in getattr(swap, part)
        )
        return dataclasses.replace(swap, **{part: moved})

    wrong = [shifted(swap) for swap in swaps]
    with pytest.raises(CfgenError, match="tokens-not-the-slot"):
        check_tokens(tiny_lm.tokenizer, wrong)


def test_a_shifted_span_is_not_the_slot(tiny_lm, make):
    pair = make.pairs(1)[0]
    prompt = pair.original.prompt
    spans = tuple(
        span._replace(start=span.start + 1, end=span.end + 1) if span.name == "drink_1" else span
        for span in prompt.spans
    )
    side = dataclasses.replace(pair.original, prompt=dataclasses.replace(prompt, spans=spans))
    encoded = encode_pairs(tiny_lm.tokenizer, [dataclasses.replace(pair, original=side)])
    assert check_words(encoded, ["last", "drink_2"]) == 2
    with pytest.raises(CfgenError, match=r"'drink_1' shows .*span-not-the-slot"):
        check_words(encoded, ["last", "drink_1[0]"])


@pytest.mark.parametrize("shown", ["Mug", "mugs", "MUG"])
def test_a_filter_that_changes_case_or_adds_letters_is_fine(tiny_lm, make, shown):
    side = make.story(("Ann", "Ben"), ("mug", "jar"), ("tea", "milk"), 0)
    prompt = make.prompt("The ", ("jar_1", shown), " is")
    side = dataclasses.replace(side, prompt=prompt)
    assert check_words(encode_pairs(tiny_lm.tokenizer, [make.pair(side, side)]), ["jar_1"]) == 2


def test_the_sample_has_the_shortest_and_the_longest(tiny_lm, make):
    aligned = align(encode_pairs(tiny_lm.tokenizer, make.pairs(30)), Site())
    swaps = list(aligned.swaps.values())
    lengths = [len(swap.original) for swap in swaps]
    chosen = [len(swap.original) for swap in swaps_to_try(swaps)]
    assert (chosen[0], chosen[-1], len(chosen)) == (min(lengths), max(lengths), checks.SAMPLE)
