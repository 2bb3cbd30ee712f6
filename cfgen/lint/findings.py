"""What lint finds: its codes, the records, and what a task's author says is meant to be so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cfgen.errors import CfgenError, did_you_mean
from cfgen.paths import display, display_place
from cfgen.prompts import read_text

WORDING_CODES = frozenset(
    {
        "branch-never-taken",
        "double-space",
        "input-not-shown",
        "partial-unused",
        "prompt-ambiguous",
        "span-missing",
        "support-impossible",
        "trailing-space",
    }
)
"""About templates."""

STRUCTURE_CODES = frozenset(
    {
        "input-unused",
        "lexicon-unused",
        "model-unknown",
        "not-deterministic",
        "parent-unused",
        "requirement-idle",
        "requirement-rare",
        "site-impossible",
    }
)
"""About inputs, what is required of them, variables, mechanisms, lexicons, sites and the LM."""

PAIR_CODES = frozenset(
    {
        "answer-space",
        "answer-spelling",
        "answer-undeclared",
        "design-changes-nothing",
        "design-never-decides",
        "hypotheses-never-separated",
        "predicts-as-all",
        "predicts-as-none",
        "shortcut",
    }
)
"""About designs, hypotheses and answers, on sampled pairs."""

TOKEN_CODES = frozenset(
    {
        "answer-collision",
        "answer-tokens",
        "length-differs",
        "prompt-tokens",
        "slots-misaligned",
        "word-tokens",
    }
)
"""About prompts and answers as a tokenizer has them; found only where one is named."""

CODES = STRUCTURE_CODES | WORDING_CODES | PAIR_CODES | TOKEN_CODES
"""Those that a task's author can allow; what loading a task raises is found too, but cannot be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a task that is wrong, or that its author may not be aware of.

    Attributes:
        code: Stable name of the kind of finding, explained in ``docs/errors/``.
        message: What was found, in one sentence.
        where: ``file:line``, or just the file.
        hint: What to do about it.
        about: Name of what it is about (a variable, design, hypothesis, template, lexicon, ...),
            empty if it is about the task as a whole.
        detail: Further text shown indented below.
    """

    code: str
    message: str
    where: str = ""
    hint: str = ""
    about: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Allowance:
    """A finding that the task's author says is meant to be so.

    Attributes:
        finding: What was found.
        reason: Why it stays, in the author's words.
    """

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What lint found in one task.

    Attributes:
        task: Name of the task.
        path: Its file.
        findings: What has to be looked at, in the order of the checks.
        allowed: What was found and is meant to be so.
        tokenizers: Names of the tokenizers that prompts were looked at with.
        loaded: Whether the task could be loaded; if not, only reading it was checked.
    """

    task: str
    path: Path
    findings: tuple[Finding, ...]
    allowed: tuple[Allowance, ...] = ()
    tokenizers: tuple[str, ...] = ()
    loaded: bool = True


def key_line(path: Path, key: str) -> str:
    """``file:line`` of a key of a template's front matter."""
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.startswith(f"{key}:"):
            return f"{display(path)}:{number}"
    return display(path)


def from_error(error: CfgenError, where: str = "") -> list[Finding]:
    """The problems of an error as findings, with a place for those that have none."""
    return [
        Finding(
            code=p.code, message=p.message, where=p.where or where, hint=p.hint, detail=p.detail
        )
        for p in error.problems
    ]


def tidied(findings: Iterable[Finding]) -> list[Finding]:
    """Each finding once, its place as short as it can be written."""
    return list(dict.fromkeys(replace(item, where=display_place(item.where)) for item in findings))


def split_allowed(
    findings: Iterable[Finding], allow: Mapping[str, str], where: str
) -> tuple[list[Finding], list[Allowance]]:
    """Tell what has to be looked at from what is meant to be so.

    Args:
        findings: Everything that was found.
        allow: Code, or ``code:name`` for what is about that name alone, to a reason.
        where: Place of the task's definition, for what is wrong with ``allow`` itself.

    Returns:
        The findings that are left, with one for each allowance that is unknown or of no use, and
        those that are allowed.
    """
    left: list[Finding] = []
    allowed: list[Allowance] = []
    used: set[str] = set()
    for finding in findings:
        keys = (f"{finding.code}:{finding.about}", finding.code)
        key = next((k for k in keys if k in allow and finding.code in CODES), None)
        if key is None:
            left.append(finding)
        else:
            used.add(key)
            allowed.append(Allowance(finding, allow[key]))
    for key in allow:
        code = key.partition(":")[0]
        if code not in CODES:
            message = f"allow= names {code!r}, which is no finding of lint that can be allowed"
            hint = did_you_mean(code, CODES)
            left.append(Finding("allowance-unknown", message, where, hint, key))
        elif key not in used and code not in TOKEN_CODES:
            message = f"allow= names {key!r}, but nothing of that kind is found"
            left.append(Finding("allowance-unused", message, where, "drop it", key))
    return left, allowed
