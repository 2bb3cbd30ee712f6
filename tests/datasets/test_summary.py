from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from cfgen.datasets import (
    dataset_summary,
    recipe,
    suite_recipes,
    suite_summary,
    write_dataset,
    write_suite,
)
from cfgen.documents import Document
from cfgen.documents.terminal import rendered


def draw(document: Document, width: int = 80) -> str:
    file = io.StringIO()
    Console(file=file, width=width, color_system=None).print(rendered(document))
    return file.getvalue()


@pytest.mark.parametrize("design", ["restate", "unmatched"])
def test_the_numbers_are_those_of_the_rows(tmp_path: Path, design: str) -> None:
    from datasets import load_dataset

    folder = tmp_path / "made"
    manifest = write_dataset(recipe("belief_tracking", 60, design=design, seed=1), folder)
    shown = draw(dataset_summary(manifest, folder), width=120)
    lines = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    rows = [row for split in load_dataset(str(folder)).values() for row in split]
    for name in rows[0]["kinds"]:
        for column, kind in zip((-3, -2, -1), ("original", "counterfactual", "third"), strict=True):
            share = sum(row["kinds"][name] == kind for row in rows) / 60
            assert lines[name][column] == (f"{share:.3f}" if share else "-"), (name, kind)
    decisive = sum(row["decisive"] for row in rows)
    assert f"{decisive} of 60 pairs ({decisive / 60:.3f}) are decisive" in shown
    answers = [row["original"]["answer"] for row in rows]
    top = max(answers.count(answer) for answer in answers)
    different = len(set(answers))
    assert (f"{different} different ones: " if different > 1 else "only one: ") in shown
    assert different == 1 or design == "restate"
    assert f"right for {top / 60:.3f} of the pairs" in " ".join(shown.split())
    assert lines["train"][1:3] == ["48", str(sum(r["decisive"] for r in rows[:48]))]
    assert max(map(len, draw(dataset_summary(manifest, folder)).splitlines())) <= 80


def test_several_designs_have_their_numbers_and_findings(tmp_path: Path) -> None:
    recipes = suite_recipes(recipe("belief_tracking", 40, seed=1), ["restate", "reorder"])
    suite = write_suite(recipes, tmp_path / "made")
    shown = draw(suite_summary(suite, tmp_path / "made"))
    assert max(map(len, shown.splitlines())) <= 80
    lines = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    for manifest in suite.datasets:
        splits = manifest.splits.values()
        counts = [*(split.rows for split in splits), sum(split.decisive for split in splits)]
        assert lines[manifest.design][1:5] == [str(count) for count in counts]
        assert f"{manifest.design}: coverage of 2" in shown
