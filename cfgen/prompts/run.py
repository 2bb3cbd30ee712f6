"""One run of a template: its inputs are checked, Jinja runs, and what comes out becomes a prompt.

Pure: the same template and values give the same text and spans, on every platform.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from jinja2 import UndefinedError
from jinja2.environment import Template as JinjaTemplate

from cfgen.errors import CfgenError, Problem, shown_error, shown_value
from cfgen.paths import display
from cfgen.prompts.environment import PromptEnvironment, TemplateBranch
from cfgen.prompts.spans import Prompt, Span
from cfgen.prompts.template import Template
from cfgen.prompts.text import Change, Fault, Hole, Kind, Mark, Text, empty, text_parts
from cfgen.prompts.work import too_large
from cfgen.words import half_in

_ADDRESS = re.compile(r"<([^<>]*) at 0x[0-9A-Fa-f]{4,}>")


@dataclass(frozen=True, slots=True)
class Rendering:
    """What one run of a template yields.

    Attributes:
        prompt: The prompt.
        holes: For each of its spans, the value that is shown there; ``None`` if it is none, or if
            something looked at its letters.
        looked: Inputs whose letters were looked at. With other values of all other text inputs,
            these standing in their holes, the run would have been the same.
    """

    prompt: Prompt
    holes: tuple[Hole | None, ...]
    looked: frozenset[str]


def run_template(template: Template, inputs: Mapping[str, Any]) -> Rendering:
    """Run a template on the values of its inputs, and of the variables that it shows.

    Raises:
        CfgenError: A value is missing, has the wrong number of elements or an unsupported value,
            or the template fails on these values.
    """
    check_inputs(template, inputs)
    looked: set[str] = set()
    try:
        jinja = _compiled(template)
        _environment(jinja).count.steps = 0
        context = jinja.new_context(_context(template, inputs, looked))
        letters, marks = text_parts(jinja.environment.concat(jinja.root_render_func(context)))
        check_edges(letters)
        spans = _number_spans(marks)
    except Exception as error:
        raise CfgenError(_explain(template, inputs, error)) from error
    return Rendering(Prompt(letters, spans), tuple(m.hole for m in marks), frozenset(looked))


def unreached_branches(template: Template) -> list[TemplateBranch]:
    """The branches of a template that nothing rendered so far has led into."""
    environment = _environment(_compiled(template))
    return [
        branch
        for number, branch in enumerate(environment.branches)
        if number not in environment.taken
    ]


def _environment(jinja: JinjaTemplate) -> PromptEnvironment:
    assert isinstance(jinja.environment, PromptEnvironment)
    return jinja.environment


def _compiled(template: Template) -> JinjaTemplate:
    """The template as Jinja has it, compiled at first use."""
    jinja: JinjaTemplate | None = template.cache.get("jinja")
    if jinja is None:
        elements = (
            slot for name, slots in template.slots.items() for slot in slots if slots != (name,)
        )
        environment = PromptEnvironment(template.sources, frozenset(elements))
        jinja = template.cache["jinja"] = environment.get_template(template.path.name)
    return jinja


def _context(template: Template, inputs: Mapping[str, Any], looked: set[str]) -> dict[str, Any]:
    """What a template sees: inputs and variables by name, elements of inputs by their slots'."""

    def seen(source: str, index: int | None, slot: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        letters = str(value)
        mark = Mark(slot, 0, len(letters), "value", Hole(source, index, looked))
        return Text(letters, (mark,), columns.get(source))

    columns = _columns(template)
    values: dict[str, Any] = {}
    for name in template.variables:
        value = inputs[name]
        values[name] = seen(name, None, name, value)
        if isinstance(value, tuple):
            values[name] = tuple(
                seen(name, index, f"{name}_{index + 1}", item) for index, item in enumerate(value)
            )
    for name, slots in template.slots.items():
        if slots == (name,):
            values[name] = seen(name, None, name, inputs[name])
            continue
        elements = tuple(
            seen(name, index, slot, item)
            for index, (slot, item) in enumerate(zip(slots, inputs[name], strict=True))
        )
        values[name] = elements
        values.update(zip(slots, elements, strict=True))
    return values


def _columns(template: Template) -> Mapping[str, Mapping[str, Change]]:
    """Input that draws from a table -> column -> from a word to what the table says of it."""
    columns: dict[str, dict[str, Change]] | None = template.cache.get("columns")
    if columns is None:
        columns = template.cache["columns"] = {
            name: {
                column: {row[0]: row[number] for row in table.rows}.__getitem__
                for number, column in enumerate(table.columns, start=1)
            }
            for name, table in template.tables.items()
        }
    return columns


def check_inputs(template: Template, inputs: Mapping[str, Any]) -> None:
    """Check that the values are there, have the right shape and supported values.

    Raises:
        CfgenError: With everything that is wrong.
    """
    problems = []
    where = display(template.path)
    unsupported = template.unsupported(inputs)
    for name in template.needs:
        if name not in inputs:
            message = f"template {template.id!r} needs a value of {name!r}, which is not given"
            hint = "take the values of a setting: causal_model.run(inputs)"
            hint = hint if name in template.variables else "give it one"
            problems.append(Problem("input-missing", message, where, hint))
            continue
        value, slots = inputs[name], template.slots.get(name, (name,))
        if slots != (name,) and not (isinstance(value, (tuple, list)) and len(value) == len(slots)):
            message = (
                f"template {template.id!r} shows {name!r} as {len(slots)} values "
                f"({', '.join(slots)}), but was given {shown_value(value)}"
            )
            problems.append(Problem("input-shape", message, where, "give as many values"))
        elif slots == (name,) and name in template.slots and isinstance(value, (tuple, list)):
            message = (
                f"template {template.id!r} shows {name!r} as one value, not {shown_value(value)}"
            )
            problems.append(Problem("input-shape", message, where, "give a single value"))
        if name in unsupported:
            message = f"template {template.id!r} does not support {name} = {shown_value(value)}"
            supported = ", ".join(map(repr, template.supports[name]))
            hint = f"it supports {supported}; take another template"
            problems.append(Problem("input-unsupported", message, where, hint))
    if problems:
        raise CfgenError(problems)


def check_edges(text: str) -> None:
    """Check that a prompt is not empty, starts nor ends in whitespace, and shows no object.

    Raises:
        Fault: It does.
    """
    if " at 0x" in text and (found := _ADDRESS.search(text)):
        raise Fault(
            code="value-not-text",
            message=f"an object is printed ({found[1]}), with where it happens to be in memory",
            hint="print strings and numbers",
        )
    if half := half_in(text):
        raise Fault(
            code="value-not-text",
            message=f"half a character is printed ({half!a}), which no file can hold",
            hint="write the character itself, or \\U and eight digits",
        )
    if text and text == text.strip():
        return
    edge = "is empty" if not text.strip() else "starts in whitespace"
    if text.strip() and text == text.lstrip():
        edge = "ends in whitespace"
    raise Fault(
        code="prompt-edge",
        message=f"the prompt {edge}",
        hint="write {%- and -%} to leave out the line breaks around tags; "
        "a space before the answer belongs to the answer",
    )


def _number_spans(marks: tuple[Mark, ...]) -> tuple[Span, ...]:
    """Check the marks of a rendered text and number them."""
    mentions: Counter[str] = Counter()
    kinds: dict[str, Kind] = {}
    around: list[int] = []
    spans = []
    for name, start, end, kind, _ in marks:
        while around and around[-1] <= start:
            around.pop()
        if end <= start:
            raise empty(name)
        if around and end > around[-1]:
            raise Fault(
                code="span-crossing",
                message=f"the span {name!r} starts inside another and ends outside of it",
                hint="let it end where the other does, or before",
            )
        if kinds.setdefault(name, kind) != kind:
            raise Fault(
                code="span-name",
                message=f"two different things leave a span named {name!r}",
                hint="give the phrase another name than the value has, "
                "or print the value in one way only",
            )
        around.append(end)
        spans.append(Span(name, mentions[name], start, end))
        mentions[name] += 1
    return tuple(spans)


def _explain(template: Template, inputs: Mapping[str, Any], error: Exception) -> Problem:
    """What went wrong, with the line of the template where it did."""
    place = _place(template, error.__traceback__) or display(template.path)
    values = "\n".join(f"{name} = {shown_value(inputs[name])}" for name in template.shows)
    if isinstance(error, RecursionError):
        error = too_large("the template goes deeper into itself than can be followed")
    if isinstance(error, Fault):
        return Problem(error.code, error.message, place, error.hint, values)
    if isinstance(error, UndefinedError):
        message = f"the template uses something that does not exist: {error.message}"
        hint = "write what there is: an input, a variable, or a name that the template sets"
        return Problem("template-undefined", message, place, hint, values)
    message = f"the template fails with {shown_error(error)}"
    return Problem("template-failed", message, place, "mend the line for these values", values)


def _place(template: Template, traceback: TracebackType | None) -> str | None:
    """The innermost line of a template that an exception went through."""
    place = None
    while traceback is not None:
        jinja = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(jinja, JinjaTemplate) and jinja.name is not None:
            line = jinja.get_corresponding_lineno(traceback.tb_lineno)
            place = f"{display(template.paths[jinja.name])}:{line}"
        traceback = traceback.tb_next
    return place
