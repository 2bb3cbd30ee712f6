"""``cfgen design``: search for the edits that tell hypotheses apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cfgen.cli.options import Json, TaskName, Templates
from cfgen.cli.output import FINDINGS, present, write_json
from cfgen.errors import CfgenError, Problem

if TYPE_CHECKING:
    from cfgen.search import Comparison, DesignRequest


def design(
    task: TaskName,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", help="Hypothesis of interest; repeat it. Every one if not given."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="Rival to tell it from; repeat it. Every one if not given."),
    ] = None,
    max_edits: Annotated[
        int, typer.Option("--max-edits", help="Inputs that are changed at most.", min=1)
    ] = 5,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require", help="'decisive' (every pair), or 'separates A,B'; repeat it for several."
        ),
    ] = None,
    share: Annotated[
        float,
        typer.Option("--share", help="Share of pairs that makes two count as separated.", max=1.0),
    ] = 0.5,
    top: Annotated[int, typer.Option("--top", help="Designs to show.", min=1)] = 3,
    power: Annotated[
        float, typer.Option("--power", help="Wanted power, for the number of pairs.")
    ] = 0.9,
    iia: Annotated[
        float, typer.Option("--iia", help="IIA to tell from 0.5, for the number of pairs.")
    ] = 0.8,
    template: Templates = None,
    json: Json = False,
) -> None:
    """Search compositions of edits for designs under which hypotheses predict different outputs.

    Shares are exact: every pair of inputs is looked at, up to the names of interchangeable words.
    Where there are too many for that, pairs are drawn at random, and shares have an interval.
    """
    from cfgen.datasets import plan_power
    from cfgen.report import design_record, design_view
    from cfgen.search import DesignRequest, TooManyCases, comparison_of, search
    from cfgen.tasks import load_task

    needed = plan_power(iia, 0.5, power=power).pairs
    if not 0 < share <= 1:
        message = f"--share {share:g} is not a share of pairs"
        raise CfgenError(Problem("bad-share", message, hint="give one above 0 and up to 1"))
    decisive, separates = requirements(require or [])
    loaded = load_task(task)
    comparison = comparison_of(loaded, template or ())
    request = DesignRequest(
        tuple(target or ()), tuple(against or ()), max_edits, share, decisive, separates, top
    )
    try:
        result = search(comparison, request, loaded.designs.values())
    except TooManyCases:
        _sampled(comparison, request, json)
        return
    plan = result.pairs_needed(needed)
    if json:
        write_json(design_record(result, plan))
    else:
        present(design_view(result, plan, share), wrap=False)
    if not result.best:
        raise typer.Exit(FINDINGS)


def _sampled(comparison: Comparison, request: DesignRequest, json: bool) -> None:
    """Search on pairs drawn at random."""
    from cfgen.report import sampled_record, sampled_view
    from cfgen.search import sampled_search

    result = sampled_search(comparison, request)
    if json:
        write_json(sampled_record(result))
    else:
        present(sampled_view(result), wrap=False)
    if not result.best:
        raise typer.Exit(FINDINGS)


def requirements(given: list[str]) -> tuple[bool, tuple[tuple[str, str], ...]]:
    """Read ``decisive`` and ``separates A,B``.

    Raises:
        CfgenError: For every other text.
    """
    decisive, couples, problems = False, [], []
    for text in given:
        word, _, rest = text.strip().partition(" ")
        names = [name.strip() for name in rest.split(",")]
        if word == "decisive" and not rest:
            decisive = True
        elif word == "separates" and len(names) == 2 and all(names):
            couples.append((names[0], names[1]))
        else:
            hint = "write --require decisive, or --require 'separates A,B'"
            problems.append(Problem("bad-requirement", f"--require {text!r}", hint=hint))
    if problems:
        raise CfgenError(problems)
    return decisive, tuple(couples)
