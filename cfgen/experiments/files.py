"""Experiments as files, and what stands on the command line over them.

A file is read with every problem at once, and written so that it reads back the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from cfgen.errors import CfgenError, Problem
from cfgen.experiments.definition import SOURCES, Experiment
from cfgen.experiments.flags import FLAGS
from cfgen.experiments.layers import parse_layers
from cfgen.experiments.notation import Draft, KeyPath, parse_yaml, read_yaml, shown
from cfgen.experiments.validation import experiment_from

SUFFIXES = (".yaml", ".yml")
"""How the name of an experiment's file ends, where a task could be named as well."""
_Change = tuple[KeyPath, Draft]


def read_experiment(path: Path, overrides: Sequence[str] = (), *, named: bool = True) -> Experiment:
    """Read the file of an experiment.

    Args:
        path: The file.
        overrides: What differs from it, as ``KEY=VALUE`` with the value in YAML.
        named: Whether the file has to give a task by its name. In what cfgen wrote of a run whose
            task was given by path, it is that path.

    Raises:
        CfgenError: With all that is wrong in it, each with its line, and with what differs.
    """
    problems: list[Problem] = []
    changes = _settings(overrides, problems)
    return _changed(read_yaml(path), changes, problems, named=named)


def override(experiment: Experiment, overrides: Sequence[str]) -> Experiment:
    """The same experiment but for some fields.

    Args:
        experiment: The experiment.
        overrides: ``KEY=VALUE`` with the value in YAML, such as ``n=64``, ``sweep.over=20-29`` or
            ``models=[a, b]``; ``null`` for a field as if it were not given. Another source of pairs
            takes the place of the one that there is.

    Raises:
        CfgenError: With all that is wrong.
    """
    problems: list[Problem] = []
    changes = _settings(overrides, problems)
    return _changed(Draft(_content(experiment)), changes, problems, named=False)


def experiment_of(
    what: str | None, given: Mapping[str, Any], settings: Sequence[str] = ()
) -> Experiment:
    """The experiment that stands on the command line.

    Args:
        what: Name of a task or path of its file, or path of an experiment's file; None for neither.
        given: Field, one of :data:`FLAGS` -> its value; None, or an empty list, where its option
            was not given, so that the file or the default stands. Heads may be text (``0,3-5``).
        settings: Further fields, as ``KEY=VALUE`` with the value in YAML.

    Raises:
        CfgenError: With all that is wrong in the file and on the command line.
    """
    problems: list[Problem] = []
    draft = Draft({}, {(): ""})
    changes: list[_Change] = []
    if what is not None and what.endswith(SUFFIXES):
        draft = read_yaml(Path(what))
    elif what is not None:
        changes.append((("task",), Draft(what, {(): f"TASK {what}"})))
    for key, value in given.items():
        if value is not None and value != [] and value != ():
            changes.append(_flag(key, value, draft, problems))
    changes += _settings(settings, problems)
    return _changed(draft, changes, problems)


