from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from cfgen.errors import CfgenError
from cfgen.prompts import Prompt, Span, Template, render
from cfgen.prompts.run import run_template

Load = Callable[..., Template]
INPUTS: dict[str, Any] = {"items": ("bob", "Carla"), "word": "tea", "asked": 1}
USED = "{% if [items, word, asked] is defined %}{% endif %}"  # so that any body shows all


def once(template: Template, inputs: dict[str, Any]) -> Prompt:
    """The prompt of one run, without anything that was learnt from others."""
    return run_template(template, inputs).prompt


@pytest.fixture(params=[render, once])
def rendered(request: pytest.FixtureRequest, load: Load) -> Callable[..., Prompt]:
    """Renders a body, from what is known and by one run."""

    def from_body(body: str, inputs: dict[str, Any] | None = None, **options: Any) -> Prompt:
        prompt: Prompt = request.param(load(USED + body, **options), inputs or INPUTS)
        return prompt

    return from_body


def shown(prompt: Prompt) -> list[tuple[str, int, str]]:
    return [(s.name, s.mention, prompt.text[s.start : s.end]) for s in prompt.spans]


@pytest.mark.parametrize(
    ("body", "text", "spans"),
    [
        ("{{ item_1 }}.", "bob.", [("item_1", 0, "bob")]),
        (
            "{{ items[asked] }} {{ items[0] }}",
            "Carla bob",
            [("item_2", 0, "Carla"), ("item_1", 0, "bob")],
        ),
        (
            "{% for x in items %}{{ x }}, {% endfor %}{{ item_1 }}",
            "bob, Carla, bob",
            [("item_1", 0, "bob"), ("item_2", 0, "Carla"), ("item_1", 1, "bob")],
        ),
        ("{{ item_1 | capitalize }}!", "Bob!", [("item_1", 0, "Bob")]),
        ("{{ item_1 | replace('b', 'bbb') }}!", "bbbobbb!", [("item_1", 0, "bbbobbb")]),
        ("{{ item_1.upper() }}{{ word[:2] }}", "BOBte", [("item_1", 0, "BOB"), ("word", 0, "te")]),
        ("{{ item_1 | center(5) }}|", None, "prompt-edge"),
        ("<{{ item_1 | center(5) }}>", "< bob >", [("item_1", 0, " bob ")]),
        (
            "{% macro m(x, y='the ') %}{{ y ~ x | upper }}{% endmacro %}"
            "{{ m(items[1]) }} {{ m(word, y='a ') }}",
            "the CARLA a TEA",
            [("item_2", 0, "CARLA"), ("word", 0, "TEA")],
        ),
        (
            "{% macro m() %}<{{ caller(word) }}>{% endmacro %}"
            "{% call(x) m() %}{{ x }} of {{ item_1 }}{% endcall %}",
            "<tea of bob>",
            [("word", 0, "tea"), ("item_1", 0, "bob")],
        ),
        (
            "{% set s %}{{ item_1 }} and {{ item_2 }}{% endset %}"
            "{{ s | capitalize }}; {{ s | upper }}",
            "Bob and carla; BOB AND CARLA",
            [
                ("item_1", 0, "Bob"),
                ("item_2", 0, "carla"),
                ("item_1", 1, "BOB"),
                ("item_2", 1, "CARLA"),
            ],
        ),
        (
            "{% filter trim %}  a {{ word }} {% endfilter %}.",
            "a tea.",
            [("word", 0, "tea")],
        ),
        (
            "{{ 'a ' ~ item_1 ~ 1 ~ item_2 + '.' }}",
            "a bob1Carla.",
            [("item_1", 0, "bob"), ("item_2", 0, "Carla")],
        ),
        (
            "{{ items | join(' & ') }}",
            "bob & Carla",
            [("item_1", 0, "bob"), ("item_2", 0, "Carla")],
        ),
        ("{{ ', '.join(items) }}", "bob, Carla", [("item_1", 0, "bob"), ("item_2", 0, "Carla")]),
        (
            "{{ items | map('upper') | reverse | join(word) }}",
            "CARLAteaBOB",
            [("item_2", 0, "CARLA"), ("word", 0, "tea"), ("item_1", 0, "BOB")],
        ),
        ("{{ items | sort | last }}", "Carla", [("item_2", 0, "Carla")]),
        ("{{ item_1 * 2 }}", "bobbob", [("item_1", 0, "bob"), ("item_1", 1, "bob")]),
        (
            "{% span p %}say {% span q %}{{ word }}{% endspan %}{% endspan %}, {{ word }}",
            "say tea, tea",
            [("p", 0, "say tea"), ("q", 0, "tea"), ("word", 0, "tea"), ("word", 1, "tea")],
        ),
        ("{% span asked %}{{ 'yes' if word == 'tea' else 'no' }}{% endspan %}", None, None),
        ("{{ asked }}, {{ asked + 1 }}", "1, 2", [("asked", 0, "1"), ("asked", 1, "2")]),
        ("{{ 3 }} {{ 'a' }}", "3 a", [("value_6", 0, "3"), ("value_6", 1, "a")]),
        ("{{ item_1 | length }}", "3", [("value_6", 0, "3")]),
        ("{{ 'is' if item_1 == 'bob' else 'are' }}", "is", [("value_6", 0, "is")]),
        ("{{ 'hot' if word == 'tea' else 'cold' }}", "hot", [("word", 0, "hot")]),
        ("{{ items[asked - 1][0] | upper }}", "B", [("item_1", 0, "B")]),
        ("{{ item_2.split('r') | last }}", "la", [("item_2", 0, "la")]),
        (
            "{% for c in word %}{{ c }}{% endfor %}",
            "tea",
            [("word", 0, "t"), ("word", 1, "e"), ("word", 2, "a")],
        ),
    ],
)
def test_known_prompts(
    rendered: Callable[..., Prompt], body: str, text: str | None, spans: Any
) -> None:
    if text is not None:
        prompt = rendered(body)
        assert prompt.text == text
        assert shown(prompt) == spans
    elif isinstance(spans, str):
        with pytest.raises(CfgenError) as caught:
            rendered(body)
        assert [problem.code for problem in caught.value.problems] == [spans]
    else:
        assert shown(rendered(body)) == [("asked", 0, "yes"), ("word", 0, "yes")]


