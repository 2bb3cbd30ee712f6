"""Continuations after changes: of whom, when, how many begin with an answer, and what is shown."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from cfgen.counterfactuals import Site
from cfgen.documents import markdown
from cfgen.errors import CfgenError
from cfgen.experiments import (
    CONTINUATIONS,
    CONTINUATIONS_FILE,
    FinishedRun,
    PartialRun,
    PlannedRun,
    Portion,
    SweepOptions,
    answer,
    begins_with,
    experiment_of,
    merge_shards,
    plan_answer,
    read_results,
)
from cfgen.notebooks import Result
from cfgen.report import plan_view, run_introduction, run_view
from tests.inquiries import ask, contents, request_of
from tests.sampling import one_in

pytestmark = pytest.mark.usefixtures("loaded")
COUNT = 6


@pytest.fixture(scope="module")
def pairs(lm, contrasting):
    return contrasting(lm, 20)


def fields_of(method: str, **fields: Any) -> dict[str, Any]:
    given = {"method": method, "generate": COUNT, "sweep": SweepOptions(over="1-2")}
    if method == "ablation":
        given |= {"measures": ("logit_difference",)}
    return {**given, **fields}


def sites(method: str) -> dict[str, Site]:
    return {"all" if method == "interchange" else method: Site("last")}


def request(pairs, method, **fields):
    return request_of(pairs, sites(method), **fields_of(method, **fields))


def record_of(lm, pairs, method, **fields):
    return ask(lm, pairs, sites(method), **fields_of(method, **fields))


def plain(lm, pair, layer: int, value, *, always: bool) -> str:
    """Token by token, everything anew, with a hook that writes at the last token of the prompt."""
    ids = lm.tokenizer(pair.original.prompt.text)["input_ids"]
    length, said = len(ids), []

    def write(_module: Any, _arguments: Any, output: Any) -> None:
        out = output[0] if isinstance(output, tuple) else output
        out[0, length - 1 : None if always else length] = value(out[0, length - 1])

    for _ in range(COUNT):
        handle = lm.model.model.layers[layer].register_forward_hook(write)
        with torch.no_grad():
            logits = lm.model(torch.tensor([[*ids, *said]])).logits[0, -1]
        handle.remove()
        said.append(int(logits.argmax()))
    end = lm.model.generation_config.eos_token_id
    return lm.tokenizer.decode(said[: said.index(end)] if end in said else said)


@pytest.mark.parametrize("engine", one_in(2, ["packed", "reference"]))
@pytest.mark.parametrize("during", ["prompt", "always"])
def test_texts_are_those_of_a_plain_loop(lm, pairs, during, engine):
    record = record_of(
        lm, pairs[:6], "ablation", ablation="clamp", value=(1.5,), during=during, engine=engine
    )
    assert {one.during for one in record.continuations} == {during}
    of = {pair.id: pair for pair in pairs}
    for one in record.continuations:
        pair = of[one.pair_id]
        expected = plain(lm, pair, one.layer, lambda x: x * 0 + 1.5, always=during == "always")
        assert one.changed == expected
        assert one.unchanged == plain(lm, pair, one.layer, lambda x: x, always=False)
    assert len(record.continuations) == 2 * 6
    assert any(one.changed != one.unchanged for one in record.continuations)


def test_an_interchange_goes_on_as_the_counterfactual_does_from_there(lm, pairs):
    """In the last layer the first token said is that of the counterfactual."""
    sweep = SweepOptions(over="3")
    record = record_of(lm, pairs, "interchange", sweep=sweep)
    assert len(record.continuations) == len(pairs)
    answers = {p.id: (p.original.answer, p.counterfactual.answer) for p in pairs}
    for number, rate in enumerate(record.rates):
        assert rate.answer == ("original", "counterfactual")[number]
        for text, share in (("unchanged", rate.unchanged), ("changed", rate.value)):
            begun = [
                begins_with(getattr(one, text), [answers[one.pair_id][number]])
                for one in record.continuations
            ]
            assert share == pytest.approx(sum(begun) / len(pairs))
        assert rate.n == len(pairs)
        assert rate.low < rate.value < rate.high
    own, other = record.rates
    assert own.unchanged > 0.5 > own.value
    assert other.unchanged < 0.5 < other.value


def test_a_change_of_nothing_goes_on_unchanged(lm, pairs):
    record = record_of(lm, pairs[:4], "ablation", ablation="add", strength=(0.0,), during="always")
    assert all(one.changed == one.unchanged for one in record.continuations)


@pytest.mark.parametrize(
    ("text", "answers", "found"),
    [
        (" tea, and then", ("tea",), True),
        (" teapot", ("tea",), False),
        ("Tea", ("tea",), False),
        ("tea", ("beer", " tea"), True),
        ("", ("tea",), False),
        ("19.", ("19",), True),
    ],
)
def test_texts_begin_with_an_answer_that_ends_there(text, answers, found):
    assert begins_with(text, answers) is found


@pytest.mark.parametrize("method", ["interchange", "ablation"])
def test_what_is_written_reads_back_and_is_shown(pairs, tmp_path, method):
    asked = request(pairs, method)
    found = answer(asked, tmp_path / "out")
    assert isinstance(found, FinishedRun)
    table = pq.read_table(tmp_path / "out" / CONTINUATIONS_FILE)
    assert table.schema.equals(CONTINUATIONS)
    assert table.num_rows == 2 * found.results.kept
    assert read_results(tmp_path / "out") == found.results
    assert len(Result(found.results, found.folder).continuations()) == table.num_rows
    shown = markdown(run_view(found.results, found.folder))
    assert "The change is made in the prompt only" in shown
    assert "texts change" in shown
    assert CONTINUATIONS_FILE in shown
    assert "with the change in the prompt only" in markdown(run_introduction(asked.inquiry))
    without = answer(request(pairs, method, generate=0), tmp_path / "without")
    assert "goes on" not in markdown(run_view(without.results, without.folder))
    with pytest.raises(CfgenError, match="no-outputs"):
        Result(without.results, without.folder).continuations()


@pytest.mark.parametrize("method", ["interchange", "ablation"])
def test_shards_and_resumption_give_the_same_bytes(pairs, tmp_path, method):
    asked = request(pairs, method, generate=3)
    answer(asked, tmp_path / "one/run")
    for number in (1, 2):
        part = answer(asked, tmp_path / f"{number}/run", portion=Portion((number, 2)))
        assert isinstance(part, PartialRun)
    shards = [tmp_path / "1/run", tmp_path / "2/run"]
    merged = merge_shards(asked, shards, tmp_path / "merged/run")
    assert isinstance(merged, FinishedRun)
    gone_on = answer(asked, tmp_path / "1/run")
    assert isinstance(gone_on, FinishedRun)
    one = contents(tmp_path / "one/run")
    assert contents(tmp_path / "merged/run") == one == contents(tmp_path / "1/run")


def test_a_plan_says_what_it_does_not_measure(pairs, tmp_path):
    planned = plan_answer(request(pairs, "ablation"), tmp_path / "out")
    assert isinstance(planned, PlannedRun)
    assert planned.plan.generated == 2 * len(pairs) * COUNT
    assert "generated" in markdown(plan_view(planned))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method: mediation\ngenerate: 3", "generate"),
        ("method: ablation\nduring: always", "during"),
        ("generate: 3\nduring: always", "interchange"),
        ("method: ablation\nablation: mean\ngenerate: 3\nduring: always", "mean"),
        ("method: behaviour\ngenerate: 3", "generate"),
        (
            "method: ablation\nsweep: {component: attn_pattern}\ngenerate: 3\nduring: always",
            "attn_pattern",
        ),
    ],
)
def test_what_a_file_must_not_say(tmp_path, text, said):
    file = tmp_path / "first.yaml"
    file.write_text(f"task: ioi\n{text}\n")
    with pytest.raises(CfgenError) as caught:
        experiment_of(str(file), {})
    assert {problem.code for problem in caught.value.problems} == {"experiment-no-meaning"}
    assert said in str(caught.value)


def test_what_has_no_room_is_told_before_anything_is_run(lm, pairs, monkeypatch):
    monkeypatch.setattr(
        "cfgen.interventions.engine.Engine.outcomes",
        lambda *_, **__: pytest.fail("a prompt was run"),
    )
    with pytest.raises(CfgenError, match="prompt-beyond-context"):
        record_of(lm, pairs[:2], "ablation", generate=1000)
