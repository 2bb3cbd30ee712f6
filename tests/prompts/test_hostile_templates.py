"""Templates as somebody writes them who means no good, or who is in a hurry.

A template is a program; whatever it does, it ends soon, with a prompt or with an error that has a
remedy and a line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen.errors import CfgenError
from cfgen.paths import builtin_root
from cfgen.prompts import Showable, Template, load_templates, render
from tests.hostile import damaged, fuzzed, limited, rewritten, survives

Load = Callable[..., Template]
INPUTS = {"items": ("pen", "cup"), "word": "tea", "asked": 1}
USE = "{% if [items, word, asked] is defined %}{% endif %}"
DOUBLING = "{%% set ns = namespace(x=%s, y=%s) %%}{%% for i in range(99) %%}%s{%% endfor %%}x"


def doubling(start: str, step: str) -> str:
    """A template in which a value grows at every turn."""
    return DOUBLING % (start, start, f"{{% set ns.x = {step} %}}{{% set ns.y = {step} %}}")


TOO_LARGE = {
    "ranges inside ranges": "{% for a in range(99999) %}" * 4 + "{% endfor %}" * 4,
    "that nothing passes": (
        "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}"
    ),
    "a power": "{{ 2 ** (2 ** 33) > 3 }}",
    "a number of many digits": "{{ 10 ** 5000 }}",
    "squares of squares": doubling("3", "ns.x * ns.x"),
    "a text twice in itself": doubling("'ab'", "'%s%s' % (ns.x, ns.x)"),
    "a text and itself": doubling("'ab'", "ns.x ~ ns.x"),
    "a list and itself": doubling("[1]", "ns.x + ns.x"),
    "a list of itself": doubling("[word]", "[ns.x, ns.x]"),
    "a tuple of itself": doubling("(1,)", "(ns.x, ns.x)"),
    "a mapping of itself": doubling("{}", "{1: ns.x, 2: ns.x}"),
    "a list of itself by a function": doubling("{}", "dict(a=ns.x, b=ns.x)"),
    "equal lists of themselves": doubling("1", "[ns.x, ns.x]") + "{{ ns.x == ns.y }}",
    "a list that is cut again and again": (
        "{% set ns = namespace(x=range(99999) | list) %}"
        "{% for i in range(99999) %}{% set ns.x = ns.x[1:] %}{% endfor %}x"
    ),
    "a list made again and again": "{% for a in range(99999) %}{{ range(99999) | list | length }}"
    "{% endfor %}",
    "a phrase made again and again": (
        "{% for a in range(99999) %}{% set x %}{{ 'a' * 99999 }}{% endset %}{% endfor %}x"
    ),
    "a word looked for again and again": (
        "{% for a in range(99999) %}{% if 'x' in 'y' * 99999 %}{% endif %}{% endfor %}x"
    ),
    "a comparison again and again": (
        "{% for a in range(99999) %}{% if 'x' == 'y' * 99999 %}{% endif %}{% endfor %}x"
    ),
    "a macro that calls itself": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "a macro that calls itself twice": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) ~ f(n - 1) }}{% else %}x{% endif %}{% endmacro %}"
        "{% if f(40) %}{% endif %}x"
    ),
    "a loop that goes into itself": (
        "{% for a in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}x"
    ),
    "many slices": "{{ [1] | slice(10 ** 9) | list | length }}",
    "a long batch": "{{ [1] | batch(10 ** 9, 'x') | list | length }}",
    "a wide filter": "{{ 'x' | center(10 ** 9) }}",
    "a wide filter of a value": "{{ word | center(width=10 ** 9) }}",
    "a wide method": "{{ 'x'.ljust(10 ** 9) }}",
    "a wide method of a value": "{{ word.rjust(10 ** 9) }}",
    "wide tabs": "{{ ('\t' * 9999).expandtabs(10 ** 8) | length }}",
    "a wide indent": "{{ 'a\nb' | indent(10 ** 9) }}",
    "a wide number": "{{ '%1000000000d' % 3 }}",
    "a wide number by a value": "{{ '%*d' | format(10 ** 9, 3) }}",
    "a wide number by a method": "{{ '{:1000000000d}'.format(3) }}",
    "a wide number by a method and a value": "{{ '{:>{w}}'.format(1, w=10 ** 9) }}",
    "a text put in many times": "{{ '%(a)s' * 9999 % {'a': 'x' * 9999} }}",
    "a text put in many times by a method": "{{ ('{0}' * 9999).format('x' * 9999) }}",
    "a text in every place": "{{ ('a' * 9999) | replace('a', 'b' * 9999) }}",
    "a text in every place by a method": "{{ ('a' * 9999).replace('a', 'b' * 9999) }}",
    "lines of many breaks": "{{ ('a ' * 9999) | wordwrap(1, true, '\n' * 9999) }}",
    "a rounded number": "{{ 3 | round(10 ** 9, 'ceil') }}",
    "many texts between many": "{{ ('a' * 9999).join(['b'] * 9999) | length }}",
    "a long list": "{{ ((1,) * 99999999) | length }}",
}


LONG = (
    "a macro that calls itself twice",
    "a list that is cut again and again",
    "a mapping of itself",
    "equal lists of themselves",
    "a tuple of itself",
    "a list of itself by a function",
)
"""Of which the limit is reached after a second or so."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LONG else n for n in TOO_LARGE]
)
def test_what_grows_without_end_is_said(load: Load, name: str) -> None:
    template = load(USE + TOO_LARGE[name])
    with limited(), pytest.raises(CfgenError) as caught:
        render(template, INPUTS)
    (problem,) = caught.value.problems
    assert problem.code in ("template-too-large", "prompt-too-long"), problem
    assert ".jinja:" in problem.where


