"""Alignment: where prompts, spans and answers lie in tokens, and the last check of that.

The check looks at every row of a dataset made for tokenizers, as it was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cfgen.errors import CfgenError, Problem
from cfgen.prompts import Encode, tokens_over

SHOWN = 3
"""How many rows an error shows."""


def answer_tokens(prompt: str, completion: str, encode: Encode) -> tuple[int, ...]:
    """Tokens of an answer behind its prompt; empty if the prompt's last token takes part in it."""
    before, _ = encode(prompt)
    after, _ = encode(prompt + completion)
    return tuple(after[len(before) :]) if tuple(after[: len(before)]) == tuple(before) else ()


def span_range(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """First and last token that overlap some characters; ``(0, -1)`` if there is none."""
    inside = tokens_over(offsets, start, end)
    return (inside[0], inside[-1]) if inside else (0, -1)


class AlignmentCheck:
    """Takes the rows of a dataset in portions.

    Under every tokenizer, original and counterfactual must have equally many tokens, with all
    spans at the same ones; every answer and prediction must be one token behind the original's
    prompt, and no two of them the same one.
    """

    def __init__(self, tokenizers: Mapping[str, Encode]) -> None:
        self._tokenizers = tokenizers
        self._answers: dict[str, dict[int, str]] = {name: {} for name in tokenizers}
        self._wrong: dict[str, list[str]] = {name: [] for name in tokenizers}
        self._count = dict.fromkeys(tokenizers, 0)
        self.rows = 0

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Check some rows."""
        for row in rows:
            self.rows += 1
            for name, encode in self._tokenizers.items():
                wrong = self._problem(row, name, encode)
                if wrong:
                    self._count[name] += 1
                    self._wrong[name] += [f"row {row['id']}: {wrong}"] * (
                        len(self._wrong[name]) < SHOWN
                    )

    def finish(self) -> None:
        """Raise what was found.

        Raises:
            CfgenError: Rows do not align (``not-aligned``).
        """
        problems = [
            Problem(
                "not-aligned",
                f"{self._count[name]:,} of {self.rows:,} pairs do not align under {name}",
                hint="use templates and designs that keep everything but words of lexicons in "
                "place, or generate without --tokenizer",
                detail="\n".join(wrong),
            )
            for name, wrong in self._wrong.items()
            if wrong
        ]
        if problems:
            raise CfgenError(problems)

    def _problem(self, row: Mapping[str, Any], name: str, encode: Encode) -> str:
        sides = [row["original"], row["counterfactual"]]
        offsets = [encode(side["prompt"])[1] for side in sides]
        if len(offsets[0]) != len(offsets[1]):
            return f"{len(offsets[0])} tokens in the original, {len(offsets[1])} in the other"
        one, other = (_places(side, o) for side, o in zip(sides, offsets, strict=True))
        if len(one) != len(other):
            return f"{len(one)} spans in the original, {len(other)} in the other"
        if one != other:
            here, there = next(pair for pair in zip(one, other, strict=True) if len({*pair}) > 1)
            return f"a span at tokens {here} of the original is at {there} in the other"
        original = row["original"]
        said = dict.fromkeys(
            [original["answer"], row["counterfactual"]["answer"], *row["predictions"].values()]
        )
        prefix = _prefix(sides)
        for text in (text for text in said if text is not None):
            tokens = answer_tokens(original["prompt"], prefix + text, encode)
            if len(tokens) != 1:
                took = len(tokens) or "some of the prompt's"
                return f"the answer {text!r} takes {took} tokens"
            known = self._answers[name].setdefault(tokens[0], text)
            if known != text:
                return f"the answers {known!r} and {text!r} are the same token"
        return ""


def _prefix(sides: Sequence[Mapping[str, Any]]) -> str:
    """What stands between a prompt and its answer."""
    for side in sides:
        if side["answer"] is not None:
            return str(side["completion"][: len(side["completion"]) - len(side["answer"])])
    return " "


def _places(side: Mapping[str, Any], offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return sorted(span_range(offsets, span["start"], span["end"]) for span in side["spans"])
