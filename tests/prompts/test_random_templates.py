"""Random templates against plain Jinja, which knows nothing of spans.

The oracle renders the same template with ordinary strings that carry a private character on either
side; where those end up says where the spans are, without any of the code under test.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jinja2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfgen.errors import CfgenError
from cfgen.prompts import Prompt, Template, render, render_columns
from cfgen.prompts.run import run_template

Load = Callable[..., Template]
NAMES = ("item_1", "item_2", "word")
PHRASES = ("p", "q", "r")
ENTER = {name: chr(0xE000 + k) for k, name in enumerate((*NAMES, *PHRASES))}
LEAVE = "\uf000"
MENDED = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

# Without the one letter whose lower case depends on its neighbours.
words = st.text(
    st.characters(categories=("L", "N", "So", "Mn"), include_characters=" -'"),
    min_size=1,
    max_size=6,
).filter(lambda word: word == word.strip() and "Σ" not in word)
literals = st.text(st.sampled_from("aB .,\nß’→"), max_size=5)
SAFE_FILTERS = ("upper", "lower", "string", "default('z')")
WILD_FILTERS = (
    "capitalize",
    "title",
    "trim",
    "center(9)",
    "replace('a', 'bb')",
    "truncate(3, true)",
    "reverse",
    "first",
    "wordwrap(3)",
    "indent(2)",
    "length",
)
METHODS = ("upper()", "lower()", "strip()", "title()", "swapcase()", "casefold()", "ljust(5)")


@dataclass
class Body:
    """A random template and the files it includes."""

    source: str
    partials: dict[str, str]


class Writer:
    """Writes random templates; ``wild`` ones use operations that the oracle cannot follow."""

    def __init__(self, draw: Callable[..., Any], wild: bool) -> None:
        self.draw, self.wild = draw, wild
        self.filters = (*SAFE_FILTERS, *WILD_FILTERS) if wild else SAFE_FILTERS
        self.partials: dict[str, str] = {}
        self.locals = 0

    def one(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def word(self, names: tuple[str, ...]) -> str:
        """An expression that is one value."""
        plain = self.one(*names, "items[asked]", "items[0]", "items[-1]", "items | last")
        for name in self.draw(st.lists(st.sampled_from(self.filters), max_size=2)):
            plain = f"({plain}) | {name}"
        if self.wild and self.draw(st.booleans()):
            plain = f"({plain}).{self.one(*METHODS)}"
        return f"({plain})"

    def several(self, names: tuple[str, ...]) -> str:
        """An expression that is several values, or something else."""
        a, b = self.word(names), self.word(names)
        choices = [
            f"{a} ~ ' & ' ~ {b}",
            f"{a} + '-' + {b}",
            f"'<' ~ {a}",
            "items | join(', ')",
            "' '.join(items)",
            "items | map('upper') | join('+')",
            f"[{a}, {b}] | join(word)",
            f"{a} ~ asked",
            f"({a} if asked else {b})",
            f"({a} ~ ' ') * 2",
        ]
        if self.wild:
            choices += [
                f"({a} ~ '. ' ~ {b}) | {self.one(*self.filters)}",
                f"({a} ~ ' x')[:3]",
                f"{a}[0]",
                f"({a} if item_1 < item_2 else {b})",
                f"({a} if word == 'a' else 'b')",
                "asked + 1",
                "items | unique | join",
                "(items | sort)[0]",
                "[item_1] | sort | first",
                "'A' if word else 'B'",
                f"{a} or {b}",
            ]
        return str(self.one(*choices))

    def shown(self, names: tuple[str, ...]) -> str:
        return (
            "{{ " + (self.word(names) if self.draw(st.booleans()) else self.several(names)) + " }}"
        )

    def text(self, depth: int, names: tuple[str, ...] = NAMES) -> str:
        parts = [self.draw(literals)]
        for _ in range(self.draw(st.integers(1, 3))):
            kinds = ["shown", "shown"]
            if depth:
                kinds += ["loop", "if", "span", "set", "macro", "include", "filter", "call", "with"]
            parts += [getattr(self, f"_{self.one(*kinds)}")(depth - 1, names), self.draw(literals)]
        return "".join(parts)

    def new(self) -> str:
        self.locals += 1
        return f"v{self.locals}"

    def _shown(self, _depth: int, names: tuple[str, ...]) -> str:
        return self.shown(names)

    def _loop(self, depth: int, names: tuple[str, ...]) -> str:
        name = self.new()
        over = self.one("items", "items | reverse", f"[{self.word(names)}, word]")
        return f"{{% for {name} in {over} %}}{self.text(depth, (*names, name))}{{% endfor %}}"

    def _if(self, depth: int, names: tuple[str, ...]) -> str:
        tests = ["asked", "asked == 1", "word is defined"]
        if self.wild:
            tests += [
                "item_1 < item_2",
                "word == 'a'",
                "'a' in word",
                "word in items",
                "word is lower",
            ]
        yes, no = self.text(depth, names), self.text(depth, names)
        return f"{{% if {self.one(*tests)} %}}{yes}{{% else %}}{no}{{% endif %}}"

    def _span(self, depth: int, names: tuple[str, ...]) -> str:
        return f"{{% span {self.one(*PHRASES)} %}}{self.text(depth, names)}{{% endspan %}}"

    def _set(self, depth: int, names: tuple[str, ...]) -> str:
        name = self.new()
        again = f"{{{{ {name} }}}}" if self.draw(st.booleans()) else ""
        return f"{{% set {name} %}}{self.text(depth, names)}{{% endset %}}{{{{ {name} }}}}{again}"

    def _macro(self, depth: int, names: tuple[str, ...]) -> str:
        name, argument = self.new(), self.new()
        body = self.text(depth, (*names, argument))
        call = f"{{{{ {name}({self.word(names)}) }}}}"
        return f"{{% macro {name}({argument}) %}}{body}{{% endmacro %}}{call}"

    def _call(self, depth: int, names: tuple[str, ...]) -> str:
        name, argument = self.new(), self.new()
        inner = self.text(depth, (*names, argument))
        return (
            f"{{% macro {name}(x) %}}<{{{{ caller(x) }}}}>{{% endmacro %}}"
            f"{{% call({argument}) {name}({self.word(names)}) %}}{inner}{{% endcall %}}"
        )

    def _include(self, depth: int, names: tuple[str, ...]) -> str:
        body = self.text(depth, names)
        file = f"_{len(self.partials)}.jinja"
        self.partials[file] = body
        return f"{{% include '{file}' %}}"

    def _filter(self, depth: int, names: tuple[str, ...]) -> str:
        return f"{{% filter {self.one(*self.filters)} %}}{self.text(depth, names)}{{% endfilter %}}"

    def _with(self, depth: int, names: tuple[str, ...]) -> str:
        name = self.new()
        inner = self.text(depth, (*names, name))
        return f"{{% with {name} = {self.word(names)} %}}{inner}{{% endwith %}}"


@st.composite
def bodies(draw: Callable[..., Any], wild: bool) -> Body:
    writer = Writer(draw, wild)
    use = "{% if [items, word, asked] is defined %}{% endif %}"
    return Body(f"{use}[{writer.text(2)}]", writer.partials)


@st.composite
def some_inputs(draw: Callable[..., Any]) -> dict[str, Any]:
    return {
        "items": (draw(words), draw(words)),
        "word": draw(words),
        "asked": draw(st.integers(0, 1)),
    }


def by_jinja(body: Body, values: dict[str, Any], enter: dict[str, str], leave: str) -> str:
    """What plain Jinja makes of it, with phrases turned into characters."""

    def without_spans(source: str) -> str:
        """With another block in their place: a line break before its end is not a file's last."""
        start = "{% if true %}"
        source = re.sub(r"{% span (\w+) %}", lambda m: start + enter.get(m[1], ""), source)
        return source.replace("{% endspan %}", leave + "{% endif %}")

    files = {name: without_spans(text) for name, text in body.partials.items()}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(files), undefined=jinja2.StrictUndefined, autoescape=False
    )
    names = {"item_1": values["items"][0], "item_2": values["items"][1]}
    return environment.from_string(without_spans(body.source)).render(values, **names)


