"""The list of known LMs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from cfgen.paths import display
from cfgen.report.style import grid

if TYPE_CHECKING:
    from cfgen.weights import ModelListing


def model_list(listed: Sequence[ModelListing]) -> RenderableType:
    """Name, description, licence, size and place of every LM."""
    rows: list[Sequence[object]] = []
    for listing in listed:
        text = Text(listing.description)
        base = f" on top of {listing.base}" if listing.base else ""
        text.append(f"\n{listing.licence}, {listing.size / 1e6:,.1f} MB{base}, ", "dim")
        if listing.cached and listing.path:
            text.append(f"here: {display(listing.path)}", "green")
        else:
            accept = "" if listing.accepted else " --accept-license"
            text.append(f"not here yet: cfgen models pull {listing.name}{accept}", "yellow")
        if listing.terms and not listing.accepted:
            text.append(f"\nterms to be accepted first: {listing.terms}", "yellow")
        rows.append([Text(listing.name, "bold"), text])
    if not rows:
        return Text(
            "No LM is known by name; any folder, gguf:FILE or Hub id can be given to --model."
        )
    return grid(rows)
