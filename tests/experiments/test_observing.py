"""What the LM says to prompts as they are, against a plain count of a plain loop."""

from __future__ import annotations

import dataclasses
import functools
import json
import random
from collections import Counter

import pyarrow.parquet as pq
import pytest
import torch

from cfgen.counterfactuals import Site, answers_of
from cfgen.errors import CfgenError
from cfgen.experiments import (
    NO_SLOT,
    NOT_THERE,
    Experiment,
    answer,
    answered_rightly,
    behavioural,
    observe,
    read_behaviour,
    read_experiment,
    read_results,
)
from cfgen.interventions import choose_engine
from cfgen.stats import rate_of
from tests.inquiries import request_of
from tests.stories import WORDS

SITES = {"all": Site(("name_1[0]",), layers="up_to")}


@functools.cache
def next_text(lm, prompt):
    """The likeliest next token, by one plain forward."""
    ids = lm.tokenizer(prompt)["input_ids"]
    return lm.tokenizer.decode([int(lm.model(torch.tensor([ids])).logits[0, -1].argmax())])


def said(lm, side):
    return next_text(lm, side.prompt.text).strip()


def says_words(lm, pair):
    """Whether what it says to both is a word behind a space."""
    sides = (pair.original, pair.counterfactual)
    return all(
        next_text(lm, s.prompt.text) in {f" {word}" for word in WORDS.split()} for s in sides
    )


@pytest.fixture(scope="module")
def pairs(lm, make):
    """Pairs of which some sides expect what the LM says, some a word that it doesn't say."""
    rng, found = random.Random(5), []
    usable = [pair for pair in make.pairs(900, seed=3) if says_words(lm, pair)]
    for number, pair in enumerate(usable[:70]):
        sides = []
        for side in (pair.original, pair.counterfactual):
            wrong = rng.choice([*side.slots.values()])
            own = rng.random() < 0.7
            expected = said(lm, side) if own else wrong
            wording = f"wording_{number % 3}"
            sides.append(
                dataclasses.replace(
                    side,
                    answer=expected,
                    answer_prefix=" ",
                    variables={"template": wording},
                )
            )
        made = make.pair(*sides, number)
        found.append(dataclasses.replace(made, design=f"design_{number % 2}"))
    assert len(found) == 70
    return found


@pytest.fixture(autouse=True)
def loaded(lm, monkeypatch):
    """How often the LM was loaded."""
    times = []
    monkeypatch.setattr("cfgen.lm.load.load_lm", lambda *_, **__: times.append(1) or lm)
    return times


def asked(pairs, **fields):
    return request_of(pairs, {}, method="behaviour", **fields)


def events(folder, name):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["digest"] for line in lines if line["event"] == name}


def first_mention(side, word):
    for span in sorted(side.prompt.spans, key=lambda span: span.start):
        if span.name in side.slots and side.prompt.text[span.start : span.end] == word:
            return f"{span.name}[{span.mention}]"
    return NO_SLOT if word in side.prompt.text else NOT_THERE


def plainly_counted(lm, pairs):
    """Every prompt as (side, template, design, position, answer, what is said, where that is)."""
    return [
        (
            name,
            side.variables["template"],
            pair.design,
            first_mention(side, side.answer),
            side.answer,
            said(lm, side),
            first_mention(side, said(lm, side)),
            side.prompt.text,
        )
        for pair in pairs
        for name, side in (("original", pair.original), ("counterfactual", pair.counterfactual))
    ]


@pytest.mark.slow
def test_every_number_is_that_of_a_plain_count(lm, pairs, tmp_path):
    found = observe(asked(pairs), tmp_path / "out").results
    rows = plainly_counted(lm, pairs)

    def counted(column, value, side):
        chosen = [
            row
            for row in rows
            if (column is None or row[column] == value) and side in ("both", row[0])
        ]
        return rate_of([row[4] == row[5] for row in chosen], [row[-1:] for row in chosen])

    def same(share, expected):
        numbers = (expected.k, expected.n, expected.value, expected.low, expected.high)
        assert (share.k, share.n, share.rate, share.low, share.high) == numbers

    for side in ("both", "original", "counterfactual"):
        same(found.clean[side], counted(None, None, side))
    assert 0 < found.clean["both"].k < found.clean["both"].n == 140
    for column, name in enumerate(("template", "design", "position", "answer"), start=1):
        assert list(found.accuracy[name]) == sorted({row[column] for row in rows})
        for group, sides in found.accuracy[name].items():
            for side, share in sides.items():
                same(share, counted(column, group, side))
    wrong = [row for row in rows if row[4] != row[5]]
    assert {(one.expected, one.said): one.count for one in found.mistakes} == Counter(
        (row[4], row[5]) for row in wrong
    )
    assert {(one.expected, one.said): one.count for one in found.misplaced} == Counter(
        (row[3], row[6]) for row in wrong
    )
    counts = [one.count for one in found.mistakes]
    assert counts == sorted(counts, reverse=True)
    kept = [all(said(lm, s) == s.answer for s in (p.original, p.counterfactual)) for p in pairs]
    assert (found.n, found.kept) == (70, sum(kept))
    texts = [(pair.original.prompt.text, pair.counterfactual.prompt.text) for pair in pairs]
    same(found.keep, rate_of(kept, texts))
    assert sum(found.dropped.values()) == 70 - sum(kept)


