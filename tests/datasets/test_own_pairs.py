"""Pairs of one's own: what rows say, in every kind of file, and everything that can be wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cfgen.counterfactuals import Pair, Site
from cfgen.datasets import own_pairs_source
from cfgen.errors import CfgenError
from cfgen.prompts import Span

ROW = {
    "original": "Ann gave Ben tea. Ann has",
    "counterfactual": "Ben gave Ann milk. Ben has",
    "original_answer": "tea",
    "counterfactual_answer": "milk",
}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    if path.suffix in (".csv", ".tsv"):
        with path.open("w", encoding="utf-8", newline="") as file:
            dialect = "excel-tab" if path.suffix == ".tsv" else "excel"
            writer = csv.DictWriter(file, list(rows[0]), dialect=dialect)
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(tmp_path: Path, *rows: dict[str, Any], **columns: str) -> list[Pair]:
    path = write(tmp_path / "mine.jsonl", [{**ROW, **row} for row in rows])
    return list(own_pairs_source(path, columns).pairs)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_every_kind_of_file_gives_the_same_pairs(tmp_path: Path, suffix: str) -> None:
    rows = [{**ROW, "id": "05"}, {**ROW, "id": "NA", "original": 'Ann, "Ben" has'}]
    source = own_pairs_source(write(tmp_path / f"mine{suffix}", rows), {})
    assert [pair.id for pair in source.pairs] == ["05", "NA"]
    assert source.pairs[1].original.prompt.text == 'Ann, "Ben" has'
    assert (source.task, source.design, source.total) == ("mine", "own_pairs", 2)
    assert source.tested == ("all",)
    assert source.site("all") == Site()
    assert source.candidates == {"tea": ("tea",), "milk": ("milk",)}
    (pair, _) = source.pairs
    assert (pair.predictions, pair.decisive) == ({"none": "tea", "all": "milk"}, True)
    assert pair.kinds == {"none": "original", "all": "counterfactual"}
    assert pair.original.answer_prefix == " "
    table = source.table(source.pairs)
    assert table["original"].to_pylist()[0]["completion"] == " tea"


def test_positions_by_words_spans_and_marks(tmp_path: Path) -> None:
    (words,) = read(tmp_path, {"original.who": "Ann", "counterfactual.who": "Ben"})
    assert words.original.prompt.spans == (Span("who", 0, 0, 3), Span("who", 1, 18, 21))
    assert words.original.slots == {"who": "Ann"}
    spans = [{"name": "what", "start": 13, "end": 16}]
    (by_number,) = read(tmp_path, {"original_spans": spans, "counterfactual_spans": None})
    assert by_number.original.prompt.spans == (Span("what", 0, 13, 16),)
    assert by_number.original.slots == {"what": "tea"}
    assert by_number.counterfactual.prompt.spans == ()
    row = {key: value for key, value in ROW.items() if key != "original"}
    path = write(
        tmp_path / "m.jsonl",
        [{**row, "original_marked": "[[who|Ann]] gave [[to|Ben]] tea. [[who|Ann]] has"}],
    )
    (marked,) = own_pairs_source(path, {}).pairs
    assert marked.original.prompt.text == ROW["original"]
    assert marked.original.prompt.spans == (
        Span("who", 0, 0, 3), Span("to", 0, 9, 12), Span("who", 1, 18, 21),
    )  # fmt: skip


def test_columns_of_other_names_and_hypotheses(tmp_path: Path) -> None:
    row = {"a": ROW["original"], "b": ROW["counterfactual"], "x": "tea", "y": "milk", "z": "water"}
    columns = {
        "original": "a",
        "counterfactual": "b",
        "original_answer": "x",
        "counterfactual_answer": "y",
        "predicts.third": "z",
    }
    source = own_pairs_source(write(tmp_path / "m.jsonl", [row, {**row, "z": "tea"}]), columns)
    first, second = source.pairs
    assert source.tested == ("third",)
    assert (first.kinds["third"], first.decisive) == ("third", True)
    assert (second.kinds["third"], second.decisive) == ("original", False)
    assert "1 predict the same whatever is true" in source.description


def test_several_texts_are_one_answer(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.jsonl",
        [
            {**ROW, "original_answer": ["2", "two"], "counterfactual_answer": "3"},
            {**ROW, "original_answer": ["2", "both"], "counterfactual_answer": ["2", "two"]},
        ],
    )
    source = own_pairs_source(path, {})
    assert source.candidates == {"2": ("2", "two"), "3": ("3",), "2/both": ("2", "both")}
    assert source.pairs[1].predictions == {"none": "2/both", "all": "2"}


@pytest.mark.parametrize(
    ("row", "text", "prefix", "answer"),
    [
        ({}, ROW["original"], " ", "tea"),
        ({"original_answer": "  tea"}, ROW["original"], "  ", "tea"),
        ({"original": "Ann has: "}, "Ann has:", " ", "tea"),
        ({"original": "Ann has:\n"}, "Ann has:", "\n", "tea"),
        ({"answer_prefix": ""}, ROW["original"], "", "tea"),
        ({"answer_prefix": "\n"}, ROW["original"], "\n", "tea"),
        ({"original_answer": 5}, ROW["original"], " ", "5"),
    ],
)
def test_what_stands_between_prompt_and_answer(
    tmp_path: Path, row: dict[str, Any], text: str, prefix: str, answer: str
) -> None:
    (pair,) = read(tmp_path, row)
    side = pair.original
    assert (side.prompt.text, side.answer_prefix, side.answer) == (text, prefix, answer)


def test_the_first_n_or_all(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", [ROW] * 5)
    assert len(own_pairs_source(path, {}, n=3).pairs) == 3
    assert len({pair.id for pair in own_pairs_source(path, {}, n=64).pairs}) == 5


@pytest.mark.parametrize(
    ("rows", "columns", "parts"),
    [
        ([{"original": "a"}], {}, ["no column 'counterfactual'", "no column 'original_answer'"]),
        ([ROW], {"originals": "original"}, ["no role 'originals'", "did you mean 'original'"]),
        ([ROW], {"id": "ids"}, ["no column 'ids'"]),
        ([{**ROW, "original_marked": "x"}], {}, ["given twice"]),
        ([ROW, {**ROW, "original": " "}], {}, ["row 2, column 'original': there is no text"]),
        ([{**ROW, "original_answer": None}], {}, ["column 'original_answer': there is no text"]),
        ([{**ROW, "original_answer": []}], {}, ["there is no text"]),
        ([{**ROW, "original_answer": ["a", ""]}], {}, ["is no text"]),
        ([{**ROW, "original.who": "Cid"}], {}, ["'Cid' does not occur in the original"]),
        ([{**ROW, "original_spans": "[{"}], {}, ["these are no spans"]),
        (
            [{**ROW, "original_spans": [{"name": "x", "start": 3, "end": 99}]}],
            {},
            ["is not within the prompt"],
        ),
        ([{**ROW, "id": "a"}, {**ROW, "id": "a"}], {}, ["row 2", "'a' is that of row 1"]),
        ([{**ROW, "id": ""}] * 30, {}, ["22 more problems"]),
    ],
)
def test_what_is_wrong_is_said_with_row_and_column(
    tmp_path: Path, rows: list[dict[str, Any]], columns: dict[str, str], parts: list[str]
) -> None:
    path = write(tmp_path / "mine.json", rows)
    with pytest.raises(CfgenError) as raised:
        own_pairs_source(path, columns)
    for part in parts:
        assert part in str(raised.value)


def test_a_mark_that_is_not_closed(tmp_path: Path) -> None:
    row = {key: value for key, value in ROW.items() if key != "original"}
    path = write(tmp_path / "m.jsonl", [{**row, "original_marked": "[[who|Ann has"}])
    with pytest.raises(CfgenError, match="a mark is not closed"):
        own_pairs_source(path, {})


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("there.csv", None, "is not there"),
        ("mine.xlsx", b"", "of no known kind"),
        ("mine.csv", b"", "No columns"),
        ("mine.csv", b"a,b\n", "has no rows"),
        ("mine.csv", b"a,b\n1,2\n\xff,4\n", "is not UTF-8"),
        ("mine.csv", b"a\n1,2,3\n4,5,6,7\n", "Expected 3 fields"),
        ("mine.json", b"{}", "not a list"),
        ("mine.json", b"[1]", "row 1 is not an object"),
        ("mine.jsonl", b"{}\n{", "line 2 is not JSON"),
        ("mine.parquet", b"no", "arquet"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | None, part: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CfgenError, match=r"pairs-file") as raised:
        own_pairs_source(str(tmp_path / name), {})
    assert part in str(raised.value)


def test_a_dataset_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(name: str, **options: object) -> list[dict[str, Any]]:
        asked.append((name, options))
        if name == "a/none":
            raise FileNotFoundError("there is no a/none")
        return [ROW]

    monkeypatch.setattr("datasets.load_dataset", load)
    source = own_pairs_source("hub:a/b@v1", {}, split="dev")
    assert asked == [("a/b", {"split": "dev", "revision": "v1"})]
    assert (source.task, len(source.pairs)) == ("b", 1)
    with pytest.raises(CfgenError, match="there is no a/none"):
        own_pairs_source("hub:a/none", {})
