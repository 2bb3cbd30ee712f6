"""YAML as experiments are written in it: plain values, each with the place where it stands.

Only ``true``, ``false``, ``null`` and whole numbers are more than text; what other readers of YAML
make of ``no``, ``on``, ``1e3`` or a date stays as it is written. A key stands once. What takes more
room than anybody writes is refused before it takes time or memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from cfgen.bounded import compose_yaml
from cfgen.errors import CfgenError, Problem
from cfgen.paths import display
from cfgen.prompts import read_text

LARGEST = 1 << 18
"""Bytes of a file at most."""

_TAG = "tag:yaml.org,2002:"
_TAGS = {
    "bool": re.compile(r"(?:true|false)\Z"),
    "null": re.compile(r"(?:null|~|)\Z"),
    "int": re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z"),
}
_MAKE: dict[str, Callable[[str], Any]] = {
    "bool": lambda text: text == "true",
    "null": lambda text: None,
    "int": int,
    "str": str,
}

KeyPath: TypeAlias = tuple[str | int, ...]


class _TextLoader(yaml.SafeLoader):
    """YAML in which all but ``true``, ``false``, ``null`` and whole numbers is text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _name, _first in (("bool", "tf"), ("null", "n~"), ("int", "-0123456789")):
    _firsts = [*_first, ""] if _name == "null" else list(_first)
    _TextLoader.add_implicit_resolver(_TAG + _name, _TAGS[_name], _firsts)


@dataclass(frozen=True, slots=True)
class Draft:
    """What was written, where, and what is wrong with it so far.

    Attributes:
        values: Mappings, tuples, texts, whole numbers, booleans and None, as they are nested.
        places: Keys and indices that lead to a value -> where it stands.
        problems: What is wrong.
    """

    values: Any = None
    places: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: KeyPath) -> str:
        """Where a value stands, or else what it belongs to; empty if nobody wrote that."""
        ends = range(len(path), -1, -1)
        return next((self.places[path[:end]] for end in ends if path[:end] in self.places), "")

    def at(self, *path: str | int) -> Any:
        """A value; None where there is none."""
        value = self.values
        for key in path:
            inside = isinstance(value, dict) and key in value
            inside = inside or (
                isinstance(value, tuple) and isinstance(key, int) and key < len(value)
            )
            if not inside:
                return None
            value = value[key]
        return value

    def walk(self) -> Iterator[tuple[KeyPath, Any]]:
        """Every value with what leads to it, from outside in."""
        waiting: list[tuple[KeyPath, Any]] = [((), self.values)]
        for path, value in waiting:
            yield path, value
            if isinstance(value, dict):
                waiting += [((*path, key), inner) for key, inner in value.items()]
            elif isinstance(value, tuple):
                waiting += [((*path, index), inner) for index, inner in enumerate(value)]


def read_yaml(path: Path) -> Draft:
    """Read a file.

    Raises:
        CfgenError: There is no such file, or it is none that anybody wrote: too large, or not
            UTF-8.
    """
    hint = "name a YAML file; docs/experiments.md shows one"
    try:
        size = path.stat().st_size if path.is_file() else None
    except (OSError, ValueError) as error:  # such as a name that is too long
        message = f"{display(path)} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise CfgenError(Problem("no-experiment-file", message, hint=hint)) from error
    if size is None:
        message = f"there is no file {display(path)}"
        raise CfgenError(Problem("no-experiment-file", message, hint=hint))
    if size > LARGEST:
        message = f"{display(path)} has {size:,} bytes; an experiment has {LARGEST:,} at most"
        raise CfgenError(Problem("no-experiment-file", message, hint=hint))
    return parse_yaml(read_text(path), lambda line: f"{display(path)}:{line}")


def parse_yaml(text: str, place: Callable[[int], str]) -> Draft:
    """Read a text; what is wrong with it is in the problems.

    Args:
        text: YAML.
        place: Says where a line of it is; the first is 1.
    """
    draft = Draft()
    try:
        node = compose_yaml(text, _TextLoader)
        values = None if node is None else _Conversion(draft, place).value(node, ())
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        return Draft(problems=[*draft.problems, _syntax_problem(error, text, place)])
    draft.places.setdefault((), place(1))
    return Draft(values, draft.places, draft.problems)


def _syntax_problem(error: Exception, text: str, place: Callable[[int], str]) -> Problem:
    """What the parser found, with its line."""
    line, hint = 1, "mend the line; docs/experiments.md shows what a file looks like"
    what = str(error)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = error.problem or error.context or what
    elif isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        what = f"the character {chr(error.character)!a} must not stand in it"
    if "'\\t'" in what:
        hint = "indent with spaces, not with tabs"
    elif "expected ',' or ']'" in what:
        hint = 'put a text that has brackets in quotes: ["item_1[0]", last]'
    elif "mapping values" in what:
        hint = "one key a line; put a text that has a colon in quotes"
    return Problem("experiment-syntax", f"this is not YAML: {what}", place(line), hint)


class _Conversion:
    """Nodes to values: notes where each stands."""

    def __init__(self, draft: Draft, place: Callable[[int], str]) -> None:
        self.draft, self.place = draft, place

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        """What a node stands for."""
        self.draft.places.setdefault(path, self.place(node.start_mark.line + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(one, (*path, i)) for i, one in enumerate(node.value))
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            where = self.place(key.start_mark.line + 1)
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None:
                self._note("a key is a single text", where, "write it as one")
            elif name in found:
                first = self.draft.places[*path, name].rpartition(":")[2]
                above = f" (first on line {first})" if first.isdigit() else ""
                message = f"the key {shown(name)} stands twice{above}"
                problem = Problem("experiment-repeated", message, where, "leave one of them")
                self.draft.problems.append(problem)
            else:
                self.draft.places[*path, name] = where
                found[name] = self.value(value, (*path, name))
        return found

    def _scalar(self, node: yaml.Node) -> Any:
        kind = node.tag.removeprefix(_TAG)
        where = self.place(node.start_mark.line + 1)
        if kind not in _MAKE:
            self._note(f"the tag {shown(node.tag)} has no meaning here", where, "leave it out")
        elif kind != "str" and not _TAGS[kind].match(node.value):
            self._note(f"{shown(node.value)} is no {kind}", where, "leave the tag out")
        else:
            return _MAKE[kind](node.value)
        return node.value

    def _note(self, message: str, where: str, hint: str) -> None:
        self.draft.problems.append(Problem("experiment-syntax", message, where, hint))


def shown(value: Any) -> str:
    """A value as a message shows it: short, and nothing in it that a terminal acts on."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
