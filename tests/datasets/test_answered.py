"""Datasets of pairs that an LM answers, with a rule that needs no LM."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cfgen.counterfactuals import Pair
from cfgen.datasets import (
    AuditPlan,
    PairFilter,
    candidate_pairs,
    export,
    find_dataset,
    read_dataset,
    recipe,
    row_tables,
    write_dataset,
)
from cfgen.errors import CfgenError

N = {"train": 32, "validation": 4, "test": 4}


def is_right(pair: Pair) -> bool:
    """Stands for an LM: it knows names whose second letter is a vowel."""
    sides = (pair.original, pair.counterfactual)
    return all(side.answer is not None and side.answer[1] in "aeiou" for side in sides)


def answered(revision: str = "sha256:0") -> PairFilter:
    def right(pairs: Sequence[Pair]) -> list[bool]:
        return [is_right(pair) for pair in pairs]

    return PairFilter("toy-lm", revision, "float32", right)


def chosen_plainly(n: int) -> dict[str, list[str]]:
    """Ids of the pairs that are right and repeat no prompt, one after the other."""
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    for candidates in recipe("ioi", n).candidates():
        ids = found.setdefault(candidates.split.name, [])
        for pair in candidate_pairs(candidates, 2000):
            prompts = {pair.original.prompt.text, pair.counterfactual.prompt.text}
            if len(ids) < candidates.split.rows and is_right(pair) and not prompts & seen:
                ids.append(pair.id)
                seen |= prompts
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "answered"
    write_dataset(recipe("ioi", 40), out, plan=AuditPlan(answered=answered()))
    return out


def test_it_has_the_first_pairs_that_are_right(folder: Path) -> None:
    plain = chosen_plainly(40)
    for split, rows in N.items():
        pairs, _ = read_dataset(folder, split)
        assert len(pairs) == rows
        assert [pair.id for pair in pairs] == plain[split]


def test_any_number_of_workers_gives_the_same_rows() -> None:
    one, two = (
        [table for _, table in row_tables(recipe("ioi", 40), workers, answered())]
        for workers in (1, 2)
    )
    assert [t.to_pylist() for t in one] == [t.to_pylist() for t in two]


def test_manifest_and_card_say_which_lm_and_how_many(folder: Path) -> None:
    _, manifest = read_dataset(folder, "test")
    found = manifest.answered
    assert found is not None
    assert (found.model, found.revision, found.dtype) == ("toy-lm", "sha256:0", "float32")
    for split, rows in N.items():
        assert found.asked[split] > found.kept[split] >= rows
    card = " ".join((folder / "README.md").read_text().split())
    asked, kept = sum(found.asked.values()), sum(found.kept.values())
    said = f"only pairs that toy-lm answers rightly on both sides: of {asked:,} that were asked"
    assert f"{said}, {kept:,} ({kept / asked:.3f})" in card
    assert "Weights sha256:0, in float32." in card


def test_another_lm_makes_another_dataset(folder: Path) -> None:
    asked = recipe("ioi", 40)
    assert find_dataset(asked, folder, plan=AuditPlan(answered=answered())) is not None
    for plan in (AuditPlan(), AuditPlan(answered=answered("sha256:1"))):
        with pytest.raises(CfgenError, match="answered by"):
            find_dataset(asked, folder, plan=plan)


def test_an_lm_that_answers_nothing_ends_the_drawing(tmp_path: Path) -> None:
    nothing = PairFilter("toy-lm", "r", "float32", lambda pairs: [False] * len(pairs))
    with pytest.raises(CfgenError, match="too-few-answered") as caught:
        write_dataset(recipe("ioi", 10), tmp_path / "out", plan=AuditPlan(answered=nothing))
    assert "answers only 0 rightly" in caught.value.problems[0].message
    assert not (tmp_path / "out").exists()


def test_an_export_leaves_out_what_is_not_answered(tmp_path: Path) -> None:
    write_dataset(recipe("ioi", 40), tmp_path / "all")
    made = export(tmp_path / "all", "jsonl", tmp_path / "out", answered=answered())
    for split in N:
        pairs, _ = read_dataset(tmp_path / "all", split)
        lines = (tmp_path / "out" / f"{split}.jsonl").read_text().splitlines()
        assert [json.loads(line)["id"] for line in lines] == [p.id for p in pairs if is_right(p)]
        assert made.rows[split] == len(lines)
    record = json.loads((tmp_path / "out/export.json").read_text())
    assert record["answered"]["asked"] == N
    assert record["answered"]["kept"] == made.rows
    again = export(tmp_path / "all", "jsonl", tmp_path / "out", answered=answered())
    assert again.rows == made.rows
    with pytest.raises(CfgenError, match="answered by"):
        export(tmp_path / "all", "jsonl", tmp_path / "out")
