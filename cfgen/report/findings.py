"""What is wrong: errors and what lint found, as people read it, and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cfgen.documents import Block, Document, Inline, Paragraph, Phrase, faint, strong
from cfgen.errors import Problem
from cfgen.paths import display, display_place

if TYPE_CHECKING:
    from cfgen.lint import Finding, Report


def problem_text(problem: Problem | Finding) -> Inline:
    """Where, what is wrong, its code; then what to do, and details."""
    hint = Phrase(f"\n    -> {problem.hint}", ("good",))
    return (
        strong(f"{display_place(problem.where)}: ") if problem.where else "",
        problem.message,
        faint(f" [{problem.code}]"),
        hint if problem.hint else "",
        *(faint(f"\n    {line}") for line in problem.detail.splitlines()),
    )


def reports_view(reports: Sequence[Report]) -> Document:
    """Every finding with its place, code and remedy; then how many there are in each task."""
    blocks: list[Block] = []
    for report in reports:
        blocks += [Paragraph(problem_text(finding)) for finding in report.findings]
        for item in report.allowed:
            said = f"allowed: {item.finding.message} [{item.finding.code}]\n    -> {item.reason}"
            blocks.append(Paragraph(faint(said)))
    blocks += [Paragraph(_summary(report)) for report in reports]
    if not any(report.tokenizers for report in reports):
        said = "Tokens were not looked at: name a tokenizer with --tokenizer."
        blocks.append(Paragraph(faint(said)))
    return Document(tuple(blocks))


def _summary(report: Report) -> Inline:
    count = len(report.findings)
    found = "clean" if not count else "1 finding" if count == 1 else f"{count} findings"
    allowed = f", {len(report.allowed)} allowed" if report.allowed else ""
    unread = "; it cannot be loaded, so that nothing else could be checked"
    return (
        strong(f"{report.task}: "),
        Phrase(found, ("caution" if count else "good",)),
        faint(allowed + (unread if not report.loaded else "")),
    )


def report_records(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """Reports as plain values."""
    return [
        {
            "task": report.task,
            "path": display(report.path),
            "loaded": report.loaded,
            "tokenizers": list(report.tokenizers),
            "findings": [_record(finding) for finding in report.findings],
            "allowed": [
                {**_record(item.finding), "reason": item.reason} for item in report.allowed
            ],
        }
        for report in reports
    ]


def _record(finding: Finding) -> dict[str, str]:
    names = ("code", "message", "where", "hint", "about")
    return {name: getattr(finding, name) for name in names}
