"""``cfgen prove``: whether two hypotheses can ever be told apart, as a certificate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfgen.cli.options import Json, Templates
from cfgen.cli.output import FINDINGS, present, remark, write_json
from cfgen.errors import CfgenError, Problem


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
    from cfgen.report import proof_view
    from cfgen.search import prove as decide
    from cfgen.tasks import load_task

    if check:
        others = {"A": one, "B": other, "--design": design, "--template": template, "--out": out}
        _no_more_with_check([name for name, value in others.items() if value is not None])
        _check(check, task, json)
        return
    if task is None or one is None or other is None:
        message = "a task and two hypotheses are needed"
        hint = "write cfgen prove TASK A B, or cfgen prove --check FILE TASK"
        raise CfgenError(Problem("nothing-to-prove", message, hint=hint))
    found = decide(load_task(task), one, other, design=design, templates=template or ("all",))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
    if json:
        write_json(found.model_dump(mode="json"))
    else:
        present(proof_view(found), wrap=False)
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


def _check(path: Path, task: str | None, json: bool) -> None:
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
    wrong = recheck(certificate, load_task(task))
    if json:
        write_json({"holds": not wrong, "problems": wrong})
    elif not wrong:
        present(proof_view(certificate), wrap=False)
        present("The certificate holds: checked anew, from the task as it is now.")
    if wrong:
        for text in wrong:
            remark(f"The certificate does not hold: {text}.")
        raise typer.Exit(FINDINGS)
