"""Runs that there are: a list of them."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfgen.documents import Column, Document, Paragraph, Phrase, Table, strong
from cfgen.paths import display

if TYPE_CHECKING:
    from cfgen.experiments import StoreListing


def run_list(listed: Sequence[StoreListing], folder: Path) -> Document:
    """Name, request and state of every run in a folder."""
    if not listed:
        return Document((Paragraph(f"There is no run in {display(folder)}."),))
    columns = (Column("run"), Column("LM"), Column("pairs", "right"), Column("units", "right"))
    rows = tuple(
        (
            strong(one.folder.name),
            ", ".join(one.request.get("models", ())),
            str(one.request.get("n", "")),
            str(one.units),
            Phrase("finished", ("good",)) if one.finished else Phrase("not finished", ("caution",)),
            _when(one.touched),
        )
        for one in listed
    )
    return Document((Table((*columns, Column("state"), Column("last touched")), rows),))


def run_record(one: StoreListing) -> dict[str, Any]:
    """A run in a list, for JSON."""
    return {
        "folder": str(one.folder),
        "request": one.request,
        "units": one.units,
        "finished": one.finished,
        "touched": one.touched,
    }


def _when(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
