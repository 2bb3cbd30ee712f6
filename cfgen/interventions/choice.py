"""Which engine executes runs on an LM, and why not the other."""

from __future__ import annotations

from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.interventions.batches import TOKEN_BUDGETS, Budget
from cfgen.interventions.engine import BATCH_SIZE, Engine
from cfgen.lm import LM, check_lm, count_problems, find_facts, find_layout, packing_obstacle

ENGINES = ("auto", "packed", "reference")


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
        CfgenError: There is no such engine (``unknown-engine``), an amount is none
            (``bad-amount``), ``packed`` is impossible with this LM (``cannot-pack``), its
            architecture is unknown (``unsupported-architecture``), or it is not fit to run
            (:func:`cfgen.lm.check_lm`).
    """
    if wanted not in ENGINES:
        hint = did_you_mean(wanted, ENGINES)
        raise CfgenError(Problem("unknown-engine", f"there is no engine {wanted!r}", hint=hint))
    if problems := count_problems(batch_size=batch_size, token_budget=token_budget):
        raise CfgenError(problems)
    check_lm(lm)
    layout = find_layout(lm.model)
    facts = find_facts(layout)
    reason = packing_obstacle(facts) if wanted != "reference" else ""
    if reason and wanted == "packed":
        message = f"runs on {lm.name!r} can't be packed: {reason}"
        raise CfgenError(Problem("cannot-pack", message, hint="use --engine auto or reference"))
    name = "reference" if reason or wanted == "reference" else "packed"
    if token_budget is None:
        token_budget = TOKEN_BUDGETS.get(lm.device.type, TOKEN_BUDGETS["cpu"])
    return Engine(
        lm=lm,
        layout=layout,
        facts=facts,
        name=name,
        note=f"not packed: {reason}" if reason else "",
        batch_size=batch_size,
        budget=Budget(token_budget),
    )
