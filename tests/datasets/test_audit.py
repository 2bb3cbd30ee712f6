"""Audits of written datasets: what card and manifest say is what counting the files says."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from datasets import load_dataset

from cfgen.datasets import plan_power, recipe, write_dataset
from cfgen.datasets.audit import AuditPlan, audit_folder
from tests.datasets.plain import all_pairs
from tests.datasets.plain_audits import example_of, plain_leakage, plain_shortcuts, word_slots
from tests.datasets.test_tokenizers import tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "dataset"
    made = recipe("ioi", 300, templates=["all"], balance=True)
    plan = AuditPlan(2, {"words": tokenizer()}, (), plan_power(cells=30))
    write_dataset(made, folder, plan=plan)
    return folder


@pytest.fixture(scope="module")
def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def test_coverage_and_spread_are_those_of_the_rows(folder: Path, manifest: dict) -> None:
    rows = load_dataset(str(folder), cache_dir=str(folder.parent / "cache"))["train"]
    found = manifest["coverage"]["train"]
    columns = {
        "template": [row["variables"]["template"] for row in rows["original"]],
        "subject": [str(row["variables"]["subject"]) for row in rows["original"]],
        "place": [row["variables"]["place"] for row in rows["original"]],
        "object": [row["variables"]["object"] for row in rows["original"]],
        "name_1": [row["variables"]["names"][0] for row in rows["original"]],
        "name_2": [row["variables"]["names"][1] for row in rows["original"]],
        "answer": [row["answer"] for row in rows["original"]],
    }
    closed = {"template", "subject"}
    pairs = [pair for pair in itertools.combinations(columns, 2) if closed & {*pair}]
    assert found["covered"] == sum(
        len(set(zip(*(columns[name] for name in pair), strict=True))) for pair in pairs
    )
    for name, column in columns.items():
        counts = Counter(column)
        assert found["spread"][name]["used"] == len(counts)
        assert found["spread"][name]["most"] == max(counts.values())
    assert found["spread"]["subject"] == {"values": 2, "used": 2, "least": 120, "most": 120}
    assert found["spread"]["template"]["most"] - found["spread"]["template"]["least"] == 0


def test_audits_of_files_are_those_of_pairs(manifest: dict) -> None:
    made = recipe("ioi", 300, templates=["all"], balance=True)
    rows: dict[str, list] = {}
    for split, pairs in all_pairs(made):
        rows.setdefault(split.name, []).extend(map(example_of, pairs))
    shortcuts = plain_shortcuts(rows, made.design.contrast)
    assert manifest["shortcuts"] == [shortcut.model_dump() for shortcut in shortcuts]
    flagged = {(s.label, s.rule) for s in shortcuts if s.flagged}
    assert flagged == {("output_position", "last mentioned")}
    ours = {(k.what, k.one, k.other): k.shared for k in plain_leakage(rows, word_slots(made.task))}
    theirs = {(k["what"], k["one"], k["other"]): k["shared"] for k in manifest["leakage"]}
    assert ours == theirs
    assert not any(leak["flagged"] for leak in manifest["leakage"])


def test_a_leak_planted_in_the_files_is_found(folder: Path, tmp_path: Path) -> None:
    made = recipe("ioi", 300, templates=["all"], balance=True)
    (tmp_path / "data").mkdir()
    for split in ("train", "validation", "test"):
        name = f"{split}-00000-of-00001.parquet"
        source = name if split != "test" else "validation-00000-of-00001.parquet"
        (tmp_path / "data" / name).write_bytes((folder / "data" / source).read_bytes())
    found = audit_folder(tmp_path, made, AuditPlan())
    leaks = {(leak.what, leak.one, leak.other) for leak in found.leakage if leak.flagged}
    assert leaks == {
        (what, "validation", "test") for what in ("words", "prompts", "near_duplicates")
    }


def test_the_card_has_every_section(folder: Path) -> None:
    text = (folder / "README.md").read_text()
    for title in ("Balance and coverage", "Shortcuts", "Leakage", "Tokenizers", "Number of pairs"):
        assert f"\n## {title}\n" in text
    assert "Inputs were drawn so that every value is used equally often." in text
    assert "| train | `subject` | 2 of 2 | 120 | 120 |" in text
    assert (
        "**Beyond chance:** `last mentioned` says what `output_position` predicts in 1.000" in text
    )
    assert "Nothing is shared that should not be." in text
    assert "Under `words`, original and counterfactual of every pair" in text
    assert "47 pairs tell an IIA of 0.8 from 0.5 in 30 cells with power 0.928" in text


def test_the_manifest_says_what_was_wanted(manifest: dict) -> None:
    assert manifest["balanced"] is True
    assert manifest["tokenizers"] == ["words"]
    assert manifest["power"]["pairs"] == 47
    assert manifest["dropped"] == []


def test_shortcuts_in_a_flawed_task_are_named(project, tmp_path: Path) -> None:
    """Only ever the first of the two things is asked for."""
    source = project.root / "causal_models/toy.py"
    source.write_text(source.read_text().replace("integers(0, 1)", "integers(0, 0)"))
    project.design('Design("fresh", counterfactual=[edits.resample("things", disjoint=True)])')
    source.write_text(source.read_text().replace("integers(0, 1)", "integers(0, 0)"))
    manifest = write_dataset(recipe(project.load(), 200), tmp_path / "out")
    rules = {(s.rule, s.split) for s in manifest.shortcuts if s.flagged}
    assert {("first mentioned", "train"), ("position", "train")} <= rules
    assert "**Beyond chance:** `position`" in (tmp_path / "out/README.md").read_text()
