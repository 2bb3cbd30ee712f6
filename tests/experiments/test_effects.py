"""Effects against plain loops with PyTorch's own hooks, and against what holds for any LM."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError
from cfgen.experiments import METHODS, SweepOptions
from cfgen.stats import mean_of
from tests.inquiries import ask

LAYERS = 4


@pytest.fixture(scope="module")
def pairs(lm, contrasting):
    return contrasting(lm, 10, drawn=60)


def measured(lm, pairs, method, sweep=None, site=None, **fields):
    """A record of what a method measures at a site, by default in all layers at the last token."""
    site = site or Site("last", component=METHODS[method].component)
    sweep = SweepOptions(over="0-3", **(sweep or {}))
    fields = {"measures": ("logit_difference",), **fields}
    return ask(lm, pairs, {method: site}, method=method, sweep=sweep, **fields)


def by_place(record, effect, measure="logit_difference", *, head=None):
    """Layer -> the effect of every pair, by its id."""
    found: dict[int, dict[str, float]] = {}
    for one in record.effects:
        if (one.effect, one.measure, one.head) == (effect, measure, head):
            found.setdefault(one.layer, {})[one.pair_id] = one.value
    return found


def cells(record, effect, measure="logit_difference"):
    return {c.layer: c for c in record.cells if (c.hypothesis, c.measure) == (effect, measure)}


# Plain loops


@contextmanager
def hooked(module, change: Callable[[torch.Tensor], None]):
    """While in here, what comes out of a module is changed in place."""

    def hook(_module: Any, _arguments: Any, output: Any) -> None:
        change((output[0] if isinstance(output, tuple) else output)[0])  # (tokens, width)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def ids_of(lm, side) -> list[int]:
    return lm.tokenizer(side.prompt.text)["input_ids"]


def difference(lm, pair, ids, wanted) -> float:
    """The logit of a wanted answer minus that of the other, after the last token."""
    logits = lm.model(torch.tensor([ids])).logits[0, -1]
    answers = [pair.original.answer, pair.counterfactual.answer]
    first, second = (
        int(logits[lm.tokenizer(text)["input_ids"][-1]].item() * 1e6) / 1e6
        for text in (answers if wanted == "original" else answers[::-1])
    )
    return first - second


def state(lm, module, ids) -> torch.Tensor:
    """What comes out of a module at the last token."""
    kept: list[torch.Tensor] = []
    with hooked(module, lambda out: kept.append(out[-1].clone())):
        lm.model(torch.tensor([ids]))
    return kept[0]


def write_last(vector):
    def change(out: torch.Tensor) -> None:
        out[-1] = vector

    return change


def effects_by_hand(lm, pair, layer) -> dict[str, float]:
    """Mediation by the last token's residual stream behind a layer."""
    one, other = ids_of(lm, pair.original), ids_of(lm, pair.counterfactual)
    block = lm.model.model.layers[layer]
    clean, total = (difference(lm, pair, ids, "counterfactual") for ids in (one, other))
    with hooked(block, write_last(state(lm, block, other))):
        indirect = difference(lm, pair, one, "counterfactual")
    with hooked(block, write_last(state(lm, block, one))):
        direct = difference(lm, pair, other, "counterfactual")
    return {
        "TE": total - clean,
        "NIE": indirect - clean,
        "NDE": direct - clean,
        "TIE": total - direct,
        "interaction": total - direct - indirect + clean,
    }


@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_mediation_is_that_of_a_plain_loop(lm, pairs, engine):
    record = measured(lm, pairs, "mediation", engine=engine)
    for layer in range(LAYERS):
        by_hand = {pair.id: effects_by_hand(lm, pair, layer) for pair in pairs}
        for name in METHODS["mediation"].effects:
            found = by_place(record, name)[layer]
            assert {*found} == {*by_hand}
            for pair, value in found.items():
                assert value == pytest.approx(by_hand[pair][name], abs=2e-3)
            average = statistics.mean(found.values())
            assert cells(record, name)[layer].value == pytest.approx(average)


def test_the_total_effect_is_the_direct_one_and_what_is_lost_without_the_mediator(lm, pairs):
    record = measured(lm, pairs, "mediation", measures=("logit_difference", "probability", "odds"))
    for measure in ("logit_difference", "probability", "odds"):
        total, direct, lost = (by_place(record, name, measure) for name in ("TE", "NDE", "TIE"))
        for layer, values in total.items():
            for pair, value in values.items():
                expected = direct[layer][pair] + lost[layer][pair]
                assert value == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_everything_goes_through_the_last_state_of_the_last_layer(lm, pairs):
    """NIE = TE and NDE = 0, exactly."""
    record = measured(lm, pairs, "mediation")
    last = LAYERS - 1
    for pair, value in by_place(record, "TE")[last].items():
        assert by_place(record, "NIE")[last][pair] == pytest.approx(value, abs=1e-5)
        assert by_place(record, "NDE")[last][pair] == pytest.approx(0, abs=1e-5)
        assert by_place(record, "interaction")[last][pair] == pytest.approx(0, abs=1e-5)


