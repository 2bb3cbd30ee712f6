"""Checks made in every run: each is cheap, and a hard error if it fails.

Four mistakes give wrong numbers without any error: values written to the wrong place, edits that
don't happen, padding that shifts positions, and positions that are not the word one meant. The
second is checked in every forward (:func:`cfgen.interventions.reference.run`), the others here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.batches import make_batch
from cfgen.interventions.reference import Prepared, prepare, run, sweep
from cfgen.interventions.swaps import Swap
from cfgen.lm.load import LM
from cfgen.lm.locate import LAST, Located
from cfgen.lm.tokens import SHOWN, EncodedPair
from cfgen.prompts.positions import parse_position

TOLERANCE = {
    torch.float64: 1e-9,
    torch.float32: 1e-3,
    torch.float16: 0.1,
    torch.bfloat16: 0.6,
}
"""By how much logits that should be the same may differ, in standard deviations of the logits."""
SAMPLE = 4
"""Pairs that the self-swap and the padding check try: the shortest, the longest, some between."""


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


def sample(swaps: Sequence[Swap]) -> list[Swap]:
    """The swaps with the shortest and the longest original, and some of lengths between."""
    ordered = sorted(swaps, key=lambda swap: len(swap.original))
    if len(ordered) <= SAMPLE:
        return ordered
    return [ordered[round(step * (len(ordered) - 1) / (SAMPLE - 1))] for step in range(SAMPLE)]


def check_words(encoded: Iterable[EncodedPair], positions: Iterable[str]) -> int:
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
    names = {parse_position(text).name for text in positions if text != LAST}
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


def check_tokens(lm: LM, swaps: Sequence[Swap], prepared: Prepared) -> int:
    """Decode the very tokens that are read and overwritten, and compare them with the prompt.

    Args:
        lm: The LM.
        swaps: The swaps of the batch, in its order.
        prepared: The batch with its edits.

    Returns:
        How many positions were decoded.

    Raises:
        CfgenError: The tokens don't read as the slot or phrase that was asked for
            (``tokens-not-the-slot``).
    """
    written = prepared.moved[0].rows, prepared.moved[0].columns
    jobs = [
        (prepared.batch.input_ids, written, [swap.to for swap in swaps]),
        (prepared.sources.input_ids, prepared.taken, [swap.of for swap in swaps]),
    ]
    if prepared.held:
        held = prepared.held[0].rows, prepared.held[0].columns
        jobs.append((prepared.batch.input_ids, held, [swap.frozen for swap in swaps]))
    problems: list[Problem] = []
    cases = sum(_check_rows(lm.tokenizer, *job, problems) for job in jobs)
    _raise_some(problems)
    return cases


def check_self_swap(lm: LM, swaps: Sequence[Swap], layers: Sequence[int], up_to: bool) -> int:
    """Swap prompts with themselves, at the first, middle and last layer: nothing may change.

    Args:
        lm: The LM.
        swaps: A sample of swaps.
        layers: The layers of the sweep.
        up_to: Whether all layers up to each are swapped.

    Returns:
        How many interventions were compared with the unchanged run.

    Raises:
        CfgenError: Something changed (``self-swap-changes-output``).
    """
    prepared = prepare(lm, [swap.onto_itself() for swap in swaps])
    clean = run(lm, prepared.batch)
    chosen = sorted({layers[0], layers[len(layers) // 2], layers[-1]})
    for layer, logits in sweep(lm, prepared, chosen, up_to):
        same = _same(clean, logits, lm.dtype) & (clean.argmax(-1) == logits.argmax(-1))
        if not bool(same.all()):
            text = swaps[int((~same).nonzero()[0])].original.prompt.text
            message = (
                f"swapping a prompt with itself at layer {layer} changes what the LM says "
                f"(by {_distance(clean, logits):.2g} standard deviations; prompt {text!r})"
            )
            raise CfgenError(Problem("self-swap-changes-output", message, hint=_DISTRUST))
    return len(swaps) * len(chosen)


def check_padding(lm: LM, swaps: Sequence[Swap], layer: int, up_to: bool) -> int:
    """Run prompts in a padded batch and one by one, unchanged and swapped: the same must come out.

    Args:
        lm: The LM.
        swaps: A sample of swaps.
        layer: The layer to swap at.
        up_to: Whether all layers up to it are swapped.

    Returns:
        How many runs were compared.

    Raises:
        CfgenError: The outcomes differ (``padding-changes-output``).
    """
    together = prepare(lm, swaps, padding=3)
    clean = run(lm, together.batch)
    _, patched = next(sweep(lm, together, [layer], up_to))
    for row, swap in enumerate(swaps):
        alone = prepare(lm, [swap])
        expected = run(lm, make_batch(lm, [swap.original])), next(sweep(lm, alone, [layer], up_to))
        for what, one, many in (
            ("unchanged", expected[0], clean[row : row + 1]),
            (f"swapped at layer {layer}", expected[1][1], patched[row : row + 1]),
        ):
            if not bool(_same(one, many, lm.dtype).all()):
                message = (
                    f"the LM answers a padded prompt otherwise than the prompt alone ({what}, by "
                    f"{_distance(one, many):.2g} standard deviations): "
                    f"{swap.original.prompt.text!r}"
                )
                raise CfgenError(Problem("padding-changes-output", message, hint=_DISTRUST))
    return 2 * len(swaps)


_DISTRUST = "no number of such a run could be trusted: try --dtype float32, or another LM"


def _same(expected: Tensor, got: Tensor, dtype: torch.dtype) -> Tensor:
    """Per row, whether logits (rows, vocabulary) agree within the tolerance of the dtype."""
    allowed = TOLERANCE[dtype] * expected.std(dim=-1)  # (rows,)
    return (expected - got).abs().amax(dim=-1) <= allowed


def _distance(expected: Tensor, got: Tensor) -> float:
    return float(((expected - got).abs().amax(dim=-1) / expected.std(dim=-1)).max())


def _alike(one: str, other: str) -> bool:
    return one in other or other in one


def _check_rows(
    tokenizer: Any,
    input_ids: Tensor,
    where: tuple[Tensor, Tensor],
    located: Sequence[Sequence[Located]],
    problems: list[Problem],
) -> int:
    ids, places = input_ids.tolist(), list(zip(where[0].tolist(), where[1].tolist(), strict=True))
    start = cases = 0
    for row, mentions in enumerate(located):
        for mention in mentions:
            used = places[start : start + len(mention.tokens)]
            start += len(mention.tokens)
            cases += 1
            shift = used[0][1] - mention.tokens[0]
            meant = [(row, token + shift) for token in mention.tokens]
            columns = [token + shift for token in mention.context]
            context = [ids[row][column] for column in columns if 0 <= column < len(ids[row])]
            shown = tokenizer.decode(context, clean_up_tokenization_spaces=False).strip()
            if used != meant or shown != mention.text:
                message = (
                    f"{mention.expression!r} is {mention.text!r}, but its tokens are {shown!r}"
                )
                hint = "mark a span that begins and ends where tokens do, or use other words"
                problems.append(Problem("tokens-not-the-slot", message, hint=hint))
    return cases


def _raise_some(problems: Sequence[Problem]) -> None:
    if problems:
        raise CfgenError(problems[:SHOWN])
