"""Experiments as files: read with every problem at once, written so that they read back so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.experiments.definition import Experiment
from cfgen.paths import display

SUFFIXES = (".yaml", ".yml")
LARGEST = 1 << 20
"""Bytes of an experiment file at most."""


def experiment_of(
    what: str | None, given: Mapping[str, Any], settings: Sequence[str] = ()
) -> Experiment:
    """An experiment from what stands on the command line.

    Args:
        what: Name of a task or path of its file, or path of an experiment file; None for neither.
        given: Field, such as ``n`` or ``sweep.over`` -> its value; None where it was not given.
        settings: Further fields, as ``KEY=VALUE`` with the value in YAML.

    Raises:
        CfgenError: With all that is wrong in the file and on the command line.
    """
    content: dict[str, Any] = {}
    places: dict[str, str] = {}
    if what is not None and what.endswith(SUFFIXES):
        content, places = _read(Path(what))
    elif what is not None:
        content["task"] = what
    for key, value in given.items():
        if value is not None:
            _set(content, key, value)
            places[key] = ""
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            hint = "write it as --set n=64 or --set sweep.over=20-29"
            raise CfgenError(Problem("bad-setting", f"--set {setting} has no value", hint=hint))
        _set(content, key.strip(), _parsed(text, f"--set {key}"))
        places[key.strip()] = f"--set {key.strip()}"
    return _validated(content, places)


def read_experiment(path: Path) -> Experiment:
    """Read an experiment file.

    Raises:
        CfgenError: With all that is wrong in it, each with its line.
    """
    return _validated(*_read(path))


def write_experiment(experiment: Experiment) -> str:
    """An experiment as the text of a file: what differs from the defaults."""
    content = experiment.model_dump(mode="json", exclude_defaults=True)
    content = {"method": experiment.method, **content}
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    *outer, last = key.split(".")
    for name in outer:
        inner = content.setdefault(name, {})
        if not isinstance(inner, dict):
            inner = content[name] = {}
        content = inner
    content[last] = value


def _parsed(text: str, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"{text!r} can't be read: {getattr(error, 'problem', None) or error}"
        raise CfgenError(Problem("experiment-syntax", message, where)) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The content of a file, and where each of its keys stands."""
    shown = display(path)
    try:
        if path.stat().st_size > LARGEST:
            hint = "name the file of an experiment"
            raise CfgenError(Problem("experiment-too-large", f"{shown} is too large", hint=hint))
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        hint = "name a YAML file, see docs/experiments.md"
        raise CfgenError(
            Problem("no-experiment-file", f"{shown} can't be read: {why}", hint=hint)
        ) from error
    problems: list[Problem] = []
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        places = dict(_places(node, shown, problems))
        if problems:
            raise CfgenError(problems)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{shown}:{mark.line + 1}" if mark else shown
        message = f"this is no YAML: {getattr(error, 'problem', None) or error}"
        raise CfgenError(Problem("experiment-syntax", message, where)) from error
    if not isinstance(content, dict):
        hint = "write fields, such as `task: NAME`, one a line"
        raise CfgenError(Problem("experiment-syntax", "it has no fields", shown, hint))
    return content, places


def _places(
    node: yaml.Node | None, shown: str, problems: list[Problem], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        where = f"{shown}:{key.start_mark.line + 1}"
        if name in seen:
            hint = "leave one of them"
            problems.append(Problem("experiment-field", f"{name!r} stands twice", where, hint))
        seen.add(name)
        yield name, where
        yield from _places(value, shown, problems, f"{name}.")


def _validated(content: Mapping[str, Any], places: Mapping[str, str]) -> Experiment:
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise CfgenError([_problem(dict(one), places) for one in error.errors()]) from None


def _problem(error: dict[str, Any], places: Mapping[str, str]) -> Problem:
    parts = [str(part) for part in error["loc"]]
    names = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    where = next((places[name] for name in names if name in places), "")
    name = ".".join(parts)
    if error["type"] == "extra_forbidden":
        hint = did_you_mean(parts[-1], _fields(parts[:-1]))
        return Problem("experiment-field", f"there is no field {name!r}", where, hint)
    message = f"{name}: {error['msg']}" if name else error["msg"].removeprefix("Value error, ")
    hint = "see docs/experiments.md, or `cfgen schema`"
    return Problem("experiment-field", message, where, hint)


def _fields(parts: Sequence[str]) -> list[str]:
    """The fields that there are at a place."""
    kind: Any = Experiment
    for part in parts:
        field = getattr(kind, "model_fields", {}).get(part)
        kind = type(field.default) if field is not None else kind
    return list(getattr(kind, "model_fields", {}))