def test_effects_on_odds_are_shares_of_the_unchanged_ones(lm, pairs):
    """Vig et al.: TE = mean of y(u') / y(u), minus 1."""
    record = measured(lm, pairs, "mediation", measures=("odds", "logit_difference"))
    for name in ("TE", "NIE"):
        for layer, values in by_place(record, name).items():
            for pair, logits in values.items():
                found = by_place(record, name, "odds")[layer][pair]
                assert found == pytest.approx(math.exp(logits) - 1, rel=1e-6)


def test_where_prompts_agree_nothing_is_mediated_and_no_number_is_given(lm, pairs):
    """At the embedding of the last token, which is the same in all prompts."""
    site = Site("last", component="embed")
    record = measured(lm, pairs, "mediation", site=site)
    assert not record.cells
    assert {(c.component, c.layer, c.n) for c in record.vacuous} == {("embed", 0, len(pairs))}


def test_ablating_to_zero_is_that_of_a_plain_loop(lm, pairs):
    site = Site("last", component="mlp_out")
    record = measured(lm, pairs, "ablation", site=site)
    for layer in range(LAYERS):
        mlp = lm.model.model.layers[layer].mlp
        for pair in pairs:
            ids = ids_of(lm, pair.original)
            clean = difference(lm, pair, ids, "original")
            with hooked(mlp, write_last(torch.zeros(()))):
                expected = difference(lm, pair, ids, "original") - clean
            assert by_place(record, "change")[layer][pair.id] == pytest.approx(expected, abs=2e-3)
            relative = by_place(record, "relative")[layer][pair.id]
            assert relative == pytest.approx(expected / clean, abs=2e-3 / abs(clean))


def test_a_head_without_output_is_a_slice_of_zeros_in_front_of_the_projection(lm, pairs):
    site = Site("last", component="head_out")
    record = measured(lm, pairs, "ablation", {"heads": "all"}, site=site)
    projection = lm.model.model.layers[1].self_attn.o_proj
    width = projection.in_features // lm.model.config.num_attention_heads
    heads = {one.head for one in record.effects}
    assert heads == {*range(lm.model.config.num_attention_heads)}
    for head in heads:

        def cut(_module: Any, arguments: Any, head: int = head) -> Any:
            given = arguments[0].clone()
            given[0, -1, head * width : (head + 1) * width] = 0
            return (given,)

        for pair in pairs[:4]:
            ids = ids_of(lm, pair.original)
            clean = difference(lm, pair, ids, "original")
            handle = projection.register_forward_pre_hook(cut)
            expected = difference(lm, pair, ids, "original") - clean
            handle.remove()
            found = by_place(record, "change", head=head)[1][pair.id]
            assert found == pytest.approx(expected, abs=2e-3)


def tokens_of(lm, side, name) -> list[int]:
    """The tokens of the first mention of a span."""
    encoded = lm.tokenizer(side.prompt.text, return_offsets_mapping=True)
    span = next(span for span in side.prompt.spans if span.name == name)
    return [
        number
        for number, (start, end) in enumerate(encoded["offset_mapping"])
        if start < span.end and end > span.start
    ]


@pytest.mark.parametrize("layers", ["each", "window(3)", "up_to"])
def test_knockout_is_that_of_a_mask_of_minus_infinity(lm, pairs, layers):
    """The plain way: the LM's own attention, with a mask that differs in some of its layers."""
    site = Site("last", component="attn_pattern", layers=layers)
    record = measured(lm, pairs, "knockout", site=site, keys=("name_1[0].all",))
    for pair in pairs[:5]:
        ids = ids_of(lm, pair.original)
        blocked = tokens_of(lm, pair.original, "name_1")
        clean = difference(lm, pair, ids, "original")
        for layer in range(LAYERS):
            with masked(lm, [*site.swept(layer, LAYERS)], blocked, len(ids)):
                expected = difference(lm, pair, ids, "original") - clean
            assert by_place(record, "change")[layer][pair.id] == pytest.approx(expected, abs=2e-3)


