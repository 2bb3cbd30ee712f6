"""Whether the tokens of prompts are their text, as a whole.

Positions are checked word by word elsewhere. What is checked here is what those words can't show:
text that got lost on the way, words that the tokenizer does not know, a beginning that is there
twice. Nothing here needs torch.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from cfgen.errors import CfgenError, Problem
from cfgen.lm.encoding import SHOWN
from cfgen.lm.tokens import PairTokens, PromptTokens

_WRONG = re.compile(r"incorrect|wrong|fix_mistral_regex|not as expected", re.IGNORECASE)
"""What a library says of a tokenizer that does not cut texts as the LM was trained with."""


def check_text(
    tokenizer: Any, encoded: Iterable[PairTokens], sources: Mapping[str, str] | None = None
) -> int:
    """Check that the tokens of every prompt are the text of that prompt.

    Args:
        tokenizer: Of the LM, a fast one.
        encoded: The pairs.
        sources: Path of a template -> what is in it, to say where a text comes from.

    Returns:
        How many prompts were compared.

    Raises:
        CfgenError: A prompt begins with a special token that the tokenizer puts there as well
            (``special-token-twice``), has a word that the tokenizer has no token for
            (``word-without-token``), or reads otherwise when its tokens are decoded
            (``tokens-not-the-text``). The first prompts of each kind are named.
    """
    prompts = {side.ids: side for pair in encoded for side in (pair.original, pair.counterfactual)}
    kinds = special_ids(tokenizer)
    problems: dict[tuple[str, str], Problem] = {}
    for prompt in prompts.values():
        for problem in _problems(tokenizer, kinds, prompt, sources or {}):
            problems.setdefault((problem.code, problem.message), problem)
    if problems:
        raise CfgenError(list(problems.values())[:SHOWN])
    return len(prompts)


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that stand for no text, in a tokenizer of transformers or of tokenizers."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    added = backend.get_added_tokens_decoder()
    return frozenset(index for index, token in added.items() if token.special)


def judge_notes(name: str, notes: Iterable[str]) -> None:
    """Judge what a library has said while it loaded a tokenizer.

    What says that texts will be cut otherwise than the LM was trained with is an error. Nothing
    else that is said then changes tokens, or it shows in the comparison with ``tokenizer.json``.

    Args:
        name: Whose tokenizer it is.
        notes: The lines.

    Raises:
        CfgenError: One of them says so (``lm-tokenizer-wrong``).
    """
    wrong = [note for note in dict.fromkeys(notes) if _WRONG.search(note)]
    if wrong:
        message = f"the tokenizer of {name!r} is known to cut texts wrongly, as transformers says"
        hint = "get files of a newer version of this LM, whose tokenizer is mended"
        if any("fix_mistral_regex" in note for note in wrong):
            hint = (
                'set "fix_mistral_regex": true in tokenizer_config.json, or get newer files of '
                "this LM"
            )
        detail = "\n".join(wrong)
        raise CfgenError(Problem("lm-tokenizer-wrong", message, hint=hint, detail=detail))


def _problems(
    tokenizer: Any, special: frozenset[int], prompt: PromptTokens, sources: Mapping[str, str]
) -> Iterator[Problem]:
    text = prompt.prompt.text
    start = next((n for n, span in enumerate(prompt.offsets) if span != (0, 0)), len(prompt))
    twice = _twice(special, prompt.ids)
    if twice is not None:
        token = tokenizer.convert_ids_to_tokens(twice)
        message = f"a prompt begins with {token!r} twice: {text[:40]!r}"
        hint = f"leave {token!r} out of the template: the tokenizer puts it there"
        if start == 0:
            hint = f"let the template begin with one {token!r}"
        yield Problem("special-token-twice", message, _where(token, sources), hint)
    unknown = list(_unknown_words(tokenizer, prompt, start))
    for word in dict.fromkeys(unknown):
        message = f"the tokenizer has no token for {word!r}"
        hint = "use another word, or an LM whose tokenizer knows it"
        yield Problem("word-without-token", message, _where(word, sources), hint)
    if unknown:
        return
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    read = backend.decode(list(prompt.ids[start : prompt.unfed]), skip_special_tokens=False)
    if not _alike(read, text):
        here = next((n for n, (a, b) in enumerate(zip(read, text, strict=False)) if a != b), 0)
        here = here or min(len(read), len(text))
        shown = text[max(0, here - 20) : here + 20]
        message = (
            f"the tokens of a prompt read {read[max(0, here - 20) : here + 20]!r}, not {shown!r}"
        )
        hint = "use a text that this tokenizer keeps as it is, or another LM"
        yield Problem("tokens-not-the-text", message, _where(shown.strip(), sources), hint)


def _twice(special: frozenset[int], ids: Sequence[int]) -> int | None:
    """A special token that stands twice before the text, or before it and at its beginning."""
    leading: set[int] = set()
    for token in ids:
        if token not in special:
            return None
        if token in leading:
            return token
        leading.add(token)
    return None


def _unknown_words(tokenizer: Any, prompt: PromptTokens, start: int) -> Iterator[str]:
    """Words that became the unknown token, unless it is its own text."""
    unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is None:
        return
    text, name = prompt.prompt.text, str(tokenizer.unk_token)
    own = slice(start, prompt.unfed)
    for token, (begin, end) in zip(prompt.ids[own], prompt.offsets[own], strict=True):
        if token == unknown and text[begin:end].strip() != name:
            yield text[begin:end].strip() or text[begin:end]


def _alike(read: str, text: str) -> bool:
    """Whether two texts are one, but for the space that some tokenizers put in front, and Unicode.

    Many tokenizers compose characters first (NFC, NFKC): that is how the LM was trained to read.
    """
    return any(
        unicodedata.normalize(form, read).removeprefix(" ")
        == unicodedata.normalize(form, text).removeprefix(" ")
        for form in ("NFC", "NFKC")
    )


def _where(snippet: str, sources: Mapping[str, str]) -> str:
    """``file:line`` of the first template that has a text in it; empty if none has."""
    for path, source in sources.items():
        for number, line in enumerate(source.splitlines(), start=1):
            if snippet and snippet in line:
                return f"{path}:{number}"
    return ""
