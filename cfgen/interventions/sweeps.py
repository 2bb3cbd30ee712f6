"""From swaps to interventions: each swap at each layer becomes a branch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cfgen.counterfactuals import Site
from cfgen.errors import CfgenError, Problem
from cfgen.interventions.edits import Branch, Edit, FromPrompt
from cfgen.interventions.swaps import Swap
from cfgen.lm import COMPONENTS, Place

HELD = "resid_post"
"""Frozen positions are held here, in every layer."""


def layers_of(site: Site, layers: Iterable[int] | None, count: int) -> tuple[int, ...]:
    """Resolve which layers to sweep at a site.

    Args:
        site: The site.
        layers: Layers counted from 0; None for all.
        count: How many the LM has.

    Returns:
        The layers in ascending order, without repeats; only 0 for a component that comes before
        all blocks.

    Raises:
        CfgenError: A layer that the LM doesn't have, or none at all (``no-such-layer``).
    """
    chosen = tuple(range(count)) if layers is None else tuple(sorted(set(layers)))
    wrong = [layer for layer in chosen if not 0 <= layer < count]
    if wrong or not chosen:
        message = f"no layer {', '.join(map(str, wrong))}" if wrong else "no layer was chosen"
        hint = f"the LM has layers 0 to {count - 1}"
        raise CfgenError(Problem("no-such-layer", message, hint=hint))
    return (0,) if COMPONENTS[site.component].before_blocks else chosen


def place_of(site: Site, layer: int) -> Place:
    """What is swapped at a site in one layer."""
    return Place(site.component, layer, site.head, site.neurons)


def branch_of(swap: Swap, site: Site, layer: int, count: int, original: int, source: int) -> Branch:
    """One swap at one layer, as an intervention.

    Args:
        swap: The swap.
        site: Where it is made.
        layer: The layer; the last of the layers, for a site that is swapped up to a layer.
        count: How many layers the LM has.
        original: Index of the prompt that is edited.
        source: Index of the prompt that values are taken from.

    Returns:
        The edits of the swapped positions, and those that hold the frozen ones.
    """
    swept: Sequence[int] = range(layer + 1) if site.layers == "up_to" else (layer,)
    to = tuple(position for position, _ in swap.moves)
    of = tuple(position for _, position in swap.moves)
    edits = [Edit(place_of(site, each), to, FromPrompt(source, of)) for each in swept]
    if swap.held:
        own = FromPrompt(original, swap.held)
        edits += [Edit(Place(HELD, each), swap.held, own) for each in range(count)]
    return Branch(original, tuple(edits))
