"""What templates show besides inputs: attributes of words, and variables of the causal model."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfgen import CausalModel, CfgenError, distinct, integers
from cfgen.causal import Words, WordTable
from cfgen.prompts import (
    Prompt,
    Showable,
    Template,
    find_spans,
    load_templates,
    parse_position,
    render,
    render_columns,
)
from cfgen.prompts.run import run_template

ROWS = (("Chad", "N'Djamena", "19"), ("Oz", "ſ City", "3"), ("Peru", "Lima", "034"))
COUNTRIES = Words(
    "countries", tuple(row[0] for row in ROWS), WordTable("countries", ("capital", "size"), ROWS)
)
Make = Callable[..., Template]


def model() -> CausalModel:
    made = CausalModel("task", output="answer")
    made.input("lands", distinct(COUNTRIES, 2), each="land")
    made.input("home", COUNTRIES)
    made.input("asked", integers(0, 1))

    @made.variable
    def target(lands: tuple[str, ...], asked: int) -> str:
        return lands[asked]

    @made.variable
    def turned(lands: tuple[str, ...]) -> tuple[str, ...]:
        return lands[::-1]

    @made.variable
    def total(lands: tuple[str, ...]) -> int:
        return sum(int(COUNTRIES[land].size) for land in lands)

    @made.variable
    def same(target: str, home: str) -> bool:
        return target == home

    @made.variable
    def answer(target: str, same: bool, turned: tuple[str, ...], total: int) -> str:
        return "home" if same else f"{COUNTRIES[target].capital} {turned} {total}"

    return made


@pytest.fixture
def make(write_template: Callable[..., Path], tmp_path: Path) -> Make:
    def made(body: str, *shows: str, **matter: Any) -> Template:
        write_template(tmp_path, "t", body, shows, **matter)
        return load_templates("task", Showable.of(model()), tmp_path)["t"]

    return made


def settings(n: int = 60) -> list[dict[str, Any]]:
    rng = random.Random(n)
    return [dict(model().run(model().sample(rng))) for _ in range(n)]


def rendered(template: Template, rows: Sequence[Mapping[str, Any]]) -> list[Prompt]:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    texts, spans = render_columns({"t": template}, ["t"] * len(rows), columns)
    return [Prompt(text, spans.at(row)) for row, text in enumerate(texts)]


class Land(str):
    """A word as plain Jinja sees it, with its attributes."""

    capital = property(lambda self: COUNTRIES[str(self)].capital)
    size = property(lambda self: COUNTRIES[str(self)].size)


def by_jinja(body: str, row: Mapping[str, Any]) -> str:
    """What plain Jinja makes of it."""
    lands = tuple(map(Land, row["lands"]))
    values = {**row, "lands": lands, "home": Land(row["home"])}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    return environment.from_string(body).render(values, land_1=lands[0], land_2=lands[1])


BODIES = {
    "an attribute": ("{{ home.capital }} of {{ home }}, {{ home.size }}.", "home"),
    "elements": ("{{ land_1.capital }}/{{ lands[1].capital }}: {{ land_2 }}", "lands"),
    "a loop": ("{% for l in lands %}{{ l.capital }} ({{ l }}); {% endfor %}.", "lands"),
    "changed": ("{{ home.capital | upper }}, {{ home.capital.lower() }}, {{ home }}", "home"),
    "joined": ("{{ lands | map(attribute='capital') | join(', ') }}.", "lands"),
    "looked at": ("{% if home.size == '3' %}small{% else %}{{ home.size }}{% endif %} x", "home"),
    "a number": ("{{ home.size | int + 1 }} {{ home['capital'] }}", "home"),
    "set": ("{% set c = home.capital %}{{ c }} and {{ c }}", "home"),
    "chosen": ("{{ (home if asked else land_1).capital }}.", "home", "lands", "asked"),
    "variables": ("{{ target }} is {{ total }}, {{ same }}.", "target", "total", "same"),
    "a tuple": ("{{ turned | join(' then ') }}: {{ turned[0] }}", "turned"),
    "a branch": ("{% if same %}our{% else %}{{ target }}'s{% endif %} x", "same", "target"),
    "both": ("{{ target }} not {{ home.capital }}{{ asked }}", "target", "home", "asked"),
}


@pytest.mark.parametrize(("body", "shows"), [(b, s) for b, *s in BODIES.values()], ids=BODIES)
def test_one_by_one_or_together_as_plain_jinja(make: Make, body: str, shows: list[str]) -> None:
    rows, template = settings(), make(body, *shows)
    expected = [run_template(template, row).prompt for row in rows]
    assert rendered(template, rows) == expected
    assert [render(template, row) for row in rows] == expected
    assert [prompt.text for prompt in expected] == [by_jinja(body, row) for row in rows]


PIECES = ["home", "home.capital", "land_1", "land_2.capital", "lands[asked].size", "target"]
PIECES += ["home.capital | title", "turned[1]", "total", "turned[asked] | lower", "asked"]


@hypothesis.settings(deadline=None, max_examples=40)  # each writes and loads a file
@given(shown=st.lists(st.sampled_from(PIECES), min_size=1, max_size=5), text=st.integers(0, 1))
def test_any_mixture(
    write_template: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
    shown: list[str],
    text: int,
) -> None:
    folder = tmp_path_factory.mktemp("project")
    body = "<" + ("" if text else " , ").join(f"{{{{ {piece} }}}}" for piece in shown) + ">"
    used = [name for name in model().names if any(name[:4] in piece for piece in shown)]
    used = [n for n in used if n != "asked" or "asked" in body] + ["lands"] * ("lands[" in body)
    write_template(folder, "t", body, tuple(dict.fromkeys(used)))
    template = load_templates("task", Showable.of(model()), folder)["t"]
    rows = settings(12)
    prompts = rendered(template, rows)
    assert [prompt.text for prompt in prompts] == [by_jinja(body, row) for row in rows]
    assert prompts == [run_template(template, row).prompt for row in rows]


def test_the_place_of_an_attribute_is_a_position(make: Make) -> None:
    template = make(
        "{% span q %}{{ home.capital }}{% endspan %}, {{ home }}: {{ home.capital }}", "home"
    )
    prompt = render(template, {"home": "Peru"})
    assert prompt.text == "Lima, Peru: Lima"
    for text, starts in {
        "home.capital": [0, 12],
        "home.capital[-1].all": [12],
        "q/home.capital.first": [0],
        "home": [6],
        "home.last": [6],
    }.items():
        assert str(parse_position(text)) == text.removesuffix(".last")
        assert [span.start for span in find_spans(prompt, text)] == starts
    with pytest.raises(CfgenError, match=r"(?s)position-unknown.*'home.capital'"):
        find_spans(prompt, "home.capitol")


def test_the_place_of_a_variable_is_a_position(make: Make) -> None:
    template = make(
        "{{ target }}: {{ turned | join(', ') }}; {{ total }}", "target", "turned", "total"
    )
    lands = {"lands": ("Oz", "Peru"), "home": "Chad", "asked": 1}
    prompt = render(template, dict(model().run(lands)))
    assert prompt.text == "Peru: Peru, Oz; 37"
    assert [(span.name, span.start) for span in prompt.spans] == [
        *[("target", 0), ("turned_1", 6), ("turned_2", 12), ("total", 16)]
    ]


@pytest.mark.parametrize(
    ("body", "shows", "code", "said"),
    [
        ("{{ home.capitol }}", ["home"], "template-undeclared", "did you mean 'capital'?"),
        ("{{ land_1.x }}", ["lands"], "template-undeclared", "no column 'x'"),
        ("{% if false %}{{ home.x }}{% endif %}a", ["home"], "template-undeclared", "no column"),
        ("{{ target }}", [], "template-shows", "variable 'target'"),
        ("{{ targt }}", ["target"], "template-undeclared", "did you mean 'target'?"),
        ("{{ target }}", ["target", "total"], "template-shows", "'total'"),
        ("{% set target = 1 %}{{ target }}", ["target"], "template-shadow", "variable"),
        ("{{ home }}", ["home", "hom"], "template-inputs", "not an input or variable"),
    ],
)
def test_what_is_not_there_is_found_before_anything_is_rendered(
    make: Make, body: str, shows: list[str], code: str, said: str
) -> None:
    with pytest.raises(CfgenError) as caught:
        make(body, *shows)
    problems = {problem.code: problem for problem in caught.value.problems}
    assert said in str(problems[code])
    assert problems[code].where.rpartition("t.jinja:")[2].isdigit()


def test_a_template_may_use_the_name_of_a_variable_that_it_does_not_show(make: Make) -> None:
    template = make("{% set target = 'x' %}{{ target }} {{ home }}", "home")
    assert render(template, {"home": "Oz"}).text == "x Oz"


def test_a_variable_cannot_be_shown_under_a_name_with_another_meaning(
    write_template: Callable[..., Path], tmp_path: Path
) -> None:
    slots = {"items": ("item_1", "item_2")}
    for name in ("loop", "range", "every", "item", "item_1"):
        write_template(tmp_path, "t", "x", (name,))
        with pytest.raises(CfgenError) as caught:
            load_templates("task", Showable(slots, [name]), tmp_path)
        assert "slot-name" in [problem.code for problem in caught.value.problems]


def test_only_inputs_can_be_restricted(make: Make) -> None:
    with pytest.raises(CfgenError, match="`supports` names 'total', which is not an input"):
        make("{{ total }}", "total", supports="{total: [22]}")


@pytest.mark.parametrize(
    ("body", "row", "code"),
    [
        ("{{ home.capital }}", {"home": "Narnia"}, "template-undefined"),
        (
            "{% for c in lands %}{{ c.x }}{% endfor %}",
            {"lands": ("Oz", "Peru")},
            "template-undefined",
        ),
        ("{{ target }}", {}, "input-missing"),
        ("{{ target }}", {"target": None}, "value-not-text"),
        ("{{ target }} x", {"target": ""}, "empty-text"),
        ("{{ turned }}", {"turned": ("a", "b")}, "value-not-text"),
    ],
)
def test_what_cannot_be_shown(make: Make, body: str, row: dict[str, Any], code: str) -> None:
    shows = [name for name in ("home", "lands", "target", "turned") if name in body]
    template = make(body, *shows)
    rows = [{**settings(1)[0], **row}] if code != "input-missing" else [{"home": "Oz"}]
    with pytest.raises(CfgenError) as one:
        render(template, rows[0])
    assert [problem.code for problem in one.value.problems] == [code]


def test_a_digest_knows_what_the_table_says(make: Make) -> None:
    template = make("{{ home.capital }}", "home")
    other = WordTable("countries", ("capital", "size"), (*ROWS[:2], ("Peru", "Cusco", "034")))
    assert template.digest != Template(**{**fields(template), "tables": {"home": other}}).digest


def fields(template: Template) -> dict[str, Any]:
    names = "id description task path shows supports answer_prefix slots sources paths tables"
    return {name: getattr(template, name) for name in names.split()}
