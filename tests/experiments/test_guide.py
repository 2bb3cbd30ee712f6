"""Estimates from gradients against plain loops, and what a guide runs."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr

from cfgen.counterfactuals import Site
from cfgen.documents import markdown
from cfgen.errors import CfgenError
from cfgen.experiments import (
    METHODS,
    FinishedRun,
    PlannedRun,
    Portion,
    SweepOptions,
    answer,
    check_guided,
    experiment_of,
    merge_shards,
    plan_answer,
    read_results,
)
from cfgen.report import figure_bytes, figure_of, run_view
from tests.inquiries import ask, contents, request_of
from tests.sampling import one_in
from tests.stories import WORDS

pytestmark = pytest.mark.usefixtures("loaded")
EACH_HEAD = {"component": "head_out", "heads": "all"}


@pytest.fixture(scope="module")
def pairs(lm, contrasting):
    return contrasting(lm, 20)


def fields_of(sweep: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    given = {"measures": ("logit_difference",), "guide": "attribution", **fields}
    return {"method": "mediation", "sweep": SweepOptions(**(sweep or {})), **given}


def places_of(record, aim="NIE"):
    """Place -> its estimate."""
    (found,) = (one for one in record.guidance if one.aim == aim)
    return {(place.layer, place.head): place.estimate for place in found.places}


def guided(lm, pairs, sweep=None, site=None, **fields):
    site = site or Site("last", component=(sweep or {}).get("component", "resid_post"))
    return ask(lm, pairs, {"mediation": site}, **fields_of(sweep, **fields))


def request(pairs, sweep=None, **fields):
    site = Site("last", component=(sweep or {}).get("component", "resid_post"))
    return request_of(pairs, {"mediation": site}, **fields_of(sweep, **fields))


# Estimates


def ids_of(lm, side) -> torch.Tensor:
    return torch.tensor([lm.tokenizer(side.prompt.text).input_ids])


def token_of(lm, side) -> int:
    (token,) = lm.tokenizer(side.answer, add_special_tokens=False).input_ids
    return token


def states(lm, side, modules) -> list[torch.Tensor]:
    """What some modules give at the last token, or are given if they are projections."""
    found: dict[Any, torch.Tensor] = {}

    def keep(module, arguments, output):
        tensor = arguments[0] if isinstance(module, torch.nn.Linear) else output
        tensor = tensor[0] if isinstance(tensor, tuple) else tensor
        if tensor.requires_grad:
            tensor.retain_grad()
        found[module] = tensor

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        embedded = lm.model.get_input_embeddings()(ids_of(lm, side)).detach()
        # weights take no gradients, but what is computed from a text does
        logits = lm.model(inputs_embeds=embedded.requires_grad_()).logits[0, -1]
    finally:
        for handle in handles:
            handle.remove()
    return [found[module] for module in modules], logits


def plain_estimates(lm, pairs, modules):
    """Pair by pair, without padding: (difference * gradient) (pairs, layers, width)."""
    rows = []
    for pair in pairs:
        with torch.no_grad():
            theirs, _ = states(lm, pair.counterfactual, modules)
        ours, logits = states(lm, pair.original, modules)
        wrong, right = token_of(lm, pair.counterfactual), token_of(lm, pair.original)
        (logits[wrong] - logits[right]).backward()
        rows.append(
            torch.stack(
                [
                    (b[0, -1] - a[0, -1].detach()) * a.grad[0, -1]
                    for a, b in zip(ours, theirs, strict=True)
                ]
            )
        )
        lm.model.zero_grad()
    return torch.stack(rows)


def test_estimates_of_states_are_those_of_a_plain_loop(lm, pairs):
    record = guided(lm, pairs, guided=1)
    blocks = list(lm.model.model.layers)
    expected = plain_estimates(lm, pairs, blocks).sum(-1).mean(0)
    found = {layer: estimate for (layer, _), estimate in places_of(record).items()}
    assert found == pytest.approx(dict(enumerate(expected.tolist())), abs=1e-4)


def test_estimates_of_heads_are_those_of_a_plain_loop(lm, pairs):
    record = guided(lm, pairs, EACH_HEAD, guided=2)
    projections = [block.self_attn.o_proj for block in lm.model.model.layers]
    heads = lm.model.config.num_attention_heads
    expected = plain_estimates(lm, pairs, projections).unflatten(-1, (heads, -1)).sum(-1).mean(0)
    found = places_of(record)
    assert len(found) == expected.numel()
    for (layer, head), estimate in found.items():
        assert estimate == pytest.approx(float(expected[layer, head]), abs=1e-4)


# Every method, in a network in which estimates are exact


class Bent(torch.nn.Module):
    """What a linear network has in place of a norm."""

    def forward(self, states):
        return states.contiguous()


@pytest.fixture(scope="module")
def linear(build_tiny_lm):
    """An LM that is linear in all that it is given: every head attends evenly, no MLP bends."""
    lm = build_tiny_lm(WORDS, family="gpt2", layers=3, activation_function="linear")
    width, body = lm.model.config.n_embd, lm.model.transformer
    body.ln_f = Bent().eval()
    for block in body.h:
        block.ln_1, block.ln_2 = Bent().eval(), Bent().eval()
        block.attn.c_attn.weight[:, : 2 * width] = 0
        block.attn.c_attn.bias[: 2 * width] = 0
    return lm


@pytest.fixture(scope="module")
def linear_pairs(linear, make, answer):
    """Pairs of equal length."""
    found = [
        pair
        for pair in answer(linear, make.pairs(200, seed=7, vary_length=False))
        if pair.original.answer != pair.counterfactual.answer
    ]
    assert len(found) >= 6
    return [replace(pair, index=index) for index, pair in enumerate(found[:6])]


TOKENS = {"positions": ("name_1[0]", "last")}
ASKED = {
    "mediation": [{}, {**EACH_HEAD, **TOKENS}, {"component": "mlp_out", "layers": "window(2)"}],
    "ablation": [
        {},
        {**EACH_HEAD, **TOKENS},
        {"component": "mlp_out", "ablation": "mean"},
        {"component": "mlp_out", "ablation": "pooled"},
        {"component": "resid_post", "ablation": "clamp", "value": 0.3},
        {"component": "resid_post", "ablation": "add", "strength": (0.5, 2.0)},
        {"component": "head_out", "heads": (1,), "ablation": "resample"},
    ],
    "knockout": [{"keys": ("name_1[0]", "drink_1[0]")}, {"keys": ("jar_1[0]",), "heads": "all"}],
    "paths": [
        {},
        {"mlps": "frozen", "component": "attn_out"},
        {"mlps": "frozen", "component": "mlp_out", "receivers": ("logits", "2.1.v", "2.mlp")},
        {"receivers": ("2.mlp", "1.1.v"), "heads": (0, 3)},
        {"receivers": ("2.0.v", "1.mlp"), "component": "attn_out"},
    ],
    "tracing": [
        {"component": "resid_post", "positions": "every"},
        {"component": "head_out", "heads": "all"},
        {"component": "attn_out"},
    ],
}
CASES = [(method, fields) for method, several in ASKED.items() for fields in several]


@pytest.mark.parametrize(("method", "fields"), one_in(2, CASES))
def test_in_a_linear_network_estimates_are_exact(linear, linear_pairs, method, fields):
    """But for windows, each of whose layers overwrites some of what comes of the one before."""
    options = {name: fields[name] for name in fields if name in SweepOptions.model_fields}
    given = {name: fields[name] for name in fields if name not in options}
    if method == "tracing":
        given |= {"corrupt": "name_1[0]", "draws": 2, "noise": "1"}
    component = options.get("component", METHODS[method].component)
    site = Site("last", component=component, layers=options.get("layers", "each"))
    record = guided(linear, linear_pairs, options, site, method=method, guided=1000, **given)
    (guidance,) = record.guidance
    assert guidance.estimated == guidance.measure == "logit_difference"
    assert {place.run for place in guidance.places} == {"promising"}
    exact = {
        cell.place: cell.value
        for cell in record.cells
        if cell.hypothesis == METHODS[method].estimate.effect
    }
    apart = [
        abs(place.estimate - exact[place.place])
        for place in guidance.places
        if place.place in exact  # some do not differ
    ]
    assert apart
    largest = max(map(abs, exact.values()))
    assert largest > 0.01
    assert max(apart) < (1e-3 * largest if "window" not in site.layers else largest)


def test_swaps_are_estimated_by_what_hypotheses_predict(linear, linear_pairs):
    """How far the log odds of the prediction rise, against those of the original's answer."""
    words = [text for text in linear.tokenizer.batch_decode([[n] for n in range(20, 30)])]
    pairs = [
        replace(
            pair,
            predictions={
                **pair.predictions,
                "third": next(
                    w for w in words if w not in (pair.original.answer, pair.counterfactual.answer)
                ),
            },
        )
        for pair in linear_pairs
    ]
    sites = {"all": Site("last"), "third": Site("name_1[0]", component="mlp_out")}
    record = ask(
        linear, pairs, sites, measures=("logit_difference",), guide="attribution", guided=1
    )
    plain = ask(linear, pairs, sites, measures=("logit_difference",))
    clean = {
        name: statistics.fmean(
            difference(linear, pair.original, pair.predictions[name], pair.original.answer)
            for pair in pairs
        )
        for name in sites
    }
    assert [one.aim for one in record.guidance] == ["all", "third"]
    assert len(plain.cells) == 12
    for one in record.guidance:
        assert [place.run for place in one.places].count("promising") == 1
        assert [place.run for place in one.places].count("random") == 1
        rises = {
            cell.layer: cell.value - clean[one.aim]
            for cell in plain.cells
            if cell.hypothesis == one.aim
        }
        for place in one.places:
            assert place.estimate == pytest.approx(rises[place.layer], rel=1e-3, abs=1e-3)
        best = max(one.places, key=lambda place: place.estimate)
        assert best.run == "promising"
    known = {(c.hypothesis, *c.place): c.value for c in plain.cells}
    assert len(record.cells) == 8  # two places of each, with the control
    for cell in record.cells:
        assert cell.value == pytest.approx(known[cell.hypothesis, *cell.place])
        assert record.outputs


