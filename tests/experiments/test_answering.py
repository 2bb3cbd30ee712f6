from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError
from cfgen.experiments import (
    OUTPUTS,
    RESULTS,
    SCHEMA,
    FinishedRun,
    PartialRun,
    Portion,
    Results,
    answer,
    asked_in,
    list_stores,
    merge_shards,
    read_results,
)
from cfgen.interventions import Engine
from tests.inquiries import contents, request_of

SITES = {"all": Site(), "none": Site(("drink_1",), layers="up_to")}


pytestmark = pytest.mark.usefixtures("loaded")


@pytest.fixture(scope="module")
def pairs(lm, make, answer):
    return answer(lm, make.pairs(80, seed=3))[:40]


def test_what_is_written_reads_back(pairs, tmp_path):
    found = answer(request_of(pairs, SITES, layers=[0, 3]), tmp_path / "out")
    assert isinstance(found, FinishedRun)
    table = pq.read_table(tmp_path / "out" / OUTPUTS)
    assert table.schema.equals(SCHEMA)
    assert table.num_rows == 4 * found.results.kept
    data = json.loads((tmp_path / "out" / RESULTS).read_text())
    assert {name: data[name] for name in Results.model_fields} == json.loads(
        found.results.model_dump_json()
    )
    assert read_results(tmp_path / "out") == found.results
    assert data["experiment"]["n"] == data["n"] == 40
    assert data["sites"]["none"]["layers"] == "up_to"
    assert data["coincides"] == {"all": [], "none": []}
    assert {"torch", "transformers", "python"} <= set(data["versions"])
    assert set(data["files"]) == {OUTPUTS, RESULTS, "experiment.yaml", "pairs.parquet"}


def test_a_question_is_answered_once(pairs, tmp_path, loaded):
    request = request_of(pairs, SITES)
    first = answer(request, tmp_path / "out")
    before = contents(tmp_path / "out")
    second = answer(request, tmp_path / "out")
    assert (first.found, second.found) == (False, True)
    assert first.results == second.results
    assert len(loaded) == 1
    assert contents(tmp_path / "out") == before
    again = answer(request, tmp_path / "out", again=True)
    assert again.folder == tmp_path / "out-2"
    assert '"taken over"' not in (again.folder / "log.jsonl").read_text()  # computed, not copied
    assert contents(again.folder) == before


def test_two_runs_give_the_same_bytes(pairs, tmp_path):
    for folder in ("one/a", "other/b"):
        answer(request_of(pairs, SITES), tmp_path / folder)
    assert contents(tmp_path / "one/a") == contents(tmp_path / "other/b")


@pytest.mark.parametrize("sites", [{"all": Site()}, {"all": Site(("name_1[0]", "drink_1"))}])
def test_shards_that_are_merged_give_what_one_process_gives(pairs, tmp_path, sites):
    request = request_of(pairs, sites)
    answer(request, tmp_path / "one/run")
    for number in (1, 2):
        part = answer(request, tmp_path / f"{number}/run", portion=Portion((number, 2)))
        assert isinstance(part, PartialRun)
        assert 0 < part.remainder.done < part.remainder.units
        assert not part.remainder.late
        with pytest.raises(CfgenError, match="run-not-finished"):
            read_results(part.folder)
    shards = [tmp_path / "1/run", tmp_path / "2/run"]
    answered = merge_shards(request, shards, tmp_path / "merged/run")
    assert isinstance(answered, FinishedRun)
    assert contents(tmp_path / "merged/run") == contents(tmp_path / "one/run")


def test_a_merge_of_some_shards_computes_nothing(pairs, tmp_path):
    request = request_of(pairs, SITES)
    answer(request, tmp_path / "1/run", portion=Portion((1, 2)))
    damaged = next(iter(sorted((tmp_path / "1/run/units").iterdir())))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    merged = merge_shards(request, [tmp_path / "1/run"], tmp_path / "merged/run")
    assert isinstance(merged, PartialRun)
    assert '"damaged"' in (tmp_path / "merged/run/log.jsonl").read_text()
    here = {path.name for path in (tmp_path / "merged/run/units").iterdir()}
    there = {path.name for path in (tmp_path / "1/run/units").iterdir()}
    assert not (tmp_path / "merged/run" / RESULTS).exists()
    assert len(here - there) <= 2  # checks of the LM, which every command makes
    assert isinstance(answer(request, tmp_path / "merged/run"), FinishedRun)


def test_what_is_there_and_differs_is_not_taken_for_the_same(pairs, tmp_path):
    request = request_of(pairs, SITES)
    answer(request, tmp_path / "run", portion=Portion(until=0.0))
    (tmp_path / "run" / OUTPUTS).write_bytes(b"of another kind")
    with pytest.raises(CfgenError, match=r"outputs.parquet.*run-changed"):
        answer(request, tmp_path / "run")


def test_shards_can_share_a_folder(pairs, tmp_path):
    request = request_of(pairs, SITES)
    answer(request, tmp_path / "one/run")
    assert isinstance(answer(request, tmp_path / "run", portion=Portion((1, 2))), PartialRun)
    assert isinstance(answer(request, tmp_path / "run", portion=Portion((2, 2))), FinishedRun)
    assert contents(tmp_path / "run") == contents(tmp_path / "one/run")


