"""Datasets of decisive pairs alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cfgen import CfgenError, Design, edits, load_task
from cfgen.datasets import (
    DatasetRecipe,
    PairFilter,
    candidate_pairs,
    export,
    find_dataset,
    generate,
    recipe,
    row_tables,
    write_dataset,
)

MIXED = Design(
    "mixed",
    counterfactual=[edits.resample("names"), edits.resample("subject")],
    contrast=["output_position", "output_token"],
)
"""Some of its pairs are decisive: where position and name both move."""


def made_with(n: int, **more: Any) -> DatasetRecipe:
    task = load_task("ioi")
    return recipe(replace(task, designs={"mixed": MIXED}), n, design="mixed", **more)


def chosen_plainly(n: int) -> dict[str, list[str]]:
    """Ids of the pairs that are decisive and repeat no prompt, one after the other."""
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    for candidates in made_with(n).candidates():
        ids = found.setdefault(candidates.split.name, [])
        for pair in candidate_pairs(candidates, 2000):
            prompts = {pair.original.prompt.text, pair.counterfactual.prompt.text}
            fresh = len(prompts) == 2 and not prompts & seen
            if len(ids) < candidates.split.rows and pair.decisive and fresh:
                ids.append(pair.id)
                seen |= prompts
    return found


def ids_of(made: DatasetRecipe) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for split, table in row_tables(made):
        found.setdefault(split.name, []).extend(table["id"].to_pylist())
    return found


def test_they_are_the_first_decisive_candidates() -> None:
    assert ids_of(made_with(60, decisive_only=True)) == chosen_plainly(60)
    decisive = generate(made_with(8).task, 200, design="mixed", fractions={"train": 1})["train"]
    assert 20 < sum(decisive["decisive"]) < 180


def test_a_larger_dataset_begins_with_the_smaller() -> None:
    small = made_with(20, fractions={"train": 1}, decisive_only=True)
    large = replace(small, n=50)
    few, many = (
        [row for _, table in row_tables(made) for row in table["id"].to_pylist()]
        for made in (small, large)
    )
    assert many[:20] == few


def test_what_is_written_says_so(tmp_path: Path) -> None:
    made = made_with(40, decisive_only=True)
    manifest = write_dataset(made, tmp_path / "out")
    assert manifest.decisive_only
    assert all(split.decisive == split.rows for split in manifest.splits.values())
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "Pairs that are not were left out." in card
    assert "left out" in card
    assert find_dataset(made, tmp_path / "out") is not None
    with pytest.raises(CfgenError, match="decisive only"):
        write_dataset(replace(made, decisive_only=False), tmp_path / "out")


def test_an_lm_is_asked_decisive_pairs_alone() -> None:
    asked: list[bool] = []

    def right(pairs: object) -> list[bool]:
        asked.extend(pair.decisive for pair in pairs)  # type: ignore[attr-defined]
        return [True] * len(pairs)  # type: ignore[arg-type]

    made = made_with(20, decisive_only=True)
    list(row_tables(made, answered=PairFilter("toy", "0", "float32", right)))
    assert asked
    assert all(asked)


def test_an_export_leaves_the_others_out(tmp_path: Path) -> None:
    write_dataset(made_with(60), tmp_path / "out")
    export(tmp_path / "out", "jsonl", tmp_path / "all")
    made = export(tmp_path / "out", "jsonl", tmp_path / "decisive", decisive_only=True)
    for split, count in made.rows.items():
        lines = (tmp_path / f"decisive/{split}.jsonl").read_text(encoding="utf-8").splitlines()
        every = (tmp_path / f"all/{split}.jsonl").read_text(encoding="utf-8").splitlines()
        assert lines == [line for line in every if json.loads(line)["decisive"]]
        assert len(lines) == count


def test_a_design_without_a_contrast_has_none() -> None:
    task = replace(load_task("ioi"), designs={"bare": replace(MIXED, name="bare", contrast=())})
    with pytest.raises(CfgenError, match="no-contrast"):
        recipe(task, 8, design="bare", decisive_only=True)


def test_hardly_any_are_decisive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cfgen.datasets.rows.LOOKED_AT_MOST", 1)
    with pytest.raises(CfgenError, match="too-few-decisive") as caught:
        list(row_tables(made_with(400, decisive_only=True)))
    assert "'mixed'" in caught.value.problems[0].message