def test_includes_and_imports_keep_spans(rendered: Callable[..., Prompt]) -> None:
    partials = {
        "_who.jinja": "{{ x }} with {{ word }}\n",
        "_say.jinja": "{% macro say(x) %}«{{ x }}»{% endmacro %}",
    }
    body = (
        "{% import '_say.jinja' as m %}{% from '_say.jinja' import say %}"
        "{% for x in items %}{% include '_who.jinja' %}, {% endfor %}"
        "{{ m.say(word) }} {{ say('x') }}"
    )
    prompt = rendered(body, partials=partials)
    assert prompt.text == "bob with tea, Carla with tea, «tea» «x»"
    assert shown(prompt) == [
        ("item_1", 0, "bob"),
        ("word", 0, "tea"),
        ("item_2", 0, "Carla"),
        ("word", 1, "tea"),
        ("word", 2, "tea"),
        ("x", 0, "x"),
    ]


def test_state_in_an_imported_file_does_not_outlive_a_render(load: Load) -> None:
    partial = "{% set n = namespace(k=0) %}{% macro count() %}"
    partial += "{% set n.k = n.k + 1 %}{{ n.k }}{% endmacro %}"
    body = "{% import '_n.jinja' as m %}{{ m.count() }}{{ m.count() }} {{ word }}"
    template = load(body, ("word",), {"_n.jinja": partial})
    assert [once(template, INPUTS).text for _ in range(2)] == ["12 tea"] * 2


def test_few_runs_serve_many_values(load: Load) -> None:
    body = (
        "{% span story %}{{ item_1 | capitalize }} and {{ items[1].upper() }}"
        "{% if word == 'tea' %} drink{% endif %}{% endspan %}: {{ items[asked] }}?"
    )
    template = load(body)
    cases = [
        {"items": (a, b), "word": word, "asked": asked}
        for a, b in (("bob", "Carla"), ("ß", "ŉ"), ("x y", "Ǆ"))
        for word in ("tea", "milk")
        for asked in (0, 1)
    ]
    assert [render(template, case) for case in cases] == [once(template, c) for c in cases]
    plan = template.cache["plan"]
    assert plan.looked == {"word"}
    assert len(plan.stencils) == 4


def test_types_that_are_equal_are_told_apart(load: Load) -> None:
    template = load("{{ asked }} {{ word }}", ("asked", "word"))
    texts = [
        render(template, {"asked": value, "word": "x"}).text for value in (1, True, 1.0, 0, False)
    ]
    assert texts == ["1 x", "True x", "1.0 x", "0 x", "False x"]


