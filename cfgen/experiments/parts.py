"""Parts: several places of an LM that are changed at once, as text and as places."""

from __future__ import annotations

import re

from cfgen.errors import CfgenError, Problem
from cfgen.lm import COMPONENTS, Place

MOST = 10_000
"""Parts of a set at most."""
_FORM = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?|(\d{1,4})\.(\d{1,6})(?:-(\d{1,6}))?")


def parse_parts(text: str, component: str) -> tuple[Place, ...]:
    """Read a set of parts of one component.

    Args:
        text: Parts separated by commas: ``9.6`` and ``9.0-3`` for heads of layer 9, or, of a
            component without heads, for its neurons; ``3`` and ``3-5`` for whole layers.
        component: Whose parts.

    Returns:
        The places, in the order of layers, each once; neurons of a layer are one place.

    Raises:
        CfgenError: It is none, or the component has no such parts (``bad-parts``).
    """
    row = COMPONENTS[component]
    whole: set[int] = set()
    single: dict[int, set[int]] = {}
    for part in (part.strip() for part in text.split(",")):
        found = _FORM.fullmatch(part)
        if not found:
            raise CfgenError(_problem(text, f"{part!r} is neither a layer nor a part of one"))
        given = (None if one is None else int(one) for one in found.groups())
        first, last, layer, low, high = given
        if first is not None:
            chosen = range(first, (first if last is None else last) + 1)
            whole |= {*chosen}
        else:
            assert layer is not None
            assert low is not None
            chosen = range(low, (low if high is None else high) + 1)
            single.setdefault(layer, set()).update(chosen)
        if not 0 < len(chosen) <= MOST:
            raise CfgenError(_problem(text, f"{part!r} is no range, or one of too many"))
    if single and not (row.by_head or row.by_neuron):
        raise CfgenError(_problem(text, f"{component} has neither heads nor neurons to choose"))
    if both := sorted(whole & {*single}):
        raise CfgenError(_problem(text, f"layer {both[0]} is named as a whole and in part"))
    places = [Place(component, layer) for layer in whole]
    for layer, numbers in single.items():
        if row.by_head:
            places += [Place(component, layer, head=number) for number in sorted(numbers)]
        else:
            places.append(Place(component, layer, neurons=tuple(sorted(numbers))))
    return tuple(sorted(places, key=lambda place: (place.layer, place.head or 0)))


def _problem(text: str, what: str) -> Problem:
    hint = "write 9.6,10.0-2 for heads (or neurons) of layers 9 and 10, or 3-5 for whole layers"
    return Problem("bad-parts", f"{text!r} is no set of parts: {what}", hint=hint)