def test_a_count_begins_anew_with_every_prompt(load: Load) -> None:
    template = load("{% for a in range(9999) %}{% endfor %}{{ items[0] }} {{ word }} {{ asked }}")
    for asked in range(300):  # some three million steps
        assert render(template, {**INPUTS, "asked": asked}).text == f"pen tea {asked}"


NO_TEMPLATE = {
    "brackets inside brackets": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "a long sum": "{{ " + "1 + " * 5000 + "1 }}",
    "signs before signs": "{{ " + "-" * 5000 + "1 }}",
    "filters behind filters": "{{ word" + " | upper" * 5000 + " }}",
    "loops inside loops": "{% for i in [1] %}" * 30 + "x" + "{% endfor %}" * 30,
    "choices inside choices": "{% if 1 %}" * 300 + "x" + "{% endif %}" * 300,
    "choices behind choices": "{% if 0 %}x" + "{% elif 1 %}y" * 3000 + "{% endif %}",
    "a number of many digits": "{{ " + "9" * 5000 + " }}",
    "an argument twice": "{% macro f(a, a) %}{% endmacro %}x",
    "nothing but openings": "{{" * 5000,
}


@pytest.mark.parametrize("name", NO_TEMPLATE)
def test_what_cannot_be_compiled_is_said(load: Load, name: str) -> None:
    with limited(), pytest.raises(CfgenError) as caught:
        load(USE + NO_TEMPLATE[name])
    assert {problem.code for problem in caught.value.problems} == {"template-syntax"}
    assert all(problem.where and problem.hint for problem in caught.value.problems)


@pytest.mark.parametrize("number", ["1e999", "1e200 * 1e200", "(1e999, 2)[0]", "-1e999"])
def test_a_number_without_end_is_one(load: Load, number: str) -> None:
    shown = render(load(f"{USE}{{{{ {number} }}}}."), INPUTS).text
    assert shown == ("-inf." if number[0] == "-" else "inf.")
    with pytest.raises(CfgenError, match=r"OverflowError.*template-failed"):
        render(load(f"{USE}{{{{ ({number}) | int }}}}."), INPUTS)


def test_a_file_as_long_as_a_book(load: Load) -> None:
    with limited(), pytest.raises(CfgenError, match=r"longer than 200,000.*template-too-large"):
        load("{{ word }} " * (20_001))


