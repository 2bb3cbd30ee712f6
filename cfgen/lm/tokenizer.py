"""The tokenizer of an LM: read in one way by lint, generate, export and runs alike.

An LM's tokenizer is what ``tokenizer.json`` describes, and what the files beside it add. Most add
nothing; where that shows, the file is read without transformers, which takes milliseconds and needs
no torch. Where they say more (another class, tokens that are added, how texts begin), transformers
is asked, and what it makes is compared with the file: some of its classes cut texts by rules of
their own. Then the file counts, as the plain class reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cfgen.errors import CfgenError, Problem
from cfgen.lm.described import PROBES, difference
from cfgen.lm.encoding import tokenise, without_end
from cfgen.lm.reading import TokenReader, read_by, reading_of, settled
from cfgen.lm.token_checks import text_problems
from cfgen.lm.tokens import PromptTokens
from cfgen.paths import display
from cfgen.progress import Progress, no_progress
from cfgen.prompts import Encode, Encoding, Prompt
from cfgen.weights import Files, find_tokenizer, linked, quiet, read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

FILE, SETTINGS, NAMED = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
CONFIG, ADDED = "config.json", "added_tokens.json"
_WRONG = re.compile(r"incorrect|wrong|fix_mistral_regex|not as expected", re.IGNORECASE)
"""What a library says of a tokenizer that does not cut texts as the LM was trained with."""
PLAIN_CLASSES = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Classes of transformers that take ``tokenizer.json`` as it is; others make it anew."""
ASKED = (
    *("add_bos_token", "add_eos_token", "split_special_tokens", "auto_map", "fix_mistral_regex"),
    *("gguf_file", "merges", "post_processor", "tokenizer_file", "tokenizer_object", "vocab"),
)
"""Settings that change what the plain classes make of the file."""


def load_tokenizer(
    name: str, *, accept_license: bool = False, progress: Progress = no_progress
) -> FileTokenizer:
    """Load the tokenizer of an LM, or one that lies alone.

    Args:
        name: As for :func:`cfgen.lm.load_lm`; or a ``tokenizer.json``, or a folder with one.
            Of an LM on the Hub only the tokenizer is downloaded.
        accept_license: As for :func:`cfgen.lm.load_lm`.
        progress: As for :func:`cfgen.lm.load_lm`.

    Returns:
        What encodes a text, with the special tokens that the tokenizer puts in front, whose offsets
        are ``(0, 0)``, and without those at the end; its ``backend`` decodes.

    Raises:
        CfgenError: There is no such LM, or its tokenizer can't be read, or does not say which
            characters a token covers (``lm-tokenizer``).
    """
    where, files = find_tokenizer(name, accept_license=accept_license, progress=progress)
    alone = read_alone(files)
    if alone is not None:
        return _encoder(alone)
    with linked(files) as folder:
        return _encoder(own_tokenizer(display(where), folder).backend_tokenizer)


