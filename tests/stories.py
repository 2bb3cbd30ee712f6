"""Hand-made prompts and pairs, for tests of what is done with an LM."""

from __future__ import annotations

import dataclasses
import random

from cfgen.counterfactuals import Pair, Side
from cfgen.prompts import Prompt, Span

NAMES = ("Ann", "Ben", "Cid", "Dora")
JARS = ("mug", "jar", "pot", "box")
DRINKS = ("tea", "milk", "juice", "water")
WORDS = " ".join((*NAMES, *JARS, *DRINKS, "fills the with Then What does think is in Answer Story"))
"""All words of stories, for the vocabulary of a tiny LM."""


def build_prompt(*parts):
    """Join strings, slots ``(name, word)`` and phrases ``(name, [parts])`` into a prompt."""
    text, spans, mentions = "", [], {}

    def add(items):
        nonlocal text
        for item in items:
            if isinstance(item, str):
                text += item
                continue
            name, content = item
            mention = mentions.get(name, 0)
            mentions[name] = mention + 1
            start = len(text)
            add([content] if isinstance(content, str) else content)
            spans.append(Span(name, mention, start, len(text)))

    add(parts)
    return Prompt(text, tuple(sorted(spans, key=lambda span: (span.start, -span.end))))


def build_story(names, jars, drinks, asked, opening=""):
    """A side without an answer: who fills what with what, and a question about one of them."""
    slots = {f"name_{i + 1}": name for i, name in enumerate(names)}
    slots |= {f"jar_{i + 1}": jar for i, jar in enumerate(jars)}
    slots |= {f"drink_{i + 1}": drink for i, drink in enumerate(drinks)}
    lines = [
        (
            f"sentence_{i}",
            [
                (f"name_{i}", names[i - 1]),
                " fills the ",
                (f"jar_{i}", jars[i - 1]),
                " with ",
                (f"drink_{i}", drinks[i - 1]),
                ".",
            ],
        )
        for i in (1, 2)
    ]
    question = (
        "question",
        [
            "What does ",
            (f"name_{asked + 1}", names[asked]),
            " think is in the ",
            (f"jar_{asked + 1}", jars[asked]),
            "?",
        ],
    )
    prompt = build_prompt(opening, lines[0], " Then ", lines[1], " ", question, " Answer:")
    return Side({}, prompt, None, "", {}, slots)


def random_story(rng, opening=""):
    return build_story(
        rng.sample(NAMES, 2), rng.sample(JARS, 2), rng.sample(DRINKS, 2), rng.randrange(2), opening
    )


def build_pair(original, counterfactual, index=0, **predictions):
    return Pair(
        id=f"pair{index:03d}",
        index=index,
        task="stories",
        design="random",
        original=original,
        counterfactual=counterfactual,
        predictions={"none": original.answer, "all": counterfactual.answer, **predictions},
        kinds={"none": "original", "all": "counterfactual"} | {n: "third" for n in predictions},
        decisive=True,
        contrast=tuple(predictions),
    )


def random_pairs(count, seed=0, vary_length=True):
    """Pairs of unrelated stories that ask at the same place; lengths differ between pairs."""
    rng = random.Random(seed)
    pairs = []
    for index in range(count):
        opening = "Story: " * rng.randrange(4) if vary_length else ""
        original = random_story(rng, opening)
        counterfactual = random_story(rng, opening)
        while [s.name for s in counterfactual.prompt.spans] != [
            s.name for s in original.prompt.spans
        ]:
            counterfactual = random_story(rng, opening)
        pairs.append(build_pair(original, counterfactual, index))
    return pairs


class Make:
    """What tests build their cases with."""

    prompt = staticmethod(build_prompt)
    story = staticmethod(build_story)
    pair = staticmethod(build_pair)
    pairs = staticmethod(random_pairs)


def with_answers(lm, pairs):
    """The pairs with the LM's own answers, where these tokens read back as themselves."""
    import torch

    def answered(side):
        ids = lm.tokenizer(side.prompt.text)["input_ids"]
        token = int(lm.model(torch.tensor([ids])).logits[0, -1].argmax())
        text = lm.tokenizer.decode([token])
        back = lm.tokenizer(side.prompt.text + text)["input_ids"]
        return dataclasses.replace(side, answer=text) if back == [*ids, token] else None

    found = []
    for pair in pairs:
        original, counterfactual = answered(pair.original), answered(pair.counterfactual)
        if original and counterfactual:
            found.append(build_pair(original, counterfactual, pair.index))
    return found
