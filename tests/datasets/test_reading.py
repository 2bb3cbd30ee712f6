from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cfgen.datasets import (
    dataset_source,
    draw_pairs,
    export,
    read_dataset,
    recipe,
    task_source,
    write_dataset,
)
from cfgen.errors import CfgenError
from cfgen.tasks import list_tasks, load_task
from tests.sampling import one_in

CASES = [(task, design) for task in list_tasks() for design in load_task(task).designs]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "dataset"
    write_dataset(recipe("ioi", 60), folder)
    return folder


@pytest.mark.parametrize(("task", "design"), one_in(2, CASES), ids="-".join)
def test_pairs_read_back_as_they_were_drawn(tmp_path: Path, task: str, design: str) -> None:
    made = recipe(task, 12, design=design, fractions={"test": 1.0})
    try:
        write_dataset(made, tmp_path / "made")
    except CfgenError as error:
        if error.problems[0].code != "too-few-pairs":  # a design of few different stories
            raise
        return
    read, manifest = read_dataset(tmp_path / "made", "test")
    written = [row["id"] for row in pq.read_table(tmp_path / "made" / "data").to_pylist()]
    assert [pair.id for pair in read] == written
    assert (manifest.task, manifest.design) == (task, design)
    drawn = (
        {pair.id: pair for pair in draw_pairs(replace(made, n=12), split="test")}
        if (made.design.contrast)
        else {}
    )
    for pair in read:
        if pair.id in drawn:
            assert pair == drawn[pair.id]


def test_a_dataset_is_known_by_its_pairs_and_not_by_where_they_lie(tmp_path: Path) -> None:
    made = recipe("ioi", 20, fractions={"test": 1.0})
    write_dataset(made, tmp_path / "made")
    from_folder = dataset_source(tmp_path / "made", n=20)
    from_task = task_source(made)
    assert from_folder.hypotheses == from_task.hypotheses
    both = {pair.id for pair in from_folder.pairs} & {pair.id for pair in from_task.pairs}
    assert both  # those that decide are drawn for a run, all are written
    assert from_folder.facts["content_hash"] == from_task.facts["content_hash"]


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "rows", "manifest"])
def test_what_was_changed_is_not_used(dataset: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(dataset, folder)
    file = folder / "data" / "test-00000-of-00001.parquet"
    content = file.read_bytes()
    if damage == "flip":
        file.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
    elif damage == "cut":
        file.write_bytes(content[:-60])
    elif damage == "missing":
        file.unlink()
    elif damage == "rows":
        pq.write_table(pq.read_table(file).slice(0, 3), file)
    else:
        manifest = folder / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"rows": 60', '"rows": 61'))
    for read in (
        lambda: read_dataset(folder, "test"),
        lambda: export(folder, "jsonl", tmp_path / "out"),
    ):
        with pytest.raises(CfgenError, match="dataset-changed"):
            read()
    assert not (tmp_path / "out").exists()


def test_what_is_no_dataset(dataset: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CfgenError, match="not-a-dataset"):
            read_dataset(folder, "test")
    with pytest.raises(CfgenError, match="bad-splits"):
        read_dataset(dataset, "tset")
    with pytest.raises(CfgenError, match="too-few-pairs"):
        read_dataset(dataset, "test", 1000)


@pytest.mark.parametrize(("task", "design"), one_in(2, CASES), ids="-".join)
@pytest.mark.parametrize("balance", one_in(2, [False, True]))
def test_fewer_pairs_are_the_first_of_more(task: str, design: str, balance: bool) -> None:
    made = recipe(task, 24, design=design, balance=balance)
    try:
        more = draw_pairs(made)
    except CfgenError as error:
        if error.problems[0].code not in ("too-few-pairs", "never-decisive"):
            raise
        return
    assert draw_pairs(replace(made, n=12)) == more[:12]
