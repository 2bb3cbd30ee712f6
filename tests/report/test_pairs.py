from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cfgen.counterfactuals import Pair
from cfgen.datasets import draw_pairs, recipe
from cfgen.documents import Inline, Paragraph, Phrase, phrases, plain
from cfgen.prompts import Prompt, Span
from cfgen.report.pairs import (
    decisive_text,
    legend,
    pair_record,
    pair_view,
    prompt_text,
    slot_looks,
)

if TYPE_CHECKING:
    from tests.report.conftest import Draw


@pytest.fixture(scope="module")
def pair() -> Pair:
    return draw_pairs(recipe("belief_tracking", 1))[0]


def coloured(text: Inline) -> list[tuple[str, str]]:
    """The phrases that have a colour of a slot, with it."""
    return [
        (phrase.text, look)
        for phrase in phrases(text)
        for look in phrase.looks
        if look.startswith("colour")
    ]


def test_colours_are_where_the_spans_are(pair: Pair) -> None:
    looks = slot_looks(pair)
    text = prompt_text(pair.original, looks)
    assert plain(text) == f"{pair.original.prompt.text} {pair.original.answer}"
    spans = [span for span in pair.original.prompt.spans if span.name in pair.original.slots]
    shown = pair.original.prompt.text
    assert coloured(text) == [(shown[s.start : s.end], looks[s.name]) for s in spans]
    for said, look in coloured(text):
        slots = [name for name, used in looks.items() if used == look]
        assert said in [pair.original.slots[name] for name in slots]


def test_a_word_that_is_also_elsewhere_is_not_coloured_there(pair: Pair) -> None:
    prompt = Prompt("art in parts: art", (Span("x", 0, 14, 17),))
    side = replace(pair.original, prompt=prompt, slots={"x": "art"})
    first, second, *_ = phrases(prompt_text(side, {"x": "colour 6"}))
    assert first == Phrase("art in parts: ")
    assert second == Phrase("art", ("colour 6",))


def test_characters_that_a_terminal_acts_on_move_no_colour(pair: Pair, draw: Draw) -> None:
    prompt = Prompt("a\r\x1b[31m b", (Span("x", 0, 8, 9),))
    side = replace(pair.original, prompt=prompt, slots={"x": "b"})
    text = prompt_text(side, {"x": "colour 6"})
    assert coloured(text) == [("b", "colour 6")]
    shown = draw([Paragraph(text)])
    assert shown.startswith("a\\r\\x1b[31m b")
    assert "\x1b" not in draw(pair_view(replace(pair, original=side)))


def test_both_sides_use_one_colour_per_slot(pair: Pair) -> None:
    looks = slot_looks(pair)
    assert list(looks) == sorted(looks)
    assert {span.name for span in pair.original.prompt.spans} >= set(looks)
    for side in (pair.original, pair.counterfactual):
        words = plain(legend(side, looks)).split()
        assert words == [part for name in looks for part in (name, side.slots[name])]


def test_shows_the_hypotheses_asked_for(pair: Pair, draw: Draw) -> None:
    shown = draw(pair_view(pair, ["answer_pointer"]))
    assert "answer_pointer *" in shown
    assert "answer_payload *" not in shown
    everything = draw(pair_view(pair), width=120)
    for name, said in pair.predictions.items():
        line = next(line for line in everything.splitlines() if f"│ {name} " in line)
        assert f" {said} " in line
        assert pair.kinds[name] in line


def test_says_why_a_pair_is_not_decisive(pair: Pair) -> None:
    assert plain(decisive_text(pair)) == (
        "Decisive: none, answer_pointer and answer_payload all predict different answers."
    )
    same = {**pair.predictions, "answer_pointer": pair.predictions["none"]}
    blurred = replace(pair, predictions=same, decisive=False)
    assert plain(decisive_text(blurred)) == "Not decisive: none and answer_pointer agree."
    aimless = replace(pair, contrast=(), decisive=False)
    assert "no hypotheses to tell apart" in plain(decisive_text(aimless))


def test_a_missing_answer_is_said_to_be_missing(pair: Pair, draw: Draw) -> None:
    silent = replace(
        pair,
        original=replace(pair.original, answer=None),
        predictions={**pair.predictions, "none": None},
    )
    assert draw(pair_view(silent)).count("(no answer)") == 2
    assert pair_record(silent)["original"]["completion"] is None


def test_record(pair: Pair) -> None:
    record = pair_record(pair)
    side = record["original"]
    assert side["completion"] == f" {side['answer']}"
    assert side["variables"] == dict(pair.original.variables)
    assert side["spans"][0].keys() == {"name", "mention", "start", "end"}
    assert record["predictions"] == pair.predictions
    assert record["decisive"] is True
