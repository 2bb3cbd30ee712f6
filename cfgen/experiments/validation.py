"""From what was written to the record of an experiment, or to all that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from cfgen.counterfactuals import LAYER_MODES
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.experiments.consistency import consistency_problems, path_name
from cfgen.experiments.definition import EngineOptions, Experiment, SiteOptions, SweepOptions
from cfgen.experiments.notation import Draft, KeyPath, shown

TOLD = 40
"""How many problems are told; of more, only how many."""
_GROUPS: Mapping[str, type[BaseModel]] = {"sweep": SweepOptions, "engine": EngineOptions}
_CHOICES = {
    "heads": "all, or a list of heads",
    "neurons": "all, or a list of neurons",
    "positions": "every, or position expressions",
}
_KINDS = {
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping of names",
    "model_type": "a mapping of fields",
}
_TRUTHS = {"yes", "no", "on", "off", "y", "n", "true", "false"}


def experiment_from(draft: Draft, *, named: bool = True) -> Experiment:
    """Make the record of an experiment.

    Args:
        draft: What was written.
        named: Whether a task has to be given by name, not by path.

    Raises:
        CfgenError: With all that is wrong, those of a file in the order of its lines.
    """
    problems = list(draft.problems)
    experiment = None
    if isinstance(draft.values, dict):
        found = list(consistency_problems(draft, named=named))
        try:
            experiment = Experiment.model_validate(draft.values, strict=True)
        except ValidationError as error:
            # what the record itself says of fields together has been said, with its place
            every = [one for one in error.errors(include_url=False) if one["loc"] or not found]
            problems += _record_problems(every, draft)
        problems += found
    elif not problems:
        what = "there is nothing in it" if draft.values is None else shown(draft.values)
        message = f"an experiment is a mapping of fields: {what}"
        hint = "write fields one a line, such as `task: my_task`; docs/experiments.md lists them"
        problems.append(Problem("experiment-syntax", message, draft.place(()), hint))
    if problems or experiment is None:
        told = sorted(dict.fromkeys(problems), key=_line)
        if len(told) > TOLD:
            rest, last = len(told) - TOLD, told[TOLD]
            message = f"and {rest:,} more problems, from here on"
            told[TOLD:] = [Problem(last.code, message, last.where, "mend those above first")]
        raise CfgenError(told)
    return experiment


def check_experiment(experiment: Experiment) -> None:
    """Check what the fields of a record say together, as is done of what is read.

    Raises:
        CfgenError: With all that is wrong.
    """
    draft = Draft(experiment.model_dump(exclude_defaults=True))
    problems = list(consistency_problems(draft, named=False))
    if problems:
        raise CfgenError(problems)


def _line(problem: Problem) -> float:
    found = re.search(r":(\d+)$", problem.where)
    return int(found[1]) if found else float("inf")


def _record_problems(errors: Iterable[Any], draft: Draft) -> list[Problem]:
    """What pydantic found, one problem for each value."""
    located = [(*_locate(error["loc"], draft), error) for error in errors]
    inside = {path[:end] for path, _, _ in located for end in range(len(path))}
    problems: dict[KeyPath, Problem] = {}
    for path, of_choice, error in located:
        if not (of_choice and path in inside) and path not in problems:
            problems[path] = _problem(path, of_choice, error, draft)
    return list(problems.values())


def _locate(location: tuple[str | int, ...], draft: Draft) -> tuple[KeyPath, bool]:
    """What leads to the value, and whether it failed to be any of several kinds."""
    path: KeyPath = ()
    value: Any = draft.values
    for key in location:
        in_mapping = isinstance(value, dict) and key in value
        in_list = isinstance(value, tuple) and isinstance(key, int) and key < len(value)
        if in_mapping or in_list:
            path, value = (*path, key), value[key]
    return path, len(path) < len(location)


def _problem(path: KeyPath, of_choice: bool, error: Any, draft: Draft) -> Problem:
    kind, value = error["type"], draft.at(*path)
    name, where = path_name(path), draft.place(path)
    if kind == "extra_forbidden":
        return Problem("experiment-field", f"there is no field {name}", where, _meant(path))
    if value is None and path:
        message = f"{name} has no value"
        return Problem("experiment-value", message, where, "give it one, or leave the field out")
    if kind == "greater_than_equal":
        message = f"{name}: {value} is less than {error['ctx']['ge']}"
        return Problem("experiment-value", message, where, "give a larger number")
    if kind == "string_pattern_mismatch":
        wanted, hint = "each, up_to or window(k)", did_you_mean(str(value), LAYER_MODES)
    elif of_choice and path and path[-1] in _CHOICES:
        wanted, hint = _CHOICES[str(path[-1])], f"write {_CHOICES[str(path[-1])]}"
    elif kind == "literal_error":
        options = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        wanted, hint = f"one of {', '.join(options)}", did_you_mean(str(value), options)
    elif kind in _KINDS:
        wanted, hint = _KINDS[kind], _remedy(kind, value)
    else:
        message = f"{name}: {error['msg'].removeprefix('Value error, ')}".removeprefix("the file: ")
        return Problem("experiment-value", message, where, "see docs/experiments.md")
    return Problem("experiment-value", f"{name}: {shown(value)} is not {wanted}", where, hint)


def _meant(path: KeyPath) -> str:
    """Which field was meant, or where it belongs."""
    last = str(path[-1])
    inside = path[:-1]
    if not inside:
        for group, record in _GROUPS.items():
            if last in record.model_fields and last not in Experiment.model_fields:
                return f"it belongs to {group}: write {group}.{last}, or put it below `{group}:`"
    record = Experiment if not inside else _GROUPS.get(str(inside[0]), SiteOptions)
    return did_you_mean(last, record.model_fields)


def _remedy(kind: str, value: Any) -> str:
    """How to write a value of a kind, where it can be told what was meant."""
    if kind == "bool_type" and isinstance(value, str) and value.lower() in _TRUTHS:
        return f"write {'true' if value.lower() in ('yes', 'on', 'y', 'true') else 'false'}"
    if kind == "string_type" and isinstance(value, bool | int):
        return f'put it in quotes: "{shown(value)}"'
    if kind == "int_type" and isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
        return f"leave the quotes and leading zeros out: {int(value)}"
    if kind == "int_type" and isinstance(value, str) and len(value) < 30:
        try:
            number = float(value)
        except ValueError:
            number = 0.5
        if number.is_integer() and abs(number) < 1e15:
            return f"write {int(number)}"
    return f"write {_KINDS[kind]}"