def difference(lm, side, right, wrong):
    logits = lm.model(ids_of(lm, side)).logits[0, -1]
    one, other = (lm.tokenizer(text, add_special_tokens=False).input_ids for text in (right, wrong))
    return float(logits[one[0]] - logits[other[0]])


def test_zeros_are_estimated_as_by_a_plain_loop(lm, pairs):
    """``-z dy/dz``, y the log odds of the original's answer."""
    record = guided(lm, pairs, EACH_HEAD, method="ablation", guided=2)
    modules = [block.self_attn.o_proj for block in lm.model.model.layers]
    rows = []
    for pair in pairs:
        ours, logits = states(lm, pair.original, modules)
        (logits[token_of(lm, pair.original)] - logits[token_of(lm, pair.counterfactual)]).backward()
        rows.append(torch.stack([-a[0, -1].detach() * a.grad[0, -1] for a in ours]))
        lm.model.zero_grad()
    heads = lm.model.config.num_attention_heads
    expected = torch.stack(rows).mean(0).unflatten(-1, (heads, -1)).sum(-1)
    for (layer, head), estimate in places_of(record, "change").items():
        assert estimate == pytest.approx(float(expected[layer, head]), abs=1e-4)


@pytest.mark.parametrize("measure", ["probability", "log_odds", "odds"])
def test_what_is_measured_is_what_is_estimated(lm, pairs, measure):
    """In that measure itself; what it comes to is known from slopes of runs."""
    fields = {"method": "mediation", "measures": (measure,), "guided": 1000}
    record = guided(lm, pairs, {"component": "mlp_out"}, **fields)
    (guidance,) = record.guidance
    assert guidance.estimated == guidance.measure == measure
    exact = {c.layer: c.value for c in record.cells if c.hypothesis == "NIE"}
    found = [place.estimate for place in guidance.places]
    assert spearmanr(found, [exact[place.layer] for place in guidance.places]).statistic > 0


