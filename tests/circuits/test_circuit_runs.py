"""Searches for circuits as runs in folders: what is written, resumption, mistakes, the command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import cfgen
from cfgen.circuits import (
    CIRCUIT_FILE,
    CURVE_FILE,
    DOT_FILE,
    EDGES_FILE,
    PERCENT,
    CircuitRun,
    PairBatch,
    faithfulness,
    find_circuits,
    judge_circuit,
    make_halves,
    planned_runs,
    read_circuit,
    read_circuit_results,
    wire,
)
from cfgen.documents import markdown
from cfgen.errors import CfgenError
from cfgen.experiments import (
    MEASURES,
    PartialRun,
    Portion,
    answer,
    compare_runs,
    experiment_of,
    judge,
    merge_shards,
    plan_answer,
    read_results,
)
from cfgen.interventions import Question, Run, choose_engine, read_answers
from cfgen.lm import encode_pairs
from cfgen.report import (
    circuit_figure,
    circuit_introduction,
    circuit_sentences,
    circuit_view,
    curve_figure,
    figure_bytes,
)
from tests.inquiries import contents, request_of
from tests.stories import WORDS, build_pair

pytestmark = pytest.mark.usefixtures("loaded")


@pytest.fixture
def loaded(lm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda *_, **__: lm)


@pytest.fixture(scope="module")
def lm(build_tiny_lm):
    return build_tiny_lm(WORDS, layers=2)


@pytest.fixture(scope="module")
def pairs(lm, make, answer):
    """Pairs whose two answers differ."""
    found = answer(lm, make.pairs(120, seed=5))
    return [p for p in found if p.original.answer != p.counterfactual.answer][:20]


def asked(pairs, **fields: Any):
    given = {"measures": ("logit_difference",), "exact": 6, "steps": 2, "edges": 10.0, **fields}
    return request_of(pairs, {}, method="circuit", **given)


@pytest.fixture(scope="module")
def found(pairs, lm, tmp_path_factory) -> CircuitRun:
    folder = tmp_path_factory.mktemp("circuit") / "run"
    made = find_circuits(asked(pairs), folder, lm=lm)
    assert isinstance(made, CircuitRun)
    return made


def test_what_is_written_reads_back(pairs, found):
    results, circuit = found.results, found.circuit
    assert read_circuit_results(found.folder) == results
    assert read_circuit(found.folder) == circuit
    again = find_circuits(asked(pairs), found.folder)
    assert isinstance(again, CircuitRun)
    assert again.found
    edges = pq.read_table(found.folder / EDGES_FILE).to_pandas()
    assert len(edges) == results.edges == len(circuit.graph)
    assert edges["chosen"].sum() == len(circuit.edges) == results.circuit
    assert (circuit.mask() == edges["chosen"].to_numpy()).all()
    curve = pq.read_table(found.folder / CURVE_FILE).to_pandas()
    assert {*curve["pair_id"]} == {*results.judged_on}
    of_none = curve[curve["ranking"] == "none"]["measure"].mean()
    assert of_none == pytest.approx(results.none.value)
    assert (found.folder / DOT_FILE).read_text() == circuit.dot()


def test_edges_are_judged_by_pairs_that_did_not_choose_them(found):
    results = found.results
    assert results.chosen_on
    assert results.judged_on
    assert not {*results.chosen_on} & {*results.judged_on}
    assert found.circuit.pairs == results.chosen_on
    found.circuit.check_unseen(results.judged_on)
    with pytest.raises(CfgenError, match="circuit-saw-pair"):
        found.circuit.check_unseen(results.chosen_on)


def test_the_curve_begins_and_ends_where_it_should(found):
    for ranking in ("signed", "absolute", "random"):
        points = [point for point in found.results.curve if point.ranking == ranking]
        assert [point.percent for point in points] == [*PERCENT]
        assert points[-1].faithfulness.value == 1
        assert points[-1].edges == points[-1].connected == found.results.edges
        assert all(point.connected <= point.edges for point in points)
    assert found.results.cmd.value < found.results.random_cmd.value
    for estimate in (found.results.cpr, found.results.cmd, found.results.stability):
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.n


def test_estimates_are_compared_with_exact_effects(found):
    samples = {sample.among: sample for sample in found.results.exact}
    assert samples["all"].edges == samples["circuit"].edges == 3
    assert all(sample.pairs == 8 for sample in samples.values())
    assert all(-1 <= sample.correlation <= 1 for sample in samples.values())


def test_what_single_nodes_are_worth(pairs, found, lm):
    """The same as measured by hand, and a circuit whose only ways lead through a node has none."""
    made = find_circuits(asked(pairs, nodes=3), found.folder.parent / "nodes", lm=lm)
    assert isinstance(made, CircuitRun)
    circuit, graph = made.circuit, made.circuit.graph
    assert len(made.results.losses) == 3
    halves = make_halves(encode_pairs(lm.tokenizer, pairs))
    judging = [pair for pair in halves.judging if pair.name in made.results.judged_on]
    batch = PairBatch(wire(choose_engine(lm, "reference")), judging)
    corrupted = batch.sent(batch.corrupted)
    ends = [batch.mixed(graph.mask(some), corrupted) for some in ((), tuple(graph.edges()))]
    whole = faithfulness(batch.mixed(circuit.mask(), corrupted), *ends)
    for loss in made.results.losses:
        rest = [edge for edge in circuit.edges if loss.node not in (edge.sender, edge.node)]
        left = faithfulness(batch.mixed(graph.mask(rest), corrupted), *ends)
        assert loss.loss.value == pytest.approx(whole - left, abs=1e-4)
    assert "without" in " ".join(circuit_sentences(made.results))
    kinds = [gap.how for gap in made.results.gaps]
    assert kinds[0] == "none"
    assert kinds[-1] == "greedy"
    assert {*kinds[1:-1]} == {"random"}
    strongest = {loss.node for loss in made.results.losses}
    for gap in made.results.gaps:
        assert {*gap.nodes} <= strongest
        measured = [
            faithfulness(
                batch.mixed(
                    graph.mask([e for e in some if not {e.sender, e.node} & {*gap.nodes}]),
                    corrupted,
                ),
                *ends,
            )
            for some in (circuit.edges, tuple(graph.edges()))
        ]
        assert [gap.circuit.value, gap.model.value] == pytest.approx(measured, abs=1e-4)
        assert gap.gap.value == pytest.approx(measured[1] - measured[0], abs=1e-4)
    assert len(made.results.gaps[-1].nodes) == 3
    assert "Circuit and LM lie furthest apart" in " ".join(circuit_sentences(made.results))
    text = markdown(circuit_view(made.results, circuit, made.folder))
    assert "Completeness" in text
    assert len(made.plot().axes) == 2


def test_memory_that_does_not_suffice_makes_less_go_at_once(
    found, pairs, tmp_path, lm, monkeypatch
):

    sent, sizes = PairBatch.sent, []

    def little(self, batch):
        sizes.append(batch.input_ids.numel())
        if batch.input_ids.numel() > 64:
            raise MemoryError
        return sent(self, batch)

    monkeypatch.setattr(PairBatch, "sent", little)
    made = find_circuits(asked(pairs), tmp_path / "run", lm=lm)
    assert isinstance(made, CircuitRun)
    assert max(sizes) > 64
    assert made.results.cmd.value == pytest.approx(found.results.cmd.value, abs=1e-3)


def test_a_circuit_is_judged_again_on_pairs_that_did_not_choose_it(found, pairs, lm):
    halves = make_halves(encode_pairs(lm.tokenizer, pairs))
    judging = [pair for pair in halves.judging if pair.name in found.results.judged_on]
    engine = choose_engine(lm)
    again = judge_circuit(engine, found.circuit, judging)
    (point,) = [p for p in found.results.curve if (p.ranking, p.percent) == ("absolute", 10.0)]
    assert again.value == pytest.approx(point.faithfulness.value, abs=1e-4)
    assert again.low == pytest.approx(point.faithfulness.low, abs=1e-3)
    with pytest.raises(CfgenError, match="circuit-saw-pair"):
        judge_circuit(engine, found.circuit, halves.choosing)
    other = found.circuit.model_copy(update={"layers": 3})
    with pytest.raises(CfgenError, match="circuit-of-another"):
        judge_circuit(engine, other, judging)


def test_the_measure_is_the_logit_difference_of_other_methods(pairs, lm):
    engine, encoded = choose_engine(lm, "reference"), encode_pairs(lm.tokenizer, pairs)
    halves = {pair.name: pair for half in _both(make_halves(encoded)) for pair in half}
    for pair in encoded:
        answers = (pair.pair.original.answer, pair.pair.counterfactual.answer)
        replies, _ = read_answers(
            engine, [Run(pair.original.ids)], [pair.original_tree], [answers], Question()
        )
        expected = MEASURES["logit_difference"].of(judge(pair, "none", replies[0]))
        batch = PairBatch(wire(engine), [halves[pair.pair.id]])
        assert batch.plain(batch.clean)[0] == pytest.approx(expected, abs=1e-4)


def _both(halves):
    return halves.choosing, halves.judging


def test_what_was_stopped_goes_on_and_comes_to_the_same(pairs, found, tmp_path, lm):
    """Whatever the moment at which it is stopped: every time, one unit more is there."""
    dones: list[int] = []
    for most in range(1, 40):
        portion = Stops(tmp_path / "run/units", most)
        part = find_circuits(asked(pairs), tmp_path / "run", portion=portion, lm=lm)
        if isinstance(part, CircuitRun):
            break
        assert part.remainder.late
        assert part.remainder.done < part.remainder.units
        dones.append(part.remainder.done)
    assert dones == sorted(dones)
    assert len({*dones}) > 5
    assert contents(tmp_path / "run") == contents(found.folder)


class Stops(Portion):
    """Time is up once there are so many units."""

    def __init__(self, folder: Path, most: int) -> None:
        super().__init__()
        object.__setattr__(self, "there", lambda: len([*folder.glob("*.parquet")]) >= most)

    @property
    def due(self) -> bool:
        return self.there()  # type: ignore[attr-defined]


def test_it_is_told_and_drawn(found):
    said = circuit_sentences(found.results)
    assert "CPR" in said[0]
    assert "CMD" in said[0]
    assert "other circuits may do as well" in " ".join(said)
    view = markdown(circuit_view(found.results, found.circuit, found.folder))
    assert "| 10 %" in view
    assert "he circuit is" not in view
    for figure in (curve_figure(found.results), circuit_figure(found.circuit)):
        assert figure_bytes(figure, "png").startswith(b"\x89PNG")


def test_it_shows_itself_in_a_notebook(found):
    assert len(found.to_pandas()) == 3 * len(PERCENT)
    assert {"value", "low", "high"} <= {*found.to_pandas().columns}
    assert len(found.edges()) == found.results.edges
    assert repr(found).startswith("CircuitRun(stories, ")
    assert "CPR" in found._repr_html_()


def test_from_python(pairs, lm, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "original": pair.original.prompt.text,
            "original_answer": pair.original.answer,
            "counterfactual": pair.counterfactual.prompt.text,
            "counterfactual_answer": pair.counterfactual.answer,
        }
        for pair in pairs[:10]
    ]
    made = cfgen.run(rows, model=lm, method="circuit", exact=0, steps=1, edges=30)
    assert isinstance(made, CircuitRun)
    assert made.circuit.edges


def test_more_edges_to_write_down_compute_only_what_is_new(pairs, found, tmp_path, lm, monkeypatch):
    other = find_circuits(asked(pairs, edges=20.0), found.folder.parent / "other", lm=lm)
    assert isinstance(other, CircuitRun)
    assert len(other.circuit.edges) > len(found.circuit.edges)
    assert other.results.cpr == found.results.cpr
    taken = (other.folder / "log.jsonl").read_text().count("taken over")
    assert taken > 3


@pytest.mark.parametrize("selection", ["top", "greedy"])
def test_selections_and_plain_gradients(pairs, tmp_path, lm, selection):
    request = asked(pairs[:10], selection=selection, steps=1, exact=0, edges=7.5)
    made = find_circuits(request, tmp_path / "run", lm=lm)
    assert isinstance(made, CircuitRun)
    assert made.results.exact == ()
    assert 7.5 in {point.percent for point in made.results.curve}
    assert (made.circuit.selection, made.circuit.steps) == (selection, 1)
    view = markdown(circuit_introduction(request.inquiry))
    assert "gradients of the clean run" in view
    assert selection in view


def test_a_circuit_without_a_way_is_told(found):
    nothing = found.circuit.model_copy(update={"edges": (), "scores": ()})
    results = found.results.model_copy(update={"circuit": 0})
    view = markdown(circuit_view(results, nothing, found.folder))
    assert "--selection greedy" in view
    assert figure_bytes(circuit_figure(nothing), "png")


# Pairs that are no use


def encoded(lm, pairs):
    return encode_pairs(lm.tokenizer, pairs)


def test_pairs_are_divided_and_those_of_no_use_counted(lm, pairs, make):
    story = make.story(("Ann", "Ben"), ("mug", "jar"), ("tea", "milk"), 0)
    longer = make.story(("Ann", "Ben"), ("mug", "jar"), ("tea", "milk"), 0, "Story: ")
    sides = [replace(story, answer=" tea"), replace(longer, answer=" milk")]
    odd = [
        build_pair(sides[0], sides[1], 900),
        build_pair(sides[0], sides[0], 901),
        build_pair(sides[0], replace(pairs[0].original, answer=None), 902),
    ]
    halves = make_halves(encoded(lm, [*pairs, *odd[:2]]))
    assert len(halves.choosing) == 10
    assert len(halves.judging) == 10
    assert halves.unusable == {
        "both prompts have the same answer": 1,
        "the two prompts have different numbers of tokens": 1,
    }
    twice = make_halves(encoded(lm, [pairs[0], replace(pairs[0], id="again"), *pairs[1:4]]))
    assert twice.unusable == {"a prompt of it chose edges, in another pair": 1}


def test_too_few_pairs(lm, pairs):
    for few in ([], pairs[:1]):
        with pytest.raises(CfgenError, match=r"no-circuit-pairs\](.|\n)*-n"):
            make_halves(encoded(lm, few))


# What must not be said, or asked


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("measures: [kl]", "circuit-measure", "its gradient is zero"),
        ("measures: [rank]", "circuit-measure", "no gradient"),
        ("measures: [probability]", "circuit-measure", "logit difference"),
        ("hypotheses: [x]", "experiment-no-meaning", "hypotheses"),
        ("sweep: {over: 3}", "experiment-no-meaning", "sweep"),
        ("ablation: mean", "experiment-no-meaning", "ablation"),
        ("engine: {verify: 1}", "experiment-no-meaning", "engine.verify"),
        ("nodes: 21", "experiment-value", "nodes"),
        ("steps: 0", "experiment-value", "steps"),
        ("edges: 101", "experiment-value", "edges"),
        ("selection: best", "experiment-value", "selection"),
    ],
)
def test_what_a_file_must_not_say(tmp_path: Path, text: str, code: str, said: str) -> None:
    file = tmp_path / "first.yaml"
    file.write_text(f"task: ioi\nmethod: circuit\n{text}\n")
    with pytest.raises(CfgenError) as caught:
        experiment_of(str(file), {})
    assert {problem.code for problem in caught.value.problems} == {code}
    assert said in str(caught.value)


def test_edges_belong_to_circuits(tmp_path: Path) -> None:
    file = tmp_path / "first.yaml"
    file.write_text("task: ioi\nmethod: paths\nsteps: 5\n")
    with pytest.raises(CfgenError, match="experiment-no-meaning"):
        experiment_of(str(file), {})


def test_what_is_for_other_runs(pairs, found, tmp_path):
    request = asked(pairs)
    for attempt in (
        lambda: answer(request, tmp_path / "a"),
        lambda: plan_answer(request, tmp_path / "a"),
        lambda: merge_shards(request, [found.folder], tmp_path / "a"),
        lambda: read_results(found.folder),
        lambda: compare_runs({"one": read_results(found.folder)}),
    ):
        with pytest.raises(CfgenError, match="circuit-only"):
            attempt()
    with pytest.raises(CfgenError, match="no-circuit"):
        read_circuit_results(tmp_path)


def test_a_wiring_that_does_not_add_up_is_told(pairs, tmp_path, lm, monkeypatch):

    plain = PairBatch.plain
    monkeypatch.setattr(PairBatch, "plain", lambda self, batch: plain(self, batch) + 0.1)
    with pytest.raises(CfgenError, match="circuit-does-not-add-up"):
        find_circuits(asked(pairs), tmp_path / "run", lm=lm)


def test_prompts_that_make_no_difference(lm, pairs, tmp_path, monkeypatch):

    monkeypatch.setattr(PairBatch, "measured", lambda self, logits: logits[:, 0] * 0)
    with pytest.raises(CfgenError, match="circuit-no-difference"):
        find_circuits(asked(pairs), tmp_path / "run", lm=lm)


def test_the_command(cli: Any, found, tmp_path) -> None:
    shown = cli("results", found.folder).out
    assert "CPR" in shown
    assert "Faithfulness" in shown
    assert cli("results", found.folder, "--json").json["cmd"]["n"] == len(found.results.judged_on)
    cli("figure", found.folder, "--out", tmp_path / "curve.png")
    cli("figure", found.folder, "--measure", "kl").failed("[unknown-measure]")
    cli("figure", found.folder, "--circuit", "--out", tmp_path / "circuit.svg")
    assert (tmp_path / "circuit.svg").exists()
    planned = cli("run", "ioi", "--method", "circuit", "-n", "8", "--nodes", "3", "--plan").out
    assert "completeness, nodes looked for" in planned
    cli("run", "ioi", "--method", "circuit", "--shard", "1/2").failed("[circuit-only]")
    assert "CMD" in cli("methods", "circuit").out


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Any:
    from tests.cli.conftest import cli as made

    return made.__wrapped__(monkeypatch)


def test_keep_and_ablate_are_edits(found, lm):
    """What a circuit keeps, and what it ablates, together are all edges."""
    kept = found.circuit.keep(Run((5, 6, 7)), range(3))
    gone = found.circuit.ablate(Run((5, 6, 7)), range(3))
    reads = sum(len(edit.value.reads) for edit in (*kept, *gone)) / 2
    assert reads == found.results.edges
    assert np.isfinite(found.circuit.scores).all()


def test_files_are_named(found) -> None:
    assert {CIRCUIT_FILE, DOT_FILE, EDGES_FILE, CURVE_FILE, "pairs.parquet", "results.json"} <= {
        path.name for path in found.folder.iterdir()
    }


def test_a_portion_that_is_due_computes_nothing(pairs, tmp_path, lm):
    part = find_circuits(asked(pairs), tmp_path / "run", portion=Portion(until=0.0), lm=lm)
    assert isinstance(part, PartialRun)
    assert part.remainder.late


def test_what_will_be_run_is_counted_before(pairs, found, tmp_path, lm, monkeypatch):
    """As many circuits as are measured."""
    request = asked(pairs, nodes=3)
    planned = {one.step: one for one in planned_runs(request.inquiry.experiment)}
    measured = []
    mixed = PairBatch.mixed

    def counted(self, mask, corrupted, **options):
        measured.append(len(self.pairs))
        return mixed(self, mask, corrupted, **options)

    monkeypatch.setattr(PairBatch, "mixed", counted)
    find_circuits(request, tmp_path / "run", lm=lm)
    steps = [one for one in planned.values() if "circuits" in one.step or "compl" in one.step]
    most = sum(one.forwards for one in steps)
    assert 0.6 * most < sum(measured) <= most