def oracle(body: Body, inputs: dict[str, Any]) -> tuple[str, list[tuple[str, int, int, int]]]:
    """Text and spans from where the private characters end up."""
    wrapped = {
        "items": tuple(
            f"{ENTER[name]}{word}{LEAVE}"
            for name, word in zip(NAMES, inputs["items"], strict=False)
        ),
        "word": f"{ENTER['word']}{inputs['word']}{LEAVE}",
        "asked": inputs["asked"],
    }
    names = {character: name for name, character in ENTER.items()}
    letters: list[str] = []
    spans: list[list[Any]] = []
    open_spans: list[int] = []
    mentions: Counter[str] = Counter()
    for character in by_jinja(body, wrapped, ENTER, LEAVE):
        if character in names:
            name = names[character]
            open_spans.append(len(spans))
            spans.append([name, mentions[name], len(letters), 0])
            mentions[name] += 1
        elif character == LEAVE:
            spans[open_spans.pop()][3] = len(letters)
        else:
            letters.append(character)
    return "".join(letters), [tuple(span) for span in spans]  # type: ignore[misc]


def once(template: Template, inputs: dict[str, Any]) -> Prompt:
    """The prompt of one run, without anything that was learnt from others."""
    return run_template(template, inputs).prompt


def attempt(way: Callable[..., Prompt], template: Template, inputs: dict[str, Any]) -> Any:
    try:
        return way(template, inputs)
    except CfgenError as error:
        return str(error)


