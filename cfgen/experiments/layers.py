"""Layers as text: numbers and ranges."""

from __future__ import annotations

from cfgen.errors import CfgenError, Problem


def parse_layers(text: str) -> list[int]:
    """Read a list of layers and ranges of layers, both ends included, counted from 0.

    Args:
        text: Numbers and ranges separated by commas.

    Returns:
        The layers, ascending, each once.

    Raises:
        CfgenError: If it is anything else (``bad-layers``).
    """
    layers: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        low, high = first.strip(), (last if dash else first).strip()
        if not (_is_layer(low) and _is_layer(high) and int(low) <= int(high)):
            message = f"layers {text}: {part.strip()!r} is neither a layer nor a range of them"
            hint = "write layers as 20-29, or as 0,5,10-12; the first one is 0"
            raise CfgenError(Problem("bad-layers", message, hint=hint))
        layers |= set(range(int(low), int(high) + 1))
    return sorted(layers)


def _is_layer(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4
