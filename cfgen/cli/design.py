"""``cfgen design``: search for the edits that tell hypotheses apart."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from cfgen.cli.options import Json, TaskName, Templates
from cfgen.cli.output import FINDINGS, results, write_json
from cfgen.errors import CfgenError, Problem

if TYPE_CHECKING:
    from cfgen.counterfactuals.evaluate import Question
    from cfgen.counterfactuals.search import Search, Wanted


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
    from cfgen.counterfactuals.draws import TooManyCases
    from cfgen.counterfactuals.options import TooManyOptions
    from cfgen.counterfactuals.search import Wanted, describe, search
    from cfgen.datasets.power import plan_power
    from cfgen.report.design import design_record, design_view
    from cfgen.tasks import load_task
    from cfgen.tasks.questions import question_of

    needed = plan_power(iia, 0.5, power=power).pairs
    if not 0 < share <= 1:
        message = f"--share {share:g} is not a share of pairs"
        raise CfgenError(Problem("bad-share", message, hint="give one above 0 and up to 1"))
    decisive, separates = requirements(require or [])
    loaded = load_task(task)
    question = question_of(loaded, template or ())
    wanted = Wanted(
        tuple(target or ()), tuple(against or ()), max_edits, share, decisive, separates, top
    )
    try:
        found = search(question, wanted)
    except (TooManyCases, TooManyOptions, CfgenError) as error:
        if isinstance(error, CfgenError) and error.problems[0].code != "not-enumerable":
            raise
        _estimated(question, wanted, json)
        return
    declared = [describe(question, found.goal, d, share) for d in loaded.designs.values()]
    plan = pairs_needed(found, needed)
    if json:
        write_json(design_record(question, found, declared, plan))
    else:
        view = design_view(question, found, declared, plan, share)
        results().print(view, soft_wrap=True)
    if not found.found:
        raise typer.Exit(FINDINGS)


def _estimated(question: Question, wanted: Wanted, json: bool) -> None:
    """Search on pairs drawn at random."""
    from cfgen.counterfactuals.sampled import sampled_search
    from cfgen.report.design_sampled import sampled_record, sampled_text

    found = sampled_search(question, wanted)
    if json:
        write_json(sampled_record(found))
    else:
        results().print(sampled_text(found), soft_wrap=True, markup=False)
    if not found.found:
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


def pairs_needed(found: Search, needed: int) -> dict[str, int]:
    """Design of the smallest set -> pairs, so that enough of them separate each of its couples.

    Each couple needs ``needed`` pairs on which the two predict different outputs, and only a share
    of a design's pairs are such. A couple that several designs separate counts for the first one
    that does so most often.
    """
    plan = {item.judged.design.name: 0 for item in found.cover}
    for couple in found.goal.required:
        shares = [(item.separates.get(couple, 0), item) for item in found.cover]
        most, item = max(shares, key=lambda pair: pair[0], default=(0, None))
        if item is not None and most:
            name = item.judged.design.name
            plan[name] = max(plan[name], math.ceil(needed / most))
    return plan
