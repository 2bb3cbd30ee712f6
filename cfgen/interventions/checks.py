"""Checks made in every run: each is cheap, and a hard error if it fails.

Four mistakes give wrong numbers without any error: values written to the wrong place, edits that
don't happen, padding that shifts positions, and positions that are not the word one meant. The
second is checked in every forward (:mod:`cfgen.interventions.forward`), the others here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError, Problem
from cfgen.interventions.engine import Engine
from cfgen.interventions.language import Run
from cfgen.interventions.outcomes import agree, distance
from cfgen.interventions.question import Question
from cfgen.interventions.swaps import Swap, run_of
from cfgen.lm import SHOWN, PairTokens, TokenSpan, reads_as
from cfgen.prompts import WHOLE_PROMPT, parse_position

SAMPLE = 4
"""Pairs that are tried: the shortest, the longest, some between."""


@dataclass(frozen=True, slots=True)
class Check:
    """A check that ran and passed.

    Attributes:
        name: Which check.
        position: The position it was made for; empty if for all.
        cases: How many cases it looked at.
        note: What a case is.
    """

    name: str
    position: str
    cases: int
    note: str


def swaps_to_try(swaps: Sequence[Swap]) -> list[Swap]:
    """The swaps with the shortest and the longest original, and some of lengths between."""
    ordered = sorted(swaps, key=lambda swap: len(swap.original))
    if len(ordered) <= SAMPLE:
        return ordered
    return [ordered[round(step * (len(ordered) - 1) / (SAMPLE - 1))] for step in range(SAMPLE)]


def check_words(encoded: Iterable[PairTokens], positions: Iterable[str]) -> int:
    """Check that the spans of slots show the words that the slots have.

    A template may change a word's case or add letters to it, so one text has to contain the other,
    case aside.

    Args:
        encoded: The pairs.
        positions: The position expressions that are used.

    Returns:
        How many spans were compared.

    Raises:
        CfgenError: A span shows something else (``span-not-the-slot``).
    """
    names = {parse_position(text).name for text in positions if text not in WHOLE_PROMPT}
    problems, cases = [], 0
    for pair in encoded:
        for side in (pair.pair.original, pair.pair.counterfactual):
            for span in side.prompt.spans:
                word = side.slots.get(span.name)
                if span.name not in names or word is None:
                    continue
                cases += 1
                shown = side.prompt.text[span.start : span.end]
                if not shown or not _alike(shown.casefold(), word.casefold()):
                    message = f"pair {pair.pair.id}: {span.name!r} shows {shown!r}, not {word!r}"
                    hint = "mark what the template makes of the value as a span of its own"
                    problems.append(Problem("span-not-the-slot", message, hint=hint))
    _raise_some(problems)
    return cases


def check_tokens(tokenizer: Any, swaps: Iterable[Swap]) -> int:
    """Decode the tokens that are read and overwritten, and compare them with the prompt.

    Args:
        tokenizer: Of the LM.
        swaps: The swaps.

    Returns:
        How many positions were decoded.

    Raises:
        CfgenError: The tokens don't read as the slot or phrase that was asked for
            (``tokens-not-the-slot``).
    """
    problems: list[Problem] = []
    cases = 0
    for swap in swaps:
        original, source = swap.original.ids, swap.source.ids
        for ids, mentions in ((original, swap.to), (source, swap.of), (original, swap.frozen)):
            for mention in mentions:
                cases += 1
                problems += _misread(tokenizer, ids, mention)
    _raise_some(problems)
    return cases


def check_self_swap(
    engine: Engine, swaps: Sequence[Swap], site: Site, layers: Sequence[int]
) -> int:
    """Swap prompts with themselves, at the first, middle and last layer: nothing may change.

    Args:
        engine: How runs are executed.
        swaps: A sample of swaps.
        site: Where they are made.
        layers: The layers of the sweep.

    Returns:
        How many runs were compared with the clean one.

    Raises:
        CfgenError: Something changed (``self-swap-changes-output``).
    """
    chosen = sorted({layers[0], layers[len(layers) // 2], layers[-1]})
    selves = [swap.onto_itself() for swap in swaps]
    clean, swapped = _run(engine, selves, site, chosen)
    for layer, logits in swapped.items():
        same = agree(clean, logits, engine.lm.dtype)
        if not bool(same.all()):
            text = swaps[int((~same).nonzero()[0])].original.prompt.text
            message = (
                f"swapping a prompt with itself at layer {layer} changes what the LM says "
                f"(by {distance(clean, logits):.2g} standard deviations; prompt {text!r})"
            )
            raise CfgenError(Problem("self-swap-changes-output", message, hint=_DISTRUST))
    return len(swaps) * len(chosen)


def check_padding(engine: Engine, swaps: Sequence[Swap], site: Site, layer: int) -> int:
    """Run prompts in a padded batch and one by one, clean and swapped: the same must come out.

    Args:
        engine: How runs are executed.
        swaps: A sample of swaps.
        site: Where they are made.
        layer: The layer to swap at.

    Returns:
        How many runs were compared.

    Raises:
        CfgenError: The outcomes differ (``padding-changes-output``).
    """
    clean, swapped = _run(replace(engine, padding=3), swaps, site, [layer])
    for row, swap in enumerate(swaps):
        alone, alone_swapped = _run(engine, [swap], site, [layer])
        for what, one, many in (
            ("unchanged", alone, clean[row : row + 1]),
            (f"swapped at layer {layer}", alone_swapped[layer], swapped[layer][row : row + 1]),
        ):
            if not bool(agree(one, many, engine.lm.dtype).all()):
                message = (
                    f"the LM answers a padded prompt otherwise than the prompt alone ({what}, by "
                    f"{distance(one, many):.2g} standard deviations): "
                    f"{swap.original.prompt.text!r}"
                )
                raise CfgenError(Problem("padding-changes-output", message, hint=_DISTRUST))
    return 2 * len(swaps)


def _run(
    engine: Engine, swaps: Sequence[Swap], site: Site, layers: Sequence[int]
) -> tuple[Tensor, dict[int, Tensor]]:
    """Logits (swaps, vocabulary) of clean runs, and per layer; no edit is left out."""
    count = engine.layout.layers
    runs = [Run(swap.original.ids) for swap in swaps]
    runs += [run_of(swap, site, layer, count) for layer in layers for swap in swaps]
    found = replace(engine, fill=False).outcomes(runs, question=Question(vocabulary=True))
    assert found.vocabulary is not None
    clean, *rest = torch.split(found.vocabulary, len(swaps))
    return clean, dict(zip(layers, rest, strict=True))


_DISTRUST = "no number of such a run could be trusted: try --dtype float32, or another LM"


def _alike(one: str, other: str) -> bool:
    return one in other or other in one


def _misread(tokenizer: Any, ids: Sequence[int], mention: TokenSpan) -> list[Problem]:
    context = [ids[token] for token in mention.context if 0 <= token < len(ids)]
    shown = tokenizer.decode(context, clean_up_tokenization_spaces=False).strip()
    if reads_as(shown, mention.text):  # some compose characters, as the LM was trained to read
        return []
    message = f"{mention.expression!r} is {mention.text!r}, but its tokens are {shown!r}"
    hint = "mark a span that begins and ends where tokens do, or use other words"
    return [Problem("tokens-not-the-slot", message, hint=hint)]


def _raise_some(problems: Sequence[Problem]) -> None:
    if problems:
        raise CfgenError(problems[:SHOWN])
