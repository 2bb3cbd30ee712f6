"""Whether the tokens of prompts are their text, as a whole.

Positions are checked word by word elsewhere. What is checked here is what those words can't show:
text that got lost on the way, words that the tokenizer does not know, a beginning that is there
twice. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cfgen.errors import CfgenError, Problem
from cfgen.lm.encoding import SHOWN
from cfgen.lm.reading import TokenReader, reading_of, reads_as
from cfgen.lm.tokens import PairTokens, PromptTokens


def check_text(
    tokenizer: Any, encoded: Iterable[PairTokens], sources: Mapping[str, str] | None = None
) -> int:
    """Check that the tokens of every prompt are the text of that prompt, and of no other.

    Args:
        tokenizer: Of the LM, a fast one.
        encoded: The pairs.
        sources: Path of a template -> what is in it, to say where a text comes from.

    Returns:
        How many prompts were compared.

    Raises:
        CfgenError: As :func:`text_problems`. The first prompts of each kind are named.
    """
    sides = (side for pair in encoded for side in (pair.original, pair.counterfactual))
    prompts = {(side.ids, side.prompt.text): side for side in sides}
    problems = text_problems(reading_of(tokenizer), prompts.values(), sources or {})
    if problems:
        raise CfgenError(problems[:SHOWN])
    return len(prompts)


def text_problems(
    reading: TokenReader | None, prompts: Iterable[PromptTokens], sources: Mapping[str, str]
) -> list[Problem]:
    """What is wrong with the tokens of prompts.

    Args:
        reading: The tokenizer; None for one that can't tell what its tokens read.
        prompts: The prompts.
        sources: As for :func:`check_text`.

    Returns:
        Each once: a prompt begins with a special token that the tokenizer puts there as well
        (``special-token-twice``), has a word that the tokenizer has no token for
        (``word-without-token``), reads otherwise when its tokens are decoded
        (``tokens-not-the-text``), or has the tokens of another text (``texts-same-tokens``).
    """
    found: dict[tuple[str, str], Problem] = {}
    texts: dict[tuple[int, ...], set[str]] = {}
    for prompt in prompts:
        problems = list(_problems(reading, prompt, sources)) if reading else []
        for problem in problems:
            found.setdefault((problem.code, problem.message), problem)
        if not problems:
            texts.setdefault(prompt.ids[: prompt.unfed], set()).add(prompt.prompt.text)
    same = (_same(sorted(those), sources) for those in texts.values() if len(those) > 1)
    return [*found.values(), *same]


def _problems(
    reading: TokenReader, prompt: PromptTokens, sources: Mapping[str, str]
) -> Iterator[Problem]:
    text = prompt.prompt.text
    start = next((n for n, span in enumerate(prompt.offsets) if span != (0, 0)), len(prompt))
    ids, offsets = prompt.ids[: prompt.unfed], prompt.offsets[: prompt.unfed]
    token = reading.twice(text, ids, offsets)
    if token is not None:
        message = f"a prompt begins with {token!r} twice: {text[:40]!r}"
        hint = f"leave {token!r} out of the template: the tokenizer puts it there"
        if start == 0:
            hint = f"let the template begin with one {token!r}"
        yield Problem("special-token-twice", message, _where(token, sources), hint)
    unknown = list(reading.strangers(text, ids[start:], offsets[start:]))
    for word in dict.fromkeys(unknown):
        message = f"the tokenizer has no token for {word!r}"
        hint = "use another word, or an LM whose tokenizer knows it"
        yield Problem("word-without-token", message, _where(word, sources), hint)
    if unknown:
        return
    read = reading.text(ids[start:])
    if not reads_as(read, text):
        there, shown = _around(read, text)
        message = f"the tokens of a prompt read {there!r}, not {shown!r}"
        hint = "use a text that this tokenizer keeps as it is, or another LM"
        yield Problem("tokens-not-the-text", message, _where(shown.strip(), sources), hint)


def _same(texts: Sequence[str], sources: Mapping[str, str]) -> Problem:
    """Several texts that the LM can't tell apart."""
    one, other = _around(*texts[:2])
    message = f"two texts are the same tokens, so the LM can't tell them apart: {one!r}, {other!r}"
    hint = "use words that differ in more than what this tokenizer evens out, or another LM"
    return Problem("texts-same-tokens", message, _where(one.strip(), sources), hint)


def _around(one: str, other: str) -> tuple[str, str]:
    """Two texts, around where they first differ."""
    here = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
    here = here or min(len(one), len(other))
    return one[max(0, here - 20) : here + 20], other[max(0, here - 20) : here + 20]


def _where(snippet: str, sources: Mapping[str, str]) -> str:
    """``file:line`` of the first template that has a text in it; empty if none has."""
    for path, source in sources.items():
        for number, line in enumerate(source.splitlines(), start=1):
            if snippet and snippet in line:
                return f"{path}:{number}"
    return ""
