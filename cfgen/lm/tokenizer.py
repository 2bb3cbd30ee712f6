"""Load a tokenizer alone: no weights, no torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.weights import (
    AdapterEntry,
    BaseEntry,
    Progress,
    find_weights,
    is_gguf,
    load_entries,
    no_progress,
)

Encoding = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]
Encode = Callable[[str], Encoding]
"""From a text to its token ids and, per token, the characters it stands for (end exclusive)."""

FILE = "tokenizer.json"


def load_tokenizer(
    name: str, *, accept_license: bool = False, progress: Progress = no_progress
) -> Encode:
    """Load the tokenizer of an LM, or one that lies alone.

    Args:
        name: As for :func:`cfgen.lm.load.load_lm`; or a ``tokenizer.json``, or a folder with one.
            Of an LM on the Hub only the tokenizer is downloaded.
        accept_license: As for :func:`cfgen.lm.load.load_lm`.
        progress: As for :func:`cfgen.lm.load.load_lm`.

    Returns:
        A function that encodes a text, with the special tokens that the tokenizer puts in front,
        whose offsets are ``(0, 0)``, and without those at the end.

    Raises:
        CfgenError: There is no such LM, or it has no ``tokenizer.json`` (``lm-tokenizer``).
    """
    from tokenizers import Tokenizer

    file = _file(name, accept_license, progress)
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more special
        message = f"{display(file)} is not a tokenizer: {error}"
        hint = "name a tokenizer.json as the tokenizers library writes it"
        raise CfgenError(Problem("lm-tokenizer", message, hint=hint)) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(text: str) -> Encoding:
        made = tokenizer.encode(text)
        end = len(made.ids)
        while end and made.special_tokens_mask[end - 1]:
            end -= 1
        return tuple(made.ids[:end]), tuple(made.offsets[:end])

    return encode


def _file(name: str, accept_license: bool, progress: Progress) -> Path:
    """The tokenizer.json that a name stands for."""
    path = Path(os.path.expanduser(name))
    entries = load_entries()
    entry = entries.get(name)
    if isinstance(entry, AdapterEntry):
        return _file(entry.below, accept_license, progress)
    if not isinstance(entry, BaseEntry) and not is_gguf(name):
        if path.is_file():
            return path
        if name and (path / FILE).is_file():
            return path / FILE
        if not path.exists() and not name.startswith((".", "~", "/")) and name.count("/") == 1:
            return _from_hub(name, progress)
    folder = find_weights(name, accept_license=accept_license, progress=progress).folder
    if not (folder / FILE).is_file():
        message = f"{name!r} has no {FILE}, so it can't say which characters a token covers"
        hint = "use an LM with a fast tokenizer (tokenizer.json)"
        raise CfgenError(Problem("lm-tokenizer", message, hint=hint))
    return folder / FILE


def _from_hub(name: str, progress: Progress) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    failures: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__bases__, HFValidationError)
    repository, _, revision = name.partition("@")
    progress("hub", 0, None)
    try:
        return Path(hf_hub_download(repository, FILE, revision=revision or None))
    except failures as error:
        message = f"the Hub gave no {FILE} for {name!r}"
        hint = "check the id and the network, or name a folder (./folder) or a tokenizer.json"
        reason = str(error).strip().partition("\n")[0]
        raise CfgenError(Problem("lm-tokenizer", message, hint=hint, detail=reason)) from error
