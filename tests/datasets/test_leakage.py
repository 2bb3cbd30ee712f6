"""The leakage audit: silent on datasets that are made here, and not on planted leaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cfgen.datasets import recipe
from cfgen.datasets.leakage import Leak, LeakageAudit, normalised
from tests.datasets.examples import WORDS, examples, shown
from tests.datasets.plain import all_pairs
from tests.datasets.plain_audits import Example, example_of, plain_leakage, plain_text, word_slots

UNSEEN = "".join(
    [
        *("\u034f\u0640\u115f\u1160\u3164\uffa0\u0345", *map(chr, range(0x180B, 0x1810))),
        *(*map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0))),
    ]
)
SPLITS = {"train": WORDS[:6], "test": WORDS[6:]}


def audit_leakage(
    rows: Mapping[str, Sequence[Example]], slots: Collection[str] = ()
) -> tuple[Leak, ...]:
    """The audit in portions, which says what the plain one says."""
    audit = LeakageAudit()
    for split, some in rows.items():
        for portion in (some[:7], some[7:]):
            for sides in ([e.original for e in portion], [e.counterfactual for e in portion]):
                texts = pa.array(["sliced off", *(side.prompt for side in sides)], pa.string())
                audit.add_prompts(split, texts[1:])
                for mention in (m for side in sides for m in side.mentions if m.slot in slots):
                    audit.add_words(split, mention.slot, [mention.word])
            audit.add_templates(split, {row.template for row in portion})
    found = audit.result()
    assert found == plain_leakage(rows, slots)
    return found


def rows() -> dict[str, list[Example]]:
    return {split: examples(40, words=words, seed=len(split)) for split, words in SPLITS.items()}


def found(given: dict[str, list[Example]]) -> dict[str, Leak]:
    leaks = audit_leakage(given, {"thing"})
    return {f"{leak.what} {leak.one} {leak.other}": leak for leak in leaks if leak.shared}


def with_prompt(row: Example, text: str) -> Example:
    return dataclasses.replace(row, original=dataclasses.replace(row.original, prompt=text))


def test_silent_without_a_leak() -> None:
    made = rows()
    made["train"] = [
        dataclasses.replace(
            row,
            original=dataclasses.replace(row.original, prompt=f"train {row.original.prompt}"),
            counterfactual=dataclasses.replace(row.counterfactual, prompt=f"t {n}x"),
        )
        for n, row in enumerate(made["train"])
    ]
    assert found(made) == {}


def test_one_shared_word() -> None:
    made = rows()
    extra = shown(["word7", "word1"], "word1", "new")
    made["train"].append(dataclasses.replace(made["train"][0], original=extra))
    leak = found(made)["words train test"]
    assert (leak.shared, leak.of, leak.examples, leak.flagged) == (1, 12, ("thing: word7",), True)


def test_words_of_other_slots_may_be_shared() -> None:
    assert not any(leak.what == "words" for leak in audit_leakage(rows()))


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (str, {"prompts", "near_duplicates"}),
        (str.upper, {"near_duplicates"}),
        (lambda text: text.replace(" and", "  and,"), {"near_duplicates"}),
        (lambda text: f"{text} again", set()),
    ],
)
def test_a_prompt_of_another_split(change, kinds: set[str]) -> None:
    made = rows()
    copied = change(made["test"][3].original.prompt)
    made["train"].append(with_prompt(made["train"][0], copied))
    leaks = {leak for name, leak in found(made).items() if name.endswith("train test")}
    assert {leak.what for leak in leaks} == kinds
    assert all(leak.shared == 1 and leak.flagged for leak in leaks)


def test_a_prompt_twice_in_one_split() -> None:
    made = rows()
    made["test"].append(made["test"][0])
    leak = found(made)["prompts test test"]
    assert (leak.shared, leak.of, leak.flagged) == (2, 80, True)  # original and counterfactual


def test_templates_are_named_but_not_flagged() -> None:
    made = {
        "train": examples(9, template=lambda *_: "a"),
        "test": examples(9, template=lambda *_: "a", seed=1),
    }
    leak = found(made)["templates train test"]
    assert (leak.shared, leak.of, leak.examples, leak.flagged) == (1, 1, ("a",), False)


def test_normalised() -> None:
    assert normalised("Bob's  Cup,\nagain.") == normalised("bobs cup again") == b"bobscupagain"
    assert normalised("ＣＡＦＥ́!") == normalised("cafe\u0301") == normalised("Café")
    assert normalised("naïve") != normalised("naive")
    assert normalised("1 + 2 =") != normalised("1 - 2 =")
    assert normalised("1 + 2 =") != normalised("1 \u2212 2 =")
    assert normalised("कि") != normalised("की")
    assert normalised("jam\u200b.") == normalised("Jam")


SEEN = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Cn"], exclude_characters=UNSEEN)


@given(st.lists(st.text(SEEN, max_size=6) | st.sampled_from(["a B", "ab", "ÄB", "äb", "ab."])))
@example(["Ꭰ", "ꭰ", "ſS"])
def test_near_duplicates_are_those_of_the_plain_way(texts: list[str]) -> None:
    assert [normalised(text).decode() for text in texts] == list(map(plain_text, texts))
    audit = LeakageAudit()
    audit.add_prompts("train", pa.array(texts, pa.string()))
    exact, close = audit.result()
    assert len(texts) - exact.shared == len(set(texts))
    assert len(texts) - close.shared == len(set(map(plain_text, texts)))


@pytest.mark.parametrize("task", ["belief_tracking", "ioi"])
def test_generated_datasets_do_not_leak(task: str) -> None:
    made = recipe(task, 300, templates=["all"])
    splits: dict[str, list[Example]] = {}
    for split, pairs in all_pairs(made):
        splits.setdefault(split.name, []).extend(map(example_of, pairs))
    leaks = audit_leakage(splits, word_slots(made.task))
    assert {leak.what for leak in leaks} == {"words", "templates", "prompts", "near_duplicates"}
    assert [leak for leak in leaks if leak.flagged] == []
