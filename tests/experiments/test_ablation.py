"""Ablation, clamping and steering: against plain loops, and what holds for any LM."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from cfgen.counterfactuals import Site
from cfgen.documents import markdown
from cfgen.errors import CfgenError
from cfgen.experiments import (
    FinishedRun,
    Portion,
    SweepOptions,
    answer,
    experiment_of,
    merge_shards,
    parse_parts,
    read_experiment,
    read_vector,
    write_experiment,
)
from cfgen.experiments.interchange import in_blocks, swap_blocks
from cfgen.interventions import Add, Constant, Copy, Edit, Read, Run
from cfgen.lm import Place
from cfgen.report import figure_bytes, figure_of, run_introduction, run_view
from tests.experiments.test_effects import (
    by_place,
    difference,
    hooked,
    ids_of,
    measured,
    state,
    write_last,
)
from tests.experiments.test_tracing import SEEDS, traceable
from tests.inquiries import contents, inquiry_of, request_of
from tests.interventions.tiny import engine_of, layout_of, lm_of, logits_of, off
from tests.sampling import one_in

LAYERS = 4
MLP = Site("last", component="mlp_out")
STATE = Site("last")


@pytest.fixture(scope="module")
def pairs(lm, contrasting):
    return contrasting(lm, 20)


def ablated(lm, pairs, ablation, site=STATE, sweep=None, **fields):
    return measured(lm, pairs, "ablation", sweep, site, ablation=ablation, **fields)


def changes(record, layer, **spot):
    return by_place(record, "change", **spot)[layer]


def with_vector(lm, pairs, vector: Path, site=STATE, sweep=None, **fields):
    """A record of steering by a file, which is read where a request is looked up."""
    from cfgen.experiments import MemoryStore, run_experiment

    asked = inquiry_of(
        pairs,
        {"ablation": site},
        method="ablation",
        ablation="add",
        vector=str(vector),
        sweep=SweepOptions(over="0-3", **(sweep or {})),
        measures=("logit_difference",),
        **fields,
    )
    return run_experiment(lm, replace(asked, vector=read_vector(vector)), MemoryStore())


# Means over all pairs


def expected_change(lm, pair, module, value, clean=None):
    ids = ids_of(lm, pair.original)
    before = difference(lm, pair, ids, "original")
    with hooked(module, write_last(value)):
        return difference(lm, pair, ids, "original") - before


@pytest.mark.parametrize("engine", ["packed", "reference"])
def test_a_mean_is_over_all_pairs_in_a_plain_loop(lm, pairs, engine):
    record = ablated(lm, pairs, "mean", MLP, engine=engine)
    for layer in (0, LAYERS - 1):
        mlp = lm.model.model.layers[layer].mlp
        mean = torch.stack([state(lm, mlp, ids_of(lm, pair.original)) for pair in pairs]).mean(0)
        for pair in pairs:
            expected = expected_change(lm, pair, mlp, mean)
            assert changes(record, layer)[pair.id] == pytest.approx(expected, abs=2e-3)


def test_a_pooled_mean_is_over_all_tokens_of_all_pairs_in_a_plain_loop(lm, pairs):
    record = ablated(lm, pairs, "pooled", MLP, {"positions": "every"})
    mlp = lm.model.model.layers[1].mlp
    rows: list[torch.Tensor] = []
    for pair in pairs:
        with hooked(mlp, lambda out: rows.append(out.clone())):
            lm.model(torch.tensor([ids_of(lm, pair.original)]))
    mean = torch.cat(rows).mean(dim=0)

    def write_all(out: torch.Tensor) -> None:
        out[:] = mean

    assert len({len(row) for row in rows}) > 1  # prompts of several lengths
    for pair in pairs[:6]:
        ids = ids_of(lm, pair.original)
        clean = difference(lm, pair, ids, "original")
        with hooked(mlp, write_all):
            expected = difference(lm, pair, ids, "original") - clean
        assert changes(record, 1)[pair.id] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("ablation", one_in(2, ["mean", "pooled", "resample", "add"]))
def test_the_division_into_blocks_makes_no_difference(lm, pairs, ablation, monkeypatch):
    before = ablated(lm, pairs, ablation, MLP)
    monkeypatch.setattr("cfgen.experiments.averages.in_blocks", partial(in_blocks, size=3))
    monkeypatch.setattr("cfgen.experiments.effects.swap_blocks", partial(swap_blocks, size=5))
    after = ablated(lm, pairs, ablation, MLP)
    for one, other in zip(before.effects, after.effects, strict=True):
        assert (one.pair_id, one.layer, one.effect) == (other.pair_id, other.layer, other.effect)
        assert one.value == pytest.approx(other.value, abs=1e-4, rel=1e-4)


def same_original(pairs, number: int):
    """Pairs with one original and several counterfactuals."""
    first = pairs[0].original
    return [
        replace(pair, original=first, predictions={**pair.predictions, "none": first.answer})
        for pair in pairs[: number * 3]
        if pair.counterfactual.answer != first.answer
    ][:number]


@pytest.mark.parametrize("ablation", ["mean", "pooled"])
def test_the_mean_over_one_example_is_what_that_has(lm, pairs, ablation):
    """So that nothing changes, at any place."""
    several = same_original(pairs, 4)
    record = ablated(lm, several, ablation)
    assert not record.cells
    assert {(cell.layer, cell.n) for cell in record.vacuous} == {(n, 4) for n in range(LAYERS)}
    with pytest.raises(CfgenError, match="no-other-pair"):
        ablated(lm, several, "resample")


@pytest.mark.slow
def test_resampling_takes_another_original_drawn_by_the_seed(lm, pairs):
    found = {seed: ablated(lm, pairs, "resample", MLP, seed=seed) for seed in (0, 1)}
    mlp = lm.model.model.layers[2].mlp
    states = [state(lm, mlp, ids_of(lm, pair.original)) for pair in pairs]
    drawn: dict[int, list[int]] = {}
    for seed, record in found.items():
        changed = changes(record, 2)
        for number, pair in enumerate(pairs):
            change = changed[pair.id]
            close = [
                other
                for other, value in enumerate(states)
                if expected_change(lm, pair, mlp, value) == pytest.approx(change, abs=2e-3)
            ]
            assert close
            assert close != [number]
            drawn.setdefault(seed, []).append(close[0])
    assert drawn[0] != drawn[1]
    assert len(set(drawn[0])) > 5  # not always the same one


# Clamping


def own_state(lm, pair, layer) -> torch.Tensor:
    return state(lm, lm.model.model.layers[layer], ids_of(lm, pair.original))


def test_clamping_to_what_is_there_changes_nothing(lm, pairs):
    """Beside a clamp to something else, which does."""
    value = tuple(own_state(lm, pairs[0], 1).tolist())
    (one,) = ablated(lm, pairs[:1], "clamp", value=value).vacuous
    assert one.layer == 1
    for layer in (0, 2):
        assert changes(ablated(lm, pairs[:1], "clamp", value=value), layer)


def test_a_clamp_is_that_of_a_plain_loop(lm, pairs):
    every, some = (
        ablated(lm, pairs[:5], "clamp", MLP, sweep, value=value)
        for value, sweep in (((0.5,), None), ((-2.0,), {"neurons": (3, 7)}))
    )
    mlp = lm.model.model.layers[2].mlp
    for pair in pairs[:5]:
        own = state(lm, mlp, ids_of(lm, pair.original))
        expected = expected_change(lm, pair, mlp, torch.full_like(own, 0.5))
        assert changes(every, 2)[pair.id] == pytest.approx(expected, abs=2e-3)
        own[7] = -2.0
        expected = expected_change(lm, pair, mlp, own)
        (found,) = [
            e.value
            for e in some.effects
            if (e.layer, e.neuron, e.pair_id, e.effect) == (2, 7, pair.id, "change")
        ]
        assert found == pytest.approx(expected, abs=2e-3)


def test_values_that_do_not_fit_are_told_before_anything_is_run(lm, pairs, monkeypatch):
    monkeypatch.setattr(
        "cfgen.interventions.engine.Engine.outcomes",
        lambda *_, **__: pytest.fail("a prompt was run"),
    )
    with pytest.raises(CfgenError, match="ablation-value"):
        ablated(lm, pairs, "clamp", value=(1.0, 2.0))


# Steering


def test_a_vector_of_zeros_changes_nothing(lm, pairs, tmp_path):
    width = lm.model.config.hidden_size
    np.save(tmp_path / "zeros.npy", np.zeros(width))
    np.save(tmp_path / "ones.npy", np.ones((LAYERS, width)))
    record = with_vector(lm, pairs[:3], tmp_path / "zeros.npy")
    assert not record.cells
    assert len(record.vacuous) == LAYERS
    assert not with_vector(lm, pairs[:3], tmp_path / "ones.npy", strength=(0.0,)).cells
    assert with_vector(lm, pairs[:3], tmp_path / "ones.npy", strength=(1.0,)).cells


def test_the_own_difference_added_once_is_an_interchange(lm, pairs, tmp_path):
    """At the last token, layer by layer, from a file with a row for each layer."""
    pair = pairs[3]
    rows = [
        state(lm, block, ids_of(lm, pair.counterfactual))
        - state(lm, block, ids_of(lm, pair.original))
        for block in lm.model.model.layers
    ]
    save_file({"difference": torch.stack(rows).numpy()}, tmp_path / "own.safetensors")
    steered = with_vector(lm, [pair], tmp_path / "own.safetensors")
    swapped = measured(lm, [pair], "mediation")  # of the counterfactual's answer: turned around
    for layer in range(LAYERS):
        (change,) = changes(steered, layer).values()
        (indirect,) = by_place(swapped, "NIE")[layer].values()
        assert change == pytest.approx(-indirect, abs=1e-4)


FAMILIES = ("llama", "gpt2", "gpt_neox", "gemma2", "opt", "cohere", "olmo2", "qwen3")


@pytest.mark.parametrize("name", FAMILIES)
def test_the_own_difference_at_all_tokens_of_a_layer_is_an_interchange(name):
    lm = lm_of(name)
    one, other = Run((9, 20, 31, 42, 53, 64)), Run((9, 21, 33, 42, 50, 11))
    every = tuple(range(6))
    runs = []
    for engine in ("packed", "reference"):
        for layer in range(4):
            place = Place("resid_post", layer)
            reads = [Read(run, every, place) for run in (one, other)]
            mine, theirs = engine_of(lm, engine).values(reads)
            added = one.with_(Edit(place, every, Add(theirs - mine)))
            runs += [added, one.with_(Edit(place, every, Copy(other)))]
        found = logits_of(lm, [*runs, one, other], engine)
        steered, swapped = found[:-2:2], found[1:-2:2]
        assert (off(swapped, steered) < 1e-3).all()
        assert (off(found[-1:].expand_as(steered), steered) < 1e-3).all()  # and that is all
        assert off(found[-2:-1], found[-1:])[0] > 1e-2


@pytest.mark.parametrize("name", FAMILIES)
def test_a_dimension_alone_is_written_over_on_either_engine(name):
    """As the state with that number changed."""
    lm = lm_of(name)
    clean = Run((9, 20, 31, 42, 53, 64))
    for engine in ("packed", "reference"):
        runs = []
        for layer in range(4):
            place = Place("resid_post", layer)
            (state_,) = engine_of(lm, engine).values([Read(clean, (4,), place)])
            whole = state_.clone()
            whole[:, 5] = 3.0
            alone = Constant(torch.full((1, 1), 3.0))
            runs.append(clean.with_(Edit(replace(place, neurons=(5,)), (4,), alone)))
            runs.append(clean.with_(Edit(place, (4,), Constant(whole))))
        found = logits_of(lm, runs, engine)
        assert (off(found[1::2], found[::2]) < 1e-3).all()


def test_pairs_are_steered_by_the_other_half_in_a_plain_loop(lm, pairs):
    record = ablated(lm, pairs, "add", strength=(1.0, -2.0))
    assert {cell.position for cell in record.cells} == {"last, strength=1", "last, strength=-2"}
    block = lm.model.model.layers[1]
    differences = [
        state(lm, block, ids_of(lm, pair.counterfactual))
        - state(lm, block, ids_of(lm, pair.original))
        for pair in pairs
    ]
    halves = torch.stack(differences[::2]).mean(0), torch.stack(differences[1::2]).mean(0)
    prompts = [{p.original.prompt.text, p.counterfactual.prompt.text} for p in pairs]
    assert sum(map(len, prompts)) == len(set().union(*prompts))  # none is in two pairs
    for number, pair in enumerate(pairs):
        own = own_state(lm, pair, 1)
        for strength in (1.0, -2.0):
            added = own + strength * halves[1 - number % 2]
            expected = expected_change(lm, pair, block, added)
            (found,) = [
                one.value
                for one in record.effects
                if (one.pair_id, one.layer, one.effect) == (pair.id, 1, "change")
                and one.position == f"last, strength={strength:g}"
            ]
            assert found == pytest.approx(expected, abs=2e-3)


def test_a_pair_that_shares_a_prompt_with_the_other_half_is_left_out(lm, pairs):
    shared = replace(pairs[1], counterfactual=pairs[0].counterfactual)
    shared = replace(shared, predictions={**shared.predictions, "all": pairs[0].predictions["all"]})
    if shared.original.answer == shared.counterfactual.answer:
        pytest.skip("the two have one answer")
    record = ablated(lm, [pairs[0], shared, *pairs[2:6]], "add")
    ((_, reasons),) = record.unaligned.items()
    assert reasons == {"a prompt of it is in the half by which it would be steered": 1}
    with pytest.raises(CfgenError, match="no-other-pair"):
        ablated(lm, pairs[:1], "add")


# Sets


def test_heads_together_are_slices_of_zeros_in_front_of_both_projections(lm, pairs):
    site = Site("last", component="head_out")
    record = measured_set(lm, pairs[:6], ("1.0,1.3,2.1",), site)
    width = lm.model.model.layers[1].self_attn.o_proj.in_features // 4

    def cutting(heads):
        def cut(_module: Any, arguments: Any) -> Any:
            given = arguments[0].clone()
            for head in heads:
                given[0, -1, head * width : (head + 1) * width] = 0
            return (given,)

        return cut

    assert {cell.layer for cell in record.cells} == {2}
    assert {cell.position for cell in record.cells} == {"last, 1.0,1.3,2.1 together"}
    for pair in pairs[:6]:
        ids = ids_of(lm, pair.original)
        clean = difference(lm, pair, ids, "original")
        handles = [
            lm.model.model.layers[layer].self_attn.o_proj.register_forward_pre_hook(cutting(heads))
            for layer, heads in ((1, (0, 3)), (2, (1,)))
        ]
        expected = difference(lm, pair, ids, "original") - clean
        for handle in handles:
            handle.remove()
        assert changes(record, 2)[pair.id] == pytest.approx(expected, abs=2e-3)


def measured_set(lm, pairs, together, site, **fields):
    from tests.inquiries import ask

    given = {"measures": ("logit_difference",), "together": together, **fields}
    return ask(lm, pairs, {"ablation": site}, method="ablation", sweep=SweepOptions(), **given)


@pytest.mark.parametrize("ablation", ["mean", "pooled", "resample", "add"])
def test_a_set_of_one_is_that_place_alone(lm, pairs, ablation):
    for component, text, sweep, spot in (
        ("head_out", "2.1", {"heads": (1,)}, {"head": 1}),
        ("mlp_neuron", "2.3-5", None, {}),
        ("mlp_out", "2", None, {}),
    ):
        site = Site("last", component=component)
        together = measured_set(lm, pairs[:8], (text,), site, ablation=ablation)
        if component == "mlp_neuron":
            site = replace(site, neurons=(3, 4, 5))
        alone = ablated(lm, pairs[:8], ablation, site, sweep)
        assert changes(together, 2) == pytest.approx(changes(alone, 2, **spot), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "component", "places"),
    [
        ("9.6, 10.0-1", "head_out", [(9, 6, ()), (10, 0, ()), (10, 1, ())]),
        ("5.0-2,5.7,4.1", "mlp_neuron", [(4, None, (1,)), (5, None, (0, 1, 2, 7))]),
        ("5.3", "resid_post", [(5, None, (3,))]),
        ("3-5", "mlp_out", [(3, None, ()), (4, None, ()), (5, None, ())]),
        ("7", "head_out", [(7, None, ())]),
    ],
)
def test_sets_are_read(text, component, places):
    found = parse_parts(text, component)
    assert [(p.layer, p.head, p.neurons) for p in found] == places
    assert {p.component for p in found} == {component}


@pytest.mark.parametrize(
    ("text", "component"),
    [
        ("", "head_out"),
        ("9.", "head_out"),
        ("5-3", "mlp_out"),
        ("9.6,9", "head_out"),
        ("a9.h6", "q"),
    ],
)
def test_what_is_no_set_is_told(text, component):
    with pytest.raises(CfgenError, match="bad-parts"):
        parse_parts(text, component)


# The importance of a dimension


def test_importance_is_that_of_a_plain_loop(lm, pairs):
    """(S - S without d) / S, of the log-probability of the answer (Li et al. 2016)."""
    record = ablated(
        lm,
        pairs[:6],
        "zero",
        sweep={"neurons": "all"},
        measures=("log_probability", "logit_difference"),
    )
    width, block = lm.model.config.hidden_size, lm.model.model.layers[2]
    assert {cell.neuron for cell in record.cells} == {*range(width)}
    assert {c.measure for c in record.cells if c.hypothesis == "importance"} == {"log_probability"}

    def log_probability(pair) -> float:
        ids = ids_of(lm, pair.original)
        logits = lm.model(torch.tensor([ids])).logits[0, -1]
        (token,) = lm.tokenizer(pair.original.answer, add_special_tokens=False)["input_ids"]
        return float(logits.log_softmax(-1)[token])

    for dimension in (0, 5, width - 1):
        expected = []
        for pair in pairs[:6]:
            whole = log_probability(pair)
            own = own_state(lm, pair, 2)
            own[dimension] = 0
            with hooked(block, write_last(own)):
                expected.append((whole - log_probability(pair)) / whole)
        (cell,) = [
            cell
            for cell in record.cells
            if (cell.hypothesis, cell.layer, cell.neuron) == ("importance", 2, dimension)
        ]
        assert cell.value == pytest.approx(np.mean(expected), abs=1e-3)
        assert (cell.position, cell.n) == ("last", 6)


# Files, folders, words


def test_a_vector_is_read_from_a_file(tmp_path):
    numbers = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "a.npy", numbers)
    save_file({"x": numbers.astype("f4")}, tmp_path / "b.safetensors")
    one, other = read_vector(tmp_path / "a.npy"), read_vector(tmp_path / "b.safetensors")
    assert one.digest == other.digest
    assert one.at(1, 2, 3).tolist() == [3, 4, 5]
    assert one.at(1, 5, 6).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(CfgenError, match="bad-vector"):
        one.at(0, 3, 2)


@pytest.mark.parametrize("kind", ["missing", "text", "objects", "words", "nan", "several", "name"])
def test_what_is_no_vector_is_told(tmp_path, kind):
    path = tmp_path / "a.npy"
    if kind == "text":
        path.write_text("1 2 3")
    elif kind == "objects":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    elif kind == "words":
        np.save(path, np.array(["a"]))
    elif kind == "nan":
        np.save(path, np.array([1, np.nan]))
    elif kind == "several":
        path = tmp_path / "a.safetensors"
        save_file({"x": np.ones(2, "f4"), "y": np.ones(2, "f4")}, path)
    elif kind == "name":
        path = tmp_path / "a.pt"
        path.write_bytes(b"")
    with pytest.raises(CfgenError, match="bad-vector"):
        read_vector(path)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("ablation: clamp", "experiment-value", "value"),
        ("value: 0", "experiment-no-meaning", "clamp"),
        ("strength: 2", "experiment-no-meaning", "add"),
        ("vector: a.npy", "experiment-no-meaning", "add"),
        ("ablation: add\nstrength: [1, 1]", "experiment-repeated", "strength"),
        ("ablation: clamp\nvalue: high", "experiment-value", "value"),
        ("ablation: clamp\nvalue: []", "experiment-value", "empty"),
        ("together: ['9.6', '9,,']\nsweep: {component: head_out}", "bad-parts", "9,,"),
        ("together: ['3']\nsweep: {over: 3-5}", "experiment-no-meaning", "together"),
        ("ablation: pooled\nsweep: {component: attn_pattern}", "experiment-no-meaning", "key"),
        ("sweep: {component: head_out, neurons: all}", "no-such-neuron", "neuron"),
    ],
)
def test_what_a_file_must_not_say(tmp_path, text, code, said):
    file = tmp_path / "first.yaml"
    file.write_text(f"task: ioi\nmethod: ablation\n{text}\n")
    with pytest.raises(CfgenError) as caught:
        experiment_of(str(file), {})
    assert {problem.code for problem in caught.value.problems} == {code}
    assert said in str(caught.value)


def test_numbers_are_written_so_that_they_read_back(tmp_path):
    given = {"ablation": "clamp", "value": [0.25, -1e-7, 0.25], "sweep.neurons": "0-2"}
    asked = experiment_of("ioi", {"method": "ablation", **given})
    assert asked.value == (0.25, -1e-7, 0.25)
    assert asked.sweep.neurons == (0, 1, 2)
    (tmp_path / "a.yaml").write_text(write_experiment(asked))
    assert read_experiment(tmp_path / "a.yaml") == asked
    (tmp_path / "b.yaml").write_text("task: ioi\nmethod: ablation\nablation: add\nstrength: 1.5\n")
    assert read_experiment(tmp_path / "b.yaml").strength == (1.5,)


KINDS: dict[str, dict[str, Any]] = {
    "pooled": {},
    "resample": {},
    "add": {"strength": (1.0, 4.0)},
    "clamp": {"value": (0.0,)},
}


def request(pairs, ablation, **fields):
    given = {"measures": ("logit_difference",), "sweep": SweepOptions(over="1-2"), **fields}
    return request_of(
        pairs, {"ablation": STATE}, method="ablation", ablation=ablation, **KINDS[ablation], **given
    )


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("ablation", one_in(2, KINDS))
def test_shards_and_resumption_give_the_same_bytes(pairs, tmp_path, ablation):
    asked = request(pairs, ablation)
    answer(asked, tmp_path / "one/run")
    for number in (1, 2):
        answer(asked, tmp_path / f"{number}/run", portion=Portion((number, 2)))
    shards = [tmp_path / "1/run", tmp_path / "2/run"]
    merged = merge_shards(asked, shards, tmp_path / "merged/run")
    assert isinstance(merged, FinishedRun)
    assert contents(tmp_path / "merged/run") == contents(tmp_path / "one/run")


@pytest.mark.usefixtures("loaded")
def test_averages_survive_a_kill_and_time_out(pairs, tmp_path, monkeypatch):
    asked = request(pairs, "pooled")
    whole = answer(asked, tmp_path / "whole/run")
    seen = []
    for stop in range(10):  # each goes on from where the one before was stopped
        asks = iter(range(1_000))
        monkeypatch.setattr(
            Portion, "due", property(lambda _, asks=asks, stop=stop: next(asks) >= stop)
        )
        part = answer(asked, tmp_path / "part/run")
        seen.append(len(list((tmp_path / "part/run/units").iterdir())))
        if isinstance(part, FinishedRun):
            break
    assert seen == sorted(seen)
    assert len(set(seen)) > 3
    assert part.results == whole.results
    assert contents(tmp_path / "part/run") == contents(tmp_path / "whole/run")


@pytest.mark.usefixtures("loaded")
def test_it_is_told_and_drawn(pairs, tmp_path):
    found = answer(request(pairs, "add"), tmp_path / "out")
    shown = markdown(run_view(found.results, found.folder))
    assert "last, strength=4" in shown
    sweep = SweepOptions(over="1,2", neurons="all")
    asked = request_of(
        pairs, {"ablation": STATE}, method="ablation", sweep=sweep, measures=("log_probability",)
    )
    many = answer(asked, tmp_path / "many")
    shown = markdown(run_view(many.results, many.folder))
    assert "importance" in shown
    assert "The 20 strongest of 64" in shown
    assert figure_bytes(figure_of(many.results), "png")
    said = markdown(run_introduction(asked.inquiry))
    assert "dimensions one by one" in said


def test_what_is_written_is_said(pairs):
    for ablation, text in (("pooled", "over their tokens"), ("add", "other half")):
        said = markdown(run_introduction(request(pairs, ablation).inquiry))
        assert text in said
    assert "clamp: 0" in markdown(run_introduction(request(pairs, "clamp").inquiry))


@pytest.mark.usefixtures("loaded")
def test_strengths_and_sets_are_drawn_as_such(pairs, tmp_path):
    asked = replace_strengths(pairs, (0.5, 1.0, 2.0))
    steered = figure_of(answer(asked, tmp_path / "steered").results)
    assert [axes.get_xlabel() for axes in steered.axes] == ["", "strength"]
    assert [len(axes.get_lines()) for axes in steered.axes] == [3, 3]  # two layers, and zero
    site = Site("last", component="head_out")
    given = {"measures": ("logit_difference",), "together": ("1.0,2.1", "3")}
    asked = request_of(pairs, {"ablation": site}, method="ablation", sweep=SweepOptions(), **given)
    drawn = figure_of(answer(asked, tmp_path / "sets").results)
    assert len(drawn.axes) == 2
    (first, _), (rows, _) = (
        ([text.get_text() for text in axes.get_yticklabels()], axes) for axes in drawn.axes
    )
    assert first == rows
    assert [label.replace("\n", "") for label in first] == [
        "last, 1.0,2.1 together",
        "last, 3 together",
    ]
    assert figure_bytes(drawn, "png")


def replace_strengths(pairs, strengths):
    given = {"measures": ("logit_difference",), "sweep": SweepOptions(over="1-2")}
    return request_of(
        pairs, {"ablation": STATE}, method="ablation", ablation="add", strength=strengths, **given
    )


# Every architecture


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "cohere"])  # says no word
def test_what_changes_nothing_changes_nothing_in_any_family(build_family_lm, make, answer, name):
    """A mean over one example, a clamp to what is there, nothing added; a zeroed head does."""
    lm = build_family_lm(name, seed=SEEDS.get(name, 0))
    every = traceable(make, answer, lm, 60)
    pairs = [p for p in every if p.original.answer != p.counterfactual.answer][:8]
    assert len(pairs) >= 3
    same = same_original(pairs, 8)
    assert len(same) > 1
    for engine in ("packed", "reference"):
        for ablation in ("mean", "pooled"):
            record = ablated(lm, same, ablation, engine=engine)
            assert not record.cells
            assert len(record.vacuous) == LAYERS
        (state_,) = engine_of(lm, engine).values(
            [Read(Run(tuple(ids_of(lm, pairs[0].original))), (last(lm, pairs[0]),), STATE_1)]
        )
        value = tuple(state_[0].tolist())
        record = ablated(lm, pairs[:1], "clamp", value=value, engine=engine)
        assert 1 in {cell.layer for cell in record.vacuous}
        assert 2 in {cell.layer for cell in record.cells}
        assert not ablated(lm, pairs, "add", strength=(0.0,), engine=engine).cells


STATE_1 = Place("resid_post", 1)


def last(lm, pair) -> int:
    return len(ids_of(lm, pair.original)) - 1


@pytest.mark.parametrize("name", FAMILIES)
def test_a_zeroed_head_is_a_slice_of_zeros_in_any_family(name):
    """In front of the output projection, whatever that is called."""
    lm = lm_of(name)
    layout, run = layout_of(name), Run((9, 20, 31, 42, 53, 64))
    place = Place("head_out", 2, head=1)
    zero = run.with_(Edit(place, (5,), Constant(torch.zeros(1, layout.head_width))))
    found = [logits_of(lm, [zero, run], engine) for engine in ("packed", "reference")]
    projection, width = layout.module_of(place), layout.head_width

    def cut(_module: Any, arguments: Any) -> Any:
        given = arguments[0].clone().view(-1, arguments[0].shape[-1])
        given[-1, width : 2 * width] = 0
        return (given.view(arguments[0].shape), *arguments[1:])

    handle = projection.register_forward_pre_hook(cut)
    try:
        with torch.no_grad():
            expected = lm.model(torch.tensor([run.prompt])).logits[0, -1]
    finally:
        handle.remove()
    for both in found:
        assert off(expected[None], both[:1])[0] < 1e-3
        assert off(both[1:], both[:1])[0] > 1e-3
