"""Pairs: both prompts with their slots, what differs, and what every hypothesis predicts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from cfgen.counterfactuals import ALL, NONE, Pair, Side
from cfgen.documents import (
    Block,
    Column,
    Document,
    Gap,
    Heading,
    Inline,
    Look,
    Panel,
    Paragraph,
    Phrase,
    Table,
    faint,
    highlight,
    strong,
)
from cfgen.prompts import Encode

SLOT_LOOKS: tuple[Look, ...] = (
    "colour 1",
    "colour 2",
    "colour 3",
    "colour 4",
    "colour 5",
    "colour 6",
)
"""Of slots, in order of their names; repeated when there are more slots."""
KIND_LOOKS: dict[str, tuple[Look, ...]] = {
    "original": (),
    "counterfactual": ("colour 1",),
    "third": ("strong", "good"),
}
"""Of the kinds of predictions."""
DIFFERENT: Look = "underlined"
"""Of the words that one prompt has and the other has not in the same place."""
NO_ANSWER = "(no answer)"
WORD = re.compile(r"\w+|[^\w\s]")


def pair_view(
    pair: Pair,
    names: Iterable[str] | None = None,
    *,
    changes: bool = False,
    encode: Encode | None = None,
) -> Document:
    """A panel with both prompts, the words of their slots, and the predictions.

    Words that differ between the prompts are underlined.

    Args:
        pair: The pair.
        names: The hypotheses to show besides ``none`` and ``all``; every one if not given.
        changes: Whether to say which inputs differ, and how.
        encode: A tokenizer, to show the tokens of both prompts.
    """
    looks = slot_looks(pair)
    blocks: list[Block] = []
    sides = (pair.original, pair.counterfactual)
    differ = differing(*(side.prompt.text for side in sides))
    for title, side, stretches in zip(("Original", "Counterfactual"), sides, differ, strict=True):
        blocks += [Heading(title, 3), Paragraph(prompt_text(side, looks, stretches))]
        blocks.append(Paragraph(legend(side, looks)))
        blocks += [Paragraph(tokens_text(side, encode))] if encode else []
        if changes and side is pair.counterfactual:
            blocks.append(Paragraph(changes_text(pair)))
        blocks.append(Gap())
    blocks += [predictions_table(pair, names), Gap(), Paragraph(decisive_text(pair))]
    caption = f"{pair.task}, {pair.design}, pair {pair.index}"
    return Document((Panel(caption, tuple(blocks)),))


def slot_looks(pair: Pair) -> dict[str, Look]:
    """Slot -> colour, the same on both sides of a pair."""
    sides = (pair.original, pair.counterfactual)
    shown = {span.name for side in sides for span in side.prompt.spans if span.name in side.slots}
    return {name: SLOT_LOOKS[i % len(SLOT_LOOKS)] for i, name in enumerate(sorted(shown))}


def prompt_text(
    side: Side, looks: Mapping[str, Look], different: Iterable[tuple[int, int]] = ()
) -> Inline:
    """The prompt with its slots coloured where the spans say they are, and the answer after it.

    Args:
        side: Its prompt and answer.
        looks: Slot -> colour.
        different: Where words are that the other side does not have.
    """
    stretches = [(start, end, DIFFERENT) for start, end in different]
    stretches += [
        (span.start, span.end, looks[span.name]) for span in side.prompt.spans if span.name in looks
    ]
    answer = NO_ANSWER if side.answer is None else side.answer
    return (
        highlight(side.prompt.text, stretches),
        side.answer_prefix or " ",
        Phrase(answer, ("strong", "inverse")),
    )


def legend(side: Side, looks: Mapping[str, Look]) -> Inline:
    """Which slot shows which word, in the slot's colour."""
    shown = [name for name in looks if name in side.slots]
    return tuple(
        ("   " if number else "", faint(f"{name} "), Phrase(side.slots[name], (looks[name],)))
        for number, name in enumerate(shown)
    )


def predictions_table(pair: Pair, names: Iterable[str] | None = None) -> Table:
    """A row for each hypothesis: the output it predicts after the interchange, and its kind."""
    rows: list[tuple[Inline, ...]] = []
    for name in dict.fromkeys((NONE, ALL, *(pair.predictions if names is None else names))):
        kind, said = pair.kinds[name], pair.predictions[name]
        which = f"{kind}'s answer" if kind != "third" else "third answer"
        rows.append(
            (
                strong(f"{name} *") if name in pair.contrast else name,
                Phrase(NO_ANSWER if said is None else said, KIND_LOOKS[kind]),
                Phrase(which, KIND_LOOKS[kind]),
            )
        )
    titles = ("hypothesis", "predicts", "which is the")
    return Table(tuple(map(Column, titles)), tuple(rows))


