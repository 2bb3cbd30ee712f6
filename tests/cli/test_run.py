from __future__ import annotations

import importlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from cfgen.experiments import Inquiry, RunRecord
    from tests.cli.conftest import Cli


def made_up(
    lm: Any, inquiry: Inquiry, units: Any, *, portion: Any = None, report: Any = None
) -> RunRecord:
    """Stands for ``run_experiment``: position right in half of layer 3, token always in layer 4."""
    from cfgen.experiments import (
        Behaviour,
        Cell,
        EngineSettings,
        Output,
        RunRecord,
        VacuousCell,
        parse_layers,
    )
    from cfgen.interventions import Check, Cost, Work
    from cfgen.stats import rate

    pairs, hypotheses, over = inquiry.source.pairs, inquiry.sites, inquiry.experiment.sweep.over
    n = len(pairs)
    swept = tuple(parse_layers(over) if over else range(5))
    hits = {("output_position", 3): n // 2, ("output_token", 4): n, ("none", 0): n}
    cells = []
    for name in (*hypotheses, "none"):
        for layer in swept:
            found = rate(hits.get((name, layer), 0), n)
            where = ("resid_post", "last", None, None, None, layer)
            cells.append(Cell(*where, name, "iia", n, found.value, found.low, found.high))
    report("swaps at last", 1, 1)
    return RunRecord(
        model="made-up",
        revision="sha256:0",
        device="cpu",
        dtype="float32",
        attention="sdpa",
        pairs=pairs,
        sites=dict(hypotheses),
        layers=swept,
        tokens={},
        behaviour=Behaviour(
            kept=tuple(range(n)),
            dropped={"original answered wrongly": 1},
            clean=rate(2 * n, 2 * n),
            clean_original=rate(n, n),
            clean_counterfactual=rate(n, n),
            keep=rate(n, n),
            keep_by_design={pairs[0].design: rate(n, n)},
            keep_by_answer={},
        ),
        unaligned={},
        outputs=(Output("resid_post", "last", None, None, None, 0, pairs[0].id, " x", "other"),),
        cells=tuple(cells),
        checks=(
            Check("self-swap changes nothing", "last", 4, "swaps"),
            Check("self-swap changes nothing", "first", 5, "swaps"),
        ),
        vacuous=(VacuousCell("resid_post", "last", None, None, None, 5, n),),
        engine=EngineSettings("packed", "", 1024),
        work=Work(
            clean=Cost(2, 3000, 2500),
            edited=Cost(1, 500, 400),
            run=38,
            filled=Counter({"it is as it was": 2}),
            whole=Counter({"it reaches everything": 3}),
            verified=8,
            shrunk=1,
        ),
    )


@pytest.fixture
def no_lm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is loaded and nothing computed."""
    importlib.import_module("cfgen.lm.load")  # before what it imports is replaced
    from cfgen.weights import Checkpoint

    monkeypatch.setattr(
        "cfgen.experiments.inquiry.find_checkpoint",
        lambda name, **options: Checkpoint(name, Path(name), (), "sha256:0"),
    )
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda name, **options: None)
    monkeypatch.setattr("cfgen.experiments.stages.run_experiment", made_up)


@pytest.mark.usefixtures("no_lm")
def test_text_says_what_came_out(cli: Cli, tmp_path: Path) -> None:
    ended = cli("run", "ioi", "-n", 8, "--out", tmp_path / "out")
    assert ended.code == 0
    shown = " ".join(ended.out.split())
    assert "clean accuracy 1.00 [0.81, 1.00] (n = 16 prompts)" in shown
    assert "keep rate 1.00 [0.68, 1.00] (n = 8 pairs)" in shown
    assert "dropped 1: original answered wrongly" in shown
    assert "self-swap changes nothing 9 swaps" in shown
    assert "packed engine: 38 swaps run, 2 known without a run (it is as it was)" in shown
    assert "3,500 tokens x layers computed" in shown
    assert "run whole: 3 it reaches everything" in shown
    assert "layer 5: no number: in every pair, what was copied here is the same" in shown
    assert "memory did not suffice 1 times: down to 1,024 tokens per forward" in shown
    assert (
        "output_token: best at layer 4 of 5 tried, IIA 1.00 [0.68, 1.00], n 8; "
        "there the others reach output_position 0.00 [0.00, 0.32], none 0.00 [0.00, 0.32]. "
        "On every pair it predicts the same as copying everything (all)."
    ) in shown
    assert (
        "output_position: best at layer 3 of 5 tried, IIA 0.50 [0.22, 0.78], n 8. Not told apart "
        "from output_token 0.00 [0.00, 0.32] and none 0.00 [0.00, 0.32] there"
    ) in shown
    rows = {line.split()[0]: line.split()[1:] for line in ended.out.splitlines() if line.split()}
    assert rows["3"] == [">0.50", "0.22-0.78", "0.00", "0.00-0.32", "0.00", "0.00-0.32"]
    assert rows["4"] == ["0.00", "0.00-0.32", ">1.00", "0.68-1.00", "0.00", "0.00-0.32"]
    assert max(map(len, ended.out.splitlines())) <= 80


@pytest.mark.usefixtures("no_lm")
def test_json_and_files(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = cli("run", "ioi", "-n", 6, "--seed", 3, "--out", out, "--layers", "2-4", "--json")
    assert ended.json["folder"] == str(out)
    assert ended.json["clean_accuracy"] == 1.0
    written = json.loads((out / "results.json").read_text())
    assert {key: written[key] for key in ended.json if key != "folder"} == {
        key: value for key, value in ended.json.items() if key != "folder"
    }
    others = ["experiment.yaml", "outputs.parquet", "pairs.parquet"]
    assert written["files"] == [*others, "results.json"]
    assert written["source"]["split"] == "test"
    assert {cell["layer"] for cell in written["cells"]} == {2, 3, 4}
    pairs = pq.read_table(out / "pairs.parquet").to_pylist()
    assert len(pairs) == 6
    assert all(pair["decisive"] for pair in pairs)
    again = cli("run", out / "experiment.yaml", "--out", out, "--json")
    assert again.json == ended.json
    assert "asked before" in again.err
    assert cli("results", out, "--json").json == ended.json
    assert [run["finished"] for run in cli("runs", tmp_path, "--json").json] == [True]
    cli("run", "ioi", "-n", 6, "--out", out).failed("[store-of-another]", "seed: 3 there, 0 asked")


@pytest.mark.usefixtures("no_lm")
def test_defaults(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = cli("run", "ioi", "-n", 4, "--model", "owner/Some LM@v1", "--json").json
    assert list(found["sites"]) == ["output_position", "output_token"]
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("ioi-interchange-Some-LM-v1-")
    assert (folder / "results.json").is_file()
    one = cli("run", "ioi", "-n", 4, "--hypothesis", "output_token", "--out", "one", "--json").json
    assert list(one["sites"]) == ["output_token"]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["-n", 0], ["'-n'"]),
        (["--layers", "5-3"], ["[bad-layers]"]),
        (["--hypothesis", "output_tokens"], ["did you mean 'output_token'?"]),
        (["--design", "fresh"], ["did you mean 'fresh_names'?"]),
        (["--split", "tests"], ["did you mean 'test'?"]),
        (["--template", "then"], ["did you mean 'then_went'?"]),
        (["--batch-size", 0], ["'--batch-size'"]),
        (["--measure", "kld"], ["[unknown-measure]", "did you mean 'kl'?"]),
        (["--set", "batch=3"], ["--set batch", "there is no field batch"]),
        (["--set", "n"], ["[bad-setting]"]),
        (["--shard", "3/2"], ["[bad-shard]"]),
        (["--time", "soon"], ["[bad-time]"]),
        (["--dataset", "there"], ["--dataset: pairs come from one place"]),
    ],
)
def test_mistakes_are_found_before_anything_runs(
    cli: Cli, options: list[object], parts: list[str]
) -> None:
    cli("run", "ioi", *options).failed(*parts)


def test_a_folder_in_use(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    cli("run", "ioi", "-n", 4, "--out", tmp_path).failed("[folder-in-use]")


def test_an_lm_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    ended = cli("run", "ioi", "-n", 4, "--model", "nix", "--out", tmp_path / "out")
    assert ended.code == 2
    assert "there is no known LM 'nix'" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_default_lm_that_is_not_there(cli: Cli, project: Path) -> None:
    file, options = project / "causal_models/toy.py", ["-n", 2, "--hypothesis", "whole"]
    file.write_text(file.read_text().replace("nobody/no-such-lm", "no-such-lm"))
    ended = cli("run", "toy", *options)
    assert ended.code == 2
    assert "task 'toy' is run on 'no-such-lm' by default" in ended.err
    assert "[no-default-model]" in ended.err


def test_a_design_without_a_contrast_needs_hypotheses(cli: Cli, project: Path) -> None:
    cli("run", "toy", "-n", 2).failed("[nothing-to-test]", "--hypothesis", "whole")


def test_more_pairs_than_there_are(cli: Cli, project: Path) -> None:
    options = ["-n", 50, "--hypothesis", "whole"]
    cli("run", "toy", *options).failed("[too-few-pairs]")


def test_an_lm_that_cannot_do_the_task(cli: Cli, tiny_folder: Path, tmp_path: Path) -> None:
    ended = cli("run", "ioi", "-n", 2, "--model", tiny_folder, "--out", tmp_path / "out")
    assert ended.code == 2
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out" / "results.json").exists()


@pytest.mark.slow
def test_the_real_lm_finds_the_token_late(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = cli("run", "ioi", "-n", 8, "--layers", "20-29", "--out", out, "--json").json
    cells = {(cell["hypothesis"], cell["layer"]): cell["value"] for cell in found["cells"]}
    assert found["clean_accuracy"] >= 0.9
    assert cells["output_token", 29] >= 0.9
    assert cells["output_token", 20] <= 0.2
    assert cells["none", 29] == 0
    outputs = pq.read_table(out / "outputs.parquet").to_pylist()
    assert len(outputs) == found["kept"] * 10
    said = {row["pair_id"]: row["said"].strip() for row in outputs if row["layer"] == 29}
    pairs = {row["id"]: row for row in pq.read_table(out / "pairs.parquet").to_pylist()}
    right = [pairs[key]["predictions"]["output_token"] == word for key, word in said.items()]
    assert sum(right) / len(right) == cells["output_token", 29]


@pytest.mark.usefixtures("no_lm")
def test_chat_is_passed_on_and_written_down(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = set()
    for flags in ((), ("--chat",)):
        ended = cli("run", "ioi", "-n", 4, "--json", *flags)
        assert ended.code == 0
        assert ended.json["experiment"]["chat"] is bool(flags)
        folders.add(ended.json["folder"])
    assert len(folders) == 2


@pytest.mark.usefixtures("no_lm")
def test_a_dataset_is_run_on_and_shown_again(cli: Cli, tmp_path: Path) -> None:
    assert cli("generate", "ioi", "-n", 80, "--out", tmp_path / "made").code == 0
    asked = ("run", "--dataset", tmp_path / "made", "-n", 6, "--out", tmp_path / "out", "--json")
    first, second = cli(*asked), cli(*asked)
    assert first.json == second.json == cli("results", tmp_path / "out", "--json").json
    assert "asked before" in second.err
    assert "dataset" in first.json["source"]


@pytest.mark.usefixtures("no_lm")
def test_several_lms_are_shown_in_one_table(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = cli("run", "ioi", "-n", 8, "--model", "a", "--model", "b@v2")
    one, other = sorted(path.name for path in (tmp_path / "runs").iterdir())
    shown = " ".join(ended.out.partition("What came out")[2].split())
    assert f"run 1 runs/{one}: made-up, clean accuracy 1.00, 8 of 8 pairs kept" in shown
    assert "run 2 output_token 1.00 [0.68, 1.00] last, layer 4" in shown
    compared = " ".join(cli("compare", f"runs/{one}", f"runs/{other}").out.split())
    assert "In 0 of 10 cells that both runs have" in compared
    record = cli("compare", f"runs/{one}", f"runs/{other}", "--json").json
    assert record["runs"] == [f"runs/{one}", f"runs/{other}"]
    cli("compare", f"runs/{one}").failed("[nothing-to-compare]")
    cli("compare", f"runs/{one}", "there").failed("[not-a-run]")


@pytest.mark.slow
def test_a_plan_is_kept_to(cli: Cli, tmp_path: Path) -> None:
    asked = ("run", "ioi", "-n", 40, "--layers", "20-29", "--out", tmp_path / "out")
    planned = cli(*asked, "--plan")
    shown = " ".join(planned.out.split())
    assert "What it will take" in shown
    assert "400 in 10 cells" in shown
    plan = cli(*asked, "--plan", "--json").json
    assert plan["done"] > 0
    came = cli(*asked, "--json").json
    work = came["engine"]
    passes = work["clean"]["passes"] + work["swaps"]["passes"]
    assert plan["passes"] == pytest.approx(passes, rel=0.15)
    assert "asked before" in cli(*asked, "--plan").err


@pytest.mark.slow
def test_heads_tokens_and_measures_on_a_real_lm(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "tokens"
    asked = ("run", "ioi", "-n", 4, "--layers", "17-24", "--position", "every")
    shown = cli(*asked, "--measure", "iia", "--measure", "kl", "--out", out).out
    assert "at each token: residual stream after the block" in shown
    assert re.search(r"second_subject\[0\] +\S+ +\*", shown)
    for measure in ("iia", "kl"):
        file = tmp_path / f"{measure}.png"
        assert cli("figure", out, "-o", file, "--measure", measure).code == 0
        assert file.stat().st_size > 10_000
    cli("figure", out, "-o", tmp_path / "x.png", "--measure", "rank").failed("[unknown-measure]")
    heads = ("run", "ioi", "-n", 2, "--layers", "20", "--heads", "all", "--component", "head_out")
    found = cli(*heads, "--out", tmp_path / "heads", "--json").json
    assert {cell["head"] for cell in found["cells"]} | {
        cell["head"] for cell in found["vacuous"]
    } == set(range(9))
