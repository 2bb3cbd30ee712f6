"""Folders of runs, and experiments, that somebody changed: all that reads them says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from cfgen.counterfactuals import Site
from cfgen.documents import markdown
from cfgen.experiments import (
    RESULTS,
    Experiment,
    answer,
    asked_in,
    compare_runs,
    is_behaviour,
    list_stores,
    merge_shards,
    read_experiment,
    read_finished,
    read_results,
    write_experiment,
)
from cfgen.folders import sealed
from cfgen.report import comparison_view, figure_of, run_list, run_view
from tests.hostile import NAMES, as_json, damaged, fuzzed, mutated, survives, tree
from tests.inquiries import request_of

SEEDS = st.integers(0, 2**48)


@pytest.fixture(scope="module", params=["interchange", "mediation"])
def request_made(request, lm, make, answer):
    pairs = answer(lm, make.pairs(20, seed=3))[:8]
    if request.param == "interchange":
        return request_of(pairs, {"all": Site()}, layers=[0, 1])
    fields = {"method": request.param, "measures": ("logit_difference",)}
    return request_of(pairs, {request.param: Site()}, layers=[0, 1], **fields)


@pytest.fixture(autouse=True)
def loaded(lm, monkeypatch):
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda *_, **__: lm)


@pytest.fixture(scope="module")
def finished(lm, request_made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("valid") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cfgen.lm.load.load_lm", lambda *_, **__: lm)
        answer(request_made, folder)
    return folder


def change(folder: Path, rng: Random) -> None:
    """Change one file of a run, with hashes that fit where that can be."""
    names = [RESULTS, RESULTS, "store.json", "experiment.yaml", "log.jsonl"]
    names += [path.name for path in folder.glob("*s.parquet")]  # of outputs or effects, and pairs
    units = sorted(path.relative_to(folder).as_posix() for path in folder.glob("units/*"))
    file = folder / rng.choice([*names, *units[:2]])
    content = file.read_bytes()
    if file.suffix != ".json" or rng.random() < 0.2:
        file.write_bytes(damaged(content, rng))
        return
    value = mutated(json.loads(content), rng)
    try:
        hashes = {name: sha for name, sha in value["sha256"].items() if name != RESULTS}
        value = sealed(value, hashes, RESULTS)
    except (KeyError, TypeError, AttributeError, ValueError):
        pass
    file.write_bytes(as_json(value))


@pytest.mark.slow
@fuzzed(30)
@given(SEEDS)
@example(1402)  # a hypothesis under another name in one of two places
def test_hostile_runs(finished: Path, request_made, tmp_path: Path, seed: int) -> None:
    rng, folder, out = Random(seed), tmp_path / "runs" / "one", tmp_path / "merged" / "one"
    shutil.rmtree(tmp_path, ignore_errors=True)
    shutil.copytree(finished, folder)
    shutil.copytree(finished, folder.with_name("two"))
    (tmp_path / "notes").write_text("mine")
    change(folder, rng)
    before = tree(tmp_path)
    survives(lambda: markdown(run_list(list_stores(folder.parent), folder.parent)))
    survives(lambda: is_behaviour(read_finished(folder) or {}))
    survives(lambda: markdown(run_view(read_results(folder), folder)))
    survives(lambda: figure_of(read_results(folder), None))
    both = (folder, folder.with_name("two"))
    survives(
        lambda: markdown(comparison_view(compare_runs({p.name: read_results(p) for p in both})))
    )
    survives(lambda: asked_in(folder))
    assert tree(tmp_path) == before
    survives(lambda: merge_shards(request_made, [folder], out))
    survives(lambda: answer(request_made, folder))
    after = tree(tmp_path)
    assert after["notes"] == b"mine"
    assert {name for name in after if not name.startswith(("runs/one", "merged"))} <= set(before)


FORMAT = "cfgen-store-3"
RECORDS = [
    {},
    {"format": FORMAT},
    {"format": FORMAT, "key": "k"},
    {"format": FORMAT, "key": 3, "request": {"models": [], "n": 1}},
    {"format": FORMAT, "key": "k", "request": {}},
    {"format": FORMAT, "key": "k", "request": {"models": [None], "n": 1}},
    {"format": FORMAT, "key": "k", "request": {"models": ["a"], "n": None}},
    [FORMAT],
]


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_a_record_that_lacks_what_is_shown_is_none(tmp_path: Path, record: object) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/store.json").write_bytes(as_json(record))
    assert list_stores(tmp_path) == []


def test_a_cell_that_is_missing_is_left_empty(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    file = tmp_path / "run" / RESULTS
    content = json.loads(file.read_bytes())
    shown = [n for n, c in enumerate(content["cells"]) if "unfiltered" not in c["hypothesis"]]
    del content["cells"][shown[-1]]  # what is the same for all pairs is not shown twice
    hashes = {name: sha for name, sha in content["sha256"].items() if name != RESULTS}
    file.write_bytes(as_json(sealed(content, hashes, RESULTS)))
    assert "no number" in markdown(run_view(read_results(tmp_path / "run"), tmp_path / "run"))


@fuzzed(60)
@given(SEEDS)
def test_hostile_experiments(tmp_path: Path, seed: int) -> None:
    rng, file = Random(seed), tmp_path / "own.yaml"
    fields = {
        "task": "ioi",
        "models": ["smollm2-135m"],
        "n": 8,
        "templates": ["all"],
        "sweep": {"over": "0-3", "positions": ["last"]},
        "hypotheses": {"output_token": {"positions": ["name_1[0]"], "layers": "up_to"}},
        "engine": {"name": "reference", "batch_size": 4},
        "measures": ["iia"],
    }
    if rng.random() < 0.7:
        try:
            file.write_text(yaml.safe_dump(mutated(fields, rng), allow_unicode=True))
        except (yaml.YAMLError, UnicodeError, RecursionError, ValueError):
            return
    else:
        file.write_bytes(damaged(yaml.safe_dump(fields).encode(), rng))
    found = survives(lambda: read_experiment(file))
    if found is not None:
        assert isinstance(found, Experiment)
        assert not (found.task or "").endswith(".py")
        again = tmp_path / "again.yaml"
        again.write_text(write_experiment(found), encoding="utf-8")
        assert read_experiment(again) == found
    survives(lambda: read_experiment(file, [f"{rng.choice(sorted(fields))}={rng.choice(NAMES)}"]))