@pytest.mark.parametrize(
    ("body", "code", "line", "said"),
    [
        ("\n{{ word | replace('tea', '') }}x", "empty-text", 7, "'word' renders as empty text"),
        ("{{ '' if asked else 'x' }}x", "empty-text", 6, "'asked' renders"),
        ("a{% span p %}{% endspan %}", "empty-text", 6, "'p' renders"),
        ("{{ none }}", "value-not-text", 6, "nothing (None)"),
        ("{{ items }}", "value-not-text", 6, "a tuple"),
        ("{{ 'a' if not asked }}", "value-not-text", 6, "without `else`"),
        ("{{ word }} ", "prompt-edge", None, "ends in whitespace"),
        ("\n{{ word }}", "prompt-edge", None, "starts in whitespace"),
        (" ", "prompt-edge", None, "is empty"),
        ("{{ items[5] }}", "template-undefined", 6, "no element 5"),
        ("{{ word.length }}", "template-undefined", 6, "length"),
        ("{% filter replace('a', 'b') %}a {{ word }}{% endfilter %}", "span-lost", 6, "'replace'"),
        ("{{ ('a ' ~ word)[1:4] }}", "span-lost", 6, "cutting through 'word'"),
        ("{{ ('a ' ~ word)[::2] }}", "span-lost", 6, "n-th"),
        ("{{ 'a %s' | format(word) }}", "span-lost", 6, "'format'"),
        ("{{ 'a {}'.format(word) }}", "span-lost", 6, "format"),
        ("{{ 'a %s' % word }}", "span-lost", 6, "formatting"),
        ("{{ 'a %s %s' % items }}", "span-lost", 6, "formatting"),
        ("{{ 'abc'.replace('b', word) }}", "span-lost", 6, "replace"),
        ("{{ word.replace('t', item_1) }}", "span-lost", 6, "replace"),
        ("{{ word | replace('t', item_1) }}", "span-lost", 6, "replace"),
        ("{{ items | string }}", "span-lost", 6, "string"),
        ("{% span word %}x{% endspan %} {{ word }}", "span-name", None, "'word'"),
        ("{% for i in range(99999) %}{{ word }}{% endfor %}", "prompt-too-long", None, "100,000"),
        ("{{ 'ab' * 99999 }}", "prompt-too-long", 6, "100,000"),
        ("{{ 1 / 0 }}", "template-failed", 6, "ZeroDivisionError"),
        ("{{ word | truncate(1) }}", "template-failed", 6, "AssertionError"),
        ("{{ word.__class__ }}", "template-undefined", 6, "__class__"),
    ],
)
def test_faults_are_told_with_their_line(
    rendered: Callable[..., Prompt], body: str, code: str, line: int | None, said: str
) -> None:
    with pytest.raises(CfgenError) as caught:
        rendered(body)
    (problem,) = caught.value.problems
    assert (problem.code, said in problem.message) == (code, True), problem
    place = problem.where.rpartition("/")[2]
    assert place == ("t.jinja" if line is None else f"t.jinja:{line}")
    assert "word = 'tea'" in problem.detail


def test_a_fault_in_an_included_file_names_that_file(rendered: Callable[..., Prompt]) -> None:
    with pytest.raises(CfgenError) as caught:
        rendered("{% include '_p.jinja' %}", partials={"_p.jinja": "a\n\n{{ items }}"})
    assert caught.value.problems[0].where.endswith("_p.jinja:3")


@pytest.mark.parametrize("way", [render, once])
def test_inputs_are_checked_all_at_once(load: Load, way: Callable[..., Prompt]) -> None:
    template = load(
        "{{ word }}{{ items[asked] }}",
        supports="{asked: [0, 1], other: [a, no]}",
        slots={
            "items": ("item_1", "item_2"),
            "word": ("word",),
            "asked": ("asked",),
            "other": ("other",),
        },
    )
    good = {**INPUTS, "other": "no"}
    assert way(template, good).text == "teaCarla"
    with pytest.raises(CfgenError) as caught:
        way(template, {"items": ("a",), "word": ("b",), "asked": 2})
    codes = [problem.code for problem in caught.value.problems]
    assert codes == ["input-shape", "input-shape", "input-unsupported", "input-missing"]
    with pytest.raises(CfgenError, match="does not support asked = True"):
        way(template, {**good, "asked": True})
    with pytest.raises(CfgenError, match="does not support other = 'b'"):
        way(template, {**good, "other": "b"})


def test_an_empty_value_is_refused_after_a_stencil_was_found(load: Load) -> None:
    template = load("a {{ word }}", ("word",))
    assert render(template, {"word": "x"}) == Prompt("a x", (Span("word", 0, 2, 3),))
    with pytest.raises(CfgenError, match="empty-text"):
        render(template, {"word": ""})
    with pytest.raises(CfgenError, match="prompt-edge"):
        render(template, {"word": "x "})


def test_many_different_keys_stay_bounded(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("cfgen.prompts.render")
    monkeypatch.setattr(module, "MAX_STENCILS", 5)
    template = load("{{ asked }} {{ word }}", ("asked", "word"))
    texts = [render(template, {"asked": n, "word": "x"}).text for n in range(20)]
    assert texts == [f"{n} x" for n in range(20)]
    assert len(template.cache["plan"].stencils) == 5


def test_a_template_can_be_sent_to_another_process(load: Load) -> None:
    template = load("{{ word }}{{ items[asked] }}")
    expected = render(template, INPUTS)
    copy = pickle.loads(pickle.dumps(template))
    assert copy == template
    assert copy.digest == template.digest
    assert render(copy, INPUTS) == expected


def test_what_is_not_supported_is_told_apart_by_type_too(load: Load) -> None:
    template = load("{{ word }}{{ items[asked] }}", supports="{asked: [1], word: [a, b]}")
    assert template.unsupported({"asked": 1, "word": "a"}) == []
    assert template.unsupported({"asked": True, "word": "c"}) == ["asked", "word"]
    assert template.unsupported({"word": "b"}) == []
