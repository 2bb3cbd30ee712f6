"""Generation: the same bytes, no duplicates, nothing half-written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard

from cfgen import CfgenError, generate
from cfgen.datasets import draw_pairs, recipe, write_dataset

N = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "restate"
    write_dataset(recipe("belief_tracking", N), path, jsonl=True)
    return path


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return [
        {"split": name, **row}
        for name, split in generate("belief_tracking", N).items()
        for row in split
    ]


def test_load_dataset_opens_the_folder(folder: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in loaded.items()} == {
        "train": 160,
        "validation": 20,
        "test": 20,
    }
    row = loaded["test"][0]
    assert row["predictions"]["none"] == row["original"]["answer"]
    assert row["original"]["completion"] == " " + row["original"]["answer"]


def test_in_memory_and_on_disk_are_the_same(folder: Path, tmp_path: Path, rows: list[dict]) -> None:
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    again = [{"split": name, **row} for name, split in loaded.items() for row in split]
    assert again == rows
    assert loaded["train"].features == generate("belief_tracking", 5)["train"].features


def test_features_are_typed(folder: Path) -> None:
    features = generate("belief_tracking", 3)["train"].features
    variables = features["original"]["variables"]
    assert variables["answer_pointer"].dtype == "int64"
    assert variables["answer_payload"].dtype == "string"
    assert variables["characters"] == datasets.List(datasets.Value("string"))
    assert variables["address_1"] == datasets.List(datasets.Value("int64"))
    assert features["decisive"].dtype == "bool"


def test_jsonl_has_the_same_rows(folder: Path, rows: list[dict]) -> None:
    lines = (folder / "jsonl/train.jsonl").read_text().splitlines()
    expected = [{k: v for k, v in row.items() if k != "split"} for row in rows][:160]
    assert [json.loads(line) for line in lines] == expected


def test_two_runs_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """In another process, with another hash seed, and with pyarrow started anew."""
    code = (
        "import sys; from pathlib import Path; from cfgen.datasets import recipe, write_dataset;"
        f"write_dataset(recipe('belief_tracking', {N}), Path(sys.argv[1]), jsonl=True)"
    )
    again = tmp_path / "again"
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    subprocess.run([sys.executable, "-c", code, str(again)], check=True, env=environment)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert len(files) == 8
    for file in files:
        assert (folder / file).read_bytes() == (again / file).read_bytes(), file


def test_a_longer_dataset_begins_with_the_shorter_one(rows: list[dict]) -> None:
    longer = generate("belief_tracking", 2 * N)
    for name, split in longer.items():
        ids = [row["id"] for row in rows if row["split"] == name]
        assert split["id"][: len(ids)] == ids


def test_seeds_differ(rows: list[dict]) -> None:
    other = generate("belief_tracking", N, seed=1)["train"]["id"]
    assert not {row["id"] for row in rows} & set(other)


def test_no_prompt_occurs_twice(rows: list[dict]) -> None:
    prompts = [row[side]["prompt"] for row in rows for side in ("original", "counterfactual")]
    assert len(set(prompts)) == len(prompts) == 2 * N


def test_no_word_occurs_in_two_splits(rows: list[dict]) -> None:
    for name in ("characters", "containers", "drinks"):
        used: dict[str, set[str]] = {}
        for row in rows:
            for side in ("original", "counterfactual"):
                used.setdefault(row["split"], set()).update(row[side]["variables"][name])
        train, validation, test = used["train"], used["validation"], used["test"]
        assert not train & validation
        assert not train & test
        assert not validation & test


def test_spans_show_what_they_say(rows: list[dict]) -> None:
    for row in rows[:50]:
        for side in ("original", "counterfactual"):
            prompt, variables = row[side]["prompt"], row[side]["variables"]
            shown = {
                (span["name"], prompt[span["start"] : span["end"]]) for span in row[side]["spans"]
            }
            for number in (1, 2):
                assert (f"character_{number}", variables["characters"][number - 1]) in shown
                assert (f"drink_{number}", variables["drinks"][number - 1]) in shown


def test_kinds_and_decisiveness_follow_from_the_predictions(rows: list[dict]) -> None:
    for row in rows:
        own, other = row["original"]["answer"], row["counterfactual"]["answer"]
        for name, text in row["predictions"].items():
            expected = "original" if text == own else "counterfactual" if text == other else "third"
            assert row["kinds"][name] == expected
        contrast = [row["predictions"][name] for name in ("answer_pointer", "answer_payload")]
        assert row["decisive"] == (len({own, *contrast}) == 3)


def test_manifest_counts(folder: Path, rows: list[dict]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    train = [row for row in rows if row["split"] == "train"]
    summary = manifest["splits"]["train"]
    assert summary["rows"] == len(train) == 160
    assert summary["decisive"] == sum(row["decisive"] for row in train)
    assert sum(summary["answers"].values()) == 160
    assert summary["kinds"]["answer_pointer"] == {"third": 160}
    assert summary["templates"] == {"restaurant": 160}
    assert manifest["counterfactual_edits"][0] == "reverse(characters)"


def test_the_card_is_valid(folder: Path) -> None:
    card = DatasetCard.load(folder / "README.md")
    assert card.data.pretty_name == "belief_tracking: restate"
    assert card.data.size_categories == ["n<1K"]
    text = (folder / "README.md").read_text()
    assert "200 of 200 pairs (1.000) are decisive" in text
    for heading in ("One pair", "Columns", "Splits", "Answers", "How it was made"):
        assert f"## {heading}" in text


def test_templates_can_be_chosen() -> None:
    made = generate("belief_tracking", 60, templates=["tavern", "picnic"])["train"]
    assert {row["variables"]["template"] for row in made["original"]} == {"tavern", "picnic"}
    every = generate("belief_tracking", 100, templates=["all"])["train"]
    assert len({row["variables"]["template"] for row in every["original"]}) == 6
    with pytest.raises(CfgenError, match="did you mean 'tavern'"):
        generate("belief_tracking", 5, templates=["taverne"])


def test_too_many_pairs_is_an_error_and_leaves_nothing(project, tmp_path: Path) -> None:
    project.lexicon("things", [f"thing{number}" for number in range(16)])
    made = recipe(project.load(), 400, fractions={"train": 1.0})
    out = tmp_path / "out"
    with pytest.raises(CfgenError) as caught:
        write_dataset(made, out)
    assert caught.value.problems[0].code == "too-few-pairs"
    assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["project"]


def test_what_cannot_be_is_refused_at_once(project) -> None:
    """The 36 things of the training split make 36 x 35 x 2 different originals."""
    with pytest.raises(CfgenError, match=r"there are at most 2,520 different originals"):
        generate(project.load(), 10**12)
    with pytest.raises(CfgenError, match=r"at most 264 different originals"):
        draw_pairs(recipe(project.load(), 265))


def test_all_pairs_that_exist_are_found(project) -> None:
    """Six things leave few stories; the generator finds all that do not repeat a prompt."""
    project.lexicon("things", [f"thing{number}" for number in range(6)])
    made = recipe(project.load(), 25, fractions={"test": 1.0})
    pairs = draw_pairs(made)
    assert len({pair.original.prompt.text for pair in pairs}) == 25
    with pytest.raises(CfgenError, match=r"only (2[5-9]|30) have prompts that are all different"):
        draw_pairs(recipe(project.load(), 31, fractions={"test": 1.0}))


def test_a_design_that_never_decides_is_an_error(project, tmp_path: Path) -> None:
    project.design(
        'Design("fresh", counterfactual=[edits.resample("things", disjoint=True)],'
        ' contrast=["position", "token"])'
    )
    with pytest.raises(CfgenError) as caught:
        write_dataset(recipe(project.load(), 10), tmp_path / "out")
    assert caught.value.problems[0].code == "never-decisive"
    assert "position, token" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_template_that_never_fits_is_an_error(project) -> None:
    project.template(
        "---\nid: plain\ndescription: One case only.\nshows: [things, asked]\n"
        "supports: {asked: [0]}\n---\n{{ thing_1 }} and {{ thing_2 }}, {{ asked }} is\n"
    )
    with pytest.raises(CfgenError, match="supports what design 'fresh' makes"):
        generate(project.load(), 10)


def test_only_decisive_pairs_are_drawn_for_runs(project) -> None:
    project.design(
        'Design("fresh", counterfactual=[edits.resample("things", disjoint=True),'
        ' edits.resample("asked")], contrast=["position", "token"])'
    )
    pairs = draw_pairs(recipe(project.load(), 40), split="train")
    assert len(pairs) == 40
    assert all(pair.decisive for pair in pairs)
    assert pairs[-1].index > 50


def test_row_groups_are_small(tmp_path: Path) -> None:
    """Memory stays constant because no more than a batch is ever held."""
    write_dataset(recipe("belief_tracking", 5000), tmp_path / "out")
    file = pq.ParquetFile(tmp_path / "out/data/train-00000-of-00001.parquet")
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [2000, 2000]
