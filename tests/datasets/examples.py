"""Examples with a flaw planted on purpose, and without."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pyarrow as pa

from tests.datasets.plain_audits import Example, Mention, ShownPrompt

WORDS = [f"word{number}" for number in range(12)]


def shown(words: list[str], answer: str | None, rest: str = "") -> ShownPrompt:
    text, mentions = "", []
    for word in words:
        mentions.append(Mention("thing", word, len(text)))
        text += f"{word} and "
    return ShownPrompt(f"{text}{rest} which?", answer, tuple(mentions))


def examples(
    n: int,
    choose: Callable[[random.Random, list[str]], str] = lambda rng, words: rng.choice(words),
    *,
    template: Callable[[random.Random, list[str], str], str] = lambda rng, words, answer: "",
    copied: float = 0.0,
    seed: int = 0,
    words: list[str] = WORDS,
) -> list[Example]:
    """Prompts that name two things each; ``choose`` says which one is the answer."""
    rng = random.Random(seed)
    made = []
    for number in range(n):
        two = rng.sample(words, 2)
        answer = choose(rng, two)
        others = rng.sample(words, 2)
        other = answer if rng.random() < copied else rng.choice(others)
        counterfactual = shown(others, other, f"{number}b")
        kind = template(rng, two, answer)
        made.append(Example(shown(two, answer, f"{number}a"), counterfactual, kind, {"h": two[0]}))
    return made


def table_of(rows: Sequence[Example]) -> pa.Table:
    """Examples as rows of a dataset, as far as audits look at them."""
    text, number = pa.string(), pa.int32()
    spans = pa.list_(pa.struct([("name", text), ("start", number), ("end", number)]))
    variables = pa.struct([("template", text)])
    side = pa.struct(
        [("prompt", text), ("answer", text), ("variables", variables), ("spans", spans)]
    )
    hypotheses = pa.struct([(name, text) for row in rows[:1] for name in row.predictions])
    return pa.table(
        {
            "original": pa.array([_side(row.original, row.template) for row in rows], side),
            "counterfactual": pa.array([_side(row.counterfactual, "") for row in rows], side),
            "predictions": pa.array([dict(row.predictions) for row in rows], hypotheses),
        }
    )


def _side(side: ShownPrompt, template: str) -> dict:
    spans = [
        {"name": f"{m.slot}_{number}", "start": m.start, "end": m.start + len(m.word)}
        for number, m in enumerate(side.mentions, start=1)
    ]
    variables = {"template": template}
    return {"prompt": side.prompt, "answer": side.answer, "variables": variables, "spans": spans}