# What is run


def test_the_most_promising_are_run_and_some_others(lm, pairs):
    record = guided(lm, pairs, EACH_HEAD, guided=3)
    (guidance,) = record.guidance
    promising = [place for place in guidance.places if place.run == "promising"]
    rest = [place for place in guidance.places if place.run != "promising"]
    drawn = [place for place in rest if place.run == "random"]
    assert (len(promising), len(drawn)) == (3, 3)
    least = min(abs(place.estimate) for place in promising)
    assert all(abs(place.estimate) <= least for place in rest)
    run = {cell.place for cell in record.cells}
    assert run == {place.place for place in (*promising, *drawn)}
    assert not record.vacuous
    exact = {c.place: c.value for c in record.cells if c.hypothesis == "NIE"}
    expected = spearmanr([p.estimate for p in drawn], [exact[p.place] for p in drawn]).statistic
    assert guidance.compared == 3
    assert guidance.correlation == pytest.approx(expected)


def test_what_is_run_comes_out_as_without_a_guide(lm, pairs):
    some = guided(lm, pairs, EACH_HEAD, guided=3).cells
    every = guided(lm, pairs, EACH_HEAD, guide=None).cells
    known = {(c.hypothesis, *c.place): c for c in every}
    assert len(some) < len(every)
    for cell in some:
        same = known[cell.hypothesis, *cell.place]
        assert cell.value == pytest.approx(same.value, abs=1e-4)
        assert cell.n == same.n


def test_engines_agree(lm, pairs):
    found = [
        guided(lm, pairs, EACH_HEAD, guided=3, engine=engine) for engine in ("packed", "reference")
    ]
    one, other = (record.guidance[0].places for record in found)
    assert one == other  # estimates are made in one way


