from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError
from cfgen.experiments import OUTPUTS, RESULTS, SCHEMA, Results, run_experiment, write_results


@pytest.fixture(scope="module")
def run(build_tiny_lm, make, answer):
    words = (
        "Ann Ben Cid Dora mug jar pot box tea milk juice water fills the with Then What does think"
    )
    lm = build_tiny_lm(words + " is in Answer Story")
    pairs = answer(lm, make.pairs(8))
    sites = {"all": Site(), "none": Site(("drink_1",), layers="up_to")}
    return lambda: run_experiment(lm, pairs, sites, layers=[0, 3], batch_size=3)


@pytest.fixture(scope="module")
def experiment(run):
    return run()


def test_two_runs_give_the_same_bytes(run, experiment, tmp_path):
    write_results(experiment, tmp_path / "a", seed=1)
    write_results(run(), tmp_path / "b", seed=1)
    for name in (OUTPUTS, RESULTS):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_what_is_written_reads_back(experiment, tmp_path):
    written = write_results(experiment, tmp_path / "out", seed=7, settings={"only_decisive": True})
    table = pq.read_table(tmp_path / "out" / OUTPUTS)
    assert table.schema.equals(SCHEMA)
    assert table.num_rows == len(experiment.outputs) == 4 * len(experiment.behaviour.kept)
    first = experiment.outputs[0]
    assert table.to_pylist()[0] == {name: getattr(first, name) for name in SCHEMA.names}
    text = (tmp_path / "out" / RESULTS).read_text()
    assert Results.model_validate_json(text) == written
    data = json.loads(text)
    names = ["model", "task", "design", "seed", "n", "clean_accuracy", "keep_rate", "cells"]
    assert list(data)[:8] == names
    cell = ["hypothesis", "component", "layer", "position", "n", "iia", "low", "high"]
    assert [list(each) for each in data["cells"]] == [cell] * len(experiment.cells)
    assert (data["seed"], data["clean_accuracy"], data["keep_rate"]) == (7, 1.0, 1.0)
    assert data["clean"]["both"]["n"] == 2 * data["n"]
    assert data["files"] == [OUTPUTS, RESULTS]
    assert data["settings"] == {"only_decisive": True}
    assert data["sites"]["none"]["layers"] == "up_to"
    assert {"torch", "transformers", "python"} <= set(data["versions"])


def test_an_earlier_result_is_replaced_as_a_whole(experiment, tmp_path):
    def more(folder):
        (folder / "pairs").mkdir()
        (folder / "pairs" / "a.txt").write_text("x")

    out = tmp_path / "out"
    assert write_results(experiment, out, seed=1, also=more).files == (
        OUTPUTS,
        "pairs/a.txt",
        RESULTS,
    )
    write_results(experiment, out, seed=2)
    assert sorted(path.name for path in out.iterdir()) == [OUTPUTS, RESULTS]
    assert json.loads((out / RESULTS).read_text())["seed"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["notes.txt", "pairs/mine.txt", RESULTS])
def test_a_folder_with_other_files_is_left_alone(experiment, tmp_path, name):
    out = tmp_path / "out"
    if name != RESULTS:
        write_results(experiment, out, seed=1)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("{}")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(CfgenError, match=f"{name.split('/')[0]}.*folder-in-use"):
        write_results(experiment, out, seed=1)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_file_in_the_way_is_left_alone(experiment, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(CfgenError, match="folder-in-use"):
        write_results(experiment, tmp_path / "out", seed=1)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_failure_leaves_what_was_there(experiment, tmp_path):
    out = tmp_path / "out"
    write_results(experiment, out, seed=1)
    before = (out / RESULTS).read_bytes()

    def fail(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(CfgenError, match=r"No space left.*cannot-write"):
        write_results(experiment, out, seed=2, also=fail)
    assert (out / RESULTS).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_fine(experiment, tmp_path):
    (tmp_path / "out").mkdir()
    write_results(experiment, tmp_path / "out", seed=1)
    assert (tmp_path / "out" / RESULTS).exists()
