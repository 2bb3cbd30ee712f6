"""Checks of pairs as a tokenizer has them: do original and counterfactual correspond?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from cfgen.counterfactuals import Pair, Side, Site
from cfgen.errors import CfgenError
from cfgen.lint.finding import Finding
from cfgen.lint.sample import Sample, own_design
from cfgen.lint.tokens import Tokens
from cfgen.lm.tokens import LAST, PromptTokens, locate
from cfgen.prompts import parse_position
from cfgen.tasks import Task

PAIRS = 60
"""Pairs of every design that are tokenised."""


def check_lengths(task: Task, sample: Sample, tokens: Tokens) -> Iterable[Finding]:
    """Designs whose two prompts differ in length."""
    for design in task.designs.values():
        lengths = [
            (_length(tokens, pair.original), _length(tokens, pair.counterfactual))
            for pair in sample.pairs[design.name][:PAIRS]
        ]
        differ = [both for both in lengths if both[0] != both[1]]
        if differ:
            yield Finding(
                "length-differs",
                f"{tokens.name}: {len(differ)} of {len(lengths)} pairs of design {design.name!r} "
                f"have prompts of different lengths, such as {differ[0][0]} and {differ[0][1]} "
                "tokens",
                design.where,
                "keep the template in both prompts, and prefer words of one token",
                design.name,
            )


def _length(tokens: Tokens, side: Side) -> int:
    return len(tokens(side.prompt.text)[0])


def check_alignment(task: Task, sample: Sample, tokens: Tokens) -> Iterable[Finding]:
    """Hypotheses at whose site a token of the one prompt has no counterpart in the other."""
    for hypothesis in task.hypotheses.values():
        design = own_design(task, hypothesis.name)
        pairs = sample.pairs[design][:PAIRS]
        found = Counter(
            reason for pair in pairs if (reason := why_not_aligned(tokens, pair, hypothesis.site))
        )
        if found:
            yield Finding(
                "slots-misaligned",
                f"{tokens.name}: {found.total()} of {len(pairs)} pairs of design {design!r} cannot "
                f"be swapped at the site of hypothesis {hypothesis.name!r}: "
                f"{found.most_common(1)[0][0]}",
                hypothesis.where,
                "a run leaves such pairs out: prefer words of one token, or another position",
                hypothesis.name,
            )


def why_not_aligned(tokens: Tokens, pair: Pair, site: Site) -> str:
    """Why a pair has no swap at a site; empty if it has one."""
    sides = [_encoded(tokens, side) for side in (pair.original, pair.counterfactual)]
    for expression in site.positions:
        other = expression
        if site.align == "word" and expression != LAST:
            other = _same_word(pair, expression)
            if not other:
                return f"the counterfactual has the word at {expression!r} in no slot"
        try:
            target, source = locate(sides[0], expression), locate(sides[1], other)
        except CfgenError as error:
            return error.problems[0].message
        if len(target) != len(source):
            return f"{expression!r} is mentioned {len(target)} times and {len(source)} times"
        for one, two in zip(target, source, strict=True):
            if len(one.tokens) != len(two.tokens):
                return f"{expression!r} has {len(one.tokens)} tokens and {len(two.tokens)} tokens"
    return ""


def _encoded(tokens: Tokens, side: Side) -> PromptTokens:
    ids, offsets = tokens(side.prompt.text)
    return PromptTokens(side.prompt, tuple(ids), tuple(offsets))


def _same_word(pair: Pair, expression: str) -> str:
    """The expression with the counterfactual's slot that holds the word; empty if none does."""
    name = parse_position(expression).name
    word = pair.original.slots.get(name)
    shown = {span.name for span in pair.counterfactual.prompt.spans}
    held = pair.counterfactual.slots.items()
    holders = [slot for slot, other in held if other == word and slot in shown]
    if name in holders:
        return expression
    if len(holders) != 1:
        return ""
    within, slash, rest = expression.rpartition("/")
    return f"{within}{slash}{holders[0]}{rest[len(name) :]}"
