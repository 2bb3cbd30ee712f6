"""Receivers: what the direct effect of a path is on, as text and as a place of the LM."""

from __future__ import annotations

import re

from cfgen.errors import CfgenError, Problem
from cfgen.lm import Place

LOGITS = "logits"
_FORM = re.compile(r"(\d{1,4})\.(?:(\d{1,4})\.([qkv])|mlp)")
_COMPONENTS = {"q": "q", "k": "k_in", "v": "v_in"}
"""Keys and values may be shared by heads, so that those of one are changed in what they are of."""


def parse_receiver(text: str) -> Place | None:
    """Read a receiver.

    Returns:
        The place whose value it is given; None for the logits.

    Raises:
        CfgenError: It is none (``bad-receiver``).
    """
    if text == LOGITS:
        return None
    found = _FORM.fullmatch(text)
    if not found:
        hint = "write logits, 9.6.q (also k, v) for head 6 of layer 9, or 9.mlp"
        raise CfgenError(Problem("bad-receiver", f"{text!r} is no receiver", hint=hint))
    layer, head, part = found.groups()
    if part is None:
        return Place("mlp_out", int(layer))
    return Place(_COMPONENTS[part], int(layer), int(head))
