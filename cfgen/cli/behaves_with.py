"""``--behaves-with``: only pairs that an LM answers rightly, in a dataset or an export of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfgen.progress import Progress

if TYPE_CHECKING:
    from cfgen.counterfactuals import Pair
    from cfgen.datasets import PairFilter

BehavesWith = Annotated[
    str | None,
    typer.Option(
        "--behaves-with",
        metavar="MODEL",
        help="Leave out what this LM does not answer rightly on both sides, as a run does.",
    ),
]
DTYPE = "float32"


def behaves_with(
    model: str,
    candidates: Callable[[Sequence[Pair]], Mapping[str, tuple[str, ...]]],
    *,
    accept_license: bool,
    progress: Progress,
) -> PairFilter:
    """The rule by which pairs are kept for an LM, which is loaded when the first are asked.

    Args:
        model: Name of the LM.
        candidates: For some pairs, what may be answered -> its texts.
        accept_license: Whether the terms that it has are accepted.
        progress: Called with progress.

    Raises:
        CfgenError: There is no such LM, or it can't be fetched.
    """
    from cfgen.datasets import PairFilter
    from cfgen.weights import find_checkpoint

    checkpoint = find_checkpoint(model, accept_license=accept_license, progress=progress)

    @cache
    def engine() -> Any:
        from cfgen.interventions import choose_engine
        from cfgen.lm import load_lm

        return choose_engine(load_lm(checkpoint, device="auto", dtype=DTYPE, progress=progress))

    def right(pairs: Sequence[Pair]) -> Sequence[bool]:
        from cfgen.experiments import answered_rightly

        return answered_rightly(engine(), pairs, candidates(pairs), progress)

    return PairFilter(checkpoint.name, checkpoint.revision, DTYPE, right)
