"""Telling a user what is wrong with the inputs of a template, or with running it on them."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from jinja2 import UndefinedError
from jinja2.environment import Template as JinjaTemplate

from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.prompts.template import Template
from cfgen.prompts.text import Fault


def check_inputs(template: Template, inputs: Mapping[str, Any]) -> None:
    """Check that the inputs are there, have the right shape and supported values."""
    problems = []
    where = display(template.path)
    unsupported = template.unsupported(inputs)
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
        if name in unsupported:
            message = f"template {template.id!r} does not support {name} = {value!r}"
            supported = ", ".join(map(repr, template.supports[name]))
            hint = f"it supports {supported}; take another template"
            problems.append(Problem("input-unsupported", message, where, hint))
    if problems:
        raise CfgenError(problems)


def explain(template: Template, inputs: Mapping[str, Any], error: Exception) -> Problem:
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
