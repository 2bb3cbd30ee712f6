"""Pairs of one's own: what rows say, in every kind of file, and everything that can be wrong."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

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
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text("".join(lines), encoding="utf-8")
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
    assert source.description.startswith("2 pairs of ")


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


def test_a_text_may_be_right_for_several_answers(tmp_path: Path) -> None:
    given: list[tuple[Any, Any]] = [(["2", "two"], "3"), (["two", "2"], "2"), ("2/3", ["2", "3"])]
    rows = [{**ROW, "original_answer": one, "counterfactual_answer": other} for one, other in given]
    source = own_pairs_source(write(tmp_path / "m.jsonl", rows), {})
    # the same texts in another order are the same answer; names are never used twice
    assert [{*texts} for texts in source.candidates.values()] == [
        {"2", "two"}, {"3"}, {"2"}, {"2/3"}, {"2", "3"},
    ]  # fmt: skip
    first, second, third = source.pairs
    assert first.predictions["none"] == second.predictions["none"] == "2"
    assert second.kinds["all"] == third.kinds["all"] == "counterfactual"
    for pair in source.pairs:
        for name, label in pair.predictions.items():
            number, column = pair.index, 0 if name == "none" else 1
            wanted = given[number][column]
            texts = {*wanted} if isinstance(wanted, list) else {wanted}
            assert {*source.candidates[label]} == texts


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
        # nothing is lost of what a row has, whoever has it
        ({"answer_prefix": "", "original_answer": " tea"}, ROW["original"], " ", "tea"),
        ({"answer_prefix": "-", "original": "Ann:\n"}, "Ann:", "\n-", "tea"),
        ({"answer_prefix": None}, ROW["original"], " ", "tea"),
        ({"answer_prefix": float("nan")}, ROW["original"], " ", "tea"),
        ({"original": "Ann\u2028has\x0b\x85x"}, "Ann\u2028has\x0b\x85x", " ", "tea"),
    ],
)
def test_what_stands_between_prompt_and_answer(
    tmp_path: Path, row: dict[str, Any], text: str, prefix: str, answer: str
) -> None:
    (pair,) = read(tmp_path, row)
    side = pair.original
    assert (side.prompt.text, side.answer_prefix, side.answer) == (text, prefix, answer)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(str.strip)
PLAIN = st.text("ab [|].", max_size=5).filter(lambda text: "[[" not in text and "]]" not in text)


@given(prompt=TEXT, answer=TEXT, prefix=st.none() | st.sampled_from(["", " ", "-", "\n"]))
def test_prompt_and_answer_stay_the_text_that_they_are(
    tmp_path_factory: pytest.TempPathFactory, prompt: str, answer: str, prefix: str | None
) -> None:
    row = {**ROW, "original": prompt, "original_answer": answer, "answer_prefix": prefix}
    path = write(tmp_path_factory.mktemp("own") / "m.jsonl", [row])
    (pair,) = own_pairs_source(path, {}).pairs
    side = pair.original
    spaced = prompt[-1:].isspace() or answer[:1].isspace()
    between = prefix if prefix is not None else "" if spaced else " "
    assert side.answer is not None
    whole = side.prompt.text + side.answer_prefix + side.answer
    assert whole == (prompt + between + answer).rstrip()


@given(st.lists(st.tuples(PLAIN, st.text("ab ", min_size=1, max_size=4)), min_size=1, max_size=4))
def test_marks_are_taken_out_and_remembered(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, str]]
) -> None:
    marked = "".join(f"{before}[[x|{text}]]" for before, text in parts) + "."
    plain = "".join(before + text for before, text in parts) + "."
    assume("[[[" not in marked and "]]]" not in marked and "[[" not in plain and "]]" not in plain)
    row = {key: value for key, value in ROW.items() if key != "original"}
    path = write(tmp_path_factory.mktemp("own") / "m.jsonl", [{**row, "original_marked": marked}])
    (pair,) = own_pairs_source(path, {}).pairs
    prompt = pair.original.prompt
    assert prompt.text == plain
    assert [prompt.text[s.start : s.end] for s in prompt.spans] == [text for _, text in parts]


def test_the_first_n(tmp_path: Path) -> None:
    path = write(tmp_path / "m.jsonl", [ROW] * 5)
    source = own_pairs_source(path, {}, n=3)
    assert (len(source.pairs), source.total) == (3, 5)
    assert source.description.startswith("the first 3 of 5 pairs of ")
    assert len({pair.id for pair in own_pairs_source(path, {}, n=64, fewer=True).pairs}) == 5
    with pytest.raises(CfgenError, match=r"has 5 pairs, but 6 were asked for .too-few-pairs"):
        own_pairs_source(path, {}, n=6)


def test_pairs_that_tell_nothing_are_counted(tmp_path: Path) -> None:
    rows = [
        ROW,
        {**ROW, "counterfactual": ROW["original"]},
        {**ROW, "counterfactual_answer": "tea"},
    ]
    source = own_pairs_source(write(tmp_path / "m.jsonl", rows), {})
    assert "2 tell nothing: both prompts or all answers are the same" in source.description
    assert [pair.decisive for pair in source.pairs] == [True, True, False]


def test_a_wording_is_a_group(tmp_path: Path) -> None:
    source = own_pairs_source(
        write(tmp_path / "m.csv", [{**ROW, "template": "a"}, {**ROW, "template": "b"}]), {}
    )
    assert [pair.original.variables for pair in source.pairs] == [
        {"template": "a"}, {"template": "b"},
    ]  # fmt: skip
    sides = source.table(source.pairs)["counterfactual"].to_pylist()
    assert [side["variables"] for side in sides] == [{"template": "a"}, {"template": "b"}]


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
        ([{**ROW, "original.who": "Cid"}], {}, ["'Cid' is no word of the original"]),
        ([{**ROW, "original_spans": "[{"}], {}, ["these are no spans"]),
        (
            [{**ROW, "original_spans": [{"name": "x", "start": 3, "end": 99}]}],
            {},
            ["is not within the prompt"],
        ),
        ([{**ROW, "id": "a"}, {**ROW, "id": "a"}], {}, ["row 2", "'a' is that of row 1"]),
        ([{**ROW, "id": ""}] * 30, {}, ["22 more problems"]),
        ([{**ROW, "original_answer": 5.0}], {}, ["this is a float", 'such as "5.0"']),
        ([{**ROW, "original_answer": True}], {}, ["this is a bool"]),
        ([{**ROW, "original": {"prompt": "x"}}], {}, ["this is a dict, not a text"]),
        ([{**ROW, "original": float("nan")}], {}, ["there is no text"]),
        ([{**ROW, "original": "\ud800"}], {}, ["half a character"]),
        ([{**ROW, "answer_prefix": 5}], {}, ["'answer_prefix': this is a int"]),
        ([{**ROW, "original_answer": ["\ntea", " chai"]}], {}, ["different space"]),
        ([{**ROW, "predicts.none": "x"}], {}, ["can't be called 'none'"]),
        ([{**ROW, "predicts.all": "x"}], {}, ["can't be called 'all'"]),
        ([{**ROW, "predicts.my-own": "x"}], {}, ["'predicts.my-own' names no hypothesis"]),
        ([{**ROW, "original.last": "Ann"}], {}, ["can't be called 'last'"]),
        (
            [{**ROW, "original_spans": [{"name": "every", "start": 0, "end": 3}]}],
            {},
            ["'every' can't name a position"],
        ),
        (
            [{**ROW, "original_spans": [{"name": "x", "start": 0.5, "end": 3}]}],
            {},
            ["these are no spans"],
        ),
        ([{**ROW, "original.who": "An"}], {}, ["'An' is no word of the original"]),
        (
            [{**ROW, "original": "", "original_answer": "", "predicts.h": ""}],
            {},
            ["'original'", "'original_answer'", "'predicts.h'"],
        ),
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
        ("mine.csv", b"", "has no rows"),
        ("mine.csv", b"a,b\n", "has no rows"),
        ("mine.csv", b"a,b\n1,2\n\xff,4\n", "is not UTF-8"),
        ("mine.csv", b"a,b\n1,2,3\n4,5,6\n", "row 1 has 3 cells, but the header 2, and so on in 1"),
        ("mine.tsv", b"a\tb\n1\n", "row 1 has 1 cells, but the header 2"),
        ("mine.csv", b"a,b,a\n1,2,3\n", "the header has the column 'a' twice"),
        ("mine.csv", b'a,b\n"1,2\n', "unexpected end of data"),
        ("mine.json", b'[{"a": 1, "a": 2}]', "an object has the field 'a' twice"),
        ("mine.json", b"[" * 100_000, "nested too deep"),
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


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mine.csv")
    with pytest.raises(CfgenError, match="is not a file"):
        own_pairs_source(str(tmp_path / "mine.csv"), {})


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, suffix: str) -> None:
    path = Path(write(tmp_path / f"mine{suffix}", [ROW]))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(own_pairs_source(str(path), {}).pairs) == 1


def test_a_folder_that_datasets_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "json"
    folder.mkdir()
    write(folder / "dev.parquet", [ROW, ROW])
    monkeypatch.chdir(tmp_path)
    source = own_pairs_source("json", {}, split="validation")
    assert (source.task, len(source.pairs)) == ("json", 2)
    with pytest.raises(CfgenError, match="'nosuch', can't be loaded"):
        own_pairs_source("json", {}, split="nosuch")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "manifest.json").write_text("{}")
    with pytest.raises(CfgenError, match="--dataset made"):
        own_pairs_source("made", {})


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
