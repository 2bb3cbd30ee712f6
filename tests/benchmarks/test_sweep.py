"""The side-by-side sweep: the same jobs for all tools, and every disagreement is reported."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import sweep
from sweeps import child, models
from sweeps.compare import compare
from sweeps.floor import find_floor
from sweeps.jobs import HEAD, Cell, Job, read_job, write_job
from sweeps.rates import Calls, plain_seconds
from sweeps.tools import plain
from sweeps.workloads import Options, make_jobs

from cfgen.datasets import draw_pairs, recipe
from cfgen.lm import LM, find_layout
from cfgen.tasks import candidates_of

LAYERS, HEADS = 3, 4


@pytest.fixture(scope="module")
def folder(build_tiny_lm: Callable[..., LM], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LM whose tokenizer knows every word of the pairs that are drawn."""
    made_of = recipe("belief_tracking", 60, design="restate")
    pairs = draw_pairs(made_of)
    sides = [side for pair in pairs for side in (pair.original, pair.counterfactual)]
    words = {word.strip(".,:?") for side in sides for word in side.prompt.text.split()}
    words |= {text for texts in candidates_of(made_of.task, pairs).values() for text in texts}
    lm = build_tiny_lm(sorted(words), layers=LAYERS, heads=HEADS)
    made = tmp_path_factory.mktemp("model") / "tiny"
    lm.model.save_pretrained(made)
    lm.tokenizer.save_pretrained(made)
    return made


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run the tools here, instead of in processes of their own, and measure the rate quickly."""

    def run_child(job: Job, tool: str, options: argparse.Namespace) -> dict[str, Any]:
        path, out = tmp_path / "job.json", tmp_path / "out.json"
        write_job(job, path)
        given = {"job": path, "tool": tool, "out": out, "device": "cpu", "dtype": "float32"}
        given |= {"threads": 1, "repeats": options.repeats, "limit": 0, "patience": 0}
        child.main([text for name, value in given.items() for text in (f"--{name}", str(value))])
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    monkeypatch.setattr(sweep, "run_child", run_child)
    monkeypatch.setattr("sweeps.rates.SECONDS", 0.01)


def command(folder: Path, out: Path, *more: str) -> list[str]:
    return ["--model", str(folder), "--pairs", "2", "--repeats", "2", "--out", str(out), *more]


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_all_engines_give_the_same_and_the_tables_say_so(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "sweep.json"
    tools = ("--tools", "reference,packed,plain")
    assert sweep.main(command(folder, out, "--workload", "a,b,c,d,g,h,p", *tools)) == 0
    result = json.loads(out.read_text())
    rows = {(row["workload"], row["tool"]): row for row in result["rows"]}
    ours = {(w, t) for w in "abcdghp" for t in ("reference", "packed")}
    assert set(rows) == ours | {(w, "plain") for w in "abcdghp"}
    for workload in "ghp":
        assert rows.pop((workload, "plain"))["status"] == "unsupported"
    cells = {"a": LAYERS, "b": 4 * LAYERS, "d": LAYERS * HEADS, "h": 10 * LAYERS}
    length = int(rows["c", "plain"]["tokens_per_prompt"])
    assert 40 < length < 80
    cells |= {"c": LAYERS * length, "g": LAYERS * length, "p": LAYERS * HEADS}
    for (workload, tool), row in rows.items():
        assert row["status"] == "ran"
        assert row["cells"] == row["cells_run"] == cells[workload]
        assert row["seconds"] <= row["seconds_median"]
        assert (row["repeats"], row["pairs"]) == (2, 2)
        assert row["peak_mib"] > 50
        assert row["floor_seconds"] > 0
        assert row["plain_seconds"] > 0
        assert row["tokens"] >= row["floor_tokens"]
        if tool != "reference":
            assert row["compared"] == 2 * cells[workload]
            assert row["disagreements"] == []
            assert row["difference"] < 1e-4
            assert row["distinct_answers"] == rows[workload, "reference"]["distinct_answers"]
    assert rows["c", "reference"]["distinct_answers"] > 1
    # plain: every cell and the counterfactuals, each a forward of all pairs
    assert rows["c", "plain"]["tokens"] == 2 * length * (cells["c"] + 1)
    assert rows["c", "packed"]["tokens"] < rows["c", "reference"]["tokens"] / 2
    page = out.with_suffix(".md").read_text()
    assert page.count("| packed |") == 7
    assert f"| packed | {cells['c']} |" in page
    assert "cells differ" not in page


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_growth_is_told_in_tokens_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options("random-llama-2", 2, lengths=(6, 12), depths=(1, 2))
    jobs = make_jobs("ef", options)
    monkeypatch.setattr(sweep, "make_jobs", lambda *_: jobs)
    out = tmp_path / "sweep.json"
    assert sweep.main(["--workload", "e,f", "--repeats", "1", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    named = [(row["variant"], row["tool"]) for row in rows]
    assert named == [
        (variant, tool)
        for variant in ("length 6", "length 12", "layers 1", "layers 2")
        for tool in ("reference", "packed")
    ]  # others are left out of these two
    page = out.with_suffix(".md").read_text()
    assert "- `reference`, from length 6 to length 12: tokens × blocks 2 ×, time " in page
    assert "random-llama-1, random-llama-2, 2 pairs" in page


@pytest.mark.usefixtures("in_process")
def test_a_planted_disagreement_is_reported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = child.measure

    def tampered(options: argparse.Namespace) -> dict[str, Any]:
        found = measure(options)
        if options.tool == "packed":
            found["answers"][1][2] += 1
            found["logits"][1][2][0] += 1.0
        return found

    monkeypatch.setattr(child, "measure", tampered)
    out = tmp_path / "sweep.json"
    tools = ("--tools", "reference,packed")
    assert sweep.main(command(folder, out, "--workload", "a", *tools)) == 1
    packed = json.loads(out.read_text())["rows"][1]
    (one,) = packed["disagreements"]
    assert (one["pair"], one["component"], one["layer"], one["head"]) == (1, "resid_post", 2, None)
    assert one["found"] == one["expected"] + 1
    assert one["difference"] == pytest.approx(1, abs=1e-3)
    page = out.with_suffix(".md").read_text()
    assert "5 of 6 equal" in page
    assert "`packed`, a: 1 cells differ, 1 of them by more than" in page
    assert f"pair 1, resid_post of layer 2 at token {one['position']}: {one['found']} said" in page


def test_rounding_is_no_fault_of_the_engine() -> None:
    row = {"tool": "packed", "status": "ran", "tolerance": 1e-3}
    assert not sweep.wrong({**row, "disagreements": [{"difference": 1e-4}]})
    assert sweep.wrong({**row, "disagreements": [{"difference": 1e-4}, {"difference": 0.1}]})
    assert sweep.wrong({**row, "disagreements": [{"difference": float("nan")}]})
    assert sweep.wrong({**row, "status": "failed"})
    assert not sweep.wrong({**row, "tool": "other", "disagreements": [{"difference": 0.1}]})


@pytest.mark.usefixtures("in_process")
def test_a_tool_that_is_absent_or_fails_has_a_row_with_the_reason(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> str:
        if name == "pyvene":
            raise PackageNotFoundError(name)
        return "1.0"

    def broken(*_arguments: object) -> None:
        raise RuntimeError("no such hook")

    monkeypatch.setattr(child, "version", absent)
    monkeypatch.setattr(plain, "run", broken)
    out = tmp_path / "sweep.json"
    tools = ("--tools", "reference,plain,pyvene")
    assert sweep.main(command(folder, out, "--workload", "a", *tools)) == 0
    statuses = {row["tool"]: row.get("reason") for row in json.loads(out.read_text())["rows"]}
    assert statuses["reference"] is None
    assert statuses["plain"] == "RuntimeError: no such hook"
    assert statuses["pyvene"] == "pyvene is not installed"
    assert (
        "| pyvene | not installed: pyvene is not installed |" in out.with_suffix(".md").read_text()
    )


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_rows_of_an_earlier_run_can_be_kept(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.json"
    sweep.main(command(folder, out, "--workload", "d", "--tools", "plain"))
    sweep.main(command(folder, out, "--workload", "a", "--tools", "packed", "--add"))
    sweep.main(command(folder, out, "--workload", "a", "--tools", "packed,reference", "--add"))
    rows = json.loads(out.read_text())["rows"]
    named = [(row["workload"], row["tool"]) for row in rows]
    assert named == [("a", "reference"), ("a", "packed"), ("d", "plain")]
    with pytest.raises(SystemExit, match="made with another settings"):
        sweep.main(command(folder, out, "--workload", "a", "--add", "--threads", "2"))


def test_growth_workloads_have_the_lengths_and_depths_they_name(tmp_path: Path) -> None:
    options = Options("random-llama-3", length=20, lengths=(5, 9), depths=(1, 2))
    jobs = make_jobs("bef", options)
    assert [job.title for job in jobs] == [
        "b",
        "e length 5",
        "e length 9",
        "f layers 1",
        "f layers 2",
    ]
    four, short, _, one, two = jobs
    assert {cell.to[0] for cell in four.cells} == {4, 9, 14, 19}
    assert {len(ids) for ids in short.originals + short.counterfactuals} == {5}
    assert [cell.layer for cell in short.cells] == [0, 1, 2]
    assert (one.model, len(one.cells)) == ("random-llama-1", 1)
    assert (two.model, len(two.cells)) == ("random-llama-2", 2)
    write_job(four, tmp_path / "job.json")
    assert read_job(tmp_path / "job.json") == four


def test_positions_are_those_of_the_words(folder: Path) -> None:
    lm = models.load(str(folder), "cpu", "float32")
    (job,) = make_jobs("b", Options(str(folder), pairs=3))
    slots = [job.cells[number * LAYERS] for number in range(4)]
    pairs = draw_pairs(recipe("belief_tracking", 3, design="restate"))
    for number, name in enumerate(("character_1", "drink_1", "drink_2")):
        for index, pair in enumerate(pairs):
            sides = (
                (pair.original, job.originals, slots[number].to),
                (pair.counterfactual, job.counterfactuals, slots[number].of),
            )
            for side, prompts, positions in sides:
                token = prompts[index][positions[index]]
                assert lm.tokenizer.decode([token]).strip() == side.slots[name]
    assert slots[3].to == tuple(len(ids) - 1 for ids in job.originals)


def make_job(cells: list[Cell], length: int, **more: Any) -> Job:
    sides = (tuple(range(length)),), (tuple(range(1, length + 1)),)
    return Job("a", "", "", "random-llama-3", *sides, ((1, 2),), tuple(cells), 1, **more)


WIDTH, INNER, LENGTH = 256, 704, 10
MATRICES, MLP = 2 * WIDTH * WIDTH + 2 * WIDTH * WIDTH // 2, 3 * WIDTH * INNER
TOKEN = 2 * (MATRICES + MLP)
KEYS = 2 * WIDTH * WIDTH  # keys and values: two matrices of half as many columns
AFTER = 2 * (WIDTH * WIDTH + MLP)
PROMPT = 3 * (LENGTH * TOKEN + 4 * WIDTH * 55)  # 55 = 1 + 2 + ... + 10
VOCABULARY = 2 * WIDTH * 2048


@pytest.mark.parametrize(
    ("cell", "passed", "flops"),
    [
        (Cell("resid_post", 0, None, (9,), (9,)), 2, 2 * (TOKEN + 4 * WIDTH * 10) + VOCABULARY),
        (
            Cell("resid_post", 1, None, (7,), (7,)),
            2,
            TOKEN + 4 * WIDTH * 10 + KEYS + VOCABULARY,
        ),
        (Cell("resid_post", 2, None, (7,), (7,)), 0, 0),  # useless
        (Cell(HEAD, 2, 1, (9,), (9,)), 0, AFTER + VOCABULARY),
    ],
)
def test_the_floor_is_what_pencil_and_paper_give(cell: Cell, passed: int, flops: int) -> None:
    lm = models.load("random-llama-3", "cpu", "float32")
    floor = find_floor(lm, find_layout(lm.model), make_job([cell], LENGTH))
    assert floor.tokens == pytest.approx(2 * LENGTH + passed / 3)
    assert floor.flops == 2 * PROMPT + flops


def test_what_both_prompts_begin_with_is_computed_once() -> None:
    lm = models.load("random-llama-3", "cpu", "float32")
    cells = [Cell("resid_post", 0, None, (at,), (at,)) for at in (3, 9)]
    job = make_job(cells, LENGTH)
    other = (*job.originals[0][:5], *job.counterfactuals[0][5:])
    floor = find_floor(lm, find_layout(lm.model), replace(job, counterfactuals=(other,)))
    assert round(3 * floor.tokens) == 30 + 15 + 2  # the fourth token is the same in both


def test_the_floor_of_what_is_built_upon_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.jobs.WINDOW", 3)
    lm = models.load("random-llama-3", "cpu", "float32")
    layout = find_layout(lm.model)

    def least(job: Job) -> tuple[int, float]:
        floor = find_floor(lm, layout, job)
        return round(3 * floor.tokens), floor.flops

    # noise from the sixth token on: half of the corrupted run is the unchanged one's
    noisy = 3 * (5 * TOKEN + 4 * WIDTH * (6 + 7 + 8 + 9 + 10))
    late, early = (Cell("resid_post", 0, None, (at,), (at,)) for at in (9, 2))
    found = least(make_job([late, early], LENGTH, kind="restoration", noisy=((5, 7),)))
    above = 2 * (TOKEN + 4 * WIDTH * 10)
    assert found == (30 + 15 + 2, PROMPT + noisy + above + VOCABULARY)
    hidden = Cell("attn_pattern", 0, None, (9,), (9,), ((1, 2),))
    found = least(make_job([hidden], LENGTH, kind="knockout"))  # windows: blocks 0 and 1
    assert found == (30 + 3, PROMPT + AFTER + 2 * TOKEN + 4 * WIDTH * 10 + VOCABULARY)
    head = Cell(HEAD, 1, 0, (9,), (9,))
    found = least(make_job([head], LENGTH, kind="direct"))
    assert found == (60 + 1, 2 * PROMPT + AFTER + 2 * MLP + VOCABULARY)


def test_plain_forwards_price_calls_of_blocks_and_head() -> None:
    lm = models.load("random-llama-3", "cpu", "float32")
    seen: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: seen.append(name))
        for name, module in (("body", lm.model.get_decoder()), ("head", lm.model.lm_head))
    ]
    ticks = iter(range(10_000))  # every measurement takes one second

    def seconds(blocks: dict[int, int], head: dict[int, int]) -> float:
        calls = Calls(blocks, head)
        return plain_seconds(lm, find_layout(lm.model), calls, 5, lambda: float(next(ticks)))

    # a forward of a row of 5 tokens costs a second: a third of one for each of 3 blocks
    assert seconds({5: 6}, {}) == pytest.approx(2)
    # of that the head takes all, if it costs a second alone
    assert seconds({5: 6}, {1: 4}) == pytest.approx(4)
    assert Calls({5: 6, 7: 2}, {}).passes == 44
    for handle in handles:
        handle.remove()
    assert {"body", "head"} <= set(seen)


def test_a_tool_that_takes_too_long_runs_evenly_spread_cells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells = [Cell("resid_post", layer, None, (0,), (0,)) for layer in range(40)]
    job = make_job(cells, 4)

    def timed(_module: Any, _lm: Any, given: Job) -> tuple[float, float, Any]:
        return 1.0 + len(given.cells), 0.0, None  # all of them: 41 s

    monkeypatch.setattr(child, "_timed", timed)
    lm = models.load("random-llama-1", "cpu", "float32")
    monkeypatch.setattr(plain, "run", lambda *_: None)
    choose = child._choose
    assert choose(plain, lm, job, argparse.Namespace(limit=0)) == list(range(40))
    assert choose(plain, lm, job, argparse.Namespace(limit=41)) == list(range(40))
    assert choose(plain, lm, job, argparse.Namespace(limit=11)) == list(range(0, 40, 4))


def test_cells_that_were_left_out_are_not_compared() -> None:
    cells = [Cell("resid_post", layer, None, (0,), (0,)) for layer in range(3)]
    logits = [[[0.0, 2.0], [0.0, 2.0], [0.0, 2.0]]]
    expected = {"cells": [0, 1, 2], "answers": [[5, 6, 7]], "logits": logits}
    found = {"cells": [2], "answers": [[7]], "logits": [[[0.0, 2.0 + 2**-11]]]}
    told = compare(make_job(cells, 1), expected, found)
    assert told == {
        "compared": 1,
        "difference": 2**-11,
        "tolerance": pytest.approx(1e-3),  # their standard deviation is 1
        "disagreements": [],
    }
    found["logits"] = [[[float("nan"), 2.0]]]
    assert len(compare(make_job(cells, 1), expected, found)["disagreements"]) == 1


@pytest.mark.parametrize("wrong", [["--workload", "a,x"], ["--tools", "packed,nothing"]])
def test_unknown_letters_and_tools_are_refused(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        sweep.parse(wrong)
    assert f"unknown: {wrong[1].split(',')[1]}" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tool_runs_in_a_process_of_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.rates.SECONDS", 0.01)
    out = tmp_path / "sweep.json"
    assert sweep.main(command(folder, out, "--workload", "a", "--tools", "reference")) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert row["status"] == "ran"
    assert row["cells_run"] == LAYERS
