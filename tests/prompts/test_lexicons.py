from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfgen.errors import CfgenError
from cfgen.prompts import faker_names, load_lexicon


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / "data" / "lexicons" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def found(folder: Path, name: str) -> list[tuple[str, str]]:
    """Code and line of everything that is wrong."""
    with pytest.raises(CfgenError) as caught:
        load_lexicon(name, folder)
    return [(p.code, p.where.rpartition(":")[2]) for p in caught.value.problems]


def test_words_stay_words(tmp_path: Path) -> None:
    path = put(tmp_path, "w.txt", "# a comment\nyes\n\nno\r\n010\nnull\nice cream\n1#2\n")
    lexicon = load_lexicon("w", tmp_path)
    assert lexicon.entries == ("yes", "no", "010", "null", "ice cream", "1#2")
    assert (lexicon.name, lexicon.attributes, lexicon.path) == ("w", {}, path)


def test_columns_are_attributes(tmp_path: Path) -> None:
    put(tmp_path, "w.tsv", "word\tkind\tsize\n# x\nyes\tno\t01\n\nSan Jose\ta b\t2\n")
    lexicon = load_lexicon("w", tmp_path)
    assert lexicon.entries == ("yes", "San Jose")
    assert lexicon.attributes == {"kind": ("no", "a b"), "size": ("01", "2")}


def test_everything_wrong_is_reported_with_its_line(tmp_path: Path) -> None:
    put(tmp_path, "w.txt", "a\n b\nc \na\nA\n\ta\n")
    assert found(tmp_path, "w") == [
        ("lexicon-whitespace", "2"),
        ("lexicon-whitespace", "3"),
        ("lexicon-duplicate", "4"),
        ("lexicon-whitespace", "6"),
    ]
    put(tmp_path, "x.tsv", "word\tkind\tkind\na\tb\nb\t\tc\nb\tx\ty\tz\n\tq\tr\n")
    assert found(tmp_path, "x") == [
        ("lexicon-columns", "1"),
        ("lexicon-columns", "2"),
        ("lexicon-cell", "3"),
        ("lexicon-columns", "4"),
        ("lexicon-duplicate", "4"),
        ("lexicon-cell", "5"),
    ]


@pytest.mark.parametrize(
    "column",
    ["two words", "class", "None", "_note", "__class__", "1st", "first", "last", "all", "a-b"],
)
def test_a_column_is_called_what_can_be_written_behind_a_dot(tmp_path: Path, column: str) -> None:
    put(tmp_path, "w.tsv", f"word\tkind\t{column}\na\tb\tc\n")
    assert found(tmp_path, "w") == [("lexicon-columns", "1")]
    put(tmp_path, "w.tsv", f"{column}\tkind\na\tb\n")  # of the words themselves: never asked for
    assert load_lexicon("w", tmp_path).words()["a"].kind == "b"


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1).filter(
            lambda word: not word.startswith("#")
        ),
        st.lists(st.sampled_from(["x", "y z", "-", "0"]), min_size=2, max_size=2),
        min_size=1,
    )
)
def test_what_a_table_says_is_found_under_its_word(rows: dict[str, list[str]]) -> None:
    text = "word\tone\ttwo\n" + "".join(f"{w}\t{a}\t{b}\n" for w, (a, b) in rows.items())
    with TemporaryDirectory() as folder:
        put(Path(folder), "w.tsv", text)
        words = load_lexicon("w", Path(folder)).words()
    assert list(words) == list(rows)
    assert {w: [words[w].one, words[w].two] for w in words} == rows


@pytest.mark.parametrize(
    ("name", "text"),
    [("w.txt", ""), ("w.txt", "# only\n\n"), ("w.tsv", ""), ("w.tsv", "word\tkind\n")],
)
def test_no_entries(tmp_path: Path, name: str, text: str) -> None:
    put(tmp_path, name, text)
    assert [code for code, _ in found(tmp_path, "w")] == ["lexicon-empty"]


def test_missing_twice_and_not_utf8(tmp_path: Path) -> None:
    path = put(tmp_path, "words.txt", "a\n")
    with pytest.raises(CfgenError, match=r"(?s)lexicon-missing.*did you mean 'words'"):
        load_lexicon("wrods", tmp_path)
    put(tmp_path, "words.tsv", "a\n")
    assert [code for code, _ in found(tmp_path, "words")] == ["lexicon-twice"]
    put(tmp_path, "latin.txt", "").write_bytes(b"a\nb\xff\n")
    assert found(tmp_path, "latin") == [("text-file", "2")]
    assert path.exists()


def test_the_first_root_wins(tmp_path: Path) -> None:
    put(tmp_path / "one", "w.txt", "a\n")
    put(tmp_path / "two", "w.tsv", "word\tkind\nb\tc\n")
    assert load_lexicon("w", tmp_path / "one", tmp_path / "two").entries == ("a",)
    assert load_lexicon("w", tmp_path / "two", tmp_path / "one").entries == ("b",)


def test_faker_names_are_different_and_repeatable() -> None:
    names = faker_names(200, seed=3)
    assert len(set(names.entries)) == 200
    assert names == faker_names(200, seed=3)
    assert names.entries[:50] == faker_names(50, seed=3).entries
    assert names.entries != faker_names(200, seed=4).entries
    assert not set(names.entries) & set(faker_names(20, "ja_JP").entries)


def test_faker_refuses_what_it_does_not_have() -> None:
    with pytest.raises(CfgenError, match=r"(?s)faker-locale.*did you mean 'de_DE'"):
        faker_names(3, "de_DEE")
    with pytest.raises(CfgenError, match="faker-exhausted"):
        faker_names(100_000, "de_AT")
