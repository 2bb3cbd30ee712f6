"""With which LMs interventions can be packed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.masks import FULL, SLIDING
from cfgen.lm import LM

MASKED = ("sdpa", "eager")
"""Attention implementations that take a mask for every query and key."""


LONG, DYNAMIC = "longrope", "dynamic"
"""Kinds of rotary positions whose frequencies depend on the longest prompt of a batch."""


def check_rotations(lm: LM, lengths: Collection[int], answer_tokens: int) -> None:
    """Check that what the LM computes for a prompt doesn't depend on the prompts next to it.

    Some scaled rotary positions take other frequencies once a prompt of the batch is longer than
    those of the pretraining.

    Args:
        lm: The LM.
        lengths: Tokens of the prompts.
        answer_tokens: How many tokens the LM says.

    Raises:
        CfgenError: It does (``rotations-depend-on-length``).
    """
    config: Any = lm.model.config
    scaling = getattr(config, "rope_parameters", None) or {}
    each = [part for part in (scaling, *scaling.values()) if isinstance(part, dict)]
    for part in each:
        limit = part.get("original_max_position_embeddings") or config.max_position_embeddings
        kind, last = part.get("rope_type"), answer_tokens - 1
        beyond = [length for length in lengths if length + last > limit]
        straddling = len(beyond) < len(lengths) or any(n <= limit for n in beyond)
        if beyond and (kind == DYNAMIC or (kind == LONG and straddling)):
            message = (
                f"the rotary positions ({kind}) of {lm.name!r} change for all prompts of a batch "
                f"once one has more than {limit} tokens; here there are {min(lengths)} to "
                f"{max(lengths) + last}"
            )
            which = "prompts" if kind == DYNAMIC else "prompts that are all longer, or all"
            hint = f"use {which} of at most {limit} tokens, answer included"
            raise CfgenError(Problem("rotations-depend-on-length", message, hint=hint))


def why_not_packed(lm: LM) -> str:
    """Say why interventions on an LM can't be packed.

    Args:
        lm: The LM.

    Returns:
        The reason; empty if they can.
    """
    config: Any = lm.model.config
    attention = getattr(config, "_attn_implementation", None)
    if attention not in MASKED:
        return f"its attention ({attention}) takes no mask for every query and key"
    types = set(getattr(config, "layer_types", None) or ())
    if other := sorted(types - {FULL, SLIDING}):
        return f"it has layers that are not plain attention ({', '.join(other)})"
    return ""
