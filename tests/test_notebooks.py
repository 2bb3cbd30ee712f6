from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cfgen
from cfgen.datasets import recipe, write_dataset
from cfgen.errors import CfgenError
from cfgen.notebooks import Pairs


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Nothing is loaded and nothing computed."""
    from cfgen.weights import Checkpoint
    from tests.cli.test_run import made_up

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "cfgen.experiments.inquiry.find_checkpoint",
        lambda name, **options: Checkpoint(name, Path(name), (), "sha256:0"),
    )
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda name, **options: None)
    monkeypatch.setattr("cfgen.experiments.stages.run_experiment", made_up)


@pytest.mark.usefixtures("asked")
def test_a_result_shows_itself() -> None:
    result = cfgen.run("ioi", n=8, model="made-up")
    assert repr(result).startswith("Result(ioi, fresh_names, made-up, n=8, kept=8, cells=15, ")
    frame = result.to_pandas()
    place = ["component", "position", "head", "neuron", "token", "layer"]
    assert list(frame.columns[:7]) == [*place, "hypothesis"]
    assert len(frame) == len(result.results.cells) == 15
    assert len(result.outputs()) == 1
    assert result.plot().axes
    shown = result._repr_html_()
    assert "<svg" in shown
    assert "output_token: best at layer 4" in shown


@pytest.mark.usefixtures("asked")
def test_what_can_be_run() -> None:
    by_name = cfgen.run("ioi", n=4)
    assert cfgen.run(cfgen.load_task("ioi"), n=4).folder == by_name.folder
    assert cfgen.run(by_name.folder / "experiment.yaml").folder == by_name.folder
    assert cfgen.run(by_name.results.experiment).folder == by_name.folder
    write_dataset(recipe("ioi", 80), Path("pairs"))
    assert cfgen.run("pairs", n=4).results.n == 4
    assert cfgen.run("ioi", n=4, again=True).folder.name == f"{by_name.folder.name}-2"


@pytest.mark.usefixtures("asked")
def test_mistakes() -> None:
    with pytest.raises(CfgenError, match=r"not int.*cannot-run"):
        cfgen.run(3)  # type: ignore[arg-type]
    with pytest.raises(CfgenError, match="several-models"):
        cfgen.run("ioi", models=["a", "b"])
    with pytest.raises(CfgenError, match="layer"):
        cfgen.run("ioi", layer=3)


@pytest.mark.usefixtures("asked")
def test_rows_of_pairs_are_run_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "original": f"Ann has {n}. It is",
            "counterfactual": f"Ben has {n}. It is",
            "original_answer": "tea",
            "counterfactual_answer": "milk",
        }
        for n in range(3)
    ]
    import pandas

    for given in (rows, tuple(rows), pandas.DataFrame(rows)):
        result = cfgen.run(given, model="made-up", sweep={"over": "0-1"})
        assert result.results.n == 3
    (file,) = (tmp_path / "runs").glob("pairs-*.jsonl")
    assert result.results.experiment.pairs == f"runs/{file.name}"
    with pytest.raises(CfgenError, match="cannot-run"):
        cfgen.run([object()])
    with pytest.raises(CfgenError, match="pairs-column"):
        cfgen.run([{"prompt": "a"}], model="made-up")


def test_pairs_are_those_that_a_run_is_about() -> None:
    from cfgen.experiments import experiment_of, look_up

    task = cfgen.load_task("ioi")
    pairs = task.sample(6, seed=3)
    asked = look_up(experiment_of("ioi", {"n": 6, "seed": 3}))
    assert list(pairs) == list(asked.source.pairs)
    assert isinstance(pairs[1:3], Pairs)
    assert [pair.id for pair in pairs[1:3]] == [pair.id for pair in asked.source.pairs[1:3]]
    frame = pairs.to_pandas()
    assert list(frame["original"]) == [pair.original.prompt.text for pair in pairs]
    assert list(frame["predicts.output_token"]) == [p.predictions["output_token"] for p in pairs]
    shown = pairs._repr_html_()
    assert shown.count("Decisive: ") == 6
    assert "output_position" in shown
    assert "and 4 more" in task.sample(12)._repr_html_()


@pytest.mark.parametrize("n", [0, -1, "8", 2.0, None, True])
def test_a_number_of_pairs_is_a_number(n: object) -> None:
    with pytest.raises(CfgenError, match="bad-count"):
        cfgen.load_task("ioi").sample(n)  # type: ignore[arg-type]


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "no task": (lambda: cfgen.load_task(None), "no-such-task"),  # type: ignore[arg-type]
    "a number": (lambda: cfgen.load_task(42), "no-such-task"),  # type: ignore[arg-type]
    "rows": (lambda: cfgen.generate([], 8), "no-such-task"),  # type: ignore[arg-type]
    "a text": (lambda: cfgen.generate("ioi", "8"), "bad-count"),  # type: ignore[arg-type]
    "a share": (lambda: cfgen.generate("ioi", 2.5), "bad-count"),  # type: ignore[arg-type]
    "a design": (lambda: sampled(design=3), "unknown-name"),
    "designs": (lambda: sampled(design=["swap_names"]), "unknown-name"),
    "a split": (lambda: sampled(split=3), "bad-splits"),
    "templates": (lambda: sampled(templates=3), "unknown-name"),
    "a folder": (lambda: cfgen.run("ioi", n=2, model="smollm2-135m", out=3), "cannot-run"),  # type: ignore[arg-type]
    "an LM": (lambda: cfgen.load_lm(42), "lm-unknown"),  # type: ignore[arg-type]
}


def sampled(**options: Any) -> object:
    return cfgen.load_task("ioi").sample(2, **options)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_of_a_wrong_type_is_said_with_what_is_expected(name: str) -> None:
    ask, code = WRONG[name]
    with pytest.raises(CfgenError) as caught:
        ask()
    (problem,) = caught.value.problems
    assert problem.code == code
    assert problem.hint


def test_one_template_may_stand_for_itself() -> None:
    task = cfgen.load_task("ioi")
    alone, listed = (task.sample(3, templates=given) for given in ("had_lunch", ["had_lunch"]))
    assert list(alone) == list(listed)


def test_a_task_shows_its_causal_model(monkeypatch: pytest.MonkeyPatch) -> None:
    task = cfgen.load_task("ioi")
    shown = task._repr_html_()
    assert "<svg" in shown
    assert "Hypotheses" in shown
    assert task.causal_model._repr_html_().startswith("<svg")
    assert "Decisive: " in task.sample(1)[0]._repr_html_()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "&lt;- output_position" in task.causal_model._repr_html_()


@pytest.mark.parametrize("what", [42, None, object()])
def test_what_cannot_be_run(what: object) -> None:
    with pytest.raises(CfgenError, match="cannot-run"):
        cfgen.run(what)  # type: ignore[arg-type]


def test_an_lm_in_hand_is_used_and_its_answer_found_again_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_folder: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["tea", "milk", "soup", "beer"]
    lm = cfgen.load_lm(str(tiny_folder))
    rows = [
        {
            "original": f"{a} {b} and",
            "counterfactual": f"{b} {a} and",
            "original_answer": a,
            "counterfactual_answer": b,
        }
        for a in words
        for b in words
        if a != b
    ]
    with pytest.raises(CfgenError, match="cannot-run"):
        cfgen.run(rows, model=42)  # type: ignore[arg-type]
    with pytest.raises(CfgenError):  # it knows none of this, and says so
        cfgen.run(rows, model=lm, sweep={"over": "0"})


@pytest.mark.slow
def test_the_example_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    path = Path(__file__).parents[1] / "docs" / "examples" / "belief_tracking.ipynb"
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    NotebookClient(
        book, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    outputs = [cell["outputs"] for cell in book.cells if cell["cell_type"] == "code"]
    rich = [kind for cell in outputs for output in cell for kind in output.get("data", {})]
    assert rich.count("text/html") == 5  # a task, pairs, a table, a result, a table
    assert "image/svg+xml" in rich