def own_tokenizer(name: str, folder: Path) -> PreTrainedTokenizerFast:
    """Load a tokenizer with transformers, set to pad on the left with a token that exists.

    The class that its files name is asked first; where that cuts texts otherwise than
    ``tokenizer.json`` describes, the plain one, which takes the file as it is.

    Args:
        name: Whose it is, for messages.
        folder: Holds its files and nothing that does not belong to it.

    Raises:
        CfgenError: There is none that can be read, or that knows the characters of a token
            (``lm-tokenizer``), or it is not what its file describes either way, or it is known to
            cut texts wrongly (``lm-tokenizer-wrong``).
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    unknown = f"the tokenizer of {name!r} can't say which characters a token covers"
    if not (folder / FILE).is_file():
        unknown = f"{name!r} has no {FILE}, so it can't say which characters a token covers"
    hint = "use an LM with a fast tokenizer (tokenizer.json)"
    try:
        with quiet() as notes:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
            if getattr(tokenizer, "is_fast", False):  # what it was told shows when it is used
                _use(settled(padded_left(tokenizer)))
    except Exception as error:  # whatever the libraries make of files that they don't expect
        if not (folder / FILE).is_file():
            raise CfgenError(Problem("lm-tokenizer", unknown, hint=hint)) from error
        message = f"the tokenizer of {name!r} can't be read"
        hint = "check tokenizer_config.json, above all its tokenizer_class"
        detail = "\n".join(str(error).replace(str(folder), name).splitlines()[:6])
        raise CfgenError(Problem("lm-tokenizer", message, hint=hint, detail=detail)) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or not tokenizer.is_fast:
        raise CfgenError(Problem("lm-tokenizer", unknown, hint=hint))
    _judge_notes(name, (note.replace(str(folder), name) for note in notes))
    if _otherwise(folder, tokenizer):
        with quiet():
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        found = _otherwise(folder, settled(padded_left(tokenizer)))
        if found:
            message = (
                f"the tokenizer of {name!r} as transformers makes it is not what its {FILE} says"
            )
            hint = (
                "load it with AutoTokenizer, look whether it cuts texts as the LM was trained "
                "with, and write it anew with its save_pretrained, which gives files that agree"
            )
            raise CfgenError(Problem("lm-tokenizer", message, hint=hint, detail=found))
    return tokenizer


def _judge_notes(name: str, notes: Iterable[str]) -> None:
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


def _use(tokenizer: PreTrainedTokenizerFast) -> None:
    """Have a tokenizer read texts; but for what it has no token for, that must not fail."""
    for text in PROBES:
        try:
            tokenizer.backend_tokenizer.encode(text)
        except Exception:  # the library raises nothing more special
            continue
        tokenise(tokenizer, [text])


def _otherwise(folder: Path, own: PreTrainedTokenizerFast) -> str:
    """Where a tokenizer cuts texts otherwise than ``tokenizer.json`` describes, if there is one."""
    files = {path.name: path for path in folder.iterdir()}
    if FILE not in files:
        return ""
    settings = read_settings(files[SETTINGS]) if SETTINGS in files else {}
    whole = read_alone(tuple(files.items())) is not None
    return difference(files[FILE], own, settings, whole=whole)


def padded_left(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Set a tokenizer to pad on the left, with a token that exists."""
    if tokenizer.pad_token_id is None:  # padding is masked, so any token will do
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    tokenizer.padding_side = "left"
    return tokenizer


def read_alone(files: Files) -> Tokenizer | None:
    """Read ``tokenizer.json`` without transformers, if the other files show that it is all.

    Args:
        files: Of an LM, as :func:`~cfgen.weights.find_tokenizer` finds them.

    Returns:
        The tokenizer; None if transformers has to be asked.

    Raises:
        CfgenError: The file is not a tokenizer (``lm-tokenizer``), or one beside it is no JSON.
    """
    from tokenizers import Tokenizer

    there = dict(files)
    if FILE not in there:
        return None
    try:
        tokenizer = Tokenizer.from_file(str(there[FILE]))
    except Exception as error:  # the library raises nothing more special
        message = f"{display(there[FILE])} is not a tokenizer: {error}"
        hint = "name a tokenizer.json as the tokenizers library writes it"
        raise CfgenError(Problem("lm-tokenizer", message, hint=hint)) from error
    if len(there) == 1:
        return tokenizer
    if CONFIG in there and _is_mended(read_settings(there[CONFIG])):
        return None
    settings = read_settings(there[SETTINGS]) if SETTINGS in there else {}
    named, added = (read_settings(there[n]) if n in there else None for n in (NAMED, ADDED))
    if {} in (named, added):  # or no object, which transformers does not expect
        return None
    known = {token.content: token for token in tokenizer.get_added_tokens_decoder().values()}
    declared = [*_tokens_declared(settings), *_tokens_declared(named or {})]
    is_all = (
        settings.get("tokenizer_class") in PLAIN_CLASSES
        and not any(settings.get(key) is not None for key in ASKED)
        and all(_is_as_declared(known.get(_content(token)), token) for token in declared)
        and all(tokenizer.token_to_id(token) == index for token, index in (added or {}).items())
    )
    return tokenizer if is_all else None


