"""Pairs of a task as token ids, as ``cfgen run`` draws and encodes them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cfgen.counterfactuals import Pair
from cfgen.datasets import draw_pairs, recipe
from cfgen.errors import CfgenError
from cfgen.lm import PromptTokens, encode_pairs, locate
from sweeps.prompts import Prompts

TASK, DESIGN = "belief_tracking", "restate"
SLOTS = ("character_1[1]", "drink_1[0]", "drink_2[0]", "last")
"""Position expressions of workload b; of a slot with several tokens, the last one."""
NOISY = "character_1[1]"
"""Whose tokens have noise in workload g: the second mention of who begins."""
WIDE_SPANS = ("story", "question")
"""Spans that contain others, and are not hidden in workload h."""


def task_prompts(tokenizer: Any, pairs: int, *, equal: bool) -> Prompts:
    """Pairs of the task.

    Args:
        tokenizer: What makes tokens of them.
        pairs: How many.
        equal: Whether all prompts are to have the same number of tokens.
    """
    more = 8 * pairs + 16 if equal else pairs
    drawn = draw_pairs(recipe(TASK, more, design=DESIGN))
    encoded = encode_pairs(tokenizer, drawn)
    prompts = Prompts(
        tuple(pair.original.ids for pair in encoded),
        tuple(pair.counterfactual.ids for pair in encoded),
        tuple(_answers(tokenizer, pair) for pair in drawn),
        {
            name: [(_at(p.original, name), _at(p.counterfactual, name)) for p in encoded]
            for name in SLOTS
        },
        tuple(_spans(p.original) for p in encoded),
        tuple(_tokens(p.original, *_characters(p.original, NOISY)) for p in encoded),
    )
    if not equal:
        return prompts
    lengths = [(len(p.original), len(p.counterfactual)) for p in encoded]
    same = Counter(first for first, second in lengths if first == second)
    length = same.most_common(1)[0][0]
    chosen = [index for index, found in enumerate(lengths) if found == (length, length)][:pairs]
    if len(chosen) < pairs:
        raise SystemExit(f"only {len(chosen)} of {more} pairs have {length} tokens on both sides")
    return prompts.only(chosen)


def _answers(tokenizer: Any, pair: Pair) -> tuple[int, ...]:
    """First token of what answers the original, and of what answers the counterfactual."""
    sides = pair.original, pair.counterfactual
    texts = [f"{side.answer_prefix}{side.answer}" for side in sides]
    return tuple(ids[0] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])


def _at(encoded: PromptTokens, expression: str) -> int:
    try:
        return locate(encoded, expression)[0].tokens[-1]
    except CfgenError as error:
        raise SystemExit(f"{expression}: {error.problems[0].message}") from error


def _spans(encoded: PromptTokens) -> tuple[tuple[int, ...], ...]:
    """Tokens of every span, in order, each once."""
    found = {(s.start, s.end) for s in encoded.prompt.spans if s.name not in WIDE_SPANS}
    return tuple(_tokens(encoded, start, end) for start, end in sorted(found))


def _characters(encoded: PromptTokens, mention: str) -> tuple[int, int]:
    name, _, number = mention.rstrip("]").partition("[")
    (found,) = (s for s in encoded.prompt.spans if (s.name, s.mention) == (name, int(number)))
    return found.start, found.end


def _tokens(encoded: PromptTokens, start: int, end: int) -> tuple[int, ...]:
    """Tokens that have any of some characters."""
    offsets = enumerate(encoded.offsets)
    return tuple(token for token, (first, behind) in offsets if first < end and behind > start)
