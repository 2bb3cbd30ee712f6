from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cfgen.errors import CfgenError, Problem
from cfgen.prompts import Showable, Template, load_templates, render

Load = Callable[..., Template]
Write = Callable[..., Path]
SLOTS = {"items": ("item_1", "item_2"), "word": ("word",), "asked": ("asked",)}
USED = "{% if [items, word, asked] is defined %}{% endif %}"


def problems(load: Load, body: str, **options: Any) -> list[tuple[str, str, str]]:
    """Code, place within the folder and hint of everything that is wrong with a template."""
    with pytest.raises(CfgenError) as caught:
        load(body, **options)
    return [(p.code, p.where.rpartition("/")[2], p.hint) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("body", "code", "place", "hint"),
    [
        ("\n{{ itms }}", "template-undeclared", "t.jinja:7", "did you mean 'items'?"),
        ("{% if false %}\n{{ x }}{% endif %}", "template-undeclared", "t.jinja:7", ""),
        ("{{ 'a' if true else item_3 }}", "template-undeclared", "t.jinja:6", "item_"),
        ("{% macro m() %}\n{{ item_9 }}{% endmacro %}", "template-undeclared", "t.jinja:7", ""),
        ("{% for x in items %}{% endfor %}\n{{ x }}", "template-undeclared", "t.jinja:7", ""),
        ("{% set a = b %}{% set b = 1 %}", "template-undeclared", "t.jinja:6", ""),
        ("{{ loop.index }}", "template-undeclared", "t.jinja:6", ""),
        ("{% span p %}{% set a = 1 %}{% endspan %}{{ a }}", "template-undeclared", "t.jinja:6", ""),
        ("{{ lipsum() }}", "template-undeclared", "t.jinja:6", ""),
        ("{{ word | captalize }}", "template-function", "t.jinja:6", "'capitalize'"),
        ("{% if asked %}{{ word | uper }}{% endif %}", "template-function", "t.jinja:6", "'upper'"),
        ("{{ items | random }}", "template-function", "t.jinja:6", "same text every time"),
        ("{{ word | e }}", "template-function", "t.jinja:6", "not HTML"),
        ("{{ 'a' if word is evn }}", "template-function", "t.jinja:6", "'even'"),
        ("{% set word = 'x' %}", "template-shadow", "t.jinja:6", "another name"),
        ("{% for item_1 in items %}{% endfor %}", "template-shadow", "t.jinja:6", ""),
        ("{% macro m(asked) %}{% endmacro %}", "template-shadow", "t.jinja:6", ""),
        ("{% set range = 1 %}", "template-shadow", "t.jinja:6", ""),
        (
            "{% for x in items %}{% include '_l.jinja' %}{% endfor %}",
            "template-undeclared",
            "_l.jinja:1",
            "",
        ),
        ("{% span item_1 %}x{% endspan %}", "span-name", "t.jinja:6", "another name"),
        ("{% span last %}x{% endspan %}", "span-name", "t.jinja:6", "another name"),
        ("{% extends '_a.jinja' %}", "template-tag", "t.jinja:6", "include"),
        ("{% block b %}{% endblock %}", "template-tag", "t.jinja:6", "include"),
        ("{% autoescape true %}{% endautoescape %}", "template-tag", "t.jinja:6", "HTML"),
        ("{% include '_b.jinja' %}", "template-include", "t.jinja:6", ".jinja'?"),
        ("{% include word %}", "template-include", "t.jinja:6", "quotes"),
        (
            "{% include '_a.jinja' ignore missing %}",
            "template-include",
            "t.jinja:6",
            "leave it out",
        ),
        ("{% include 't.jinja' %}", "template-include", "t.jinja:6", "start"),
        ("{% from '_a.jinja' import doubl %}", "template-undeclared", "t.jinja:6", "'double'"),
        (
            "{% import '_a.jinja' as m %}{{ m.doubl(1) }}",
            "template-undeclared",
            "t.jinja:6",
            "'double'",
        ),
        ("{% if asked %}", "template-syntax", "t.jinja:6", ""),
        ("\n{% spam p %}", "template-syntax", "t.jinja:7", ""),
        ("{% span %}x{% endspan %}", "template-syntax", "t.jinja:6", ""),
        ("{{ word ", "template-syntax", "t.jinja:6", ""),
    ],
)
def test_mistakes_in_a_body_are_found_at_load(
    load: Load, body: str, code: str, place: str, hint: str
) -> None:
    partials = {"_a.jinja": "{% macro double(x) %}{{ x }}{{ x }}{% endmacro %}"}
    partials["_l.jinja"] = "{{ loop.index }}"
    found = problems(load, USED + body, partials=partials)
    assert [(c, w) for c, w, _ in found] == [(code, place)]
    assert hint in found[0][2]