@dataclass(frozen=True, slots=True, eq=False)
class FileTokenizer:
    """Encodes texts as :data:`cfgen.prompts.Encode` says.

    Attributes:
        backend: What it does that with, of the library tokenizers.
        reader: What its tokens read.
    """

    backend: Tokenizer
    reader: TokenReader

    def __call__(self, text: str) -> Encoding:
        """Ids and offsets of a text, without special tokens at the end.

        Raises:
            CfgenError: It has a word that the tokenizer can't read (``word-without-token``).
        """
        (made,) = read_by(lambda texts: [self.backend.encode(each) for each in texts], [text])
        return without_end(made.ids, made.offsets, made.special_tokens_mask)


def checked_encoder(tokenizer: FileTokenizer) -> Encode:
    """A tokenizer that refuses every text of which its tokens are not the text, and of no other.

    For texts that come one by one, from whoever only wants their tokens.

    Args:
        tokenizer: The tokenizer.

    Returns:
        What encodes as it does, and raises a CfgenError as
        :func:`cfgen.lm.token_checks.text_problems` says.
    """
    texts: dict[int, int] = {}  # by their hashes, since there may be millions

    def encode(text: str) -> Encoding:
        ids, offsets = tokenizer(text)
        tokens = PromptTokens(Prompt(text, ()), tuple(ids), tuple(offsets))
        problems = text_problems(tokenizer.reader, [tokens], {})
        if not problems and texts.setdefault(hash(tokens.ids), hash(text)) != hash(text):
            message = f"the tokens of {text[:80]!r} are those of another text as well"
            hint = "use words that differ in more than what this tokenizer evens out, or another LM"
            problems = [Problem("texts-same-tokens", message, hint=hint)]
        if problems:
            raise CfgenError(problems)
        return ids, offsets

    return encode


def _encoder(tokenizer: Tokenizer) -> FileTokenizer:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return FileTokenizer(settled(tokenizer), reading_of(tokenizer))


def _tokens_declared(settings: dict[str, Any]) -> Iterable[Any]:
    """Tokens that a file of settings declares: ``bos_token`` and its like, extra and added ones."""
    for key, value in settings.items():
        if key == "added_tokens_decoder" or key.endswith("_special_tokens"):
            listed = value.values() if isinstance(value, dict) else value
            if not isinstance(listed, bool | None):  # spaces_between_special_tokens is no list
                yield from listed if isinstance(listed, Iterable) else [listed]
        elif key.endswith("_token") and value and not isinstance(value, bool):
            yield value


def _is_mended(config: dict[str, Any]) -> bool:
    """Whether transformers may find a file of this LM wrong: those of Mistral before version 5."""
    version = str(config.get("transformers_version", "5")).partition(".")[0]
    return "tral" in str(config.get("model_type", "")) and version in ("0", "1", "2", "3", "4")


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token)


def _is_as_declared(known: Any, token: Any) -> bool:
    """Whether a token is one that the tokenizer has, and cuts texts as is declared."""
    if known is None or not isinstance(token, dict):
        return known is not None
    flags = ("lstrip", "rstrip", "single_word", "normalized", "special")
    return all(getattr(known, flag) == token.get(flag, getattr(known, flag)) for flag in flags)


def load_tokenizers(
    names: Iterable[str], report: Progress, *, accept_license: bool = False
) -> dict[str, FileTokenizer]:
    """Name -> tokenizer, fetched if need be; no weights and no torch are loaded.

    Args:
        names: As ``--model`` takes them.
        report: Called with progress.
        accept_license: Whether terms that one has are accepted.

    Raises:
        CfgenError: With the problems of every one that cannot be loaded.
    """
    loaded: dict[str, FileTokenizer] = {}
    problems: list[Problem] = []
    for name in names:
        try:
            loaded[name] = load_tokenizer(name, accept_license=accept_license, progress=report)
        except CfgenError as error:
            problems += error.problems
    if problems:
        raise CfgenError(problems)
    return loaded
