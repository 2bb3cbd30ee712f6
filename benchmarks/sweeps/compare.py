"""Whether two tools say the same in every cell."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cfgen.interventions import TOLERANCE
from cfgen.lm import DTYPES
from sweeps.jobs import Job


def compare(
    job: Job, expected: dict[str, Any], found: dict[str, Any], dtype: str = "float32"
) -> dict[str, Any]:
    """Compare two tools cell by cell.

    Args:
        job: What both ran.
        expected: Result of the tool that is believed.
        found: Result of another one, perhaps for some of the cells only.
        dtype: What both computed in.

    Returns:
        ``compared``: how many cells of pairs; ``difference``: by how much the logits of tracked
        tokens differ at most; ``tolerance``: how much may be rounding, a share of their standard
        deviation; ``disagreements``: where the answers differ, or the logits by more than that,
        the widest first.
    """
    column_of = {cell: column for column, cell in enumerate(expected["cells"])}
    columns = [column_of[index] for index in found["cells"]]
    tokens = torch.tensor(expected["answers"])[:, columns]  # (pairs, cells)
    logits = torch.tensor(expected["logits"])[:, columns]  # (pairs, cells, tracked)
    said, got = torch.tensor(found["answers"]), torch.tensor(found["logits"])
    tolerance = TOLERANCE[DTYPES[dtype]] * _scale(torch.tensor(expected["logits"]))
    apart = (got - logits).abs().amax(dim=-1)  # (pairs, cells)
    listed = []
    for pair, column in ((said != tokens) | ~(apart <= tolerance)).nonzero().tolist():
        cell = job.cells[found["cells"][column]]
        place = {"component": cell.component, "layer": cell.layer, "head": cell.head}
        token, other = int(tokens[pair, column]), int(said[pair, column])
        one = {"pair": pair, **place, "position": cell.to[pair], "expected": token, "found": other}
        listed.append({**one, "difference": float(apart[pair, column])})
    listed.sort(key=lambda one: -one["difference"])
    return {
        "compared": said.numel(),
        "difference": float(apart.max()),
        "tolerance": tolerance,
        "disagreements": listed,
    }


def _scale(logits: Tensor) -> float:
    """What differences are measured in: the standard deviation; the size, of a few alike."""
    return max(float(logits.std(correction=0)), 1e-3 * float(logits.abs().max()))