def test_time_that_is_up_stops_at_a_unit(pairs, tmp_path):
    request = request_of(pairs, SITES)
    late = answer(request, tmp_path / "run", portion=Portion(until=time.monotonic() - 1))
    assert isinstance(late, PartialRun)
    assert (late.remainder.done, late.remainder.late) == (0, True)
    assert isinstance(answer(request, tmp_path / "run"), FinishedRun)


def test_a_longer_experiment_has_the_units_of_a_shorter_one(pairs, tmp_path, monkeypatch):
    computed = []
    real = Engine.outcomes

    def counted(engine, runs, *rest, **more):
        computed.append(len(runs))
        return real(engine, runs, *rest, **more)

    monkeypatch.setattr(Engine, "outcomes", counted)
    answer(request_of(pairs, SITES, n=32), tmp_path / "short")
    first = sum(computed)
    computed.clear()
    longer = answer(request_of(pairs, SITES), tmp_path / "long")
    assert 0 < sum(computed) <= first / 3  # 8 of 40 pairs
    computed.clear()
    alone = answer(request_of(pairs, SITES), tmp_path / "elsewhere" / "long")
    assert sum(computed) > first
    assert contents(longer.folder) == contents(alone.folder)


def test_another_experiment_is_not_written_over(pairs, tmp_path):
    answer(request_of(pairs, SITES), tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(CfgenError, match="store-of-another") as caught:
        answer(request_of(pairs, SITES, n=20), tmp_path / "run")
    assert "n: 40 there, 20 asked now" in str(caught.value)
    assert contents(tmp_path / "run") == before


@pytest.mark.parametrize("name", ["notes.txt", "units.txt"])
def test_files_of_others_are_left_alone(pairs, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(CfgenError, match=f"{name}.*folder-in-use"):
        answer(request_of(pairs, SITES), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(CfgenError, match=r"is a file.*folder-in-use"):
        answer(request_of(pairs, SITES), tmp_path / name)


def test_damage_is_noticed(pairs, tmp_path):
    request = request_of(pairs, SITES)
    found = answer(request, tmp_path / "run")
    before = contents(found.folder)
    table = (found.folder / OUTPUTS).read_bytes()
    (found.folder / OUTPUTS).write_bytes(table[:100] + bytes([table[100] ^ 1]) + table[101:])
    with pytest.raises(CfgenError, match=r"outputs.parquet is not as it was written.*run-changed"):
        answer(request, tmp_path / "run")
    with pytest.raises(CfgenError, match="run-changed"):
        read_results(tmp_path / "run")
    for name in (OUTPUTS, RESULTS):
        (found.folder / name).unlink()
    unit = next(iter(sorted((found.folder / "units").iterdir())))
    unit.write_bytes(unit.read_bytes()[:-40])
    answer(request, tmp_path / "run")
    after = contents(tmp_path / "run")
    assert after.pop(f"units/{unit.stem}.damaged-1")
    assert after == before
    assert '"damaged"' in (tmp_path / "run" / "log.jsonl").read_text()


def test_runs_are_listed(pairs, tmp_path):
    answer(request_of(pairs, SITES), tmp_path / "b")
    answer(request_of(pairs, SITES, n=20), tmp_path / "a", portion=Portion(until=0.0))
    (tmp_path / "other").mkdir()
    listed = list_stores(tmp_path)
    assert [(one.folder.name, one.finished) for one in listed] == [("a", False), ("b", True)]
    assert [one.request["n"] for one in listed] == [20, 40]
    assert listed[1].units > listed[0].units


def test_what_is_no_run(tmp_path):
    with pytest.raises(CfgenError, match="not-a-run"):
        read_results(tmp_path)
    with pytest.raises(CfgenError, match="not-a-run"):
        asked_in(tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from cfgen.experiments import store

sys.path.insert(0, {root!r})
from tests.experiments.test_answering import SITES
from tests.conftest import make_tiny_lm
from tests.stories import WORDS, Make, with_answers
from tests.inquiries import contents, request_of
import cfgen.lm.load

lm = make_tiny_lm(WORDS)
cfgen.lm.load.load_lm = lambda *_, **__: lm
pairs = with_answers(lm, Make.pairs(80, seed=3))[:40]
left = int(sys.argv[2])
for name in ("link", "fsync", "unlink"):
    def deadly(*given, real=getattr(os, name), **more):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*given, **more)
    setattr(os, name, deadly)
from cfgen.experiments import answer
answer(request_of(pairs, SITES), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(pairs, tmp_path):
    """Killed at three moments of its life, one after the other, it ends as one left alone."""
    whole = answer(request_of(pairs, SITES), tmp_path / "one" / "run")
    script = KILLED.format(root=str(Path(__file__).parents[2]))
    folder = tmp_path / "killed" / "run"
    for moment in (3, 9, 14):
        command = [sys.executable, "-c", script, str(folder), str(moment)]
        ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ})
        assert ended.returncode == -9, ended.stderr
        assert not (folder / RESULTS).exists()
    answer(request_of(pairs, SITES), folder)
    assert contents(folder) == contents(whole.folder)
