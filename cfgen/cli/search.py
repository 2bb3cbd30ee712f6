"""``cfgen design`` and ``cfgen prove``: which edits tell hypotheses apart, and whether any can."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfgen.cli.options import Json, TaskName, Templates
from cfgen.cli.output import FINDINGS, present, progress_shown, remark, write_json
from cfgen.errors import CfgenError, Problem

if TYPE_CHECKING:
    from cfgen.search import Comparison, DesignRequest
    from cfgen.tasks import Task


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
        with progress_shown(quiet=json) as report:
            result = search(comparison, request, loaded.designs.values(), report)
    except TooManyCases:
        _sampled(comparison, request, json)
        _compared_as_texts(loaded)
        return
    _compared_as_texts(loaded)
    plan = result.pairs_needed(needed)
    if json:
        write_json(design_record(result, plan))
    else:
        present(design_view(result, plan, share), wrap=False)
    if not result.best:
        raise typer.Exit(FINDINGS)


def _compared_as_texts(task: Task) -> None:
    """Say so where it makes a difference: pairs of a dataset are decisive by stricter rules."""
    if task.accept is not None:
        remark(
            f"answers are compared as texts: where `accept` of task {task.name!r} has a text that "
            "is right for two of them, they count as different here, but not in cfgen generate"
        )


def _sampled(comparison: Comparison, request: DesignRequest, json: bool) -> None:
    """Search on pairs drawn at random."""
    from cfgen.report import sampled_record, sampled_view
    from cfgen.search import sampled_search

    with progress_shown(quiet=json) as report:
        result = sampled_search(comparison, request, report)
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


def prove(
    task: Annotated[
        str | None,
        typer.Argument(metavar="TASK", help="Name of a task, or the path of its file."),
    ] = None,
    one: Annotated[
        str | None, typer.Argument(metavar="A", help="A hypothesis, or none, or all.")
    ] = None,
    other: Annotated[str | None, typer.Argument(metavar="B", help="Another one.")] = None,
    design: Annotated[
        str | None,
        typer.Option("--design", help="Look only at the pairs that this design makes."),
    ] = None,
    template: Templates = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the certificate to this file, as JSON.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            help="Check the certificate in this file, which is about TASK, without trusting it.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show a pair on which two hypotheses predict different outputs, or prove that there is none.

    If there are too many pairs for that, the answer is that it is undecided (exit code 1).
    """
    from cfgen import search
    from cfgen.folders import write_file
    from cfgen.paths import display
    from cfgen.report import proof_view
    from cfgen.tasks import load_task

    if check:
        others = {"A": one, "B": other, "--design": design, "--template": template, "--out": out}
        _no_more_with_check([name for name, value in others.items() if value is not None])
        _check_certificate(check, task, json)
        return
    if task is None or one is None or other is None:
        message = "a task and two hypotheses are needed"
        hint = "write cfgen prove TASK A B, or cfgen prove --check FILE TASK"
        raise CfgenError(Problem("nothing-to-prove", message, hint=hint))
    loaded, templates = load_task(task), template or ("all",)
    with progress_shown(quiet=json) as report:
        found = search.prove(
            loaded, one, other, design=design, templates=templates, progress=report
        )
    if json:
        write_json(found.model_dump(mode="json"))
    else:
        present(proof_view(found), wrap=False)
    _compared_as_texts(loaded)
    if out:  # last: what was found is told, whatever becomes of the file
        written = write_file(out, f"{found.model_dump_json(indent=2)}\n".encode())
        if not written:
            remark(f"made before: {display(out)} holds this very certificate; nothing was written")
    if found.answer == "undecided":
        raise typer.Exit(FINDINGS)


def _no_more_with_check(given: list[str]) -> None:
    """Refuse what a check would not heed: what was proved is said by the certificate.

    Raises:
        CfgenError: If anything is given.
    """
    if given:
        message = f"--check does not go with {', '.join(given)}: the certificate says what it is of"
        hint = "write cfgen prove --check FILE TASK"
        raise CfgenError(Problem("not-for-check", message, hint=hint))


def _check_certificate(path: Path, task: str | None, json: bool) -> None:
    """Check a certificate; exit code 1 if it does not hold.

    Loading a task runs its file, so which one it is comes from the user and never from the
    certificate, which somebody else may have written.
    """
    from cfgen.report import proof_view
    from cfgen.search import read_certificate, recheck
    from cfgen.tasks import load_task

    certificate = read_certificate(path)
    if task is None:
        message = f"it is not said with which task to check it (it names {certificate.task!r})"
        hint = "write cfgen prove --check FILE TASK"
        raise CfgenError(Problem("no-task-to-check", message, hint=hint))
    loaded = load_task(task)
    with progress_shown(quiet=json) as report:
        report("check certificate", 0, None)
        wrong = recheck(certificate, loaded)
    if json:
        write_json({"holds": not wrong, "problems": wrong})
    elif not wrong:
        present(proof_view(certificate), wrap=False)
        present("The certificate holds: checked anew, from the task as it is now.")
    if wrong:
        for text in wrong:
            remark(f"The certificate does not hold: {text}.")
        raise typer.Exit(FINDINGS)
