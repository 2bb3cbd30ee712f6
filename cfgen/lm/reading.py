"""What tokens read, and which of them stand for no text: asked of a tokenizer in one way.

Takes tokenizers of transformers and of the library that these are made with. Nothing here needs
torch.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cfgen.errors import CfgenError, Problem

T = TypeVar("T")

SAMPLING = ("dropout", "alpha", "nbest_size")
"""Settings of the models of tokenizers that make them cut a text at random: of BPE, of Unigram."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenReader:
    """A tokenizer, as far as it tells what its tokens are.

    Attributes:
        backend: A tokenizer of the library tokenizers.
        special: Id of a token that stands for no text -> how it is written.
        unknown: Ids of what stands for whatever it does not know -> how that is written.
    """

    backend: Any
    special: Mapping[int, str]
    unknown: Mapping[int, str]

    def text(self, ids: Sequence[int]) -> str:
        """What tokens read, special ones included."""
        return str(self.backend.decode(list(ids), skip_special_tokens=False))

    def misread(self, text: str, ids: Sequence[int]) -> str:
        """Why tokens are not a text, as what is said of the text; empty if they are.

        Args:
            text: Part of a text that was tokenised.
            ids: The tokens that lie over it.
        """
        read = self.text(ids).strip()
        if reads_as(read, text.strip()):
            return ""
        known = not any(token in self.unknown for token in ids)
        return f"reads {read!r}" if known else "has no token of its own"

    def strangers(
        self, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]
    ) -> Iterator[str]:
        """Words of a text that became the unknown token, unless that is what they are.

        Args:
            text: The text.
            ids: Its tokens.
            offsets: Per token, the characters of the text that it stands for.
        """
        for token, (begin, end) in zip(ids, offsets, strict=True):
            if token in self.unknown and text[begin:end].strip() != self.unknown[token]:
                yield text[begin:end].strip() or text[begin:end]

    def twice(
        self, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]
    ) -> str | None:
        """A special token that stands twice before the text, or before it and at its beginning.

        One that stands for other characters than its own is there because they are unknown.
        """
        leading: set[int] = set()
        for token, (begin, end) in zip(ids, offsets, strict=False):
            name = self.special.get(token)
            if name is None or text[begin:end].strip() not in ("", name.strip()):
                return None
            if token in leading:
                return name
            leading.add(token)
        return None


def reading_of(tokenizer: Any) -> TokenReader:
    """What a tokenizer tells of its tokens.

    Args:
        tokenizer: A fast one of transformers, or one of the library tokenizers.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    added = backend.get_added_tokens_decoder()
    special = {index: token.content for index, token in added.items() if token.special}
    names = {getattr(tokenizer, "unk_token", None), _unknown(backend)}
    unknown = {backend.token_to_id(str(name)): str(name) for name in names if name is not None}
    return TokenReader(
        backend, special, {index: n for index, n in unknown.items() if index is not None}
    )


def _unknown(backend: Any) -> str | None:
    """How the model of a tokenizer writes what it does not know, whoever else declares it."""
    name: str | None = getattr(backend.model, "unk_token", None)
    if type(backend.model).__name__ == "Unigram":
        index = json.loads(backend.to_str())["model"].get("unk_id")
        name = None if index is None else backend.id_to_token(index)
    return name


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that stand for no text, in a tokenizer of transformers or of tokenizers."""
    return frozenset(reading_of(tokenizer).special)


def reads_as(read: str, text: str) -> bool:
    """Whether two texts are one, but for the space that some tokenizers put in front, and Unicode.

    Many tokenizers compose characters first (NFC, NFKC): that is how the LM was trained to read.
    """
    return any(
        unicodedata.normalize(form, read).removeprefix(" ")
        == unicodedata.normalize(form, text).removeprefix(" ")
        for form in ("NFC", "NFKC")
    )


def settled(tokenizer: Any) -> Any:
    """Switch off whatever makes a tokenizer cut one text in several ways, as in its training.

    Args:
        tokenizer: A fast one of transformers, or one of the library tokenizers; it is changed.
    """
    model = getattr(tokenizer, "backend_tokenizer", tokenizer).model
    for name in SAMPLING:
        if getattr(model, name, None) is not None:
            setattr(model, name, None)
    return tokenizer


def check_settled(tokenizer: Any) -> None:
    """Check that a tokenizer cuts a text in one way only.

    Raises:
        CfgenError: It draws at random how to cut it (``tokenizer-samples``).
    """
    model = getattr(getattr(tokenizer, "backend_tokenizer", tokenizer), "model", None)
    for name in SAMPLING:
        value = getattr(model, name, None)
        if value:
            message = f"the tokenizer cuts texts at random: its {name} is {value:g}"
            hint = "load the LM by its name, or make it with wrap_lm, which switch that off"
            raise CfgenError(Problem("tokenizer-samples", message, hint=hint))


def read_by(encode: Callable[[list[str]], T], texts: Sequence[str]) -> T:
    """Encode texts; what a tokenizer raises about one of them names it.

    Args:
        encode: Encodes a list of texts.
        texts: The texts.

    Raises:
        CfgenError: It can't read one, as it has no token for what it does not know
            (``word-without-token``).
    """
    try:
        return encode(list(texts))
    except Exception as error:  # the library raises nothing more special
        if len(texts) > 1:
            for text in texts:
                read_by(encode, [text])
        message = f"the tokenizer can't read {_end(texts[0])!r}: {error}"
        hint = "use words that it knows, or an LM whose tokenizer has a token for those it doesn't"
        raise CfgenError(Problem("word-without-token", message, hint=hint)) from error


def _end(text: str) -> str:
    return text if len(text) <= 60 else f"...{text[-57:]}"