def test_few_places_are_all_run(lm, pairs):
    record = guided(lm, pairs, guided=32)
    (guidance,) = record.guidance
    assert {place.run for place in guidance.places} == {"promising"}
    assert (guidance.compared, guidance.correlation) == (0, None)


@pytest.mark.slow
def test_another_seed_draws_others(lm, pairs):
    def drawn(seed):
        places = guided(lm, pairs, EACH_HEAD, guided=2, seed=seed).guidance[0].places
        return {place.place for place in places if place.run == "random"}

    assert len({frozenset(drawn(seed)) for seed in range(6)}) > 1
    assert drawn(3) == drawn(3)


# As a run


def test_shards_and_resumption_give_the_same_bytes(pairs, tmp_path):
    asked = request(pairs, EACH_HEAD, guided=2)
    whole = answer(asked, tmp_path / "whole")
    assert isinstance(whole, FinishedRun)
    for share in (1, 2):
        answer(asked, tmp_path / f"of{share}", portion=Portion((share, 2)))
    shards = [tmp_path / "of1", tmp_path / "of2"]
    merge_shards(asked, shards, tmp_path / "merged")
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")
    assert read_results(tmp_path / "merged").guidance == whole.results.guidance


def test_it_is_planned(pairs, tmp_path):
    asked = request(pairs, EACH_HEAD, guided=2)
    plan = plan_answer(asked, tmp_path / "out")
    assert isinstance(plan, PlannedRun)
    assert plan.plan.cells == 4
    assert isinstance(answer(asked, tmp_path / "out"), FinishedRun)


def test_it_is_reported_and_drawn(pairs, tmp_path):
    found = answer(request(pairs, EACH_HEAD, guided=2), tmp_path / "out")
    text = markdown(run_view(found.results, tmp_path / "out"))
    assert "NIE: of 16 places, 2 were run since the effect estimated from gradients" in text
    assert "2 of the others, drawn at random" in text
    assert "Spearman, n = 2" in text
    assert figure_bytes(figure_of(found.results), "png")


def test_answers_that_no_token_tells_apart_have_no_gradient(pairs, tmp_path):
    same = [
        replace(pair, counterfactual=replace(pair.counterfactual, answer=pair.original.answer))
        for pair in pairs
    ]
    with pytest.raises(CfgenError, match=r"no-estimate|no-pair-kept"):
        answer(request(same, guided=2), tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("method: behaviour\nguide: attribution", "experiment-no-meaning", "nothing is swapped"),
        ("method: mediation\nguided: 3", "experiment-no-meaning", "without a `guide`"),
        ("method: mediation\nguide: guess", "experiment-value", "attribution"),
        ("method: mediation\nguide: attribution\nguided: 0", "experiment-value", "less than 1"),
    ],
)
def test_a_guide_that_cannot_be_is_refused(tmp_path, text, code, said):
    file = tmp_path / "e.yaml"
    file.write_text(f"task: ioi\n{text}\n")
    with pytest.raises(CfgenError) as caught:
        experiment_of(str(file), {})
    assert any(p.code == code and said in f"{p.message} {p.hint}" for p in caught.value.problems)


def test_states_of_several_layers_are_not_estimated():
    sites = {"all": Site("last", layers="up_to")}
    with pytest.raises(CfgenError) as caught:
        check_guided(sites)
    (problem,) = caught.value.problems
    assert problem.code == "no-estimate"
    assert "resid_post in several layers at once (up_to)" in problem.message
    check_guided({"all": Site("last")})
    check_guided({"all": Site("last", layers="window(3)", component="mlp_out")})


def test_swaps_with_a_guide_are_shared_out_and_come_out_the_same(pairs, tmp_path):
    """Whoever computes them, and when: estimates come first, then the places chosen."""
    fields = {"guide": "attribution", "guided": 2, "sweep": SweepOptions(**EACH_HEAD)}
    asked = request_of(pairs, {"all": Site("last", component="head_out")}, **fields)
    assert isinstance(plan_answer(asked, tmp_path / "plan"), PlannedRun)
    whole = answer(asked, tmp_path / "whole")
    for share in (1, 2):
        answer(asked, tmp_path / f"of{share}", portion=Portion((share, 2)))
    merge_shards(asked, [tmp_path / "of1", tmp_path / "of2"], tmp_path / "merged")
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")
    text = markdown(run_view(whole.results, tmp_path / "whole"))
    assert "all: of 16 places, 2 were run since the effect estimated from gradients" in text
    assert figure_bytes(figure_of(whole.results), "png")
