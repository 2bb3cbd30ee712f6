"""Rendering: a template and the values of its inputs make a prompt with spans.

Pure: the same template and values give the same text and spans, on every platform. There is a
plain way, which runs the template, and a quick one (see :mod:`cfgen.prompts.segments`), which
gives the same prompt or hands over to the plain way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from jinja2 import UndefinedError
from jinja2.environment import Template as JinjaTemplate

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.prompts.environment import PromptEnvironment
from cfgen.prompts.glue import empty
from cfgen.prompts.opaque import Opaque, Slot, Watch
from cfgen.prompts.segments import MAX_KEYS, Plan, Segments, find_segments
from cfgen.prompts.spans import Prompt, Span
from cfgen.prompts.templates import Template
from cfgen.prompts.text import Fault, Kind, Text, plain, value_text

Wrap = Callable[[str, int | None, str, Any], Any]
"""Makes what a template sees from an input, an element of it, its slot and its value."""


@dataclass(slots=True)
class _Engine:
    """A compiled template and what is known about rendering it quickly."""

    jinja: JinjaTemplate
    names: tuple[str, ...]
    plan: Plan = field(default_factory=Plan)


def render(template: Template, inputs: Mapping[str, Any]) -> Prompt:
    """Render a template.

    Args:
        template: A loaded template.
        inputs: The values of at least the inputs that the template shows or restricts; more are
            ignored.

    Returns:
        The text and its spans.

    Raises:
        CfgenError: An input is missing, has the wrong number of elements or an unsupported value,
            or the template fails on these values.
    """
    engine = _engine(template)
    plan = engine.plan
    try:
        key = plan.key(engine.names, inputs)
        segments = None if key is None else plan.known[key]
    except KeyError:
        segments = _learn(template, engine, inputs)
    if segments is not None:
        prompt = segments.fill(inputs)
        if prompt is not None:
            return prompt
    return render_plain(template, inputs)


def render_plain(template: Template, inputs: Mapping[str, Any]) -> Prompt:
    """Render by running the template; what :func:`render` does whenever it is in doubt.

    Args:
        template: A loaded template.
        inputs: As for :func:`render`.

    Returns:
        The same as :func:`render`.

    Raises:
        CfgenError: As for :func:`render`.
    """
    _check_inputs(template, inputs)
    engine = _engine(template)

    def wrap(_input: str, _index: int | None, name: str, value: Any) -> Any:
        return value_text(name, str(value)) if isinstance(value, str) else value

    try:
        result = _run(engine, _context(template, inputs, wrap))
        assert isinstance(result, str)
        return _finish(result)
    except Exception as error:
        raise CfgenError(_explain(template, inputs, error)) from error


def _engine(template: Template) -> _Engine:
    """The compiled template, compiled at first use."""
    engine: _Engine | None = template.cache.get("engine")
    if engine is None:
        elements = (
            slot for name, slots in template.slots.items() for slot in slots if slots != (name,)
        )
        environment = PromptEnvironment(template.sources, frozenset(elements))
        names = tuple(dict.fromkeys((*template.shows, *template.supports)))
        engine = _Engine(environment.get_template(template.path.name), names)
        engine.plan.keyed.update(template.supports)
        template.cache["engine"] = engine
    return engine


def _run(engine: _Engine, values: dict[str, Any]) -> str | Opaque:
    """Run a template on values."""
    jinja = engine.jinja
    result: str | Opaque = jinja.environment.concat(  # type: ignore[assignment]
        jinja.root_render_func(jinja.new_context(values))
    )
    return result


def _learn(template: Template, engine: _Engine, inputs: Mapping[str, Any]) -> Segments | None:
    """Find the segments for these values and remember them."""
    _check_inputs(template, inputs)
    plan = engine.plan

    def run(watch: Watch) -> str | Opaque:
        def wrap(source: str, index: int | None, name: str, value: Any) -> Any:
            if plan.is_hole(source, inputs[source]):
                return Opaque((Slot(source, index, name),), watch)
            return value_text(name, value) if isinstance(value, str) else value

        return _run(engine, _context(template, inputs, wrap))

    segments, looked_at = None, -1
    while segments is None and looked_at < len(plan.keyed):
        looked_at = len(plan.keyed)
        segments = find_segments(plan, run)
    key = plan.key(engine.names, inputs)
    if key is not None and len(plan.known) < MAX_KEYS:
        plan.known[key] = segments
    return segments


def _context(template: Template, inputs: Mapping[str, Any], wrap: Wrap) -> dict[str, Any]:
    """What a template sees: every input by its name, and every element by its slot's."""
    values: dict[str, Any] = {}
    for name, slots in template.slots.items():
        value = inputs[name]
        if slots == (name,):
            values[name] = wrap(name, None, name, value)
            continue
        elements = tuple(
            wrap(name, index, slot, item)
            for index, (slot, item) in enumerate(zip(slots, value, strict=True))
        )
        values[name] = elements
        values.update(zip(slots, elements, strict=True))
    return values


