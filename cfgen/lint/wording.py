"""Checks of templates: that they render, spaces, branches never taken, files of no use."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from cfgen.causal import Domain
from cfgen.errors import CfgenError, shown_value
from cfgen.lint.findings import Finding, from_error, key_line
from cfgen.lint.sample import inputs_for
from cfgen.lint.structure import shown_by
from cfgen.paths import display
from cfgen.prompts import Prompt, Template, unreached_branches
from cfgen.tasks import TEMPLATE_INPUT, Task

PROMPTS = 200
"""Prompts of each template that are looked at."""

AMBIGUOUS = 100
"""Inputs of each template that are changed, to see whether the prompt tells."""

_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
_DOUBLE = re.compile(r"(?<=\S)  +(?=\S)")


def check_rendering(task: Task) -> Iterable[Finding]:
    """Templates that fail on inputs they say they support, and spaces where none belong."""
    for template in task.templates.values():
        prompts: list[Prompt] = []
        for inputs in itertools.islice(inputs_for(task.causal_model, template), PROMPTS):
            try:
                prompts.append(task.prompt(inputs, template))
            except CfgenError as error:
                yield from (replace(f, about=template.id) for f in from_error(error))
                break
        yield from _spaces(template, prompts, _TRAILING.search, "trailing")
        yield from _spaces(template, prompts, _DOUBLE.search, "double")


def check_ambiguity(task: Task) -> Iterable[Finding]:
    """Templates that make one prompt of two inputs that have different right answers.

    Inputs are changed one at a time, and only those that the template says it shows: what it leaves
    out is found by looking at what it says.
    """
    model, rng = task.causal_model, random.Random(0)
    answer, impossible = model.output, model.program.broken
    for template in task.templates.values():
        changed = shown_by(task, template) & model.graph().ancestors(answer) & {*model.domains}
        for inputs, name in itertools.product(
            itertools.islice(inputs_for(model, template), AMBIGUOUS), sorted(changed)
        ):
            other = {**inputs, name: _moved(inputs[name], model.domains[name], rng)}
            if name == TEMPLATE_INPUT or template.unsupported(other):
                continue
            with suppress(CfgenError):  # check_rendering says what fails
                if impossible(inputs) or impossible(other):
                    continue
                said = [model.program.run(each)[answer] for each in (inputs, other)]
                prompts = [task.prompt(each, template).text for each in (inputs, other)]
                if said[0] != said[1] and prompts[0] == prompts[1]:
                    yield Finding(
                        "prompt-ambiguous",
                        f"template {template.id!r} makes the same prompt for {name} = "
                        f"{shown_value(inputs[name])} and {shown_value(other[name])}, but the "
                        f"right answers are {shown_value(said[0])} and {shown_value(said[1])}, "
                        "so no reader can know the answer",
                        key_line(template.path, "shows"),
                        f"let the text tell them apart: show {name}, or a variable of it",
                        template.id,
                        prompts[0],
                    )
                    break


def _moved(value: Any, domain: Domain, rng: random.Random) -> Any:
    """Another value of a domain; of a tuple, another one in a single place, if there is any."""
    drawn = domain.sample(rng)
    if not isinstance(value, tuple):
        return drawn
    place = rng.randrange(len(value))
    fresh = next((element for element in drawn if element not in value), None)
    return drawn if fresh is None else (*value[:place], fresh, *value[place + 1 :])


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


def check_branches(task: Task) -> Iterable[Finding]:
    """Branches of templates that no input leads into."""
    for template in task.templates.values():
        tried = 0
        for inputs in inputs_for(task.causal_model, template):
            with suppress(CfgenError):  # check_rendering says it, of the same inputs
                task.prompt(inputs, template)
                tried += 1
        for branch in unreached_branches(template) if tried else ():
            yield Finding(
                "branch-never-taken",
                f"{branch.what} is never reached: not for any of {tried:,} inputs tried",
                f"{display(template.paths[branch.file])}:{branch.line}",
                "mend the condition, add the value to the input's domain, or drop the branch",
                template.id,
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
