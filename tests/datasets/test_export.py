"""Exports: every layout holds what the dataset says, at the tokens where it says it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import load_dataset

from cfgen.datasets import NEED_TOKENS, TOOLS, export, recipe, write_dataset
from cfgen.errors import CfgenError
from tests.datasets.test_tokenizers import tokenizer

SPLITS = {"train": 24, "validation": 3, "test": 3}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "dataset"
    write_dataset(recipe("belief_tracking", 30), folder)
    return folder


@pytest.fixture(scope="module")
def source(dataset: Path) -> list[dict]:
    return list(load_dataset(str(dataset), cache_dir=str(dataset.parent / "cache"))["train"])


@pytest.fixture
def exported(dataset: Path, tmp_path: Path) -> Callable[..., list[dict]]:
    def make(tool: str, **options) -> list[dict]:
        out = tmp_path / tool
        made = export(dataset, tool, out, tokenizer=("t", tokenizer()), **options)
        assert made.rows == SPLITS
        assert sorted(path.name for path in out.iterdir()) == sorted(made.files)
        # as users of the tools load them
        files = {split: str(out / f"{split}.jsonl") for split in SPLITS}
        loaded = load_dataset("json", data_files=files, cache_dir=str(tmp_path / "cache"))
        assert {split: found.num_rows for split, found in loaded.items()} == SPLITS
        return [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]

    return make


def shown_at(row: dict, prompt: str, tokens: list[int]) -> str:
    """The text of some tokens of a prompt, by the tokenizer of these tests."""
    _, offsets = tokenizer()(row[prompt])
    return row[prompt][offsets[tokens[0]][0] : offsets[tokens[-1]][1]].strip()


def check_positions(rows: list[dict], source: list[dict], one: str, other: str) -> None:
    for row, pair in zip(rows, source, strict=True):
        assert len(row["positions"]) > 8
        for name, where in row["positions"].items():
            for key, side in ((one, "original"), (other, "counterfactual")):
                prompt = pair[side]["prompt"]
                if name == "last":
                    assert where[key] == [len(tokenizer()(prompt)[0]) - 1]
                    continue
                slot, _, mention = name.removesuffix("].all").partition("[")
                span = next(
                    s
                    for s in pair[side]["spans"]
                    if (s["name"], s["mention"]) == (slot, int(mention))
                )
                assert shown_at(row, key, where[key]) == prompt[span["start"] : span["end"]]


def test_pyvene(exported, source: list[dict]) -> None:
    rows = exported("pyvene")
    for row, pair in zip(rows, source, strict=True):
        assert row["base"] == pair["original"]["prompt"]
        assert row["source"] == pair["counterfactual"]["prompt"]
        assert row["label"] == pair["predictions"]["answer_pointer"]
        assert row["base_input_ids"] == tokenizer()(row["base"])[0]
        assert row["source_input_ids"] == tokenizer()(row["source"])[0]
        assert row["label_ids"] == tokenizer()(f"x {row['label']}")[0][1:]
    check_positions(rows, source, "base", "source")


@pytest.mark.parametrize("tool", ["nnsight", "transformer_lens"])
def test_prompts_and_token_indices(exported, source: list[dict], tool: str) -> None:
    rows = exported(tool, label="answer_payload")
    for row, pair in zip(rows, source, strict=True):
        assert row["prompt"] == pair["original"]["prompt"]
        assert row["tokens"] == tokenizer()(row["prompt"])[0]
        assert row["counterfactual_tokens"] == tokenizer()(row["counterfactual_prompt"])[0]
        assert row["label"] == pair["predictions"]["answer_payload"]
        assert row["answer_tokens"] == tokenizer()(f"x {pair['original']['answer']}")[0][1:]
        assert len(row["counterfactual_answer_tokens"]) == len(row["label_tokens"]) == 1
    check_positions(rows, source, "prompt", "counterfactual_prompt")


def test_causalab(exported, source: list[dict]) -> None:
    for row, pair in zip(exported("causalab", label="none"), source, strict=True):
        assert set(row) == {"id", "input", "counterfactual_inputs", "label"}
        (counterfactual,) = row["counterfactual_inputs"]
        for given, side in ((row["input"], "original"), (counterfactual, "counterfactual")):
            assert given["raw_input"] == pair[side]["prompt"]
            assert given["raw_output"] == f" {pair[side]['answer']}"
            assert given["drinks"] == pair[side]["variables"]["drinks"]
        assert row["label"] == pair["original"]["answer"]


def test_mib(exported, source: list[dict]) -> None:
    for row, pair in zip(exported("mib"), source, strict=True):
        names = [name for name in row if name.endswith("_counterfactual")]
        assert names == ["restate_counterfactual"]
        nested = row[names[0]]
        assert set(nested) <= set(row)
        assert (row["prompt"], row["answer"]) == (
            pair["original"]["prompt"],
            pair["original"]["answer"],
        )
        assert (nested["prompt"], nested["answer"]) == (
            pair["counterfactual"]["prompt"],
            pair["counterfactual"]["answer"],
        )


def test_jsonl_is_the_dataset_with_a_label(exported, source: list[dict]) -> None:
    rows = exported("jsonl")
    assert [{k: v for k, v in row.items() if k != "label"} for row in rows] == source


def test_the_record_says_what_it_was_made_from(dataset: Path, tmp_path: Path) -> None:
    export(dataset, "mib", tmp_path / "out", label="all")
    record = json.loads((tmp_path / "out/export.json").read_text())
    manifest = json.loads((dataset / "manifest.json").read_text())
    for key in ("task", "design", "content_hash", "seed"):
        assert record[key] == manifest[key]
    assert (record["tool"], record["label"], record["tokenizer"]) == ("mib", "all", None)
    assert record["rows"] == SPLITS


def test_every_mistake_is_named_and_nothing_written(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(CfgenError) as caught:
        export(dataset, "pyven", out, label="answer_pointr")
    assert [problem.code for problem in caught.value.problems] == ["unknown-tool", "unknown-label"]
    assert "'pyvene'" in str(caught.value)
    assert "'answer_pointer'" in str(caught.value)
    for tool in NEED_TOKENS:
        with pytest.raises(CfgenError, match="needs-tokenizer"):
            export(dataset, tool, out)
    assert set(NEED_TOKENS) < set(TOOLS)
    with pytest.raises(CfgenError, match="not-a-dataset"):
        export(tmp_path, "mib", out)
    assert not out.exists()


def test_a_dataset_that_lacks_a_file(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half/manifest.json").write_text((dataset / "manifest.json").read_text())
    with pytest.raises(CfgenError, match=r"train-00000-of-00001.parquet is missing"):
        export(tmp_path / "half", "mib", tmp_path / "out")


def test_what_would_have_no_token_is_refused(dataset: Path, tmp_path: Path) -> None:
    whole = tokenizer()

    def joining(text: str):  # the answer becomes part of the prompt's last token
        return [len(text)], [(0, len(text))]

    def forgetful(text: str):
        ids, _ = whole(text)
        return ids, [(0, 0)] * len(ids)

    for number, wrong in enumerate((joining, forgetful)):
        out = tmp_path / str(number)
        with pytest.raises(CfgenError, match="export-without-token"):
            export(dataset, "pyvene", out, tokenizer=("t", wrong))
        assert not out.exists()
