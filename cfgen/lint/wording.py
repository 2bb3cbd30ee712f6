"""Checks of templates: spaces, spans that hypotheses need, and files of no use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from cfgen.errors import CfgenError
from cfgen.lint.branches import inputs_for
from cfgen.lint.finding import Finding, from_error, key_line
from cfgen.lint.sample import Sample, own_design
from cfgen.paths import display
from cfgen.prompts import Prompt, Template, find_spans, parse_position, render
from cfgen.tasks import Task

PROMPTS = 200
"""Prompts of each template that are looked at."""

_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
_DOUBLE = re.compile(r"(?<=\S)  +(?=\S)")


def check_rendering(task: Task) -> Iterable[Finding]:
    """Templates that fail on inputs they say they support, and spaces where none belong."""
    for template in task.templates.values():
        prompts: list[Prompt] = []
        for inputs in _first(inputs_for(task.causal_model, template)):
            try:
                prompts.append(render(template, inputs))
            except CfgenError as error:
                yield from (replace(f, about=template.id) for f in from_error(error))
                break
        yield from _spaces(template, prompts, _TRAILING.search, "trailing")
        yield from _spaces(template, prompts, _DOUBLE.search, "double")


def _first(stream: Iterator[dict[str, object]]) -> Iterator[dict[str, object]]:
    for _, inputs in zip(range(PROMPTS), stream, strict=False):
        yield inputs


def _spaces(
    template: Template,
    prompts: Iterable[Prompt],
    search: Callable[[str], re.Match[str] | None],
    kind: str,
) -> Iterable[Finding]:
    for prompt in prompts:
        match = search(prompt.text)
        if match is None:
            continue
        around = prompt.text[max(0, match.start() - 20) : match.end() + 20]
        if kind == "trailing":
            yield Finding(
                "trailing-space",
                f"a line of the prompt ends in a space: {around!r}",
                _line_of(template, search),
                "remove it; tokenizers make a token of its own of such a space",
                template.id,
            )
        else:
            yield Finding(
                "double-space",
                f"the prompt has several spaces in a row: {around!r}",
                _line_of(template, search),
                "write {%- or -%} where a tag leaves a space behind",
                template.id,
            )
        return


def _line_of(template: Template, search: Callable[[str], re.Match[str] | None]) -> str:
    """The line of a template's files that has such spaces itself, else the first of its text."""
    for name, source in template.sources.items():
        for number, line in enumerate(source.split("\n"), start=1):
            if search(line):
                return f"{display(template.paths[name])}:{number}"
    body = template.sources[template.path.name]
    start = body.index("#}") if body.startswith("{#") else 0
    return f"{display(template.path)}:{body.count(chr(10), 0, start) + 1}"


def check_spans(task: Task, sample: Sample) -> Iterable[Finding]:
    """Sites of hypotheses that name a span which some prompt of their design does not have."""
    for hypothesis in task.hypotheses.values():
        site, design = hypothesis.site, own_design(task, hypothesis.name)
        named = [parse_position(text) for text in (*site.positions, *site.frozen)]
        wanted = [replace(position, offset=0) for position in named if position.name != "last"]
        missing: dict[str, tuple[str, str]] = {}
        for pair in sample.pairs[design]:
            for side in (pair.original, pair.counterfactual):
                template = task.template_of(side.inputs).id
                for position in wanted:
                    try:
                        find_spans(side.prompt, position)
                    except CfgenError as error:
                        problem = error.problems[0]
                        missing.setdefault(template, (problem.message, problem.hint))
        for template, (message, hint) in missing.items():
            yield Finding(
                "span-missing",
                f"hypothesis {hypothesis.name!r}, design {design!r}, template {template!r}: "
                f"{message}",
                hypothesis.where,
                hint or "mark the phrase with {% span %}, or restrict the design to templates",
                hypothesis.name,
            )


def check_supports(task: Task) -> Iterable[Finding]:
    """Values that a template says it supports and that no input ever has."""
    for template in task.templates.values():
        for name, values in template.supports.items():
            for value in values:
                reason = task.causal_model.domains[name].problem_with(value)
                if reason:
                    yield Finding(
                        "support-impossible",
                        f"template {template.id!r} supports {name} = {value!r}, but {name} "
                        f"{reason}",
                        key_line(template.path, "supports"),
                        "drop the value, or add it to the input's domain",
                        template.id,
                    )


def check_partials(task: Task) -> Iterable[Finding]:
    """Files that are there to be included, and are not."""
    used = {path for template in task.templates.values() for path in template.paths.values()}
    for folder in sorted({template.path.parent for template in task.templates.values()}):
        for path in sorted(folder.glob("_*.jinja")):
            if path not in used:
                yield Finding(
                    "partial-unused",
                    f"no template includes {path.name!r}",
                    f"{display(path)}:1",
                    "include it, or remove the file",
                    path.stem,
                )
