"""Attributes of words: looked up by mechanisms, and what is said where there is none."""

from __future__ import annotations

import copy
import pickle

import pytest

from cfgen import CausalModel, CfgenError, distinct
from cfgen.causal import Words, WordTable, table_of

ROWS = (("France", "Paris", "68"), ("Japan", "Tokyo", "124"), ("Peru", "Lima", "34"))
COUNTRIES = Words(
    "countries",
    ("France", "Japan", "Peru"),
    WordTable("countries", ("capital", "population"), ROWS),
)
PLAIN = Words("plain", ("a", "b"), WordTable("plain", (), (("a",), ("b",))))


def looked_up(asked: str = "capital") -> CausalModel:
    model = CausalModel("capitals", output="answer")
    model.input("country", COUNTRIES)

    @model.variable
    def answer(country: str) -> str:
        return str(getattr(COUNTRIES[country], asked))

    return model


def problem(error: pytest.ExceptionInfo[CfgenError]) -> tuple[str, str]:
    (only,) = error.value.problems
    assert only.where.startswith(__file__)
    return only.code, f"{only.message} -> {only.hint}"


def test_a_mechanism_reads_attributes_by_name() -> None:
    assert looked_up().run({"country": "Peru"})["answer"] == "Lima"
    assert int(COUNTRIES["Japan"].population) == 124
    assert repr(COUNTRIES["Peru"]) == "WordRow('Peru', capital='Lima', population='34')"


def test_fewer_words_are_drawn_but_all_can_be_looked_up() -> None:
    fewer = COUNTRIES.restrict({"countries": ("Peru",)})
    assert list(fewer) == ["Peru"]
    assert fewer["Japan"].capital == "Tokyo"
    assert table_of(distinct(COUNTRIES, 2)) == table_of(fewer) == COUNTRIES.table
    assert table_of(PLAIN).columns == ()


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(CfgenError) as error:
        _ = COUNTRIES["Peru"].capitol
    code, said = problem(error)
    assert code == "lexicon-attribute"
    assert "no column 'capitol' -> did you mean 'capital'?" in said
    with pytest.raises(CfgenError) as error:
        _ = PLAIN["a"].capital
    assert "plain list" in problem(error)[1]


@pytest.mark.parametrize("asked", ["Jappan", "", "peru", 1, None, True, ("Peru",), b"Peru"])
def test_a_word_that_is_not_there(asked: object) -> None:
    with pytest.raises(CfgenError) as error:
        COUNTRIES[asked]  # type: ignore[index]
    code, said = problem(error)
    assert code == "lexicon-word"
    assert repr(asked) in said


def test_what_a_mechanism_may_not_look_up_says_where_and_for_which_values() -> None:
    with pytest.raises(CfgenError) as error:
        looked_up("capitol").run({"country": "Peru"})
    code, said = problem(error)
    assert code == "lexicon-attribute"
    assert "variable 'answer' of causal model 'capitals' failed for country='Peru'" in said
    assert "did you mean 'capital'?" in said


def test_an_input_of_a_table_has_only_words_of_the_table() -> None:
    with pytest.raises(CfgenError, match=r"bad-input") as error:
        looked_up().run({"country": "Atlantis"})
    assert "must be a word of lexicon 'countries'" in str(error.value)
    assert PLAIN.problem_with("c") is None


def test_tables_are_copied_and_sent_elsewhere() -> None:
    sent = pickle.loads(pickle.dumps(COUNTRIES))
    assert sent == COUNTRIES == copy.deepcopy(COUNTRIES)
    assert hash(sent) == hash(COUNTRIES)
    assert sent["Peru"].capital == "Lima"
    assert Words("countries", COUNTRIES.values) != COUNTRIES