@contextmanager
def masked(lm, layers: Sequence[int], keys: Sequence[int], length: int):
    mask = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)
    mask[-1, list(keys)] = torch.finfo(torch.float32).min

    def hook(_module: Any, arguments: Any, named: dict[str, Any]) -> Any:
        return arguments, {**named, "attention_mask": mask[None, None]}

    handles = [
        lm.model.model.layers[layer].self_attn.register_forward_pre_hook(hook, with_kwargs=True)
        for layer in layers
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def test_a_token_that_could_look_at_nothing_is_refused(lm, make, answer):
    pairs = answer(lm, make.pairs(20, seed=1, vary_length=False))  # the first word is a name
    with pytest.raises(CfgenError, match="knockout-no-key"):
        measured(
            lm,
            pairs,
            "knockout",
            site=Site("name_1[0]", component="attn_pattern"),
            keys=("sentence_1.all",),
        )


def test_pairs_that_are_not_answered_rightly_count_beside_in_mediation_alone(lm, pairs):
    """One pair is given an answer that the LM does not say."""
    one, other = pairs[0].original, pairs[0].counterfactual
    wrong = replace(
        pairs[0],
        original=replace(one, answer=other.answer),
        counterfactual=replace(other, answer=one.answer),
        predictions={"none": other.answer, "all": one.answer},
    )
    several = [wrong, *pairs[1:]]
    record = measured(lm, several, "mediation")
    assert {cell.n for cell in cells(record, "NIE").values()} == {len(pairs) - 1}
    assert {cell.n for cell in cells(record, "NIE, unfiltered").values()} == {len(pairs)}
    assert {one.kept for one in record.effects if one.pair_id == wrong.id} == {False}
    plain = measured(lm, several, "ablation", site=Site("last", component="mlp_out"))
    assert {cell.n for cell in cells(plain, "change").values()} == {len(pairs) - 1}
    assert not any("unfiltered" in cell.hypothesis for cell in plain.cells)


def test_intervals_are_those_of_the_average(lm, pairs):
    record = measured(lm, pairs, "ablation", site=Site("last", component="mlp_out"))
    for layer, cell in cells(record, "change").items():
        mean = mean_of([*by_place(record, "change")[layer].values()])
        assert (cell.value, cell.low, cell.high) == pytest.approx((mean.value, mean.low, mean.high))


def test_both_engines_agree(lm, pairs):
    asked = {"ablation": {"ablation": "mean"}, "knockout": {"keys": ("name_2",)}}
    for method, fields in asked.items():
        packed, plain = (
            measured(lm, pairs, method, engine=engine, **fields)
            for engine in ("packed", "reference")
        )
        for one, other in zip(packed.effects, plain.effects, strict=True):
            assert one.value == pytest.approx(other.value, abs=1e-3)


def test_pairs_without_the_tokens_are_left_out_and_counted(lm, pairs, make):
    """Of an original that lacks a position, or the tokens that are not to be looked at."""
    bare = replace(pairs[0].original, prompt=make.prompt("Ann fills the mug:"))
    answered = answered_pair(lm, pairs[0], bare)
    several = [answered, *pairs[1:]]
    ablated = measured(lm, several, "ablation", site=Site("drink_1", component="mlp_out"))
    blocked = measured(lm, several, "knockout", keys=("drink_1",))
    for record, label in ((ablated, "drink_1"), (blocked, "last not to drink_1")):
        assert record.unaligned == {label: {"the prompt has no span named 'drink_1'": 1}}
        assert {cell.n for cell in record.cells} == {len(pairs) - 1}
    with pytest.raises(CfgenError, match="drink_9"):
        measured(lm, pairs, "knockout", keys=("drink_9",))


def answered_pair(lm, pair, original):
    """A pair with another original, whose answer is what the LM says to it."""
    said = int(lm.model(torch.tensor([ids_of(lm, original)])).logits[0, -1].argmax())
    side = replace(original, answer=lm.tokenizer.decode([said]), answer_prefix="")
    predictions = {"none": side.answer, "all": pair.counterfactual.answer}
    return replace(pair, original=side, predictions=predictions)


def test_attention_patterns_are_taken_from_prompts_of_one_length(lm, pairs):
    """Whatever the length of the others: a row of a pattern has a number per token."""
    site = Site("last", component="attn_pattern")
    by_length: dict[int, list[Any]] = {}
    for pair in pairs:
        by_length.setdefault(len(ids_of(lm, pair.original)), []).append(pair)
    first, *others = sorted(by_length.values(), key=len)
    several = [first[0], *(pair for same in others for pair in same)]
    record = measured(lm, several, "ablation", site=site, ablation="mean")
    assert {one.pair_id for one in record.effects} == {pair.id for pair in several[1:]}
    (reasons,) = record.unaligned.values()
    assert [*reasons.values()] == [1]
