"""The shortcut audit: each rule fires on a flaw planted for it, and none does without."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfgen.datasets import Shortcut, audit_shortcuts, pairs_table, recipe
from tests.datasets.examples import examples, table_of
from tests.datasets.plain import all_pairs
from tests.datasets.plain_audits import (
    Example,
    Mention,
    ShownPrompt,
    example_of,
    example_of_row,
    plain_shortcuts,
)


def audited(rows: Mapping[str, Sequence[Example]], *labels: str) -> tuple[Shortcut, ...]:
    """The audit, which says what the plain one says."""
    found = audit_shortcuts({split: table_of(some) for split, some in rows.items()}, labels)
    assert found == plain_shortcuts(rows, labels)
    return found


def flagged(rows: list[Example], *labels: str) -> set[str]:
    return {s.rule for s in audited({"train": rows}, *labels) if s.flagged}


def rule(found: tuple[Shortcut, ...], name: str) -> Shortcut:
    return next(shortcut for shortcut in found if shortcut.rule == name)


def test_silent_without_a_flaw() -> None:
    for seed in range(5):
        rows = examples(600, template=lambda rng, _w, _a: rng.choice("ab"), seed=seed)
        assert flagged(rows) == set()


@pytest.mark.parametrize(
    ("expected", "flaw"),
    [
        ({"first mentioned", "position"}, {"choose": lambda rng, words: words[0]}),
        ({"last mentioned", "position"}, {"choose": lambda rng, words: words[1]}),
        (
            {"majority", "frequency"},
            {"choose": lambda rng, words: "word3" if "word3" in words else rng.choice(words)},
        ),
        ({"frequency"}, {"choose": lambda rng, words: max(words)}),
        ({"linear"}, {"choose": lambda rng, words: min(words)}),
        (
            {"template"},
            {
                "template": lambda rng, words, answer: "ab"[
                    words.index(answer) if rng.random() < 0.8 else rng.randrange(2)
                ]
            },
        ),
        ({"copy"}, {"copied": 0.5}),
    ],
)
def test_fires_on_a_planted_flaw(expected: set[str], flaw: dict) -> None:
    assert expected <= flagged(examples(600, **flaw))


def test_a_constant_answer_is_a_shortcut() -> None:
    rows = [
        dataclasses.replace(row, original=dataclasses.replace(row.original, answer="yes"))
        for row in examples(100)
    ]
    found = audited({"train": rows})
    assert rule(found, "majority").accuracy == 1
    assert rule(found, "majority").flagged
    assert "first mentioned" not in {shortcut.rule for shortcut in found}


def test_counts_and_chance_by_hand() -> None:
    rows = examples(200)
    found = audited({"train": rows})
    first = rule(found, "first mentioned")
    assert first.hits == sum(row.original.answer == row.original.mentions[0].word for row in rows)
    assert (first.n, first.chance) == (200, 0.5)
    assert rule(found, "majority").chance == 1 / 12
    assert first.low < first.accuracy < first.high
    last = rule(found, "last mentioned")
    assert first.hits + last.hits == 200


def test_chance_of_picking_counts_rows_that_cannot_be_picked() -> None:
    rows = [
        dataclasses.replace(row, original=dataclasses.replace(row.original, answer="unheard"))
        if number % 4 == 0
        else row
        for number, row in enumerate(examples(200))
    ]
    found = audited({"train": rows})
    assert rule(found, "first mentioned").chance == pytest.approx(0.375)
    assert rule(found, "position").chance == pytest.approx(1 / 3)


def test_predictions_of_hypotheses_are_labels_too() -> None:
    found = audited({"train": examples(300)}, "h")
    mine = [shortcut for shortcut in found if shortcut.label == "h"]
    assert rule(tuple(mine), "first mentioned").accuracy == 1
    assert "copy" not in {shortcut.rule for shortcut in mine}


def test_splits_are_tried_one_by_one() -> None:
    rows = {
        "train": examples(500),
        "test": examples(500, choose=lambda rng, words: words[0], seed=1),
    }
    found = audited(rows)
    assert {s.split for s in found if s.flagged and s.rule == "first mentioned"} == {"test"}


def test_rules_that_learn_are_not_tried_on_what_they_have_seen() -> None:
    """Every answer once: a rule that looked its rows up would always be right."""
    rows = [
        dataclasses.replace(row, original=ShownPrompt(f"{n}?", f"w{n}", ()), template=f"t{n}")
        for n, row in enumerate(examples(80))
    ]
    found = audited({"train": rows})
    assert {s.rule: s.hits for s in found} == {
        "majority": 0, "copy": 0, "template": 0, "linear": 0,
    }  # fmt: skip


def test_rows_without_an_answer_and_empty_splits() -> None:
    rows = [
        dataclasses.replace(row, original=dataclasses.replace(row.original, answer=None))
        for row in examples(5)
    ]
    assert audited({"train": rows, "test": []}) == ()
    assert audited({}) == ()
    assert all(not s.flagged for s in audited({"train": examples(1)}))


@st.composite
def rows_of_any_kind(draw) -> list[Example]:
    """Few words, so that everything occurs: answers that are named twice, late, or never."""
    words = st.sampled_from(["a", "b", "#2", "cc", "B"])

    def side() -> ShownPrompt:
        text, mentions = "", []
        for word in draw(st.lists(words, max_size=8)):
            mentions.append(Mention(draw(st.sampled_from(["x", "y"])), word, len(text)))
            text += f"{word} "
        answer = draw(st.none() | words.filter(lambda word: word != "#2"))
        return ShownPrompt(
            text + draw(st.sampled_from(["?", "??", "\U0001f600?"])), answer, tuple(mentions)
        )

    made = []
    for _ in range(draw(st.integers(0, 25))):
        predicted = {"h": draw(st.none() | words.filter(lambda word: word != "#2"))}
        made.append(Example(side(), side(), draw(st.sampled_from("ab")), predicted))
    return made


@given(rows=rows_of_any_kind(), more=rows_of_any_kind())
@settings(deadline=None, max_examples=30)
def test_columns_say_what_rows_say(rows: list[Example], more: list[Example]) -> None:
    audited({"train": rows, "test": more}, "h")


def test_spans_within_spans_are_looked_at_innermost() -> None:
    made = recipe("mcqa", 40, templates=["all"])
    for _, pairs in all_pairs(made):
        table = pairs_table(made.task, pairs)
        plain = plain_shortcuts({"train": list(map(example_of, pairs))}, ["answer_pointer"])
        assert audit_shortcuts({"train": table}, ["answer_pointer"]) == plain


def test_pairs_and_rows_of_a_dataset_look_the_same() -> None:
    made = recipe("belief_tracking", 30, templates=["all"])
    for _, pairs in all_pairs(made):
        rows = pairs_table(made.task, pairs).to_pylist()
        for pair, row in zip(pairs, rows, strict=True):
            assert example_of(pair) == example_of_row(row)
        mention = example_of(pairs[0]).original.mentions[0]
        assert mention.slot in ("character", "container")
        assert mention.word in pairs[0].original.prompt.text
