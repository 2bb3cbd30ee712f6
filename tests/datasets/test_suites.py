"""Suites: datasets of several designs in one folder, which share no prompt."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cfgen.datasets import (
    AuditPlan,
    PairFilter,
    SeenPrompts,
    open_dataset,
    open_suite,
    push_to_hub,
    read_dataset,
    recipe,
    row_tables,
    suite_recipes,
    write_suite,
)
from cfgen.errors import CfgenError
from cfgen.folders import sealed
from tests.datasets.conftest import FRESH, Project

DESIGNS = ("restate", "fresh", "unmatched")


def made(folder: Path, n: int = 40, designs: Sequence[str] = DESIGNS, **options: object) -> Path:
    recipes = suite_recipes(recipe("belief_tracking", n, seed=3, **options), designs)  # type: ignore[arg-type]
    write_suite(recipes, folder)
    return folder


def codes(error: CfgenError) -> set[str]:
    return {problem.code for problem in error.problems}


def prompts(folder: Path, split: str) -> list[str]:
    pairs, _ = read_dataset(folder, split)
    return [side.prompt.text for pair in pairs for side in (pair.original, pair.counterfactual)]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("suite") / "made")


def test_no_prompt_is_in_two_datasets(suite: Path) -> None:
    every = [
        text
        for name in DESIGNS
        for split in ("train", "test")
        for text in prompts(suite / name, split)
    ]
    assert len(every) == len({*every}) == 3 * 2 * (32 + 4)


def test_a_word_has_one_split_whatever_the_design(suite: Path) -> None:
    words: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for name in DESIGNS:
        for split, found in words.items():
            for pair in read_dataset(suite / name, split)[0]:
                found |= {*pair.original.variables["drinks"]}
    assert not words["train"] & words["test"]
    assert not words["validation"] & words["test"]


def test_prompts_are_counted_whatever_the_design(project: Project) -> None:
    """Of 8 words there are 112 prompts: enough for 40 pairs of one design, not of two."""
    project.lexicon("things", [f"thing{number}" for number in range(8)])
    project.design(f"{FRESH}, {FRESH.replace('fresh', 'again')}")
    whole = recipe(project.load(), 40, fractions={"train": 1})
    first, second = suite_recipes(whole, ["fresh", "again"])
    seen: SeenPrompts = {}
    list(row_tables(first, seen=seen))
    list(row_tables(second))
    assert len(seen) == 80
    with pytest.raises(CfgenError) as caught:
        list(row_tables(second, seen=seen))
    assert codes(caught.value) == {"too-few-pairs"}
    list(row_tables(replace(second, reuse_prompts=True), seen=seen))


def test_prompts_used_again_stay_in_their_split(project: Project) -> None:
    project.design(f"{FRESH}, {FRESH.replace('fresh', 'again')}")
    whole = recipe(project.load(), 60, fractions={"train": 1, "test": 1}, reuse_prompts=True)
    seen: SeenPrompts = {}
    there: dict[str, set[str]] = {"train": set(), "test": set()}
    for each in suite_recipes(whole, ["fresh", "again"]):
        for split, table in row_tables(each, seen=seen):
            for side in ("original", "counterfactual"):
                texts = table[side].combine_chunks().field("prompt").to_pylist()
                there[split.name].update(texts)
    assert not there["train"] & there["test"]
    assert Counter(seen.values()) == {split: len(texts) for split, texts in there.items()}


def test_datasets_opens_each_design_and_all(suite: Path) -> None:
    from datasets import load_dataset

    for name in DESIGNS:
        rows = load_dataset(str(suite), name)["train"]
        assert {*rows["design"]} == {name}
        assert len(rows) == 32
    every = load_dataset(str(suite))
    assert {split: len(rows) for split, rows in every.items()} == {
        "train": 96,
        "validation": 12,
        "test": 12,
    }
    assert {*every["test"]["design"]} == {*DESIGNS}


def test_the_first_design_is_the_dataset_that_it_is_alone(suite: Path, tmp_path: Path) -> None:
    alone = made(tmp_path / "alone", designs=DESIGNS[:1]) / DESIGNS[0]
    file = "data/train-00000-of-00001.parquet"
    assert (alone / file).read_bytes() == (suite / DESIGNS[0] / file).read_bytes()
    assert open_dataset(suite / DESIGNS[2]).manifest.beside == DESIGNS[:2]


def test_asked_for_again_it_is_shown(suite: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in suite.rglob("*")}
    made(suite)
    assert before == {file: file.stat().st_mtime_ns for file in suite.rglob("*")}
    with pytest.raises(CfgenError) as caught:
        made(suite, designs=DESIGNS[:2])
    assert codes(caught.value) == {"folder-in-use"}
    assert '"unmatched"' in str(caught.value)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (("restate", "restate"), "bad-suite"),
        (("restate", "restat"), "unknown-name"),
        (("restate", "default"), "bad-suite"),
    ],
)
def test_designs_that_cannot_be_together(names: tuple[str, ...], code: str) -> None:
    with pytest.raises(CfgenError) as caught:
        suite_recipes(recipe("belief_tracking", 4), names)
    assert codes(caught.value) == {code}


@pytest.mark.parametrize(
    "changed",
    [
        "manifest.json",
        "fresh/manifest.json",
        "fresh/data/test-00000-of-00001.parquet",
    ],
)
@pytest.mark.parametrize("gone", [True, False])
def test_what_was_changed_is_found(suite: Path, tmp_path: Path, changed: str, gone: bool) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(suite, copy)
    file = copy / changed
    if gone:
        file.unlink()
    else:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    with pytest.raises(CfgenError) as caught:
        open_suite(copy)
    assert codes(caught.value) <= {"dataset-changed", "not-a-dataset"}


@pytest.mark.parametrize("name", ["..", "../victim", "/etc", "a/b", "", "nothing"])
def test_a_design_of_a_manifest_stays_in_the_folder(suite: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(suite, copy)
    content = json.loads((copy / "manifest.json").read_text())
    content["designs"][0] = name
    hashes = {file: sha for file, sha in content["sha256"].items() if file != "manifest.json"}
    (copy / "manifest.json").write_text(json.dumps(sealed(content, hashes, "manifest.json")))
    with pytest.raises(CfgenError) as caught:
        open_suite(copy)
    assert codes(caught.value) <= {"unsafe-name", "dataset-changed"}


def test_pairs_that_an_lm_answers_are_counted_by_design(tmp_path: Path) -> None:
    asked: list[int] = []

    def right(pairs: Sequence[object]) -> list[bool]:
        asked.append(len(pairs))
        return [number % 2 == 0 for number, _ in enumerate(pairs)]

    plan = AuditPlan(answered=PairFilter("toy", "0", "float32", right))
    recipes = suite_recipes(recipe("belief_tracking", 10, fractions={"test": 1}), DESIGNS[:2])
    suite = write_suite(recipes, tmp_path / "made", plan=plan)
    counts = [each.answered.asked["test"] for each in suite.datasets if each.answered]
    assert sum(counts) == sum(asked)
    assert len(counts) == 2
    assert all(counts)


def test_it_is_uploaded_whole(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    sent: list[str] = []

    class Hub:
        def __init__(self, **_: object) -> None: ...

        def create_repo(self, repo: str, **_: object) -> str:
            return f"hub/{repo}"

        def upload_folder(self, *, allow_patterns: list[str], **_: object) -> None:
            sent.extend(allow_patterns)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    assert push_to_hub(suite, "me/pairs") == "hub/me/pairs"
    there = [str(file.relative_to(suite)) for file in suite.rglob("*") if file.is_file()]
    assert sorted(sent) == sorted(there)
