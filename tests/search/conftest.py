"""Small projects with tasks to prove something about."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cfgen import load_task
from cfgen.tasks import Task
from tests.projects import put_files

TASK = '''
"""Lookup: which of two words is asked for."""

from cfgen import CausalModel, Design, Hypothesis, TaskDefinition, distinct, edits, integers
from cfgen import boolean, lexicon

model = CausalModel("lookup", output="answer")
model.input("words", distinct(lexicon("toys"), 2))
model.input("asked", integers(0, 1))
model.input("loud", boolean())


@model.variable
def pointer(asked):
    return asked


@model.variable
def payload(pointer, words):
    return words[pointer]


@model.variable
def answer(payload):
    return ANSWER


task = TaskDefinition(
    causal_model=model,
    designs=[
        Design("swap", counterfactual=[edits.reverse("words"), edits.flip("asked")]),
        Design("fresh", counterfactual=[edits.resample("words", disjoint=True)]),
        Design("fixed", original=[edits.set("words", ["ball", "bear"])],
               counterfactual=[edits.resample("words", index=1)]),
    ],
    hypotheses=[
        Hypothesis("pointer", interchange=["pointer"]),
        Hypothesis("payload", interchange=["payload"]),
    ],
    version="1",
    default_design="fresh",
    default_model="no-such-lm",
)
'''
TEMPLATE = """\
---
id: plain
description: One line.
shows: [words, asked, loud]
---
{{ word_1 }} and {{ word_2 }}; {% if loud %}take{% else %}TAKE{% endif %} {{ asked + 1 }}:
"""
WORDS = ("ball", "bear", "boat", "drum", "kite", "lamp")

Make = Callable[..., Task]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a project and load its task.

    ``answer``: the last mechanism's expression; ``supports``: what its template supports;
    ``words``: the lexicon.
    """

    def write(answer: str = "payload", supports: str = "", words: tuple[str, ...] = WORDS) -> Task:
        line = f"supports: {supports}\nshows" if supports else "shows"
        files = {
            "causal_models/lookup.py": TASK.replace("ANSWER", answer),
            "templates/lookup/plain.jinja": TEMPLATE.replace("shows", line, 1),
            "data/lexicons/toys.txt": "\n".join(words) + "\n",
        }
        put_files(tmp_path, files)
        return load_task("lookup", tmp_path)

    return write
