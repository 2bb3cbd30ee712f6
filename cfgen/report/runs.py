"""Runs that there are: a list of them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfgen.documents import Document, Inline, Item, Paragraph, Phrase, faint, strong
from cfgen.paths import display

if TYPE_CHECKING:
    from cfgen.experiments import StoreListing


def run_list(listed: Sequence[StoreListing], folder: Path) -> Document:
    """Name, request and state of every run in a folder."""
    if not listed:
        return Document((Paragraph(f"There is no run in {display(folder)}."),))
    return Document(
        tuple(Item(strong(one.folder.name), (Paragraph(_state(one)),)) for one in listed)
    )


def _state(one: StoreListing) -> Inline:
    state = Phrase("finished", ("good",)) if one.finished else Phrase("not finished", ("caution",))
    asked = f"{', '.join(one.request['models'])}, n {one.request['n']}, {one.units} units, "
    return (asked, state, faint(f", last touched {_when(one.touched)}") if one.touched else "")


def run_record(one: StoreListing) -> dict[str, Any]:
    """A run in a list, for JSON."""
    return {
        "folder": str(one.folder),
        "request": one.request,
        "units": one.units,
        "finished": one.finished,
        "touched": one.touched,
    }


def _when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