def test_half_a_character(load: Load) -> None:
    with pytest.raises(CfgenError, match=r"half a character.*value-not-text"):
        render(load(USE + r"{{ '\ud800' }}"), INPUTS)


def test_a_value_that_cannot_be_printed(load: Load) -> None:
    with pytest.raises(CfgenError, match=r"4,000 digits|4300 digits"):
        render(load("{{ items | join }}{{ word }}{{ asked }}"), {**INPUTS, "asked": 10**5000})


WORDS = (
    *(
        "{{",
        "}}",
        "{%",
        "%}",
        "{%-",
        "-%}",
        "{#",
        "#}",
        "|",
        "~",
        "(",
        ")",
        "[",
        "]",
        "=",
        ".",
        ",",
    ),
    *("for", "in", "if", "else", "elif", "endif", "endfor", "set", "endset", "macro", "endmacro"),
    *("call", "endcall", "filter", "endfilter", "span", "endspan", "raw", "endraw", "recursive"),
    *("include", "import", "with", "endwith", "loop", "not", "is", "and", "or", "none", "true"),
    *("item_1", "items", "word", "asked", "range(99999)", "namespace(x=1)", "cycler(1)", "dict"),
    *(
        "upper",
        "join",
        "replace",
        "sort",
        "map",
        "list",
        "batch",
        "slice",
        "sum",
        "format",
        "round",
    ),
    *("0", "-1", "10**9", "2**64", "1e999", "'%s'", "'a' * 99999", '"', "'", "\\", "\0", "\x1b[2J"),
    *(
        "---",
        "id:",
        "shows:",
        "supports: {a: [1]}",
        "\t",
        "\n",
        "\u202e",
        "é",
        "*a",
        "&a",
        "!!python",
    ),
    *(
        "{% for a in range(999) %}",
        "{% endfor %}",
        "{{ loop(items) }}",
        "{{ caller() }}",
        "{{ f() }}",
    ),
)
SOURCES = sorted((builtin_root() / "templates").glob("*/*.jinja"))


