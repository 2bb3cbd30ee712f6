"""What is found about tokens, with tokenizers made to have one flaw each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cfgen.lint import TOKEN_CODES, lint_task
from cfgen.lm import load_tokenizer
from cfgen.prompts import Encode, Encoding
from tests.cutters import word_level

if TYPE_CHECKING:
    from tests.lint.conftest import Project

TASK = "causal_models/toy.py"


def tokenizer(*split: str, start: bool = True) -> Encode:
    """One token a word with the space before it, but two for these words: their first letter.

    ``start=False``: a special token in front of every text.
    """
    ids: dict[str, int] = {}
    parts = "|".join(f" ?{word[0]}(?={word[1:]})" for word in split)
    pattern = re.compile(f"{parts}{'|' if parts else ''} ?\\w+|[^\\w\\s]|\\s")

    def encode(text: str) -> Encoding:
        found = list(pattern.finditer(text))
        front, offset = ([], []) if start else ([-1], [(0, 0)])
        numbers = [ids.setdefault(match.group(), len(ids)) for match in found]
        return [*front, *numbers], [*offset, *(match.span() for match in found)]

    return encode


def findings(tokens: Encode) -> set[tuple[str, str, str]]:
    report = lint_task("toy", {"some": tokens})
    assert report.tokenizers == ("some",)
    return {(item.code, item.where, item.about) for item in report.findings}


@pytest.mark.parametrize("start", [True, False])
def test_one_token_a_word_is_clean(project: Project, start: bool) -> None:
    assert findings(tokenizer(start=start)) == set()


def test_nothing_is_said_about_tokens_without_a_tokenizer(project: Project) -> None:
    assert lint_task("toy").findings == ()


def test_a_word_of_two_tokens(project: Project) -> None:
    assert findings(tokenizer("kite")) == {
        ("word-tokens", project.line(TASK, '"words"'), "toys"),
        ("length-differs", project.line(TASK, "    Design("), "other"),
    }
    report = lint_task("toy", {"some": tokenizer("kite")})
    assert all("'kite'" in f.message for f in report.findings if f.code != "length-differs")
    assert not any("'ball'" in f.message for f in report.findings)


def test_answers_that_begin_alike_are_fine(project: Project) -> None:
    assert "answer-collision" not in {c for c, _, _ in findings(tokenizer("ball", "boat", "kite"))}


def test_answers_of_the_same_tokens(project: Project) -> None:
    plain = tokenizer()

    def forgetful(text: str) -> Encoding:
        return plain(text.replace("boat", "ball"))

    found = lint_task("toy", {"some": forgetful}).findings
    (collide,) = [item for item in found if item.code == "answer-collision"]
    assert "'ball', 'boat' are the same tokens" in collide.message


@pytest.mark.parametrize("lost", ["boat", "ball"])
def test_words_of_the_same_tokens(project: Project, lost: str) -> None:
    """Whichever of the two comes first."""
    plain, kept = tokenizer(), {"boat": "ball", "ball": "boat"}[lost]

    def forgetful(text: str) -> Encoding:
        return plain(text.replace(lost, kept))

    found = lint_task("toy", {"some": forgetful}).findings
    same = [item for item in found if item.code == "prompt-tokens"]
    assert same
    for item in same:
        assert "some: two texts are the same tokens" in item.message
        assert "boat" in item.message
        assert "ball" in item.message


def test_words_that_a_tokenizer_does_not_know(project: Project, tmp_path: Path) -> None:
    """A file of a tokenizer tells what its tokens read, so lint knows what a run will refuse."""
    known = "Here are and. My calm loud answer, take the first other: First Other"
    words = (project.root / "data/lexicons/toys.txt").read_text().split()
    own = {}
    for name, some in (("all", words), ("some", [word for word in words if word != "kite"])):
        file = tmp_path / f"{name}.json"
        word_level([f"{word} {word}" for word in (*known.split(), *some)]).save(str(file))
        own[name] = load_tokenizer(str(file))
    assert lint_task("toy", {"all": own["all"]}).findings == ()
    (found,) = lint_task("toy", {"some": own["some"]}).findings
    assert found.code == "prompt-tokens"
    assert found.message == "some: the tokenizer has no token for 'kite'"


def test_answers_that_are_accepted_for_another(project: Project) -> None:
    given = 'accept=lambda word: ["ball"] if word == "boat" else [word], default_design='
    project.plant({TASK: ("default_design=", given)})
    (found,) = [
        f for f in lint_task("toy", {"some": tokenizer()}).findings if f.code == "answer-collision"
    ]
    assert "'ball', 'boat' are the same tokens" in found.message


def test_a_site_whose_tokens_do_not_correspond(project: Project) -> None:
    project.plant({TASK: ('Site("last")', 'Site("word_2")')})
    assert "slots-misaligned" not in {code for code, _, _ in findings(tokenizer("kite"))}
    project.plant({TASK: ('Site("word_2")', 'Site("word_2.all")')})
    assert findings(tokenizer()) == set()
    found = findings(tokenizer("kite"))
    place = project.line(TASK, 'Hypothesis("pointer"')
    assert ("slots-misaligned", place, "pointer") in found


def test_swapped_by_word_the_same_word_corresponds(project: Project) -> None:
    swap = 'edits.flip("asked"), edits.reverse("words")'
    project.plant({TASK: ('edits.flip("asked"), edits.resample("words", disjoint=True)', swap)})
    project.plant({TASK: ('Site("last")', 'Site("word_2.all")')})
    assert "slots-misaligned" in {code for code, _, _ in findings(tokenizer("kite"))}
    project.plant({TASK: ('Site("word_2.all")', 'Site("word_2.all", align="word")')})
    assert "slots-misaligned" not in {code for code, _, _ in findings(tokenizer("kite"))}


def test_swapped_by_word_a_new_word_has_no_counterpart(project: Project) -> None:
    project.plant({TASK: ('Site("last")', 'Site("word_2", align="word")')})
    report = lint_task("toy", {"some": tokenizer()})
    assert [item.code for item in report.findings] == ["slots-misaligned"]
    assert "60 of 60" in report.findings[0].message
    assert "no slot holds the original's word" in report.findings[0].message


def test_findings_about_tokens_can_be_allowed_and_need_not_occur(project: Project) -> None:
    codes = ", ".join(f'"{code}": "so be it"' for code in sorted(TOKEN_CODES))
    project.plant({TASK: ('version="1"', f'version="1", allow={{{codes}}}')})
    assert lint_task("toy").findings == ()
    report = lint_task("toy", {"some": tokenizer("kite", "ball", "boat")})
    assert report.findings == ()
    never = {"slots-misaligned", "answer-tokens", "answer-collision", "prompt-tokens"}
    assert {item.finding.code for item in report.allowed} == TOKEN_CODES - never


def test_an_answer_that_joins_the_prompt(project: Project) -> None:
    """A tokenizer that takes the colon and the word after it as one token."""
    plain = tokenizer()

    def joining(text: str) -> Encoding:
        ids, offsets = plain(text)
        if text.endswith(":"):
            return ids, offsets
        return [*ids[:-2], 9999], [*offsets[:-2], (offsets[-2][0], offsets[-1][1])]

    report = lint_task("toy", {"some": joining})
    assert "answer-tokens" in {item.code for item in report.findings}
