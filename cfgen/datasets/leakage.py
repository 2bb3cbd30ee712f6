"""Leakage: what two splits share, and what one split has twice."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from cfgen.words import OPERATORS, near_key

SHOWN = 5
"""How many shared items are named."""
MASK = 2**64 - 1
_LEFT_OUT = bytes(b for b in range(128) if not (chr(b).isalnum() or chr(b) in OPERATORS))
_LOWER = bytes(range(256)).lower()


class Leak(BaseModel):
    """What two splits share; or, where both are one split, what occurs in it more than once.

    Attributes:
        what: ``words`` of lexicons, ``prompts`` to the letter, ``near_duplicates`` (the same but
            for case, spaces and punctuation), or ``templates``.
        one: A split.
        other: Another split, or the same.
        shared: How many items they share, or how many occur again.
        of: How many different ones there are in both together.
        examples: Some of the shared items, where they are texts that are kept.
        flagged: Whether something is shared that should not be. Shared templates are never
            flagged: splits differ in their words. Nor are prompts that occur again in their own
            split, where it was asked for.
    """

    model_config = ConfigDict(frozen=True)

    what: str
    one: str
    other: str
    shared: int
    of: int
    examples: tuple[str, ...]
    flagged: bool


class LeakageAudit:
    """Takes a dataset in portions; keeps words, and 64 bits of each prompt."""

    def __init__(self, reuse_prompts: bool = False) -> None:
        """Begin to count.

        Args:
            reuse_prompts: Whether a prompt may be in several pairs of its split; then it is counted
                there, but nothing is wrong with it, and near-duplicates are among different ones.
        """
        self._reuse = reuse_prompts
        self._prompts: dict[str, tuple[array[int], array[int]]] = {}
        self._texts: dict[str, dict[str, set[str]]] = {"words": {}, "templates": {}}

    def add_prompts(self, split: str, prompts: pa.StringArray) -> None:
        """Take some prompts of a split."""
        exact, close = self._prompts.setdefault(split, (array("Q"), array("Q")))
        texts, ends = _bytes_of(prompts)
        ascii_only, start = texts.isascii(), 0
        for end in ends:
            # Python's own hash: 64 bits, and the same for equal texts within a process
            text, start = texts[start:end], end
            exact.append(hash(text) & MASK)
            if ascii_only or text.isascii():
                text = text.translate(_LOWER, _LEFT_OUT)
            else:
                text = normalised(text.decode())
            close.append(hash(text) & MASK)

    def add_words(self, split: str, slot: str, words: Iterable[str]) -> None:
        """Take some words that a slot of a split has."""
        named = (f"{slot}: {word}" for word in words)
        self._texts["words"].setdefault(split, set()).update(named)

    def add_templates(self, split: str, templates: Iterable[str]) -> None:
        """Take the templates of some rows of a split."""
        named = (template for template in templates if template)
        self._texts["templates"].setdefault(split, set()).update(named)

    def result(self) -> tuple[Leak, ...]:
        """What was found so far."""
        splits = list(self._prompts)
        leaks = []
        for what, texts in self._texts.items():
            for one, other in itertools.combinations(splits, 2):
                first, second = texts.get(one, set()), texts.get(other, set())
                both, every = sorted(first & second), first | second
                if every:
                    leaks.append(_leak(what, one, other, len(both), len(every), both[:SHOWN]))
        for index, what in enumerate(("prompts", "near_duplicates")):
            hashes = {name: np.array(self._prompts[name][index], np.uint64) for name in splits}
            different = {name: np.unique(found) for name, found in hashes.items()}
            for name, found in hashes.items():
                listed = len(found)
                if self._reuse and what == "near_duplicates":
                    listed = len(np.unique(np.array(self._prompts[name][0], np.uint64)))
                again = listed - len(different[name])
                leak = _leak(what, name, name, again, len(different[name]))
                wanted = self._reuse and what == "prompts"
                leaks.append(leak.model_copy(update={"flagged": False}) if wanted else leak)
            for one, other in itertools.combinations(splits, 2):
                both_hashes = np.intersect1d(different[one], different[other], assume_unique=True)
                of = len(different[one]) + len(different[other]) - len(both_hashes)
                leaks.append(_leak(what, one, other, len(both_hashes), of))
        return tuple(leaks)


def normalised(prompt: str) -> bytes:
    """A prompt without case, spaces and punctuation, see :func:`cfgen.words.near_key`."""
    if prompt.isascii():
        return prompt.encode().translate(_LOWER, _LEFT_OUT)
    return near_key(prompt).encode()


def _bytes_of(texts: pa.StringArray) -> tuple[bytes, list[int]]:
    """The texts one after the other, in UTF-8, and where each ends; none may be null."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return data.slice(ends[0], ends[-1] - ends[0]).to_pybytes(), (ends[1:] - ends[0]).tolist()


def _leak(
    what: str, one: str, other: str, shared: int, of: int, examples: Sequence[str] = ()
) -> Leak:
    return Leak(
        what=what,
        one=one,
        other=other,
        shared=shared,
        of=of,
        examples=tuple(examples),
        flagged=shared > 0 and what != "templates",
    )
