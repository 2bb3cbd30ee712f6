"""A small task without flaws, into which the tests plant one flaw each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

TASK = '''"""Toy: which of two things is asked for."""

from cfgen import CausalModel, Design, Hypothesis, Site, TaskDefinition
from cfgen import choice, distinct, edits, integers, lexicon, templates

model = CausalModel("toy", output="answer")
model.input("template", templates("toy"))
model.input("words", distinct(lexicon("toys"), 2))
model.input("asked", integers(0, 1))
model.input("mood", choice(["calm", "loud"]))


@model.variable
def pointer(asked: int) -> int:
    return asked


@model.variable
def answer(pointer: int, words: tuple[str, ...]) -> str:
    return words[pointer]


designs = [
    Design(
        "other",
        counterfactual=[edits.flip("asked"), edits.resample("words", disjoint=True)],
        contrast=["pointer"],
    ),
]
hypotheses = [
    Hypothesis("pointer", interchange=["pointer"], site=Site("last")),
]
task = TaskDefinition(
    causal_model=model,
    designs=designs,
    hypotheses=hypotheses,
    version="1",
    default_design="other",
    default_model="smollm2-135m",
)
'''
PLAIN = """---
id: plain
description: One line.
shows: [words, asked, mood]
---
{% span list %}Here are {{ word_1 }} and {{ word_2 }}.{% endspan %} My
{%- if mood == "calm" %} calm{% else %} loud{% endif %} answer, take the
{{- " first" if asked == 0 else " other" }}:
"""
SHORT = """---
id: short
description: Fewer words, and only for calm people.
shows: [words, asked]
supports: {mood: [calm]}
---
{% span list %}{{ word_1 }}, {{ word_2 }}.{% endspan %} {% include "_which.jinja" %}:
"""
WHICH = """{% if asked == 0 %}First{% else %}Other{% endif %}
"""
FILES = {
    "causal_models/toy.py": TASK,
    "templates/toy/plain.jinja": PLAIN,
    "templates/toy/short.jinja": SHORT,
    "templates/toy/_which.jinja": WHICH,
    "data/lexicons/toys.txt": "ball\nbear\nboat\ndrum\nkite\nlamp\nring\nsled\n",
}

Changes = Mapping[str, tuple[str, str] | str]
"""File -> what is replaced in it by what, or all of its text."""


@dataclass(frozen=True)
class Project:
    """A project's folder with the task ``toy``, in which the test stands."""

    root: Path

    def plant(self, changes: Changes) -> None:
        """Change files; what is replaced must be there, and is replaced everywhere."""
        for name, change in changes.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(change, str):
                text = change
            else:
                before = path.read_text(encoding="utf-8")
                assert change[0] in before, (name, change[0])
                text = before.replace(*change)
            path.write_text(text, encoding="utf-8")

    def line(self, name: str, marker: str) -> str:
        """``file:line`` of the first line that holds a text; of the file alone if it is empty."""
        if not marker:
            return name
        lines = (self.root / name).read_text(encoding="utf-8").splitlines()
        return f"{name}:{next(n for n, line in enumerate(lines, 1) if marker in line)}"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    made.plant(FILES)
    monkeypatch.chdir(tmp_path)
    return made
