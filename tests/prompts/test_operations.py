"""Everything Jinja can do to a value, one by one: the text is that of plain Jinja."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from cfgen.errors import CfgenError
from cfgen.prompts import Prompt, Template, render
from cfgen.prompts.environment import INTERNAL, PromptEnvironment
from cfgen.prompts.run import run_template
from cfgen.prompts.text import Fault, Hole, Mark, Text, enclose, glue
from tests.sampling import one_in

SLOTS = {"items": ("item_1", "item_2"), "word": ("word",), "asked": ("asked",)}
ENVIRONMENT = PromptEnvironment({})
FILTERS = sorted(set(ENVIRONMENT.filters) - INTERNAL)
TESTS = sorted(ENVIRONMENT.tests)
METHODS = sorted(name for name in dir(str) if not name.startswith("_"))
ARGUMENTS = ("", "(1)", "('a', 'b')", "(word)")
VALUES = [
    {"items": items, "word": word, "asked": 0}
    for items, word in (
        (("a", "b"), "a"),
        (("b", "a"), "B a"),
        (("ŉ", "ß"), "İx"),
        (("a", "a"), "\tb"),
    )
]


def once(template: Template, inputs: dict[str, Any]) -> Prompt:
    """The prompt of one run, without anything that was learnt from others."""
    return run_template(template, inputs).prompt


def outcomes(way: Callable[..., Prompt], template: Template) -> list[Any]:
    found: list[Any] = []
    for values in VALUES:
        try:
            found.append(way(template, values))
        except CfgenError as error:
            found.append(str(error))
    return found


def by_jinja(source: str) -> list[str | None]:
    """What plain Jinja makes of it, ``None`` where it fails."""
    texts: list[str | None] = []
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(source)
    for values in VALUES:
        names = {"item_1": values["items"][0], "item_2": values["items"][1]}
        try:
            texts.append(template.render(**values, **names))
        except Exception:
            texts.append(None)
    return texts


def check(expression: str) -> None:
    """Where there is a prompt it is what plain Jinja renders, also if it was not run for it."""
    source = f"{{% if [items, word, asked] is defined %}}{{% endif %}}<{{{{ {expression} }}}}>"
    template = Template(
        id="t",
        description="",
        task="task",
        path=Path("t.jinja"),
        shows=tuple(SLOTS),
        supports={},
        answer_prefix=" ",
        slots=SLOTS,
        sources={"t.jinja": source},
        paths={"t.jinja": Path("t.jinja")},
    )
    plain = outcomes(once, template)
    assert outcomes(render, template) == plain
    for prompt, text in zip(plain, by_jinja(source), strict=True):
        if isinstance(prompt, Prompt):
            assert prompt.text == text


@pytest.mark.parametrize("name", one_in(3, FILTERS))
def test_every_filter(name: str) -> None:
    for value in ("word", "items", "(word ~ item_1)", "'a b'"):
        for arguments in ARGUMENTS:
            check(f"{value} | {name}{arguments}")
    check(f"items | map('{name}') | join('-')")


@pytest.mark.parametrize("name", one_in(3, filter(str.isidentifier, TESTS)))
def test_every_test(name: str) -> None:
    for value in ("word", "items", "asked"):
        for arguments in ARGUMENTS:
            check(f"1 if {value} is {name}{arguments} else 2")
    check(f"items | select('{name}') | list | length")


@pytest.mark.parametrize("name", one_in(3, METHODS))
def test_every_method(name: str) -> None:
    for value in ("word", "(word ~ item_1)", "'a b'"):
        for arguments in ("()", *ARGUMENTS[1:]):
            check(f"{value}.{name}{arguments}")


@pytest.mark.parametrize(
    "expression",
    [
        "1 if word == item_1 else 2",
        "1 if 'a' in word else 2",
        "1 if word in 'abc' else 2",
        "1 if word in items else 2",
        "1 if item_1 < item_2 else 2",
        "1 if items == [item_1, item_2] else 2",
        "1 if items[0] != items[1] else 2",
        "{'a': 1, 'B a': 2}[word]",
        "{word: 1}[word]",
        "{'x': word}.x",
        "word and item_1",
        "not word",
        "word[0]",
        "word[-1:]",
        "items[:1] | join",
        "items[word]",
        "item_1 * 2",
        "2 * item_1",
        "item_1 + item_2",
        "item_1 + 1",
        "'%s' % asked",
        "-word",
        "word ** 2",
        "range(3) | join(word)",
        "(word, item_1) | join",
        "[word] | sum(start=item_1)",
        "cycler(word, 'x').next()",
        "namespace(x=word).x",
        "dict(x=word)['x']",
        "word | default(item_1, true)",
        "items | groupby(0) | map(attribute=0) | join",
        "none | default(word)",
        "[[word, 1]] | map('first') | first",
    ],
)
def test_every_operator(expression: str) -> None:
    check(expression)


@pytest.mark.parametrize(
    "look",
    [
        bool, len, list, hash, repr, str, int, float, lambda x: x == "a", lambda x: x != "a",
        lambda x: x < "a", lambda x: x >= "a", lambda x: x[0], lambda x: x[1:], lambda x: "a" in x,
        lambda x: {x}, lambda x: f"{x}", lambda x: x + "a", lambda x: "a" + x, lambda x: x * 2,
        lambda x: x % 2, lambda x: x(), lambda x: [1, 2][x], lambda x: x in ["a"],
        lambda x: x in "abc", lambda x: "".join([x]), lambda x: "a".startswith(x),
        lambda x: "%s %s" % (x, 1),  # noqa: UP031
        lambda x: "abc".replace(x, "b"), lambda x: re.match("a", x), lambda x: x.lower(),
        lambda x: ["a"].index(x), lambda x: {"a": 1}[x], lambda x: x.encode(),
        lambda x: min(x, "a"),
    ],
)  # fmt: skip
def test_nobody_reads_letters_unnoticed(look: Callable[[Any], Any]) -> None:
    """It is noted, or refused."""
    looked: set[str] = set()
    marks = (Mark("item_2", 0, 1, "value", Hole("items", 1, looked)),)
    marks += (Mark("word", 2, 3, "value", Hole("word", None, looked)),)
    text: Any = Text("a b", marks)
    assert isinstance(text, str)
    try:
        look(text)
    except TypeError:
        return
    except (Fault, ValueError, KeyError):
        pass
    assert looked == {"items", "word"}


def test_marks_and_holes_move_along() -> None:
    looked: set[str] = set()
    x = Text("bc", (Mark("x", 0, 2, "value", Hole("x", None, looked)),))
    y = Text("d", (Mark("y", 0, 1, "value", Hole("y", None, looked)),))
    text = glue((">", enclose("p", "phrase", glue(("a", x, y))), "<"))
    assert isinstance(text, Text)
    assert text.letters == ">abcd<"
    assert [mark[:4] for mark in text.marks] == [
        ("p", 1, 5, "phrase"), ("x", 2, 4, "value"), ("y", 4, 5, "value"),
    ]  # fmt: skip
    assert [mark.hole and mark.hole.input for mark in text.marks] == [None, "x", "y"]
    assert looked == set()
    assert [mark.hole for mark in text.cut(1, 5).marks] == [None] * 3  # type: ignore[union-attr]
    assert looked == {"x", "y"}