def test_every_prompt_is_written(lm, pairs, tmp_path):
    observe(asked(pairs), tmp_path / "out")
    table = pq.read_table(tmp_path / "out/prompts.parquet").to_pylist()
    names = ("side", "template", "expected_at", "expected", "said", "said_at", "right")
    assert [tuple(row[name] for name in names) for row in table] == [
        (side, template, at, expected, word, word_at, expected == word)
        for side, template, _, at, expected, word, word_at, _ in plainly_counted(lm, pairs)
    ]
    assert [row["pair_id"] for row in table[::2]] == [pair.id for pair in pairs]


def test_the_same_question_is_answered_at_once(pairs, tmp_path, loaded):
    first = observe(asked(pairs), tmp_path / "out")
    second = observe(asked(pairs), tmp_path / "out")
    assert (first.found, second.found, len(loaded)) == (False, True, 1)
    assert first.results == second.results == read_behaviour(tmp_path / "out")
    written = read_experiment(tmp_path / "out/experiment.yaml", named=False)
    assert written == first.results.experiment


def test_a_run_takes_over_what_was_observed_and_the_other_way_round(pairs, tmp_path):
    observe(asked(pairs), tmp_path / "a/seen")
    prompts = events(tmp_path / "a/seen", "unit")
    assert len(prompts) == 3  # of 32 pairs
    answer(request_of(pairs, SITES), tmp_path / "a/run")
    assert events(tmp_path / "a/run", "taken over") == prompts
    assert not events(tmp_path / "a/run", "unit") & prompts

    answer(request_of(pairs, SITES), tmp_path / "b/run")
    observe(asked(pairs), tmp_path / "b/seen")
    assert events(tmp_path / "b/seen", "taken over") == prompts
    assert not events(tmp_path / "b/seen", "unit")


def test_a_run_divides_its_work_alike_whatever_was_observed_before(pairs, tmp_path):
    last = {"all": Site()}
    alone = answer(request_of(pairs, last), tmp_path / "b/run").results
    observe(asked(pairs), tmp_path / "a/seen")
    assert answer(request_of(pairs, last), tmp_path / "a/run").results == alone
    assert events(tmp_path / "a/run", "unit") == events(tmp_path / "b/run", "unit")


def test_pairs_are_drawn_until_so_many_are_kept(lm, pairs, tmp_path):
    found = observe(asked(pairs, n=12, kept=True), tmp_path / "out").results
    kept = [all(said(lm, s) == s.answer for s in (p.original, p.counterfactual)) for p in pairs]
    last = [index for index, right in enumerate(kept) if right][11]
    assert (found.kept, found.n) == (12, last + 1)


def test_nothing_has_to_be_answered_correctly(pairs, make, tmp_path):
    swapped = [
        make.pair(
            *(dataclasses.replace(s, answer="Story") for s in (p.original, p.counterfactual)),
            p.index,
        )
        for p in pairs[:5]
    ]
    found = observe(asked(swapped), tmp_path / "out").results
    assert (found.kept, found.clean["both"].k) == (0, 0)
    assert found.dropped == {"original and counterfactual answered wrongly": 5}


def test_without_answers_there_is_nothing_to_grade(make, tmp_path):
    found = observe(asked(make.pairs(4)), tmp_path / "out").results
    assert (found.clean, found.mistakes, found.kept) == ({}, (), 4)


def test_what_is_said_of_swaps_is_left_out():
    asked = Experiment(
        task="t", n=8, chat=True, hypotheses={"a": None}, sweep={"over": "3"}, measures=("kl",)
    )
    assert behavioural(asked) == Experiment(method="behaviour", task="t", n=8, chat=True)


def test_what_swaps_nothing_is_no_run(pairs, tmp_path):
    with pytest.raises(CfgenError, match="behaviour-only"):
        answer(asked(pairs), tmp_path / "out")
    observe(asked(pairs[:3]), tmp_path / "seen")
    with pytest.raises(CfgenError, match="behaviour-only"):
        read_results(tmp_path / "seen")
    with pytest.raises(CfgenError, match="nothing-observed"):
        read_behaviour(tmp_path / "none")


def test_a_file_that_swaps_nothing_says_nothing_of_swaps(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text("method: behaviour\ntask: t\nhypotheses: [a]\nsweep: {over: 3}\n")
    with pytest.raises(CfgenError) as caught:
        read_experiment(path)
    assert [problem.code for problem in caught.value.problems] == ["experiment-no-meaning"] * 2
    assert caught.value.problems[0].where.endswith("one.yaml:3")


def test_the_rule_for_datasets_is_that_of_runs(lm, pairs):
    candidates = {one: (one,) for one in answers_of(pairs)}
    right = answered_rightly(choose_engine(lm), pairs, candidates)
    assert right == [
        all(said(lm, s) == s.answer for s in (p.original, p.counterfactual)) for p in pairs
    ]