class Writer:
    """Writes templates of anything that Jinja has, sensible or not."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.depth = 4

    def one(self, *options: str) -> str:
        return self.rng.choice(options)

    def expression(self, depth: int = 3) -> str:
        if not depth:
            return self.one(
                *("word", "items", "asked", "item_1", "x", "ns.x", "loop.index", "loop", "none"),
                *("0", "1", "-7", "99999", "2**40", "1.5", "1e308", "'a'", "''", "'a' * 999"),
                *("[]", "()", "{}", "range(9)", "range(99999)", "true", "f", "caller", "cycler(1)"),
            )
        one, two = self.expression(depth - 1), self.expression(self.rng.randrange(depth))
        filters = (
            *("upper", "list", "length", "sort", "first", "last", "unique", "reverse", "string"),
            *(
                "int",
                "float",
                "abs",
                "sum",
                "max",
                "map('upper')",
                "map('list')",
                "select",
                "items",
            ),
            *(f"batch({two})", f"slice({two})", f"center({two})", f"join({two})", f"round({two})"),
            *(f"replace({two}, 'b')", f"indent({two})", f"default({two})", f"format({two})"),
            *(f"truncate({two})", f"wordwrap({two})", f"groupby({two})", f"filesizeformat({two})"),
        )
        methods = (
            *("upper()", "split()", f"center({two})", f"replace('a', {two})", f"format({two})"),
            *(
                f"join({two})",
                f"zfill({two})",
                f"expandtabs({two})",
                f"count({two})",
                "x",
                "next()",
            ),
            *(f"get({two})", "items()", "__class__", "index", "encode()", f"to_bytes({two})"),
        )
        return self.one(
            f"({one} {self.one('+', '-', '*', '/', '//', '%', '**', '~', 'and', 'or')} {two})",
            f"({one} {self.one('==', '<', '>=', 'in', 'not in', 'is sameas', 'is eq')} {two})",
            f"({one}) | {self.rng.choice(filters)}",
            f"({one}).{self.rng.choice(methods)}",
            f"({one})[{two}]",
            f"({one})[{two}:]",
            f"[{one}, {two}]",
            f"({one},)",
            f"{{{one}: {two}}}",
            f"({one} if {two} else {one})",
            f"f({one})",
            f"loop({one})",
            f"{one} is {self.one('defined', 'none', 'mapping', 'iterable', 'even', 'string')}",
        )

    def body(self) -> str:
        return "".join(self.statement() for _ in range(self.rng.randrange(1, 4)))

    def statement(self) -> str:
        if self.depth < 1 or self.rng.random() < 0.3:
            return self.one("x", f"{{{{ {self.expression()} }}}}", " \n", "{{ word }}")
        self.depth -= 1
        one, inner = self.expression(2), self.body()
        text = self.one(
            f"{{% for x in {one} %}}{inner}{{% else %}}{inner}{{% endfor %}}",
            f"{{% for x in {one} if {self.expression(1)} recursive %}}{inner}{{% endfor %}}",
            f"{{%- if {one} -%}}{inner}{{%- else -%}}{inner}{{%- endif -%}}",
            f"{{% set x = {one} %}}{inner}",
            f"{{% set x %}}{inner}{{% endset %}}{{{{ x }}}}",
            f"{{% set ns = namespace(x={one}) %}}{{% for x in range(99) %}}"
            f"{{% set ns.x = {self.expression(2)} %}}{{% endfor %}}{inner}",
            f"{{% macro f(x) %}}{inner}{{% endmacro %}}{{{{ f({one}) }}}}",
            f"{{% call f({one}) %}}{inner}{{% endcall %}}",
            f"{{% span p %}}{inner}{{% endspan %}}",
            f"{{% filter {self.one('upper', 'center(9)', 'join')} %}}{inner}{{% endfilter %}}",
            f"{{% with x = {one} %}}{inner}{{% endwith %}}",
            f"{{% raw %}}{inner}{{% endraw %}}",
        )
        self.depth += 1
        return text


def read_and_render(folder: Path, showable: Showable, inputs: dict[str, Any]) -> None:
    for template in load_templates("task", showable, folder).values():
        prompt = render(template, inputs)
        assert prompt.text.strip() == prompt.text != ""
        prompt.text.encode()
        for span in prompt.spans:
            assert 0 <= span.start < span.end <= len(prompt.text)


@fuzzed(150)
@given(st.integers(0, 2**48))
@pytest.mark.slow
def test_hostile_templates_written_at_random(tmp_path: Path, seed: int) -> None:
    rng, folder = Random(seed), tmp_path / "templates" / "task"
    folder.mkdir(parents=True, exist_ok=True)
    front = "---\nid: t\ndescription: d\nshows: [items, word, asked]\n---\n"
    (folder / "t.jinja").write_text(front + USE + Writer(rng).body(), encoding="utf-8")
    slots = {"items": ("item_1", "item_2"), "word": ("word",), "asked": ("asked",)}
    survives(lambda: read_and_render(tmp_path, Showable(slots), dict(INPUTS)))


@fuzzed(100)
@given(st.integers(0, 2**48))
def test_hostile_templates_changed_at_random(tmp_path: Path, seed: int) -> None:
    rng, folder = Random(seed), tmp_path / "templates" / "task"
    folder.mkdir(parents=True, exist_ok=True)
    source = rng.choice(SOURCES).read_text(encoding="utf-8")
    content = rewritten(source, rng, WORDS).encode("utf-8", "surrogatepass")
    content = damaged(content, rng) if rng.random() < 0.2 else content
    (folder / "t.jinja").write_bytes(content)
    shown = source.partition("shows: [")[2].partition("]")[0].replace(" ", "").split(",")
    # whatever these are in their own task: a text, or two
    values: dict[str, Any] = {name: "tea" for name in shown}
    slots = {name: (name,) for name in shown}
    for name in shown:
        if f"{name}_1" in source:
            values[name], slots[name] = ("tea", "cup"), (f"{name}_1", f"{name}_2")
    survives(lambda: read_and_render(tmp_path, Showable(slots), values))
