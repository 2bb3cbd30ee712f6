"""What has no stable form, and what would be taken for two words, is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cfgen import CfgenError, generate, load_task
from cfgen.lint import lint_task
from tests.projects import put_files
from tests.sampling import one_in

TASK = '''
"""T: which of two words is asked for."""

from cfgen import CausalModel, Design, Hypothesis, Site, TaskDefinition
from cfgen import distinct, edits, integers, lexicon

model = CausalModel("t", output="answer")
model.input("words", distinct(lexicon("toys"), 2), each="word")
model.input("asked", integers(0, 1))


@model.variable
def pointer(asked):
    return asked


@model.variable
def more(words):
    return MORE


@model.variable
def answer(words, pointer, more):
    return ANSWER if more != 0 else "x"


task = TaskDefinition(
    model,
    [
        Design(
            "fresh",
            counterfactual=[edits.resample("words", disjoint=True), edits.flip("asked")],
            contrast=["pointer"],
        )
    ],
    [Hypothesis("pointer", ["pointer"], site=Site("last"))],
    version="1",
    default_design="fresh",
    default_model="smollm2-135m",
)
'''
TEMPLATE = """---
id: plain
description: One line.
shows: [words, asked]
---
{{ word_1 }} and {{ word_2 }}, {{ asked }}MORE:
"""
WORDS = tuple(f"w{number}" for number in range(40))


def put(
    folder: Path,
    more: str = "len(words)",
    answer: str = "words[pointer]",
    body: str = "",
    words: tuple[str, ...] = (),
) -> Path:
    files = {
        "causal_models/t.py": TASK.replace("MORE", more).replace("ANSWER", answer),
        "templates/t/plain.jinja": TEMPLATE.replace("MORE", body),
        "data/lexicons/toys.txt": "\n".join((*WORDS, *words)) + "\n",
    }
    put_files(folder, files)
    return folder / "causal_models/t.py"


def codes(file: Path) -> tuple[set[str], str]:
    """What lint finds, and what making pairs ends with; empty if it makes them."""
    found = {each.code for each in lint_task(str(file)).findings}
    try:
        generate(load_task(str(file)), 20)
    except CfgenError as error:
        return found, error.problems[0].code
    return found, ""


VALUES = {
    "frozenset(words)": "unstable-value",
    "{words[0]}": "unstable-value",
    "{words[0]: 1}": "unstable-value",
    "(1, {words[0]: 1})": "unstable-value",
    "object()": "unstable-value",
    "lambda: 1": "unstable-value",
    "words[0].encode()": "unstable-value",
    "iter(words)": "unstable-value",
    "1j": "unstable-value",
    "words": "",
    "[words, None, True]": "",
    "1.5": "",
}


@pytest.mark.parametrize("more", VALUES)
def test_values_without_a_stable_form_are_refused(tmp_path: Path, more: str) -> None:
    found, ended = codes(put(tmp_path, more=more))
    assert ended == VALUES[more]
    assert (VALUES[more] in found) if VALUES[more] else "unstable-value" not in found


ANSWERS = {
    "{words[pointer]}": "unstable-value",
    "(words[pointer],)": "answer-not-text",
    "[words[pointer]]": "answer-not-text",
    "{words[pointer]: 1}": "unstable-value",
    "object()": "unstable-value",
    "pointer": "",
    "pointer == 1": "",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_are_texts_or_numbers(tmp_path: Path, answer: str) -> None:
    found, ended = codes(put(tmp_path, answer=answer))
    assert ended == ANSWERS[answer]
    assert not ANSWERS[answer] or ANSWERS[answer] in found


BODIES = (
    *(
        "{{ cycler(1) | string }}",
        "{{ cycler(1) }}",
        "{{ 'a' ~ cycler(1) }}",
        "{{ dict | string }}",
    ),
    *("{{ namespace(a=1) | string }}", "{{ range(3) | string }}", "{{ words.index | string }}"),
    *("{% macro m() %}x{% endmacro %}{{ m | string }}", "{{ [cycler(1)] | join }}"),
    *("{{ '%s' % cycler(1) }}", "{{ '%s' | format(cycler(1)) }}", "{{ '{}'.format(cycler(1)) }}"),
    *("{{ cycler }}", "{{ range | string }}", "{{ [cycler(1)] | string }}", "{{ word_1.upper }}"),
    *("{{ (asked, cycler(1)) | string }}", "{{ [cycler(1)] | map('string') | join }}"),
    *("{{ none | string }}", "{{ {} | string }}"),
)


@pytest.mark.parametrize("body", one_in(2, BODIES))
def test_no_object_is_shown_in_a_prompt(tmp_path: Path, body: str) -> None:
    found, ended = codes(put(tmp_path, body=f" {body}"))
    assert ended != ""
    assert found


SAME = {
    "zero width": ("jam", "jam\u200b"),
    "no-break space": ("ice cream", "ice\u00a0cream"),
    "soft hyphen": ("jam", "ja\u00adm"),
    "composed": ("caf\u00e9", "cafe\u0301"),
    "full width": ("jam", "\uff4aam"),
    "lengthened": ("\u0628\u0628", "\u0628\u0640\u0628"),
    "variation": ("\u2764", "\u2764\ufe0f"),
}


@pytest.mark.parametrize("name", SAME)
def test_a_lexicon_has_no_word_twice(tmp_path: Path, name: str) -> None:
    file = put(tmp_path, words=SAME[name])
    found, ended = codes(file)
    assert ended == "lexicon-duplicate"
    assert found == {"lexicon-duplicate"}


@pytest.mark.parametrize("word", ["ab\x1b[31mcd", "ab\x07", "ab\u202ecd", "a\u2066b", "ab\x7f"])
def test_words_steer_no_screen(tmp_path: Path, word: str) -> None:
    found, ended = codes(put(tmp_path, words=(word,)))
    assert ended == "lexicon-control"
    assert "lexicon-control" in found