@pytest.mark.parametrize("way", [render, once])
@given(body=bodies(wild=False), cases=st.lists(some_inputs(), min_size=1, max_size=3))
@settings(MENDED, max_examples=40)
def test_text_and_spans_are_where_plain_jinja_puts_them(
    load: Load, way: Callable[..., Prompt], body: Body, cases: list[dict[str, Any]]
) -> None:
    template = load(body.source, partials=body.partials)
    for inputs in cases:
        expected_text, expected_spans = oracle(body, inputs)
        prompt = attempt(way, template, inputs)
        if isinstance(prompt, str):
            # Upper or lower case of several values at once that changes the length, and no other.
            assert "[span-lost]" in prompt
            assert any(len(c.upper()) > 1 or len(c.lower()) > 1 for c in f"{inputs} {body}")
            continue
        assert prompt.text == expected_text
        assert [span for span in prompt.spans if span.name in ENTER] == expected_spans


@given(
    body=bodies(wild=True),
    first=some_inputs(),
    others=st.lists(some_inputs(), min_size=1, max_size=4),
)
@settings(MENDED, max_examples=80)
@pytest.mark.slow
def test_prompts_are_those_of_one_run_each(
    load: Load, body: Body, first: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    template = load(body.source, partials=body.partials)
    for inputs in (first, *others, first):
        prompt = attempt(once, template, inputs)
        assert attempt(render, template, inputs) == prompt
        if isinstance(prompt, Prompt):
            assert prompt.text == by_jinja(body, inputs, {}, "")
            check_invariants(prompt)


@pytest.mark.slow
@given(body=bodies(wild=True), cases=st.lists(some_inputs(), min_size=1, max_size=6))
@settings(MENDED, max_examples=50)
def test_many_at_once_are_those_of_one_run_each(
    load: Load, body: Body, cases: list[dict[str, Any]]
) -> None:
    template = load(body.source, partials=body.partials)
    expected = [attempt(once, template, inputs) for inputs in cases]
    columns = {name: [inputs[name] for inputs in cases] for name in cases[0]}
    if failed := [message for message in expected if isinstance(message, str)]:
        with pytest.raises(CfgenError) as caught:
            render_columns({"t": template}, ["t"] * len(cases), columns)
        assert str(caught.value) == failed[0]
        return
    texts, spans = render_columns({"t": template}, ["t"] * len(cases), columns)
    for row, prompt in enumerate(expected):
        part = slice(spans.offsets[row], spans.offsets[row + 1])
        found = zip(spans.names[part], spans.starts[part], spans.ends[part], strict=True)
        assert texts[row] == prompt.text
        assert [(spans.vocabulary[name], start, end) for name, start, end in found] == [
            (span.name, span.start, span.end) for span in prompt.spans
        ]
        assert spans.mentions[part].tolist() == [span.mention for span in prompt.spans]


def check_invariants(prompt: Prompt) -> None:
    """Spans are sorted, nested, not empty, and their mentions numbered in text order."""
    assert list(prompt.spans) == sorted(prompt.spans, key=lambda span: (span.start, -span.end))
    mentions: Counter[str] = Counter()
    for number, span in enumerate(prompt.spans):
        assert 0 <= span.start < span.end <= len(prompt.text)
        assert span.mention == mentions[span.name]
        mentions[span.name] += 1
        for other in prompt.spans[:number]:
            assert other.end <= span.start or other.end >= span.end
