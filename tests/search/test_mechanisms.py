"""Mechanisms that hide what they depend on are never certified; honest ones are."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from cfgen import load_task
from cfgen.search import prove, recheck
from cfgen.tasks import Task
from tests.projects import put_files
from tests.sampling import one_in
from tests.search.mechanisms import HIDING, HONEST

SIZES = (30, 200, 1_000, 5_000)
TASK = '''
"""Which of two words is asked for."""

from cfgen import CausalModel, Design, Hypothesis, TaskDefinition
from cfgen import distinct, edits, integers, lexicon

RARE, OTHER = "{rare}", "{other}"


class Words:
    RARE = RARE


{before}

model = CausalModel("hiding", output="answer")
model.input("words", distinct(lexicon("toys"), 2))
model.input("asked", integers(0, 1))


@model.variable
def plain(words, asked):
    return words[asked]


@model.variable
def flag(words, asked):
{body}


@model.variable
def answer(plain, flag):
    return plain + " " + str(flag)


task = TaskDefinition(
    causal_model=model,
    designs=[Design("fresh", counterfactual=[edits.resample("words", disjoint=True)])],
    hypotheses=[
        Hypothesis("plain", interchange=["plain"]),
        Hypothesis("both", interchange=["plain", "flag"]),
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
shows: [words, asked]
---
{{ word_1 }} and {{ word_2 }}; {{ asked + 1 }}:
"""


def task_with(folder: Path, before: str, body: str, size: int) -> Task:
    """A task about a lexicon of some size, with a flag that is computed like that."""
    words = [f"w{number:04}" for number in range(size)]
    named = {"rare": words[-1], "other": words[-2], "before": before}
    files = {
        "causal_models/hiding.py": TASK.format(body=indent(dedent(body), "    "), **named),
        "templates/hiding/plain.jinja": TEMPLATE,
        "data/lexicons/toys.txt": "\n".join(words) + "\n",
    }
    put_files(folder, files)
    return load_task("hiding", folder)


@pytest.mark.parametrize("number", one_in(5, range(len(HIDING))), ids=list(HIDING))
def test_what_depends_on_rare_words_is_never_certified(tmp_path: Path, number: int) -> None:
    before, body = list(HIDING.values())[number]
    task = task_with(tmp_path, before, body, SIZES[number % len(SIZES)])
    found = prove(task, "plain", "both", sampled=50)
    assert found.answer != "same"
    assert found.answer == "undecided" or recheck(found, task) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(HONEST)), ids=list(HONEST))
def test_what_only_compares_words_is_certified(tmp_path: Path, number: int) -> None:
    before, body = list(HONEST.values())[number]
    task = task_with(tmp_path, before, body, SIZES[number % len(SIZES)])
    found = prove(task, "plain", "both")
    assert found.answer == "same"
    assert found.interchangeable == {"toys": SIZES[number % len(SIZES)]}
    assert recheck(found, task) == []
