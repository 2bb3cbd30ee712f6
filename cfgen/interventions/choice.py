"""Which engine executes runs on an LM, and why not the other."""

from __future__ import annotations

from typing import Any

from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.interventions.batches import TOKEN_BUDGETS, Budget
from cfgen.interventions.engine import BATCH_SIZE, Engine
from cfgen.lm import LM, MASKED_KERNELS, PLAIN_ATTENTION, find_layout

ENGINES = ("auto", "packed", "reference")


def why_not_packed(lm: LM) -> str:
    """Say why runs on an LM can't be packed.

    Args:
        lm: The LM.

    Returns:
        The reason; empty if they can.
    """
    config: Any = lm.model.config
    attention = getattr(config, "_attn_implementation", None)
    if attention not in MASKED_KERNELS:
        return f"its attention ({attention}) takes no mask for every query and key"
    types = set(getattr(config, "layer_types", None) or ())
    if other := sorted(types - PLAIN_ATTENTION):
        return f"it has layers that are not plain attention ({', '.join(other)})"
    return ""


def choose_engine(
    lm: LM,
    wanted: str = "auto",
    *,
    batch_size: int = BATCH_SIZE,
    token_budget: int | None = None,
) -> Engine:
    """Choose how to execute runs on an LM.

    Args:
        lm: The LM.
        wanted: ``packed``, ``reference``, or ``auto``: packed where that is possible.
        batch_size: Whole prompts per forward.
        token_budget: Tokens per forward; None for the device's default.

    Returns:
        The engine.

    Raises:
        CfgenError: There is no such engine (``unknown-engine``), ``packed`` is impossible with
            this LM (``cannot-pack``), or its architecture is unknown
            (``unsupported-architecture``).
    """
    if wanted not in ENGINES:
        hint = did_you_mean(wanted, ENGINES)
        raise CfgenError(Problem("unknown-engine", f"there is no engine {wanted!r}", hint=hint))
    reason = why_not_packed(lm) if wanted != "reference" else ""
    if reason and wanted == "packed":
        message = f"runs on {lm.name!r} can't be packed: {reason}"
        raise CfgenError(Problem("cannot-pack", message, hint="use --engine auto or reference"))
    name = "reference" if reason or wanted == "reference" else "packed"
    if token_budget is None:
        token_budget = TOKEN_BUDGETS.get(lm.device.type, TOKEN_BUDGETS["cpu"])
    return Engine(
        lm=lm,
        layout=find_layout(lm.model),
        name=name,
        note=f"not packed: {reason}" if reason else "",
        batch_size=batch_size,
        budget=Budget(token_budget),
    )
