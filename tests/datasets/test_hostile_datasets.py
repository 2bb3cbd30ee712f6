"""Datasets and files of pairs that somebody changed, hashes and all, are never believed blindly."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen.datasets import (
    dataset_source,
    export,
    open_dataset,
    own_pairs_source,
    read_dataset,
    recipe,
    write_dataset,
)
from cfgen.errors import CfgenError
from tests.hostile import NAMES, as_json, damaged, fuzzed, mutated, survives, tree

SEEDS = st.integers(0, 2**48)
ROWS = [
    {
        "id": f"pair {number}",
        "original": f"The capital of {land} is",
        "counterfactual": f"The capital of {other} is",
        "original_answer": city,
        "counterfactual_answer": another,
        "original.land": land,
        "counterfactual.land": other,
        "predicts.copied": another,
    }
    for number, (land, city, other, another) in enumerate(
        [("France", "Paris", "Italy", "Rome"), ("Spain", "Madrid", "Japan", "Tokyo")]
    )
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("valid") / "made"
    write_dataset(recipe("ioi", 12, fractions={"test": 1.0}), folder)
    return folder


@pytest.fixture(scope="module")
def copy(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for changed copies; what is around it must stay."""
    around = tmp_path_factory.mktemp("around")
    (around / "victim").mkdir()
    (around / "victim" / "notes").write_text("mine")
    return around / "a" / "b"


def forged(manifest: dict[str, Any]) -> bytes:
    """A manifest with a hash of itself that is right, if that can be computed."""
    try:
        others = {k: v for k, v in manifest["sha256"].items() if k != "manifest.json"}
        text = json.dumps({**manifest, "sha256": others}, sort_keys=True)
        manifest["sha256"]["manifest.json"] = hashlib.sha256(text.encode()).hexdigest()
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    return as_json(manifest)


def read_all(folder: Path, out: Path) -> None:
    """Everything that is done with a dataset."""
    survives(lambda: open_dataset(folder, whole=True))
    survives(lambda: read_dataset(folder, "test"))
    survives(lambda: dataset_source(folder, split="test", n=3))
    survives(lambda: export(folder, "causalab", out))


@fuzzed(25)
@given(SEEDS)
def test_hostile_manifests(dataset: Path, copy: Path, seed: int) -> None:
    rng = Random(seed)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(dataset, copy / "data set")
    manifest = copy / "data set" / "manifest.json"
    content = json.loads(manifest.read_bytes())
    changed = mutated(content, rng)
    manifest.write_bytes(forged(changed) if isinstance(changed, dict) else as_json(changed))
    before = tree(copy.parent)
    read_all(copy / "data set", copy / "out")
    after = {k: v for k, v in tree(copy.parent).items() if not k.startswith("b/out")}
    assert after == before


@fuzzed(25)
@given(SEEDS)
def test_hostile_rows(dataset: Path, copy: Path, seed: int) -> None:
    """A table with other rows or bytes, whose hash in the manifest is right."""
    rng = Random(seed)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(dataset, copy / "set")
    (file,) = (copy / "set/data").iterdir()
    if rng.random() < 0.5:
        file.write_bytes(damaged(file.read_bytes(), rng))
    else:
        table = pq.read_table(file)
        rows = mutated(table.to_pylist(), rng)
        try:
            pq.write_table(pa.Table.from_pylist(rows, rng.choice((None, table.schema))), file)
        except (pa.ArrowException, TypeError, AttributeError, ValueError, OverflowError):
            return
    content = json.loads((copy / "set/manifest.json").read_bytes())
    content["sha256"][f"data/{file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    if rng.random() < 0.5:
        content["splits"]["test"]["rows"] = rng.choice((1, 12, 10**12))
    (copy / "set/manifest.json").write_bytes(forged(content))
    read_all(copy / "set", copy / "out")


def test_a_dataset_without_splits(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset, tmp_path / "set")
    content = json.loads((tmp_path / "set/manifest.json").read_bytes())
    (tmp_path / "set/manifest.json").write_bytes(forged({**content, "splits": {}}))
    with pytest.raises(CfgenError, match="dataset-changed"):
        export(tmp_path / "set", "causalab", tmp_path / "out")


def written(rows: Any, kind: str) -> bytes:
    """Rows as a file of some kind, as far as they can be."""
    if kind == "json":
        return as_json(rows)
    if kind == "jsonl":
        return b"\n".join(map(as_json, rows if isinstance(rows, list) else [rows]))
    if kind == "parquet":
        stream = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), stream)
        return stream.getvalue()
    text = io.StringIO()
    table = csv.DictWriter(
        text, list(rows[0]), delimiter="\t" if kind == "tsv" else ",", extrasaction="ignore"
    )
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


@fuzzed(60)
@given(SEEDS, st.sampled_from(["csv", "tsv", "json", "jsonl", "parquet"]))
def test_hostile_pairs(copy: Path, seed: int, kind: str) -> None:
    rng = Random(seed)
    copy.mkdir(parents=True, exist_ok=True)
    file = copy / f"mine.{kind}"
    rows = mutated(ROWS, rng) if rng.random() < 0.7 else ROWS
    try:
        content = written(rows, kind)
    except Exception:  # what cannot be written need not be read
        content = written(ROWS, kind)
    file.write_bytes(damaged(content, rng) if rng.random() < 0.5 else content)
    survives(lambda: own_pairs_source(str(file), {}))
    columns = {name: rng.choice(NAMES) for name in rng.sample(sorted(ROWS[0]), 2)}
    survives(lambda: own_pairs_source(str(file), columns))