def decisive_text(pair: Pair) -> Inline:
    """Whether the pair tells the hypotheses of its contrast (*) apart, and if not, which not."""
    if not pair.contrast:
        return faint("The design names no hypotheses to tell apart.")
    compared = (NONE, *pair.contrast)
    if pair.decisive:
        return Phrase(f"Decisive: {_listed(compared)} all predict different answers.", ("good",))
    groups: dict[str | None, list[str]] = {}
    for name in compared:
        groups.setdefault(pair.predictions[name], []).append(name)
    same = "; ".join(f"{_listed(group)} agree" for group in groups.values() if len(group) > 1)
    return Phrase(f"Not decisive: {same}.", ("caution",))


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


# What differs


def differing(one: str, other: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Which words of two texts do not correspond.

    Args:
        one: A text.
        other: Another.

    Returns:
        For each of the texts, where words are that the other has not in the same place; runs of
        such words are one stretch.
    """
    words = [list(WORD.finditer(text)) for text in (one, other)]
    first, second = ([match.group() for match in found] for found in words)
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    stretches: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for what, *ends in matcher.get_opcodes():
        if what != "equal":
            for found, side, (start, stop) in zip(
                words, stretches, (ends[:2], ends[2:]), strict=True
            ):
                if start < stop:
                    side.append((found[start].start(), found[stop - 1].end()))
    return stretches


def changes_text(pair: Pair) -> Inline:
    """The inputs whose values differ, in words."""
    before, after = pair.original.inputs, pair.counterfactual.inputs
    changed = [name for name in before if before[name] != after[name]]
    said: tuple[Inline, ...] = tuple(
        (
            "; " if number else "",
            faint(f"{name} "),
            f"{_words(before[name])} -> {_words(after[name])}",
        )
        for number, name in enumerate(changed)
    )
    return (faint("differs: "), said or "nothing")


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def tokens_text(side: Side, encode: Encode) -> Inline:
    """The tokens of a prompt, a bar between any two, and at which of them its slots are."""
    text = side.prompt.text
    _, offsets = encode(text)
    tokens = (text[start:end].replace("\n", "\\n") for start, end in offsets)
    places: dict[str, list[str]] = {}
    for span in side.prompt.spans:
        if span.name in side.slots:
            places.setdefault(span.name, []).append(_place(offsets, span.start, span.end))
    places["last"] = [str(len(offsets) - 1)]
    return (
        faint(f"{len(offsets)} tokens: "),
        *(
            (faint("|" if number else ""), token or faint("<special>"))
            for number, token in enumerate(tokens)
        ),
        faint("\nat: "),
        "   ".join(f"{name} {', '.join(at)}" for name, at in places.items()),
    )


def _place(offsets: Iterable[tuple[int, int]], start: int, end: int) -> str:
    """Positions of the tokens that overlap some characters: the first, or first-last."""
    found = [i for i, (a, b) in enumerate(offsets) if a < b and a < end and start < b]
    if not found:
        return "no token"
    return str(found[0]) if len(found) == 1 else f"{found[0]}-{found[-1]}"


# As plain values


def pair_record(pair: Pair, encode: Encode | None = None) -> dict[str, Any]:
    """A pair as plain values for JSON; answers and predictions without leading space.

    Args:
        pair: The pair.
        encode: A tokenizer, to add the tokens of both prompts.
    """
    return {
        "id": pair.id,
        "task": pair.task,
        "design": pair.design,
        "original": _side_record(pair.original, encode),
        "counterfactual": _side_record(pair.counterfactual, encode),
        "predictions": dict(pair.predictions),
        "kinds": dict(pair.kinds),
        "decisive": pair.decisive,
        "contrast": list(pair.contrast),
    }


def _side_record(side: Side, encode: Encode | None) -> dict[str, Any]:
    record = {
        "prompt": side.prompt.text,
        "answer": side.answer,
        "completion": None if side.answer is None else side.answer_prefix + side.answer,
        "variables": dict(side.variables),
        "spans": [span._asdict() for span in side.prompt.spans],
    }
    if encode:
        ids, offsets = encode(side.prompt.text)
        record["tokens"] = {"ids": list(ids), "offsets": [list(place) for place in offsets]}
    return record
