"""Everything Jinja can do to a value, one by one: both ways agree, and the text is Jinja's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest

from cfgen.errors import CfgenError
from cfgen.prompts import Prompt, Template, render
from cfgen.prompts.environment import SPAN_FILTER, PromptEnvironment
from cfgen.prompts.opaque import Close, Observed, Opaque, Open, Slot, Watch, parts_of
from cfgen.prompts.render import render_plain
from cfgen.prompts.text import Mark, Text, join_texts, value_text

SLOTS = {"items": ("item_1", "item_2"), "word": ("word",), "asked": ("asked",)}
ENVIRONMENT = PromptEnvironment({})
FILTERS = sorted(set(ENVIRONMENT.filters) - {SPAN_FILTER})
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
    """Quick and plain way agree, and where there is a prompt it is what plain Jinja renders."""
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
    plain = outcomes(render_plain, template)
    assert outcomes(render, template) == plain
    for prompt, text in zip(plain, by_jinja(source), strict=True):
        if isinstance(prompt, Prompt):
            assert prompt.text == text


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter(name: str) -> None:
    for value in ("word", "items", "(word ~ item_1)", "'a b'"):
        for arguments in ARGUMENTS:
            check(f"{value} | {name}{arguments}")
    check(f"items | map('{name}') | join('-')")


@pytest.mark.parametrize("name", [name for name in TESTS if name.isidentifier()])
def test_every_test(name: str) -> None:
    for value in ("word", "items", "asked"):
        for arguments in ARGUMENTS:
            check(f"1 if {value} is {name}{arguments} else 2")
    check(f"items | select('{name}') | list | length")


@pytest.mark.parametrize("name", METHODS)
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
    ],
)  # fmt: skip
def test_looking_at_a_hole_is_noticed(look: Callable[[Any], Any]) -> None:
    watch = Watch()
    with pytest.raises(Observed):
        look(Opaque((Slot("items", 1, "item_2"), " ", Slot("word", None, "word")), watch))
    assert watch.inputs == {"items", "word"}


def test_marks_become_starts_and_ends() -> None:
    inner = join_texts(("a", value_text("x", "bc"), value_text("y", "d")))
    text = Text(f"{inner!s}", (Mark("p", 0, 4, "phrase"), *inner.marks))  # type: ignore[attr-defined]
    assert parts_of(join_texts((">", text, "<"))) == (
        ">", Open("p", "phrase"), "a", Open("x", "value"), "bc", Close(),
        Open("y", "value"), "d", Close(), Close(), "<",
    )  # fmt: skip
