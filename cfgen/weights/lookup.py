"""Looking up the name of an LM: which of the four kinds it is, and whether such a thing is there.

Nothing is fetched or loaded, and no hub is asked, so that lint can do it.
"""

from __future__ import annotations

import os
from pathlib import Path

from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.paths import display
from cfgen.weights.gguf import check_gguf
from cfgen.weights.registry import (
    WITH_ADAPTER,
    WITHOUT_ADAPTER,
    AdapterEntry,
    Entry,
    is_gguf,
    load_entries,
)


class UnknownModel(CfgenError):
    """Nothing is there that has the name of an LM."""


def check_name(name: str) -> None:
    """Check that a name stands for something, as far as that can be told without fetching it.

    Args:
        name: As in :func:`cfgen.lm.load_lm`. One of the form ``owner/name`` is taken to be on the
            Hub, which is not asked.

    Raises:
        CfgenError: Nothing has that name (``lm-unknown``), it is a file that is not there
            (``lm-gguf``), or its adapter is not there (``lm-entry-adapter``).
    """
    entries = load_entries()
    entry = entries.get(name)
    if isinstance(entry, AdapterEntry):
        check_adapter(entry)
        check_name(entry.below)
    elif is_gguf(name):
        check_gguf(Path(os.path.expanduser(name.removeprefix("gguf:"))))
    elif entry is None:
        named_folder(name, entries)


def bare_name(name: str) -> str:
    """A name without what it says about an adapter beside the weights."""
    return name.removeprefix(WITH_ADAPTER).removeprefix(WITHOUT_ADAPTER)


def named_folder(name: str, entries: dict[str, Entry]) -> Path | None:
    """The folder that a name stands for; None if it must be an id on the Hub.

    Raises:
        UnknownModel: It can be neither (``lm-unknown``).
    """
    plain = bare_name(name)
    folder = Path(os.path.expanduser(plain))
    if plain and folder.is_dir():
        return folder
    if folder.suffix == ".gguf" and folder.is_file():
        message, hint = f"{plain} is a file, not a folder", f"name it as gguf:{plain}"
        raise UnknownModel(Problem("lm-unknown", message, hint=hint))
    if plain.startswith((".", "~")) or folder.is_absolute():
        message = f"there is no folder {plain}"
        raise UnknownModel(Problem("lm-unknown", message, hint=_hint(plain, entries)))
    if plain.count("/") == 1:
        return None
    message = f"there is no known LM {name!r}"
    raise UnknownModel(Problem("lm-unknown", message, hint=_hint(name, entries)))


def _hint(name: str, known: dict[str, Entry]) -> str:
    closest = did_you_mean(name, known)
    listed = "" if closest.startswith("there is") else f" there is: {', '.join(known)};"
    return (
        f"{closest}{listed or ';'} a folder is named as ./folder, a GGUF file as gguf:FILE, an "
        "LM on the Hub as owner/name or owner/name@revision"
    )


def check_adapter(entry: AdapterEntry) -> None:
    """Check that an adapter's files are there, before its base is fetched."""
    hint = "train it, or save it there with peft's save_pretrained"
    problems = [
        Problem("lm-entry-adapter", f"there is no {display(file)}", display(entry.file), hint)
        for file in entry.missing()
    ]
    if problems:
        raise CfgenError(problems)
