"""Behaviour: what the LM says to prompts as they are.

Only a pair whose prompts the LM answers correctly can be tested: that is the behavioural filter.
Which prompts it gets right, and what it says to the others, is counted here, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.counterfactuals import Side
from cfgen.errors import CfgenError, Problem
from cfgen.interventions import Reply
from cfgen.lm import AnswerTree, PairTokens
from cfgen.stats import Rate, Units, rate_of
from cfgen.tasks import TEMPLATE_INPUT

SIDES = ("original", "counterfactual")
NO_ANSWER = "(no answer)"
"""Stands for the answer of a side that has none."""
BOTH = "both"
"""Both sides pooled."""
NO_SLOT = "(another word)"
"""Stands for the place of a word that the prompt has, but not as the value of a slot."""
NOT_THERE = "(not in the prompt)"
"""Stands for the place of a word that the prompt does not have."""


Grade = tuple[bool, Units]
"""Whether something is right, and the prompts that this rests on."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the LM says when nothing is changed.

    A side without an answer is neither graded nor filtered on.

    Attributes:
        kept: Indices of the pairs whose graded prompts are all answered correctly.
        dropped: Reason -> how many pairs were dropped for it.
        clean: Share of graded prompts answered correctly, both sides pooled; None if no prompt
            has an answer.
        clean_original: The same for the originals alone.
        clean_counterfactual: The same for the counterfactuals alone.
        keep: Share of pairs kept.
        keep_by_design: The same per design.
        keep_by_answer: The same per answer of the original.
    """

    kept: tuple[int, ...]
    dropped: dict[str, int]
    clean: Rate | None
    clean_original: Rate | None
    clean_counterfactual: Rate | None
    keep: Rate
    keep_by_design: dict[str, Rate]
    keep_by_answer: dict[str, Rate]


def prompts_of(pair: PairTokens) -> tuple[str, str]:
    """What a pair rests on: pairs that share a prompt are not independent."""
    return pair.pair.original.prompt.text, pair.pair.counterfactual.prompt.text


def wrong_sides(pair: PairTokens, replies: tuple[Reply, Reply]) -> tuple[str, ...]:
    """Which of a pair's prompts the LM does not answer correctly; one without answer is not graded.

    Args:
        pair: The pair.
        replies: What the LM answers after the original and after the counterfactual.
    """
    return tuple(
        side
        for side, answer, reply in zip(SIDES, _answers(pair), replies, strict=True)
        if answer is not None and answer not in reply.right
    )


def _answers(pair: PairTokens) -> tuple[str | None, str | None]:
    return pair.pair.original.answer, pair.pair.counterfactual.answer


def grade(
    encoded: Sequence[PairTokens],
    replies: Sequence[tuple[Reply, Reply]],
    needed: Collection[str] = SIDES,
) -> Behaviour:
    """Grade what the LM said and filter the pairs.

    Args:
        encoded: The pairs, at least one.
        replies: Per pair what the LM answers after the original and after the counterfactual.
        needed: Sides that have to be answered correctly for a pair to be kept.

    Returns:
        The kept pairs, with rates.
    """
    right: dict[str, list[Grade]] = {side: [] for side in SIDES}
    keep: list[Grade] = []
    dropped: Counter[str] = Counter()
    for pair, both in zip(encoded, replies, strict=True):
        wrong = wrong_sides(pair, both)
        for side, answer, text in zip(SIDES, _answers(pair), prompts_of(pair), strict=True):
            if answer is not None:
                right[side].append((side not in wrong, (text,)))
        missed = [side for side in wrong if side in needed]
        keep.append((not missed, prompts_of(pair)))
        if missed:
            dropped[f"{' and '.join(missed)} answered wrongly"] += 1
    return Behaviour(
        kept=tuple(index for index, (kept, _) in enumerate(keep) if kept),
        dropped=dict(sorted(dropped.items())),
        clean=_maybe(right["original"] + right["counterfactual"]),
        clean_original=_maybe(right["original"]),
        clean_counterfactual=_maybe(right["counterfactual"]),
        keep=_rate(keep),
        keep_by_design=_by([pair.pair.design for pair in encoded], keep),
        keep_by_answer=_by([pair.pair.original.answer or NO_ANSWER for pair in encoded], keep),
    )


def _rate(outcomes: Sequence[Grade]) -> Rate:
    return rate_of((outcome for outcome, _ in outcomes), [prompts for _, prompts in outcomes])


def _maybe(outcomes: Sequence[Grade]) -> Rate | None:
    return _rate(outcomes) if outcomes else None


def _by(keys: Sequence[str], keep: Sequence[Grade]) -> dict[str, Rate]:
    groups: dict[str, list[Grade]] = {}
    for key, kept in zip(keys, keep, strict=True):
        groups.setdefault(key, []).append(kept)
    return {key: _rate(groups[key]) for key in sorted(groups)}


def check_any_kept(
    behaviour: Behaviour,
    encoded: Sequence[PairTokens],
    replies: Sequence[tuple[Reply, Reply]],
    tokenizer: Any,
) -> None:
    """Raise a CfgenError (``no-pair-kept``) if no pair is kept, with what the LM says instead."""
    if behaviour.kept:
        return
    lines = []
    for pair, both in list(zip(encoded, replies, strict=True))[:3]:
        trees = (pair.original_tree, pair.counterfactual_tree)
        sides = (pair.pair.original, pair.pair.counterfactual)
        for side, tree, reply in zip(sides, trees, both, strict=True):
            shown = tokenizer.decode([*tree.fed, *reply.said])
            lines.append(f"{side.prompt.text}\n  expected {side.answer!r}, the LM says {shown!r}")
    message = f"of {len(encoded)} pairs the LM answers none correctly"
    hint = "use an LM that can do the task, or a wording that it understands"
    raise CfgenError(Problem("no-pair-kept", message, hint=hint, detail="\n".join(lines)))


# Prompt by prompt


@dataclass(frozen=True, slots=True)
class GradedPrompt:
    """A prompt that has an answer, and what the LM says to it.

    Attributes:
        pair_id: Whose prompt it is.
        side: ``original`` or ``counterfactual``.
        text: The prompt.
        design: How the pair was made.
        template: Wording; empty where that is not known.
        expected: The answer.
        expected_at: The mention of a slot that shows the answer first, such as ``item_1[0]``;
            :data:`NO_SLOT` or :data:`NOT_THERE` if there is none.
        said: What the LM says, as far as it was read; the answer that this is, if it is one.
        said_at: Where the prompt has that, likewise.
        right: Whether it is the expected answer.
    """

    pair_id: str
    side: str
    text: str
    design: str
    template: str
    expected: str
    expected_at: str
    said: str
    said_at: str
    right: bool


def graded_prompts(
    encoded: Iterable[PairTokens], replies: Iterable[tuple[Reply, Reply]], tokenizer: Any
) -> list[GradedPrompt]:
    """Grade what the LM says to every prompt that has an answer.

    Args:
        encoded: The pairs.
        replies: Per pair what the LM says after the original and after the counterfactual.
        tokenizer: To read what it says.
    """
    graded = []
    for tokens, both in zip(encoded, replies, strict=True):
        pair, wrong = tokens.pair, wrong_sides(tokens, both)
        sides = (pair.original, pair.counterfactual)
        trees = (tokens.original_tree, tokens.counterfactual_tree)
        for name, side, tree, reply in zip(SIDES, sides, trees, both, strict=True):
            if side.answer is None:
                continue
            right = name not in wrong
            said, place = _said(side, tree, reply, tokenizer)
            expected_at = _place(side, side.answer)
            graded.append(
                GradedPrompt(
                    pair_id=pair.id,
                    side=name,
                    text=side.prompt.text,
                    design=pair.design,
                    template=str(side.variables.get(TEMPLATE_INPUT, "")),
                    expected=side.answer,
                    expected_at=expected_at,
                    said=side.answer if right else said,
                    said_at=expected_at if right else place,
                    right=right,
                )
            )
    return graded


def _said(side: Side, tree: AnswerTree, reply: Reply, tokenizer: Any) -> tuple[str, str]:
    """What the LM says to a prompt, and where the prompt has it.

    What is read ends where it is known not to be an answer, which may be within a word. So a word
    of a slot counts as said if it is the only one that begins with these tokens.
    """
    if reply.right:  # several where one text is right for several answers
        one = min(reply.right, key=lambda one: (_place(side, one) == NOT_THERE, one))
        return one, _place(side, one)
    path = [*tree.fed, *reply.said]
    said = str(tokenizer.decode(path)).strip()
    place = _place(side, said)
    if place in (NO_SLOT, NOT_THERE):
        words = {word for word in side.slots.values() if _begins(side, word, path, tokenizer)}
        if len(words) == 1:
            return said, _place(side, *words)
    return said, place


def _begins(side: Side, word: str, path: Sequence[int], tokenizer: Any) -> bool:
    """Whether a word begins with these tokens where an answer would stand."""
    ids = tokenizer(f"{side.answer_prefix}{word}", add_special_tokens=False)["input_ids"]
    return bool(path) and list(ids[: len(path)]) == list(path)


def _place(side: Side, word: str) -> str:
    """The mention of a slot that shows a word first; what stands for it if there is none."""
    prompt = side.prompt
    for span in sorted(prompt.spans, key=lambda span: (span.start, span.end)):
        if span.name in side.slots and prompt.text[span.start : span.end] == word:
            return f"{span.name}[{span.mention}]"
    there = bool(word) and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt.text)
    return NO_SLOT if there else NOT_THERE


ACCURACY_BY: Mapping[str, Callable[[GradedPrompt], str]] = {
    "template": lambda prompt: prompt.template,
    "design": lambda prompt: prompt.design,
    "position": lambda prompt: prompt.expected_at,
    "answer": lambda prompt: prompt.expected,
}
"""What accuracy is broken down by -> which group a prompt is in."""


def accuracy_by(
    prompts: Iterable[GradedPrompt], group: Callable[[GradedPrompt], str]
) -> dict[str, dict[str, Rate]]:
    """Group -> ``original``, ``counterfactual`` and ``both`` -> share answered correctly.

    Groups are in alphabetical order; a side that a group has no prompt of is left out.
    """
    found: dict[str, dict[str, list[Grade]]] = {}
    for prompt in prompts:
        sides = found.setdefault(group(prompt), {side: [] for side in (*SIDES, BOTH)})
        sides[prompt.side].append((prompt.right, (prompt.text,)))
        sides[BOTH].append((prompt.right, (prompt.text,)))
    return {
        name: {side: _rate(right) for side, right in found[name].items() if right}
        for name in sorted(found)
    }


def mistakes(prompts: Iterable[GradedPrompt]) -> list[tuple[tuple[str, str], int]]:
    """What was expected and what was said, of wrong answers; how often, the commonest first."""
    return _commonest((one.expected, one.said) for one in prompts if not one.right)


def misplaced(prompts: Iterable[GradedPrompt]) -> list[tuple[tuple[str, str], int]]:
    """The same by where the prompt has both words, and not by the words."""
    return _commonest((one.expected_at, one.said_at) for one in prompts if not one.right)


def _commonest(wrong: Iterable[tuple[str, str]]) -> list[tuple[tuple[str, str], int]]:
    return sorted(Counter(wrong).items(), key=lambda item: (-item[1], item[0]))
