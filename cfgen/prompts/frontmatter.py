"""Reading template files: text, front matter, and the plain YAML it is written in."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, StrictBool, StrictInt, StrictStr, ValidationError

from cfgen.bounded import compose_yaml, read_file
from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.paths import display

_FENCE = re.compile(r"\A---[ \t]*\n(?P<matter>.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_TAG = "tag:yaml.org,2002:"


class FrontMatter(BaseModel):
    """What stands between the ``---`` lines of a template.

    Attributes:
        id: Name of the template; the same as the file's.
        description: One line for people.
        shows: Inputs of the causal model that the template shows.
        supports: For an input, the values that the wording is right for.
        answer_prefix: Text between the prompt and its answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: StrictStr
    description: StrictStr
    shows: list[StrictStr]
    supports: dict[StrictStr, list[StrictStr | StrictBool | StrictInt | None]] = {}
    answer_prefix: StrictStr = " "


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """A template file, read and taken apart.

    Attributes:
        path: The file.
        matter: Its front matter.
        lines: Line of every key of the front matter.
        jinja: Its body, preceded by a comment that takes the front matter's lines, so that Jinja
            counts lines as they are in the file.
    """

    path: Path
    matter: FrontMatter
    lines: dict[str, int]
    jinja: str


class _PlainLoader(yaml.SafeLoader):
    """YAML in which all but ``true``, ``false``, ``null`` and plain integers stays text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a key that is given twice instead of keeping the last, and one that is no text."""
        seen: set[str] = set()
        for key, _ in node.value:
            wrong = ""
            if not isinstance(key, yaml.ScalarNode):
                wrong = "a key is a list or has keys of its own"
            elif key.value in seen:
                wrong = f"the key {key.value!r} is given twice"
            if wrong:
                raise yaml.constructor.ConstructorError(None, None, wrong, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_PlainLoader.add_implicit_resolver(_TAG + "bool", re.compile(r"(?:true|false)\Z"), list("tf"))
_PlainLoader.add_implicit_resolver(_TAG + "null", re.compile(r"(?:null|~|)\Z"), ["n", "~", ""])
_PlainLoader.add_implicit_resolver(
    _TAG + "int", re.compile(r"-?(?:0|[1-9][0-9]*)\Z"), list("-0123456789")
)


def read_text(path: Path) -> str:
    """Read a UTF-8 file; every kind of line end becomes a line feed.

    Args:
        path: The file.

    Raises:
        CfgenError: It cannot be read, or is not UTF-8.
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message, where = f"the file is not UTF-8 ({error.reason})", f"{display(path)}:{line}"
    except OSError as error:
        message, where = f"the file cannot be read: {error.strerror}", display(path)
    except ValueError as error:
        message, where = f"the file {error}", display(path)
    else:
        return text.replace("\r\n", "\n").replace("\r", "\n")
    raise CfgenError(Problem("text-file", message, where, "save it as UTF-8 text"))


def read_source(path: Path) -> TemplateSource:
    """Read a template file.

    Args:
        path: A ``.jinja`` file with front matter.

    Returns:
        Its parts.

    Raises:
        CfgenError: The file or its front matter is not as it should be.
    """
    text = read_text(path)
    match = _FENCE.match(text)
    if match is None:
        raise CfgenError(
            Problem(
                "front-matter",
                "the template has no front matter",
                f"{display(path)}:1",
                "start the file with a line ---, then id, description and shows, "
                "then another line ---",
            )
        )
    matter, lines = _front_matter(match["matter"], path)
    padding = "{#" + "\n" * match[0].count("\n") + "#}"
    return TemplateSource(path, matter, lines, padding + text[match.end() :])


def _front_matter(text: str, path: Path) -> tuple[FrontMatter, dict[str, int]]:
    """Parse and validate front matter, whose first line is the second of the file."""
    try:
        node = compose_yaml(text, _PlainLoader)
        data = {} if node is None else _PlainLoader("").construct_document(node)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        raise CfgenError(
            Problem(
                "front-matter",
                f"the front matter is not valid YAML: {getattr(error, 'problem', None) or error}",
                f"{display(path)}:{mark.line + 2 if mark else 2}",
                "one key a line, words in quotes",
            )
        ) from None
    if not isinstance(data, dict):
        raise CfgenError(
            Problem(
                "front-matter",
                "the front matter is not a list of `key: value` lines",
                f"{display(path)}:2",
                "write id, description and shows, one a line",
            )
        )
    lines = {key.value: key.start_mark.line + 2 for key, _ in node.value} if node else {}
    try:
        return FrontMatter.model_validate(data), lines
    except ValidationError as error:
        raise CfgenError(_problem(item, path, lines) for item in _merged(error)) from None


def _merged(error: ValidationError) -> list[dict[str, Any]]:
    """One error per value: the branches of a union are reported one by one."""
    first: dict[tuple[Any, ...], dict[str, Any]] = {}
    for item in error.errors():
        first.setdefault(item["loc"][:3], dict(item))
    return list(first.values())


def _problem(item: dict[str, Any], path: Path, lines: dict[str, int]) -> Problem:
    """What pydantic found, in our words."""
    key = str(item["loc"][0])
    where = f"{display(path)}:{lines.get(key, 1)}"
    if item["type"] == "missing":
        hint = f"add a line that begins with {key}:"
        return Problem("front-matter", f"the front matter lacks {key!r}", where, hint)
    if item["type"] == "extra_forbidden":
        hint = did_you_mean(key, FrontMatter.model_fields)
        return Problem("front-matter", f"the front matter has an unknown key {key!r}", where, hint)
    place = ": ".join(str(part) for part in item["loc"][:2])
    message = f"{place}: {item['msg'][:1].lower()}{item['msg'][1:]}, not {item['input']!r}"
    return Problem("front-matter", message, where, "put words in quotes if YAML takes them wrong")
