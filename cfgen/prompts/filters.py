"""The filters, tests and methods a template may use, all of them pure and all keeping spans."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from jinja2 import pass_environment
from jinja2.environment import Environment
from jinja2.filters import FILTERS, make_attrgetter
from jinja2.tests import TESTS

from cfgen.prompts.text import (
    Change,
    Text,
    apply,
    as_text,
    glue,
    guarded,
    holds_text,
    listed,
    look_at,
    lost,
)
from cfgen.prompts.work import check_outcome

_TESTS: dict[str, Any] = dict(TESTS)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


MOVING = _set(
    "batch count d default dictsort first groupby items last length list map max min reject "
    "rejectattr reverse select selectattr slice sort sum unique"
)
"""Filters that hand values on without changing them: nothing to be done about spans."""

CHANGING = _set(
    "capitalize center indent lower replace string title trim truncate upper urlencode wordwrap"
)
"""Filters from text to text."""

MEASURING = _set("abs filesizeformat float format int round wordcount")
"""Filters that yield something else, or text made of several values."""

LEFT_OUT = {
    "random": "rendering has to give the same text every time",
    **dict.fromkeys(
        ("e", "escape", "forceescape", "safe", "striptags", "tojson", "urlize", "xmlattr"),
        "prompts are not HTML",
    ),
    "attr": "write x.name",
    "pprint": "print the values one by one",
}
"""Filters of Jinja that a template may not use, and why."""

CHANGING_METHODS = _set(
    "capitalize casefold center expandtabs ljust lower lstrip removeprefix removesuffix replace "
    "rjust rstrip strip swapcase title upper zfill"
)
SPLITTING_METHODS = _set("partition rpartition rsplit split splitlines")
ASKING_METHODS = _set(
    "count endswith find index isalnum isalpha isascii isdecimal isdigit isidentifier islower "
    "isnumeric isprintable isspace istitle isupper rfind rindex startswith"
)
TEXT_METHODS = CHANGING_METHODS | SPLITTING_METHODS | ASKING_METHODS | {"join"}
"""All methods that a text has in a template."""

PLAIN_METHODS: dict[type, frozenset[str]] = {
    str: TEXT_METHODS | {"format", "format_map"},
    int: _set("bit_count bit_length"),
    float: _set("is_integer"),
    bool: frozenset(),
    list: _set("count index"),
    tuple: _set("count index"),
    dict: _set("get items keys values"),
    range: _set("count index start step stop"),
}
"""For values that a template makes itself, the methods that they have in it."""

_DIRECT: dict[str, Change] = {
    "upper": str.upper,
    "lower": str.lower,
    "capitalize": str.capitalize,
}


def template_filters() -> dict[str, Any]:
    """The filters of the prompt environment by name."""
    moving = {name: FILTERS[name] for name in MOVING}
    texts = {name: _text_filter(name) for name in CHANGING | MEASURING}
    return {**moving, **texts, "join": _join}


def template_tests() -> dict[str, Any]:
    """The tests of the prompt environment by name; all but ``defined`` look at the value.

    Without ``sameas``, which depends on how Python shares strings.
    """
    blind = ("defined", "undefined", "none")
    return {
        name: test if name in blind else _looking(test)
        for name, test in _TESTS.items()
        if name not in ("escaped", "sameas")
    }


def _looking(test: Callable[..., Any]) -> Callable[..., Any]:
    """A test that looks at the letters it is asked about."""

    @wraps(test)
    def ask(*args: Any, **kwargs: Any) -> Any:
        seen = [arg.look() if isinstance(arg, Text) else arg for arg in args]
        named = {k: v.look() if isinstance(v, Text) else v for k, v in kwargs.items()}
        return test(*seen, **named)

    return ask


def _text_filter(name: str) -> Callable[..., Any]:
    """A filter of Jinja that keeps the marks of the text it is applied to, or refuses."""
    function = FILTERS[name]
    skip = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        head, value, rest = args[:skip], listed(args[skip]), args[skip + 1 :]

        def change(text: Any) -> Any:
            return function(*head, text, *rest, **kwargs)

        if name == "string" and not (rest or kwargs or holds_text(value)):
            return as_text(value)  # what a library writes of an object is no text of ours
        if holds_text((rest, kwargs)) or not isinstance(value, Text):
            return guarded(function, f"{name!r} of several values")(*head, value, *rest, **kwargs)
        direct = change if rest or kwargs else _DIRECT.get(name, change)
        return apply(value, name, direct, changes=name in CHANGING)

    return call


@pass_environment
def _join(
    environment: Environment,
    value: Iterable[Any],
    d: Any = "",
    attribute: str | int | None = None,
) -> str | Text:
    """Join texts, keeping the marks of all of them and of the separator."""
    items = value if attribute is None else map(make_attrgetter(environment, attribute), value)
    return join_with(d, items)


def join_with(separator: Any, items: Iterable[Any]) -> str | Text:
    """Put a separator between items.

    Raises:
        Fault: An item is not text or a number, or the result is too long.
    """
    pieces: list[str | Text] = []
    for item in items:
        if pieces:
            pieces.append(as_text(separator))
        pieces.append(as_text(item))
    return glue(pieces)


def text_method(text: Text, name: str) -> Callable[..., Any] | None:
    """The method of a text as a template sees it, ``None`` if it has no such method."""
    if name == "join":
        return lambda items: join_with(text, items)
    if name in ASKING_METHODS:
        return _asking(text, name)
    if name not in CHANGING_METHODS and name not in SPLITTING_METHODS:
        return None

    def call(*args: Any, **kwargs: Any) -> Any:
        def change(letters: str) -> Any:
            return getattr(letters, name)(*args, **kwargs)

        check_outcome(name, text, args, kwargs)
        if holds_text((args, kwargs)):
            raise lost(f"{name!r} with another value")
        direct = change if args or kwargs else _DIRECT.get(name, change)
        return apply(text, name, direct, changes=name in CHANGING_METHODS)

    return call


def _asking(text: Text, name: str) -> Callable[..., Any]:
    """A method that asks about a text and returns a number or a truth value."""

    def call(*args: Any) -> Any:
        return getattr(text.look(), name)(*look_at(args))

    return call
