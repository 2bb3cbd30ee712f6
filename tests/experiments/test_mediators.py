"""Places that are swapped together: beside plain runs of them, and what a half is for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from cfgen.counterfactuals import Site
from cfgen.documents import markdown
from cfgen.errors import CfgenError
from cfgen.experiments import (
    Experiment,
    FinishedRun,
    SweepOptions,
    answer,
    look_up,
    read_results,
)
from cfgen.report import figure_bytes, mediators_figure, run_view
from tests.experiments.planted import signal_pairs, two_heads
from tests.inquiries import ask, contents, request_of

pytestmark = pytest.mark.usefixtures("loaded")
HEADS = SweepOptions(component="head_out", heads="all")
SITE = Site("last", component="head_out")


@pytest.fixture(scope="module")
def pairs(lm, contrasting):
    return contrasting(lm, 12)


def fields_of(**fields: Any) -> dict[str, Any]:
    given = {"measures": ("logit_difference",), "mediators": 4, **fields}
    return {"method": "mediation", "sweep": HEADS, **given}


def ids_of(lm, side) -> torch.Tensor:
    return torch.tensor([lm.tokenizer(side.prompt.text).input_ids])


def token_of(lm, answer) -> int:
    (token,) = lm.tokenizer(answer, add_special_tokens=False).input_ids
    return token


def joint(lm, pair, heads, name="NIE") -> float:
    """An effect of some heads (layer, head) at the last token together, by hooks."""
    base, source = pair.original, pair.counterfactual
    if name == "NDE":
        base, source = source, base
    width = lm.model.config.head_dim
    projections = [block.self_attn.o_proj for block in lm.model.model.layers]
    theirs: dict[int, torch.Tensor] = {}
    handles = [
        module.register_forward_pre_hook(
            lambda _, given, layer=layer: theirs.update({layer: given[0][0, -1].clone()})
        )
        for layer, module in enumerate(projections)
    ]
    difference(lm, pair, source)
    for handle in handles:
        handle.remove()

    def put(layer):
        def change(_, given):
            (states,) = given
            states = states.clone()
            for at, head in heads:
                if at == layer:
                    part = slice(head * width, (head + 1) * width)
                    states[0, -1, part] = theirs[layer][part]
            return (states,)

        return change

    handles = [m.register_forward_pre_hook(put(layer)) for layer, m in enumerate(projections)]
    after = difference(lm, pair, base)
    for handle in handles:
        handle.remove()
    return after - difference(lm, pair, pair.original)


def difference(lm, pair, side) -> float:
    """Logit of the counterfactual's answer minus that of the original's, after a prompt."""
    right, wrong = (token_of(lm, s.answer) for s in (pair.counterfactual, pair.original))
    with torch.no_grad():
        logits = lm.model(ids_of(lm, side)).logits[0, -1].double()
    return float(logits[right] - logits[wrong])


def halves(pairs):
    """Every other pair, without those whose prompts are in the first half."""
    one = pairs[::2]
    seen = {s.prompt.text for pair in one for s in (pair.original, pair.counterfactual)}
    other = [
        pair
        for pair in pairs[1::2]
        if not {pair.original.prompt.text, pair.counterfactual.prompt.text} & seen
    ]
    return one, other


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_sets_are_chosen_and_judged_as_in_a_plain_loop(lm, pairs, engine):
    record = ask(lm, pairs, {"mediation": SITE}, engine=engine, **fields_of())
    kept = [pairs[index] for index in record.behaviour.kept]
    choosing, judging = halves(kept)
    every = [(layer, head) for layer in record.layers for head in range(4)]
    alone = {place: mean(joint(lm, pair, [place]) for pair in choosing) for place in every}
    found = record.mediators
    assert (found.chosen_on, found.judged_on) == (len(choosing), len(judging))
    total = mean(joint_total(lm, pair) for pair in choosing)
    sign = 1 if total > 0 else -1
    top = sorted(every, key=lambda place: -sign * alone[place])
    greedy = top[:1]
    while len(greedy) < 4:
        left = [place for place in top if place not in greedy]
        worth = [sign * mean(joint(lm, p, [*greedy, place]) for p in choosing) for place in left]
        greedy.append(left[worth.index(max(worth))])
    drawn = [one for one in found.sets if one.selection == "random"]
    places = [(one.added.layer, one.added.head) for one in drawn]
    assert len({*places}) == 4
    for name, order in (("top", top), ("greedy", greedy), ("random", places)):
        mine = [one for one in found.sets if one.selection == name]
        assert [(one.added.layer, one.added.head) for one in mine] == order[:4]
        for one in mine:
            for effect in ("NIE", "NDE"):
                made = one.effect(effect)
                each = (joint(lm, pair, order[: one.size], effect) for pair in judging)
                assert made.value == pytest.approx(mean(each), abs=1e-4)
                assert made.low <= made.value <= made.high
                assert one.effect(f"{effect}, unfiltered").value == made.value
    total = mean(joint_total(lm, pair) for pair in judging)
    assert [one.effect for one in found.totals] == ["TE", "TE, unfiltered"]
    assert [one.value for one in found.totals] == [pytest.approx(total, abs=1e-4)] * 2


def joint_total(lm, pair) -> float:
    """TE: the counterfactual's logit difference minus the original's."""
    return difference(lm, pair, pair.counterfactual) - difference(lm, pair, pair.original)


def effects_of(record, selection) -> list[tuple[float, float]]:
    """NIE and NDE, set by set."""
    return [
        (round(one.effect("NIE").value, 5), round(one.effect("NDE").value, 5))
        for one in record.mediators.sets
        if one.selection == selection
    ]


@pytest.mark.parametrize("engine", ["packed", "reference"])
@pytest.mark.parametrize("selection", ["top", "greedy"])
@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        # either of two heads does it all, and nothing is lost before both are held
        (0, [(1, 1), (1, 0)]),
        # nothing goes through one of them alone, and nothing is left without one
        (1, [(0, 0), (1, 0)]),
    ],
    ids=["redundant", "both needed"],
)
def test_what_planted_heads_do_together(monkeypatch, threshold, expected, selection, engine):
    lm = two_heads(threshold)
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda *_, **__: lm)
    fields = fields_of(mediators=2, sweep=HEADS.model_copy(update={"over": "0"}))
    record = ask(lm, signal_pairs(), {"mediation": SITE}, engine=engine, **fields)
    assert effects_of(record, selection) == expected
    assert [one.value for one in record.mediators.totals] == [pytest.approx(1, abs=1e-5)] * 2


def test_pairs_that_are_answered_wrongly_are_counted_beside(lm, pairs):
    """They choose nothing, whichever half they are in."""
    wrong = [
        replace(pair, original=replace(pair.original, answer=pair.counterfactual.answer),
                counterfactual=replace(pair.counterfactual, answer=pair.original.answer))
        if index in (2, 5)
        else pair
        for index, pair in enumerate(pairs)
    ]  # fmt: skip
    record = ask(lm, wrong, {"mediation": SITE}, **fields_of(mediators=1))
    assert {2, 5}.isdisjoint(record.behaviour.kept)
    one, other = halves(wrong)
    right = [pair for pair in other if pair is not wrong[5]]
    assert record.mediators.chosen_on == len(one) - 1
    assert record.mediators.judged_on == len(right)
    first = record.mediators.sets[0]
    place = [(first.added.layer, first.added.head)]
    for name, among in (("NIE", right), ("NIE, unfiltered", other)):
        expected = mean(joint(lm, pair, place) for pair in among)
        assert first.effect(name).value == pytest.approx(expected, abs=1e-4)
        assert first.effect(name).n == len(among)


def test_states_overwrite_one_another():
    experiment = Experiment(task="ioi", method="mediation", mediators=3, n=4)
    with pytest.raises(CfgenError, match="mediators-of-states"):
        look_up(experiment)


def test_what_is_written_reads_back_and_is_shown(pairs, tmp_path):
    asked = request_of(pairs, {"mediation": SITE}, **fields_of(mediators=2))
    made = answer(asked, tmp_path / "one")
    assert isinstance(made, FinishedRun)
    assert read_results(tmp_path / "one").mediators == made.results.mediators
    answer(request_of(pairs, {"mediation": SITE}, **fields_of(mediators=2)), tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    text = markdown(run_view(made.results, tmp_path / "one"))
    assert "Mediators together" in text
    assert "at random (control)" in text
    assert figure_bytes(mediators_figure(made.results), "png")


def test_nothing_is_drawn_where_none_were_asked_for(pairs, tmp_path):
    made = answer(request_of(pairs, {"mediation": SITE}, **fields_of(mediators=0)), tmp_path / "o")
    assert isinstance(made, FinishedRun)
    assert made.results.mediators is None
    with pytest.raises(CfgenError, match="nothing-to-draw"):
        mediators_figure(made.results)


def test_no_guide_that_sees_all_pairs_chooses_for_both_halves():
    experiment = Experiment(task="ioi", method="mediation", mediators=3, guide="attribution", n=4)
    with pytest.raises(CfgenError, match="mediators-with-guide"):
        look_up(experiment)


def test_one_pair_makes_no_halves(lm, pairs):
    with pytest.raises(CfgenError, match="no-mediator-pairs"):
        ask(lm, pairs[:1], {"mediation": SITE}, **fields_of())
