"""Effects as runs in folders: shards, resumption, another measure, figures, files, mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cfgen.counterfactuals import Site
from cfgen.documents import markdown
from cfgen.errors import CfgenError
from cfgen.experiments import (
    EFFECTS,
    EFFECTS_FILE,
    METHODS,
    FinishedRun,
    PartialRun,
    PlannedRun,
    Portion,
    SweepOptions,
    answer,
    compare_runs,
    experiment_of,
    merge_shards,
    plan_answer,
    read_results,
)
from cfgen.notebooks import Result
from cfgen.report import comparison_view, figure_bytes, figure_of, run_view, sentences
from tests.inquiries import contents, request_of
from tests.sampling import one_in

FIELDS = {
    "mediation": {},
    "ablation": {"ablation": "mean"},
    "knockout": {"keys": ("name_1[0].all", "drink_1")},
    "tracing": {"corrupt": "name_1[0]", "draws": 2},
    "paths": {"receivers": ("logits", "3.1.q")},
}

pytestmark = pytest.mark.usefixtures("loaded")


@pytest.fixture(scope="module")
def pairs(lm, make, answer):
    return answer(lm, make.pairs(80, seed=3))[:36]


def asked(pairs, method: str, **fields: Any):
    site = Site("last", component=METHODS[method].component)
    given = {
        "measures": ("logit_difference",),
        "sweep": SweepOptions(over="1-2"),
        **FIELDS[method],
        **fields,
    }
    return request_of(pairs, {method: site}, method=method, **given)


@pytest.mark.parametrize("method", FIELDS)
def test_what_is_written_reads_back(pairs, tmp_path, method):
    found = answer(asked(pairs, method), tmp_path / "out")
    assert isinstance(found, FinishedRun)
    table = pq.read_table(tmp_path / "out" / EFFECTS_FILE)
    assert table.schema.equals(EFFECTS)
    at_layer = {"knockout": 2, "paths": 4 * 2}  # of two keys; of four heads to two receivers
    places = 2 * at_layer.get(method, 1)
    of_pairs = len(pairs) if METHODS[method].unfiltered else found.results.kept
    effects = [name for name, one in METHODS[method].effects.items() if not one.measures]
    assert table.num_rows == places * len(effects) * of_pairs
    assert read_results(tmp_path / "out") == found.results
    result = Result(found.results, found.folder)
    assert len(result.effects()) == table.num_rows
    assert len(result.to_pandas()) == len(found.results.cells)
    with pytest.raises(CfgenError, match="no-outputs"):
        result.outputs()


@pytest.mark.parametrize("method", one_in(3, FIELDS))
def test_shards_and_resumption_give_the_same_bytes(pairs, tmp_path, method):
    request = asked(pairs, method)
    answer(request, tmp_path / "one/run")
    for number in (1, 2):
        part = answer(request, tmp_path / f"{number}/run", portion=Portion((number, 2)))
        assert isinstance(part, PartialRun)
        assert 0 < part.remainder.done < part.remainder.units
    shards = [tmp_path / "1/run", tmp_path / "2/run"]
    merged = merge_shards(request, shards, tmp_path / "merged/run")
    assert isinstance(merged, FinishedRun)
    gone_on = answer(request, tmp_path / "1/run")
    assert isinstance(gone_on, FinishedRun)
    one = contents(tmp_path / "one/run")
    assert contents(tmp_path / "merged/run") == one == contents(tmp_path / "1/run")


def test_another_measure_needs_no_run(pairs, tmp_path, monkeypatch):
    answer(asked(pairs, "mediation"), tmp_path / "first")
    monkeypatch.setattr(
        "cfgen.interventions.engine.Engine.outcomes",
        lambda *_, **__: pytest.fail("the LM was asked again"),
    )
    found = answer(asked(pairs, "mediation", measures=("odds", "kl")), tmp_path / "second")
    assert {cell.measure for cell in found.results.cells} == {"odds", "kl"}


@pytest.mark.parametrize("method", one_in(3, FIELDS))
def test_it_is_told_and_drawn(pairs, tmp_path, method):
    found = answer(asked(pairs, method), tmp_path / "out")
    said = sentences(found.results)
    told = [name for name in METHODS[method].effects if name not in ("TE", "importance")]
    assert [sentence.partition(":")[0] for sentence in said] == told
    assert run_view(found.results, found.folder).blocks
    assert figure_bytes(figure_of(found.results), "png").startswith(b"\x89PNG")


@pytest.mark.slow
def test_heads_and_tokens_are_maps(pairs, tmp_path):
    sweep = SweepOptions(over="1-2", heads="all")
    site = Site("last", component="head_out")
    request = request_of(
        pairs, {"mediation": site}, method="mediation", sweep=sweep, measures=("odds",)
    )
    found = answer(request, tmp_path / "heads")
    assert len({cell.head for cell in found.results.cells}) > 1
    assert figure_bytes(figure_of(found.results), "png")
    every = asked(pairs, "mediation", sweep=SweepOptions(over="1-2", positions="every"))
    tokens = {cell.token for cell in answer(every, tmp_path / "tokens").results.cells}
    assert {"drink_1[0]", "last"} <= tokens


def test_runs_are_compared_by_their_effects(pairs, tmp_path):
    named = {"one": {"ablation": "zero"}, "other": {"ablation": "resample"}}
    runs = {
        name: answer(asked(pairs, "ablation", **fields), tmp_path / name).results
        for name, fields in named.items()
    }
    comparison = compare_runs(runs)
    assert {cell.one.hypothesis for cell in comparison.cells} == {"change", "relative"}
    shown = markdown(comparison_view(comparison))
    assert "no number" not in shown
    assert "largest" in shown


@pytest.mark.parametrize(
    ("method", "fields", "code"),
    [
        ("knockout", {"keys": ("name_1.al",)}, "position-unknown"),
        ("knockout", {"sweep": SweepOptions(over="9")}, "no-such-layer"),
        ("mediation", {"sweep": SweepOptions(positions=("nowhere",))}, "position-unknown"),
        ("ablation", {"sweep": SweepOptions(positions=("nowhere",))}, "position-unknown"),
    ],
)
def test_a_place_that_there_is_not_is_told_before_any_prompt_is_run(
    pairs, tmp_path, monkeypatch, method, fields, code
):
    monkeypatch.setattr(
        "cfgen.interventions.engine.Engine.outcomes",
        lambda *_, **__: pytest.fail("a prompt was run"),
    )
    with pytest.raises(CfgenError, match=code):
        answer(asked(pairs, method, **fields), tmp_path / "out")


@pytest.mark.parametrize("engine", one_in(2, ["packed", "reference"]))
@pytest.mark.parametrize("method", one_in(3, FIELDS))
def test_what_is_planned_is_what_the_run_takes(pairs, tmp_path, method, engine):
    request = asked(pairs, method, engine=engine)
    planned = plan_answer(request, tmp_path / "out")
    assert isinstance(planned, PlannedRun)
    plan, before = planned.plan, {path.name for path in (tmp_path / "out/units").iterdir()}
    found = answer(request, tmp_path / "out").results
    assert before < {path.name for path in (tmp_path / "out/units").iterdir()}
    taken = found.engine.clean.passes + found.engine.swaps.passes
    assert plan.passes == pytest.approx(taken, rel=0.1)
    assert plan.keep_rate == pytest.approx(found.keep_rate, abs=0.15)
    assert plan.seconds > 0
    assert isinstance(plan_answer(request, tmp_path / "out"), FinishedRun)


def test_pairs_without_another_are_left_out_and_counted(pairs, tmp_path):
    few = asked(pairs[:1], "ablation")
    with pytest.raises(CfgenError, match="no-other-pair"):
        answer(few, tmp_path / "one")
    odd = answer(asked(pairs[:17], "ablation"), tmp_path / "odd")  # whatever the blocks
    assert {cell.n for cell in odd.results.cells} == {odd.results.kept}


# Files


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("method: mediation\nhypotheses: [x]", "experiment-no-meaning", "hypotheses"),
        ("method: mediation\nkeys: [x]", "experiment-no-meaning", "keys"),
        ("method: mediation\nablation: mean", "experiment-no-meaning", "ablation"),
        ("method: mediation\nmeasures: [iia]", "experiment-no-meaning", "iia"),
        ("method: knockout\nkeys: []", "experiment-value", "keys"),
        ("method: knockout\nkeys: ['a[']", "position-syntax", "a["),
        (
            "method: knockout\nkeys: [a]\nsweep: {component: mlp_out}",
            "experiment-no-meaning",
            "sweep.component",
        ),
        ("method: paths\nsweep: {component: resid_post}", "experiment-value", "head_out"),
        ("method: paths\nsweep: {layers: up_to}", "experiment-no-meaning", "sweep.layers"),
        ("method: paths\nreceivers: ['9.6']", "bad-receiver", "9.6"),
        ("method: knockout\nkeys: [a]\nsweep: {positions: every}", "experiment-no-meaning", "pos"),
        ("method: ablation\nablation: median", "experiment-value", "median"),
        ("method: mediaton", "experiment-value", "mediaton"),
        ("keys: [a]", "experiment-no-meaning", "keys"),
        ("method: behaviour\nablation: zero", "experiment-no-meaning", "ablation"),
    ],
)
def test_what_a_file_must_not_say(tmp_path: Path, text: str, code: str, said: str) -> None:
    file = tmp_path / "first.yaml"
    file.write_text(f"task: ioi\n{text}\n")
    with pytest.raises(CfgenError) as caught:
        experiment_of(str(file), {})
    assert {problem.code for problem in caught.value.problems} == {code}
    assert said in str(caught.value)
    assert "first.yaml:" in str(caught.value)


def test_what_is_measured_if_nothing_is_said() -> None:
    assert experiment_of("ioi", {"method": "mediation"}).measures == ("logit_difference",)
    assert experiment_of("ioi", {}).measures == ("iia",)
    chosen = experiment_of("ioi", {"method": "mediation", "measures": ["odds"]})
    assert chosen.measures == ("odds",)


def test_methods_are_listed_and_explained(cli: Any) -> None:
    listed = cli("methods").out
    assert all(name in listed for name in METHODS)
    explained = cli("methods", "mediation").out
    assert all(name in explained for name in METHODS["mediation"].effects)
    assert "2004.12265" in explained
    cli("methods", "mediaton").failed("[unknown-name]", "mediation")
    assert [one["name"] for one in json.loads(cli("methods", "--json").out)] == [*METHODS]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Any:
    from tests.cli.conftest import cli as made

    return made.__wrapped__(monkeypatch)