def write_experiment(experiment: Experiment) -> str:
    """An experiment as the text of a file: its method, its source, and what is no default.

    The same experiment gives the same text, which reads back as this experiment.
    """
    content = {"method": experiment.method, **_content(experiment)}
    if isinstance(content.get("hypotheses"), dict):
        hypotheses = content["hypotheses"]
        if all(options is None for options in hypotheses.values()):
            content["hypotheses"] = tuple(hypotheses)
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """YAML with a field a line, and lists in brackets."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _list(dumper: yaml.SafeDumper, data: tuple[Any, ...]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


def _text(dumper: yaml.SafeDumper, data: str) -> yaml.Node:
    # only in double quotes does every kind of line end read back as it was
    style = None if data.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(tuple, _list)
_Dumper.add_representer(str, _text)


def _content(experiment: Experiment) -> dict[str, Any]:
    """What differs from the defaults, in the order of the record."""
    return experiment.model_dump(exclude_defaults=True)


def _frozen(value: Any) -> Any:
    """What Python was given as records hold it: lists are tuples, however deep they lie."""
    if isinstance(value, Mapping):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


_NUMBERED = {"sweep.heads": "heads", "sweep.neurons": "neurons"}
"""Fields that are ``all``, or numbers and ranges, on the command line."""


def _flag(key: str, value: Any, draft: Draft, problems: list[Problem]) -> _Change:
    """What an option of the command line changes."""
    where = FLAGS.get(key, key)
    value = _frozen(value)
    if key == "sweep.positions" and value == ("every",):
        value = "every"
    elif key in _NUMBERED and isinstance(value, str) and value != "all":
        what = _NUMBERED[key]
        try:
            value = tuple(parse_layers(value))
        except CfgenError:
            message = f"{shown(value)} is neither all nor a list of {what}"
            hint = f"write --{what} all, or the {what} as in --{what} 0,3-5"
            problems.append(Problem("experiment-value", message, where, hint))
            value = "all"
    elif key == "hypotheses" and isinstance(known := draft.at("hypotheses"), dict):
        names = value if len({*value}) == len(value) else ()
        # those of the file that are named are tested where the file says
        value = {name: known.get(name) for name in names} or value
    return tuple(key.split(".")), Draft(value, {(): where})


def _settings(settings: Iterable[str], problems: list[Problem]) -> list[_Change]:
    """What ``KEY=VALUE`` changes."""
    changes: list[_Change] = []
    for setting in settings:
        where = f"--set {setting if setting.isprintable() else ascii(setting)}"
        where = where if len(where) <= 60 else f"{where[:57]}..."
        key, equals, text = setting.partition("=")
        path = tuple(part.strip() for part in key.split("."))
        hint = "write it as --set n=64 or --set sweep.over=20-29"
        if not equals or not all(path):
            problems.append(Problem("bad-setting", "this is not KEY=VALUE", where, hint))
        elif not text.strip():
            message, hint = f"{key.strip()} is given no value", "write null to leave a field out"
            problems.append(Problem("bad-setting", message, where, hint))
        else:
            changes.append((path, parse_yaml(text, lambda line, where=where: where)))  # type: ignore[misc]
    return changes


def _changed(
    draft: Draft, changes: Sequence[_Change], problems: Iterable[Problem], *, named: bool = True
) -> Experiment:
    """Put changes over what was written, and make the record of it."""
    result = Draft(copy.deepcopy(draft.values), dict(draft.places), [*draft.problems, *problems])
    if isinstance(result.values, dict) or (not draft.problems and draft.values is None and changes):
        result = Draft(result.values or {}, result.places, result.problems)
        sources = {path[0] for path, change in changes if change.values is not None}
        for source in SOURCES if sources & {*SOURCES} else ():
            result.values.pop(source, None)
        seen: set[KeyPath] = set()
        for path, change in changes:
            result.problems.extend(change.problems)
            if path in seen:
                message, hint = f"{'.'.join(map(str, path))} is given twice", "leave one of them"
                where = change.place(())
                result.problems.append(Problem("experiment-repeated", message, where, hint))
            seen.add(path)
            if not change.problems:
                _put(result, path, change)
        named = named and not any(path == ("task",) for path in seen)
    return experiment_from(result, named=named)


def _put(draft: Draft, path: KeyPath, change: Draft) -> None:
    """Change a field, and what is known of where it stands."""
    target, where = draft.values, change.place(())
    for end, key in enumerate(path[:-1], start=1):
        inner = target.get(key)
        if path[:end] == ("hypotheses",):
            inner = _by_name(inner)
        if inner is not None and not isinstance(inner, dict):
            message = f"{'.'.join(map(str, path[:end]))} is {shown(inner)}, and has no fields"
            draft.problems.append(Problem("bad-setting", message, where, "set it as a whole"))
            return
        target[key] = {} if inner is None else inner
        draft.places.setdefault(path[:end], where)
        target = target[key]
    for old in [place for place in draft.places if place[: len(path)] == path]:
        del draft.places[old]
    if change.values is None and not (len(path) == 2 and path[0] == "hypotheses"):
        target.pop(path[-1], None)  # null: as if it were not given
        return
    target[path[-1]] = change.values
    draft.places.update({(*path, *inside): place for inside, place in change.places.items()})


def _by_name(hypotheses: Any) -> Any:
    """Hypotheses of which only names are given, as a mapping."""
    names = (hypotheses,) if isinstance(hypotheses, str) else hypotheses
    listed = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
    return dict.fromkeys(names) if listed else hypotheses