def _check_inputs(template: Template, inputs: Mapping[str, Any]) -> None:
    """Check that the inputs are there, have the right shape and supported values."""
    problems = []
    where = display(template.path)
    for name in dict.fromkeys((*template.shows, *template.supports)):
        if name not in inputs:
            message = f"template {template.id!r} needs a value of {name!r}, which is not given"
            problems.append(Problem("input-missing", message, where))
            continue
        value, slots = inputs[name], template.slots.get(name, (name,))
        if slots != (name,) and not (isinstance(value, (tuple, list)) and len(value) == len(slots)):
            message = (
                f"template {template.id!r} shows {name!r} as {len(slots)} values "
                f"({', '.join(slots)}), but was given {value!r}"
            )
            problems.append(Problem("input-shape", message, where))
        elif slots == (name,) and name in template.slots and isinstance(value, (tuple, list)):
            message = f"template {template.id!r} shows {name!r} as one value, not {value!r}"
            problems.append(Problem("input-shape", message, where))
        supported = template.supports.get(name)
        if supported is not None and not any(
            type(item) is type(value) and item == value for item in supported
        ):
            message = f"template {template.id!r} does not support {name} = {value!r}"
            hint = f"it supports {', '.join(map(repr, supported))}; take another template"
            problems.append(Problem("input-unsupported", message, where, hint))
    if problems:
        raise CfgenError(problems)


def _finish(text: str) -> Prompt:
    """Check a rendered text and number its spans."""
    if not text or text != text.strip():
        edge = "is empty" if not text.strip() else "starts in whitespace"
        if text.strip() and text == text.lstrip():
            edge = "ends in whitespace"
        raise Fault(
            code="prompt-edge",
            message=f"the prompt {edge}",
            hint="write {%- and -%} to leave out the line breaks around tags; "
            "a space before the answer belongs to the answer",
        )
    mentions: Counter[str] = Counter()
    kinds: dict[str, Kind] = {}
    around: list[int] = []
    spans = []
    for name, start, end, kind in text.marks if isinstance(text, Text) else ():
        while around and around[-1] <= start:
            around.pop()
        if end <= start:
            raise empty(name)
        if around and end > around[-1]:
            raise Fault(
                code="span-crossing",
                message=f"the span {name!r} starts inside another and ends outside of it",
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
    return Prompt(plain(text) if isinstance(text, Text) else text, tuple(spans))


def _explain(template: Template, inputs: Mapping[str, Any], error: Exception) -> Problem:
    """What went wrong, with the line of the template where it did."""
    place = _place(template, error.__traceback__) or display(template.path)
    values = "\n".join(f"{name} = {inputs[name]!r}" for name in template.shows)
    if isinstance(error, Fault):
        return Problem(error.code, error.message, place, error.hint, values)
    if isinstance(error, UndefinedError):
        message = f"the template uses something that does not exist: {error.message}"
        return Problem("template-undefined", message, place, detail=values)
    message = f"the template fails with {type(error).__name__}: {error}"
    return Problem("template-failed", message, place, detail=values)


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
