"""The list of known LMs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cfgen.documents import Document, Facts, Inline, Paragraph, Phrase, faint, strong
from cfgen.paths import display

if TYPE_CHECKING:
    from cfgen.weights import ModelListing


def model_list(listed: Sequence[ModelListing]) -> Document:
    """Name, description, licence, size and place of every LM."""
    if not listed:
        text = "No LM is known by name; any folder, gguf:FILE or Hub id can be given to --model."
        return Document((Paragraph(text),))
    rows = tuple((strong(listing.name), _about(listing)) for listing in listed)
    return Document((Facts(rows),))


def _about(listing: ModelListing) -> Inline:
    base = f" on top of {listing.base}" if listing.base else ""
    if listing.cached and listing.path:
        place = Phrase(f"here: {display(listing.path)}", ("good",))
    else:
        accept = "" if listing.accepted else " --accept-license"
        place = Phrase(f"not here yet: cfgen models pull {listing.name}{accept}", ("caution",))
    terms = Phrase(f"\nterms to be accepted first: {listing.terms}", ("caution",))
    return (
        listing.description,
        faint(f"\n{listing.licence}, {listing.size / 1e6:,.1f} MB{base}, "),
        place,
        terms if listing.terms and not listing.accepted else "",
    )