def test_names_that_exist_are_not_reported(load: Load) -> None:
    partials = {
        "_a.jinja": "{% macro double(x) %}{{ x }}{{ once(x) }}{% endmacro %}"
        "{% macro once(x) %}{{ x ~ end }}{% endmacro %}{% set end = '!' %}",
        "_b.jinja": "{{ inner }}{{ word }}{{ asked }}",
    }
    body = USED + (
        "{% import '_a.jinja' as m %}{% from '_a.jinja' import double as twice %}"
        "{% macro own(a, b=a) %}{{ a }}{{ later }}"
        "{{ varargs | length }}{{ caller() }}{% endmacro %}"
        "{% set later = '.' %}"
        "{% if asked %}{% set c = 1 %}{% else %}{% set c = 2 %}{% endif %}{{ c }}"
        "{% call own(word) %}x{% endcall %}{{ m.double(word) }}{{ twice(item_1) }}"
        "{% for inner in items if inner != later %}"
        "{% include '_b.jinja' %}{% else %}{{ c }}{% endfor %}"
        "{% with d = c %}{{ d }}{% endwith %}"
        "{% set ns = namespace(k=1) %}{% set ns.k = 2 %}{{ ns.k }}"
    )
    prompt = render(load(body, partials=partials), {"items": ("a", "b"), "word": "c", "asked": 1})
    own, double, twice = "c.0x", "cc!", "aa!"
    assert prompt.text == f"1{own}{double}{twice}ac1bc112"


def test_mistakes_in_an_included_file_are_placed_there(load: Load) -> None:
    partials = {"_a.jinja": "ok\n{{ nothing }}", "_b.jinja": "{% include '_a.jinja' %}"}
    found = problems(
        load, USED + "{% include '_b.jinja' %}{% include '_a.jinja' %}", partials=partials
    )
    assert [(code, place) for code, place, _ in found] == [("template-undeclared", "_a.jinja:2")]


def test_imported_files_do_not_see_inputs(load: Load) -> None:
    partials = {"_a.jinja": "{% macro m() %}{{ word }}{% endmacro %}"}
    found = problems(load, USED + "{% import '_a.jinja' as a %}{{ a.m() }}", partials=partials)
    assert [(code, place) for code, place, _ in found] == [("template-undeclared", "_a.jinja:1")]
    assert "with context" in found[0][2]
    load(USED + "{% import '_a.jinja' as a with context %}{{ a.m() }}", partials=partials)


def test_files_that_include_each_other(load: Load) -> None:
    partials = {"_a.jinja": "{% include '_b.jinja' %}", "_b.jinja": "\n{% include '_a.jinja' %}"}
    with pytest.raises(
        CfgenError, match=r"_b\.jinja:2: .* t\.jinja -> _a\.jinja -> _b\.jinja -> _a"
    ):
        load(USED + "{% include '_a.jinja' %}", partials=partials)


def test_shows_is_checked_both_ways(load: Load) -> None:
    assert problems(load, "{{ word }}{{ item_2 }}", shows=("word", "asked")) == [
        ("template-shows", "t.jinja:6", "add items to `shows` in the front matter"),
        ("template-shows", "t.jinja:4", "remove it from `shows`, or show it"),
    ]


GOOD = "id: t\ndescription: Words.\nshows: [word]\n"


@pytest.mark.parametrize(
    ("matter", "code", "line", "said"),
    [
        (GOOD.replace("id: t", "id: other"), "template-id", 2, "the file is called 't'"),
        (GOOD.replace("Words.", "'  '"), "front-matter", 3, "description is empty"),
        (GOOD.replace("Words.", "12"), "front-matter", 3, "not 12"),
        (GOOD.replace("[word]", "[word, asked_]"), "template-inputs", 4, "'asked_', which is not"),
        (GOOD.replace("[word]", "[word, word]"), "template-inputs", 4, "'word' twice"),
        (GOOD.replace("[word]", "word"), "front-matter", 4, "not 'word'"),
        (GOOD.replace("[word]", "[word"), "front-matter", 5, "not valid YAML"),
        (GOOD + "supports: {askd: [1]}\n", "template-inputs", 5, "'askd'"),
        (GOOD + "supports: {asked: []}\n", "template-inputs", 5, "no value"),
        (GOOD + "supports: {asked: [[1]]}\n", "front-matter", 5, "asked"),
        (GOOD + "suports: {asked: [1]}\n", "front-matter", 5, "unknown key 'suports'"),
        (GOOD + "answer_prefix: 1\n", "front-matter", 5, "not 1"),
        (GOOD + "id: t\n", "front-matter", 5, "'id' is given twice"),
        (GOOD + "[id]: t\n", "front-matter", 5, "a key is a list"),
        (GOOD + "{id: t}: t\n", "front-matter", 5, "has keys of its own"),
        (GOOD + "requires: {[a]: b}\n", "front-matter", 5, "a key is a list"),
        ("description: Words.\nshows: [word]\n", "front-matter", 1, "lacks 'id'"),
        ("- id\n", "front-matter", 2, "key: value"),
    ],
)
def test_mistakes_in_front_matter(
    tmp_path: Path, matter: str, code: str, line: int, said: str
) -> None:
    found = load_text(tmp_path, f"---\n{matter}---\n{{{{ word }}}}")
    assert [p.code for p in found] == [code]
    assert found[0].where.endswith(f"t.jinja:{line}")
    assert said in found[0].message


