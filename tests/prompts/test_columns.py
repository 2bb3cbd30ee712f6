"""Prompts rendered as columns, against the same prompts by one run each."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from cfgen import load_task
from cfgen.errors import CfgenError
from cfgen.prompts import Prompt, Spans, Template, render, render_columns
from cfgen.prompts.run import run_template
from cfgen.tasks import list_tasks

Load = Callable[..., Template]
PEN = {"items": ("pen", "cup"), "word": "red", "asked": 0}


def prompts(texts: Sequence[str], spans: Spans) -> list[Prompt]:
    """Columns as prompts."""
    return [Prompt(text, spans.at(row)) for row, text in enumerate(texts)]


def rendered(template: Template, rows: Sequence[Mapping[str, Any]]) -> list[Prompt]:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return prompts(*render_columns({"t": template}, ["t"] * len(rows), columns))


@pytest.mark.parametrize("name", sorted(list_tasks()))
def test_builtin_tasks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every template, many values; and few runs, none of them twice."""
    task, rng = load_task(name), random.Random(name)
    model, rows, expected = task.causal_model, [], []
    while len(rows) < 300:
        row = dict(model.run(model.sample(rng)))  # templates may show variables
        try:
            expected.append(run_template(task.templates[row["template"]], row).prompt)
        except CfgenError as error:  # not every wording has room for every value
            if {problem.code for problem in error.problems} != {"input-unsupported"}:
                raise
            continue
        rows.append(row)
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    assert prompts(*render_columns(task.templates, columns["template"], columns)) == expected
    monkeypatch.delattr(importlib.import_module("cfgen.prompts.render"), "run_template")
    assert prompts(*render_columns(task.templates, columns["template"], columns)) == expected
    assert [render(task.templates[row["template"]], row) for row in rows] == expected
    stencils = sum(len(t.cache["plan"].stencils) for t in task.templates.values())
    assert stencils < 200


def test_spans_of_prompts_are_their_spans(load: Load) -> None:
    template = load("{{ item_1 }} {{ item_2 }}{% if asked %} {{ word }} {{ item_1 }}{% endif %}.")
    made = [render(template, {**PEN, "asked": asked}) for asked in (0, 1, 1, 0)]
    none = Prompt("nothing", ())
    assert prompts([p.text for p in made], Spans.of(made)) == made
    assert prompts(["nothing"], Spans.of([none])) == [none]


@pytest.mark.parametrize(
    "body",
    [
        "100%: {{ item_1 }}%s %(x)s {{ item_2 }}{{ word }} {{ asked }}",
        "{{ word }}{{ item_1 }}{{ items[asked] }}",
        "{{ items | join(', ') }} {{ word | upper }}",
        "{% if word == 'blue' %}B{% else %}not {{ item_1 }}{% endif %} {{ item_2 }} {{ asked }}",
        "{% span all %}{{ items[asked] }} {% span one %}{{ word }}{% endspan %}{% endspan %}",
        "a{% if [items, word, asked] is defined %}{% endif %}",
    ],
)
def test_one_by_one_or_together(load: Load, body: str) -> None:
    use = "{% if [items, word, asked] is defined %}{% endif %}"
    template, rng = load(use + body), random.Random(body)
    rows = [
        {
            "items": tuple(rng.choices(["pen", "ß", "100%", "two words", "%s"], k=2)),
            "word": rng.choice(["red", "blue", "%d", "ﬁn"]),
            "asked": rng.choice([0, 1, True]),
        }
        for _ in range(80)
    ]
    assert rendered(template, rows) == [run_template(template, row).prompt for row in rows]


def test_inputs_found_to_be_looked_at_only_in_the_middle(load: Load) -> None:
    """Only if asked is 1 does the template look at the word; then all rows are grouped anew."""
    template = load(
        "{{ item_1 }} {{ item_2 }} "
        "{% if asked %}{% if word == 'blue' %}sky{% else %}{{ word }}{% endif %}{% endif %}."
    )
    rows = [
        {**PEN, "word": word, "asked": asked}
        for asked in (0, 1)
        for word in ("red", "blue", "green", "blue")
    ]
    assert rendered(template, rows) == [run_template(template, row).prompt for row in rows]


@pytest.mark.parametrize(
    "wrong",
    [{"items": ("pen", "")}, {"word": " red"}, {"items": ("pen",)}, {"word": "x" * 100_001}],
)
def test_what_is_wrong_with_one_row_is_said(load: Load, wrong: dict[str, Any]) -> None:
    template = load("{{ word }} {{ item_1 }} {{ item_2 }}{{ asked }}")
    rows = [PEN, {**PEN, **wrong}, PEN]
    with pytest.raises(CfgenError) as alone:
        render(template, rows[1])
    with pytest.raises(CfgenError) as together:
        rendered(template, rows)
    assert str(together.value) == str(alone.value)
