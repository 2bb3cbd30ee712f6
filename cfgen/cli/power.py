"""``cfgen power``: how many pairs an experiment needs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cfgen.cli.options import Json
from cfgen.cli.output import present, write_json

Iia = Annotated[
    float, typer.Option("--iia", help="Share of pairs as predicted, if the hypothesis holds.")
]
Against = Annotated[
    float, typer.Option("--against", help="Share to tell it from: chance, or a rival's.")
]
Cells = Annotated[
    int, typer.Option("--cells", help="Cells to be tested: layers times positions.", min=1)
]
Alpha = Annotated[
    float, typer.Option("--alpha", help="Accepted chance of a false finding in any cell.")
]
Correction = Annotated[
    str, typer.Option("--correction", help="For the number of cells: holm, bonferroni, sidak, none")
]
Keep = Annotated[
    float,
    typer.Option("--keep", help="Share of pairs expected to be answered correctly, and so kept."),
]


def power(
    iia: Iia = 0.8,
    against: Against = 0.5,
    cells: Cells = 1,
    power: Annotated[
        float, typer.Option("--power", help="Wanted chance of finding what is there.")
    ] = 0.9,
    alpha: Alpha = 0.05,
    correction: Correction = "holm",
    keep: Keep = 1.0,
    json: Json = False,
) -> None:
    """Say how many pairs tell one IIA from another, corrected for the number of cells tested.

    For the exact one-sided binomial test in every cell; nothing is approximated.
    """
    from cfgen.datasets import plan_power, power_text

    plan = plan_power(
        iia, against, cells=cells, power=power, alpha=alpha, correction=correction, keep=keep
    )
    if json:
        write_json(asdict(plan))
        return
    present(power_text(plan), wrap=False)