def load_text(folder: Path, text: str | bytes) -> tuple[Problem, ...]:
    """What is wrong with a template file of this text."""
    path = folder / "templates" / "task" / "t.jinja"
    path.parent.mkdir(parents=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CfgenError) as caught:
        load_templates("task", Showable(SLOTS), folder)
    return caught.value.problems


def test_files_without_front_matter_or_not_utf8(tmp_path: Path) -> None:
    assert load_text(tmp_path / "a", "{{ word }}")[0].code == "front-matter"
    (problem,) = load_text(tmp_path / "b", b"---\nid: t\n\xff\n")
    assert (problem.code, problem.where[-9:]) == ("text-file", "t.jinja:3")


def test_words_in_front_matter_stay_words(load: Load) -> None:
    template = load(
        "{{ word }}",
        ("word",),
        supports="{word: [yes, no, on, 010, 1_0, 1e3, 2020-01-01, '1'], asked: [1, true, null]}",
    )
    assert template.supports == {
        "word": ("yes", "no", "on", "010", "1_0", "1e3", "2020-01-01", "1"),
        "asked": (1, True, None),
    }


def test_all_problems_of_all_files_are_reported_together(
    tmp_path: Path, write_template: Write
) -> None:
    write_template(tmp_path, "a", "{{ nothing }}{{ word | nix }}", ("word",))
    write_template(tmp_path, "b", "{{ word }}", ("word", "asked"))
    write_template(tmp_path, "c", "{% if %}", ("word",), {"_p.jinja": "{{ word }"})
    write_template(tmp_path, "d", "{{ word }}", ("word",), id="e")
    with pytest.raises(CfgenError) as caught:
        load_templates("task", Showable(SLOTS), tmp_path)
    assert sorted(problem.code for problem in caught.value.problems) == [
        "template-function",
        "template-id",
        "template-shows",
        "template-syntax",
        "template-syntax",
        "template-undeclared",
    ]


def test_the_first_root_wins_file_by_file(tmp_path: Path, write_template: Write) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write_template(first, "b", "mine {{ word }}", ("word",))
    for name in ("a", "b"):
        body = "{% include '_p.jinja' %} {{ word }}"
        write_template(second, name, body, ("word",), {"_p.jinja": "theirs"})
    (first / "templates/task/_p.jinja").write_text("ours")
    templates = load_templates("task", Showable(SLOTS), first, second)
    texts = {name: render(template, {"word": "x"}).text for name, template in templates.items()}
    assert texts == {"a": "ours x", "b": "mine x"}


def test_line_ends_and_a_byte_order_mark_make_no_difference(
    tmp_path: Path, write_template: Write
) -> None:
    digests, texts = set(), set()
    for number, end in enumerate(("\n", "\r\n", "\r")):
        path = write_template(tmp_path / str(number), "t", "a\n\n{{ word }}\n", ("word",))
        data = path.read_bytes().replace(b"\n", end.encode())
        path.write_bytes(b"\xef\xbb\xbf" + data if number else data)
        template = load_templates("task", Showable(SLOTS), tmp_path / str(number))["t"]
        digests.add(template.digest)
        texts.add(render(template, {"word": "x"}).text)
    assert len(digests) == 1
    assert texts == {"a\n\nx"}


def test_the_digest_changes_with_an_included_file(load: Load) -> None:
    digests = {
        load("{% include '_p.jinja' %}", ("word",), {"_p.jinja": text}).digest
        for text in ("{{ word }}", "{{ word }}!", "{{ word }}")
    }
    assert len(digests) == 2


def test_a_task_without_templates(tmp_path: Path) -> None:
    with pytest.raises(CfgenError, match="no-templates") as caught:
        load_templates("task", Showable(SLOTS), tmp_path)
    assert str(tmp_path) in str(caught.value) or ".." in str(caught.value)


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        ({"last": ("last",)}, "special meaning"),
        ({"range": ("range",)}, "special meaning"),
        ({"items": ("item_1", "item_2"), "item_1": ("item_1",)}, "already the name"),
        ({"a b": ("a b",)}, "not a name"),
    ],
)
def test_names_of_inputs_that_cannot_be_shown(
    tmp_path: Path, slots: dict[str, tuple[str, ...]], said: str
) -> None:
    with pytest.raises(CfgenError, match=said):
        load_templates("task", Showable(slots), tmp_path)
