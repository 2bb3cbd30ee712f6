"""Pairs as token ids, with everything that may be answered tokenised behind their prompts.

A prompt is tokenised jointly with each text that may follow it: an answer on its own has other
tokens than behind its prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cfgen.counterfactuals import Pair, Side, answers_of
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.lm.answers import AnswerTree, TokenPath, build_tree
from cfgen.lm.chat import chat_side
from cfgen.lm.reading import TokenReader, check_settled, read_by, reading_of, reads_as
from cfgen.lm.tokens import PairTokens, PromptTokens
from cfgen.progress import Progress, no_progress

SHOWN = 8
"""How many problems of one kind an error lists before it only counts the rest."""
Candidates: TypeAlias = Mapping[str, Sequence[str]]
"""Every answer that a prediction of a run can be -> the texts any of which is this answer."""
TokenOffsets: TypeAlias = tuple[tuple[int, int], ...]
"""Per token, the characters that it stands for (end exclusive); empty for a special token."""
_CHUNK = 4096
"""Texts that are tokenised at once."""


def encode_pairs(
    tokenizer: Any,
    pairs: Sequence[Pair],
    candidates: Candidates | None = None,
    *,
    chat: bool = False,
    progress: Progress = no_progress,
) -> list[PairTokens]:
    """Tokenise pairs. Every answer is tokenised behind each prompt, never on its own.

    Args:
        tokenizer: A fast tokenizer of transformers (offsets are needed).
        pairs: What to tokenise.
        candidates: What answers there are, for all pairs alike, so that what is fed tells nothing
            about a pair; None for those that the pairs have or predict, each its own only text.
        chat: Whether a prompt is the user's message in the LM's chat template, see
            :func:`cfgen.lm.chat.chat_side`.
        progress: Called with ``encode prompts``.

    Returns:
        One record per pair, in order.

    Raises:
        CfgenError: The tokenizer is not a fast one (``slow-tokenizer``), cuts at random
            (``tokenizer-samples``), joins the end of a prompt with the start of an answer
            (``answer-joins-prompt``), makes no token of an answer (``answer-without-token``) or a
            prompt (``prompt-without-token``), doesn't know a word of either
            (``word-without-token``), or reads an answer otherwise (``tokens-not-the-text``); an
            answer of the pairs is not among the candidates (``answer-not-a-candidate``), or two
            have the same tokens (``answers-collide``); or the prompts can't be wrapped in a chat
            template.
    """
    if not getattr(tokenizer, "is_fast", False):
        message = f"{type(tokenizer).__name__} gives no character offsets, so no token positions"
        raise CfgenError(
            Problem("slow-tokenizer", message, hint="load the LM with its fast tokenizer")
        )
    check_settled(tokenizer)
    found = answers_of(pairs)
    if candidates is None:
        candidates = {answer: (answer,) for answer in found}
    _check_candidates(found, candidates)
    texts = dict.fromkeys(text for own in candidates.values() for text in own)
    encoder = _Encoder(tokenizer, candidates, tuple(texts), reading_of(tokenizer), special=not chat)
    sides = [side for pair in pairs for side in (pair.original, pair.counterfactual)]
    if chat:
        sides = [chat_side(tokenizer, side) for side in sides]
    made = encoder.encode(sides, progress)
    if encoder.problems:
        raise CfgenError(list(encoder.problems.values())[:SHOWN])
    return [
        PairTokens(pair, made[2 * i][0], made[2 * i + 1][0], made[2 * i][1], made[2 * i + 1][1])
        for i, pair in enumerate(pairs)
    ]


def _check_candidates(found: Mapping[str, str], candidates: Candidates) -> None:
    problems = [
        Problem(
            "answer-not-a-candidate",
            f"{where} is {answer!r}, which is not among the {len(candidates)} candidates",
            hint=f"add it to `candidates` of the task; {did_you_mean(answer, candidates)}",
        )
        for answer, where in found.items()
        if answer not in candidates
    ]
    if problems:
        raise CfgenError(problems[:SHOWN])


@dataclass(frozen=True, slots=True)
class _Encoder:
    """Tokenises the two sides of pairs with all candidates behind them.

    Attributes:
        tokenizer: The LM's.
        candidates: Answer -> its texts.
        texts: All of them, each once.
        reading: What its tokens read.
        special: Whether the tokenizer adds special tokens; a chat template has them already.
        problems: What went wrong, each kind and text once.
        read: Texts and tokens that were compared already.
        trees: Tokens of all texts behind a prompt -> their tree; most prompts share one.
    """

    tokenizer: Any
    candidates: Candidates
    texts: tuple[str, ...]
    reading: TokenReader
    special: bool = True
    problems: dict[str, Problem] = field(default_factory=dict)
    read: set[tuple[str, TokenPath]] = field(default_factory=set)
    trees: dict[tuple[TokenPath, ...], AnswerTree] = field(default_factory=dict)

    def encode(
        self, sides: Sequence[Side], progress: Progress
    ) -> list[tuple[PromptTokens, AnswerTree]]:
        """The tokens of each side's prompt, fed ones included, and the tree of what may follow."""
        size = max(1, _CHUNK // (1 + len(self.texts)))
        found = []
        for start in range(0, len(sides), size):
            progress("encode prompts", start, len(sides))
            chunk = sides[start : start + size]
            prompts = [side.prompt.text for side in chunk]
            own = tokenise(self.tokenizer, prompts, special=self.special)
            behind = [s.prompt.text + s.answer_prefix + text for s in chunk for text in self.texts]
            rows = iter(_ids(self.tokenizer, behind, special=self.special))
            found += [
                self._side(side, *encoding, rows) for side, encoding in zip(chunk, own, strict=True)
            ]
        progress("encode prompts", len(sides), len(sides))
        return found

    def _side(
        self, side: Side, ids: TokenPath, offsets: TokenOffsets, rows: Iterator[TokenPath]
    ) -> tuple[PromptTokens, AnswerTree]:
        if not ids:
            message, hint = "the tokenizer makes no token of a prompt", "give a prompt some text"
            self.problems.setdefault("", Problem("prompt-without-token", message, hint=hint))
        paths = {text: self._path(side, ids, text, next(rows)) for text in self.texts}
        if self.problems:
            return PromptTokens(side.prompt, ids, offsets), build_tree({})
        key = tuple(paths.values())
        if key not in self.trees:
            self.trees[key] = build_tree(
                {answer: [paths[text] for text in own] for answer, own in self.candidates.items()}
            )
        tree = self.trees[key]
        end = len(side.prompt.text)
        nowhere = ((end, end),) * len(tree.fed)
        tokens = PromptTokens(side.prompt, ids + tree.fed, offsets + nowhere, len(tree.fed))
        return tokens, tree

    def _path(self, side: Side, ids: TokenPath, text: str, joined: TokenPath) -> TokenPath:
        """The tokens of a text behind a prompt."""
        end, answer = side.prompt.text[-20:], side.answer_prefix + text
        if joined[: len(ids)] != ids:
            message = (
                f"the prompt's end {end!r} and the answer {answer!r} share a token, so there is no "
                "position at which the answer begins"
            )
            hint = (
                "let the template's `answer_prefix` put a space or a line break between them, or "
                "end the prompt with other punctuation"
            )
            problem = Problem("answer-joins-prompt", message, hint=hint)
            self.problems.setdefault(f"joins {text}", problem)
        elif len(joined) == len(ids):
            message = f"the tokenizer makes no token of the answer {answer!r}"
            hint = "give an answer that is not empty"
            problem = Problem("answer-without-token", message, hint=hint)
            self.problems.setdefault(f"empty {text}", problem)
        elif (text, joined[len(ids) :]) not in self.read:
            self.read.add((text, joined[len(ids) :]))
            self._check_answer(answer, ids, joined)
        return joined[len(ids) :]

    def _check_answer(self, answer: str, ids: TokenPath, joined: TokenPath) -> None:
        """Check that the tokens of an answer are its text: what the LM says is read by them."""
        before, read = self.reading.text(ids), self.reading.text(joined)
        path = joined[len(ids) :]
        said = read.removeprefix(before) if read.startswith(before) else self.reading.text(path)
        if reads_as(said.strip(), answer.strip()):
            return
        message = f"the tokens of the answer {answer!r} read {said!r}"
        hint = "use an answer that this tokenizer keeps as it is, or another LM"
        problem = Problem("tokens-not-the-text", message, hint=hint)
        if any(token in self.reading.unknown for token in path):
            message = f"the tokenizer has no token for the answer {answer!r}, or a part of it"
            hint = "use another answer, or an LM whose tokenizer knows it"
            problem = Problem("word-without-token", message, hint=hint)
        self.problems.setdefault(f"other {answer}", problem)


def tokenise(
    tokenizer: Any, texts: list[str], *, special: bool = True
) -> list[tuple[TokenPath, TokenOffsets]]:
    """Ids and offsets per text, without the special tokens that a tokenizer puts at the end."""
    made = _made(tokenizer, texts, special=special, offsets=True)
    rows = zip(made["input_ids"], made["offset_mapping"], made["special_tokens_mask"], strict=True)
    return [without_end(*row) for row in rows]


def without_end(
    ids: Sequence[int], offsets: Sequence[tuple[int, int]], special: Sequence[int]
) -> tuple[TokenPath, TokenOffsets]:
    """What a tokenizer made of a text, but for the special tokens at its end."""
    end = _end(special)
    return tuple(ids[:end]), tuple((int(a), int(b)) for a, b in offsets[:end])


def _end(special: Sequence[int]) -> int:
    """How many tokens are left without the special ones at the end."""
    end = len(special)
    while end and special[end - 1]:
        end -= 1
    return end


def _ids(tokenizer: Any, texts: list[str], *, special: bool) -> list[TokenPath]:
    """Ids per text, likewise."""
    if not texts:
        return []
    made = _made(tokenizer, texts, special=special, offsets=False)
    rows = zip(made["input_ids"], made["special_tokens_mask"], strict=True)
    return [tuple(ids[: _end(special)]) for ids, special in rows]


def _made(tokenizer: Any, texts: list[str], *, special: bool, offsets: bool) -> Any:
    return read_by(
        lambda some: tokenizer(
            some,
            add_special_tokens=special,
            return_offsets_mapping=offsets,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            padding=False,
            truncation=False,
        ),
        texts,
    )
