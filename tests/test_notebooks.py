from __future__ import annotations

from pathlib import Path

import pytest

import cfgen
from cfgen.datasets import recipe, write_dataset
from cfgen.errors import CfgenError


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
    assert list(frame.columns[:4]) == ["hypothesis", "component", "position", "head"]
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
