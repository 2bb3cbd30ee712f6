"""The wording that ships: every template of the built-in tasks, and the words they draw from."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from cfgen import load_task
from cfgen.prompts import Prompt, Template, find_spans, load_lexicon, render

BELIEF_TEMPLATES = ("kitchen", "laboratory", "picnic", "restaurant", "restaurant_rules", "tavern")
IOI_TEMPLATES = ("after_rain", "had_lunch", "then_went", "there_was", "when_opened", "when_sat")
CAN_OBSERVE = {  # visibility: whether the second sees the first, whether the first sees the second
    "none": (),
    "neither": (False, False),
    "first_sees_second": (False, True),
    "second_sees_first": (True, False),
    "both": (True, True),
}
LEXICONS = {
    "animals": 58,
    "characters": 100,
    "colors": 30,
    "containers": 30,
    "drinks": 30,
    "letters": 26,
    "names": 71,
    "objects": 37,
    "people": 83,
    "places": 33,
}
MORE_THAN_ONE_TOKEN = {"Carla"}

BOB_AND_CARLA: dict[str, Any] = {
    "template": "restaurant",
    "characters": ("Bob", "Carla"),
    "containers": ("bottle", "cup"),
    "drinks": ("beer", "coffee"),
    "visibility": "none",
    "asked_character": 1,
    "asked_container": 1,
}
STORY = (
    "Bob and Carla are working in a busy restaurant. To complete an order, Bob grabs an opaque "
    "bottle and fills it with beer. Then Carla grabs another opaque cup and fills it with coffee."
)
QUESTION = "What does Carla believe the cup contains?"

every_belief_prompt = pytest.mark.parametrize(
    ("template", "visibility"), list(itertools.product(BELIEF_TEMPLATES, CAN_OBSERVE))
)
every_ioi_prompt = pytest.mark.parametrize(
    ("template", "subject"), list(itertools.product(IOI_TEMPLATES, (0, 1)))
)


@cache
def templates_of(task: str) -> Mapping[str, Template]:
    return load_task(task).templates


def shown(task: str, inputs: dict[str, Any]) -> Prompt:
    return render(templates_of(task)[inputs["template"]], inputs)


def belief(template: str, visibility: str, **changes: Any) -> Prompt:
    inputs = {**BOB_AND_CARLA, "template": template, "visibility": visibility, **changes}
    return shown("belief_tracking", inputs)


def ioi(template: str, subject: int) -> Prompt:
    inputs = {
        "template": template,
        "names": ("Anna", "Tom"),
        "subject": subject,
        "place": "park",
        "object": "book",
    }
    return shown("ioi", inputs)


def names(prompt: Prompt) -> set[str]:
    return {span.name for span in prompt.spans}


def texts(prompt: Prompt, position: str) -> list[str]:
    return [prompt.text[span.start : span.end] for span in find_spans(prompt, position)]


def assert_tidy(prompt: Prompt) -> None:
    assert prompt.text == prompt.text.strip()
    assert not re.search(r"  | \n|\n |\s[.,?]|\n{3}|[{}<>%]", prompt.text)
    for span in prompt.spans:
        text = prompt.text[span.start : span.end]
        assert text == text.strip() != "", span


# Belief tracking.


def test_templates_are_the_ones_listed_here() -> None:
    assert tuple(sorted(templates_of("belief_tracking"))) == BELIEF_TEMPLATES
    assert tuple(sorted(templates_of("ioi"))) == IOI_TEMPLATES


def test_default_story_word_for_word() -> None:
    prompt = belief("restaurant", "none")
    assert prompt.text == f"{STORY} Question: {QUESTION} Answer:"
    assert texts(prompt, "story") == [STORY]
    assert texts(prompt, "question") == [QUESTION]


def test_default_story_of_the_counterfactual_word_for_word() -> None:
    prompt = belief(
        "restaurant",
        "none",
        characters=("Carla", "Bob"),
        containers=("cup", "bottle"),
        drinks=("tea", "water"),
        asked_character=0,
        asked_container=0,
    )
    assert prompt.text == (
        "Carla and Bob are working in a busy restaurant. To complete an order, Carla grabs an "
        "opaque cup and fills it with tea. Then Bob grabs another opaque bottle and fills it with "
        "water. Question: What does Carla believe the cup contains? Answer:"
    )


@pytest.mark.parametrize("visibility", [name for name in CAN_OBSERVE if name != "none"])
def test_visibility_sentences_word_for_word(visibility: str) -> None:
    first, second = ("can" if sees else "cannot" for sees in CAN_OBSERVE[visibility])
    assert belief("restaurant", visibility).text == (
        f"{STORY} Carla {first} observe Bob's actions. Bob {second} observe Carla's actions. "
        f"Question: {QUESTION} Answer:"
    )


@pytest.mark.parametrize("visibility", CAN_OBSERVE)
def test_rules_come_before_the_same_story(visibility: str) -> None:
    with_rules, short = belief("restaurant_rules", visibility), belief("restaurant", visibility)
    [rules] = texts(with_rules, "instruction")
    assert 60 <= len(rules.split()) <= 90
    assert "unknown" in rules
    rest = with_rules.text.removeprefix(f"{rules}\n\nStory: ")
    assert rest.replace("\n", " ") == short.text
    assert "\nQuestion: " in rest
    assert rest.endswith("?\nAnswer:")


@every_belief_prompt
def test_belief_prompt_is_tidy_and_has_its_phrases(template: str, visibility: str) -> None:
    prompt = belief(template, visibility)
    assert_tidy(prompt)
    assert prompt.text.endswith("Answer:")
    expected = {"story", "question", "question_character", "question_container"}
    if visibility != "none":
        expected |= {"visibility_1", "visibility_2"}
    if template == "restaurant_rules":
        expected |= {"instruction"}
    slots = {f"{slot}_{i}" for slot in ("character", "container", "drink") for i in (1, 2)}
    assert names(prompt) == expected | slots
    for phrase in ("story", "visibility_1", "visibility_2", "question", "instruction"):
        if phrase in expected:
            [text] = texts(prompt, phrase)
            assert text[0].isupper()
            assert text[-1] in ".?"


@every_belief_prompt
def test_belief_story_tells_the_first_pair_before_the_second(
    template: str, visibility: str
) -> None:
    prompt = belief(template, visibility)
    assert texts(prompt, "drink_1") == ["beer"]
    assert texts(prompt, "drink_2") == ["coffee"]
    last_of_first = max(
        find_spans(prompt, f"story/{slot}")[-1].end for slot in ("container_1", "drink_1")
    )
    for slot in ("container_2", "drink_2"):
        assert find_spans(prompt, f"story/{slot}")[0].start > last_of_first
    for role in ("character", "container"):
        first, second = (find_spans(prompt, f"story/{role}_{i}") for i in (1, 2))
        assert first[0].start < second[0].start
        assert first[-1].end < second[-1].start
    assert find_spans(prompt, "drink_1")[0].end < find_spans(prompt, "story/character_2")[-1].start


@every_belief_prompt
def test_a_mark_of_its_own_follows_each_drink(template: str, visibility: str) -> None:
    prompt = belief(template, visibility)
    for slot in ("drink_1", "drink_2"):
        [span] = find_spans(prompt, slot)
        assert prompt.text[span.end] in ".,"


@every_belief_prompt
def test_visibility_sentences_say_who_sees_whom(template: str, visibility: str) -> None:
    prompt = belief(template, visibility)
    for number, sees in enumerate(CAN_OBSERVE[visibility], start=1):
        [sentence] = texts(prompt, f"visibility_{number}")
        observer, observed = ("Carla", "Bob") if number == 1 else ("Bob", "Carla")
        assert sentence.split()[:2] == [observer, "can" if sees else "cannot"]
        assert observed in sentence
    if visibility != "none":
        [story], [first] = find_spans(prompt, "story"), find_spans(prompt, "visibility_1")
        [second], [question] = find_spans(prompt, "visibility_2"), find_spans(prompt, "question")
        assert prompt.text[story.end : first.start] == " "
        assert prompt.text[first.end : second.start] == " "
        assert second.end < question.start


@pytest.mark.parametrize("template", BELIEF_TEMPLATES)
@pytest.mark.parametrize(("who", "which"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_question_names_what_is_asked_for(template: str, who: int, which: int) -> None:
    prompt = belief(template, "both", asked_character=who, asked_container=which)
    assert texts(prompt, "question_character") == [("Bob", "Carla")[who]]
    assert texts(prompt, "question_container") == [("bottle", "cup")[which]]
    assert len(find_spans(prompt, f"question/character_{who + 1}")) == 1
    assert len(find_spans(prompt, f"question/container_{which + 1}")) == 1


def test_templates_vary_where_the_name_stands() -> None:
    orders = set()
    for template in BELIEF_TEMPLATES:
        prompt = belief(template, "none")
        first = {
            "person": find_spans(prompt, "story/character_2")[-1].start,
            "container": find_spans(prompt, "container_2")[0].start,
            "drink": find_spans(prompt, "drink_2")[0].start,
        }
        orders.add(tuple(sorted(first, key=first.__getitem__)))
    assert {order.index("person") for order in orders} == {0, 1, 2}


# Indirect objects.


@every_ioi_prompt
def test_ioi_prompt_names_the_subject_again(template: str, subject: int) -> None:
    prompt = ioi(template, subject)
    assert_tidy(prompt)
    assert prompt.text.endswith(" to")
    again, other = f"name_{subject + 1}", f"name_{2 - subject}"
    assert names(prompt) == {"name_1", "name_2", "place", "object", "second_subject"}
    assert len(find_spans(prompt, again)) == 2
    assert len(find_spans(prompt, other)) == 1
    assert texts(prompt, "second_subject") == [("Anna", "Tom")[subject]]
    [second] = find_spans(prompt, "second_subject")
    assert find_spans(prompt, f"{again}[-1]")[0].start == second.start
    assert find_spans(prompt, "name_1")[0].end < find_spans(prompt, "name_2")[0].start
    assert find_spans(prompt, other)[0].end < second.start


def test_ioi_in_the_words_of_the_paper() -> None:
    prompt = ioi("then_went", 0)
    assert prompt.text == "Then, Anna and Tom went to the park. Anna gave a book to"


# Lexicons.


@pytest.mark.parametrize(("name", "size"), list(LEXICONS.items()))
def test_lexicon_words_cannot_be_confused(name: str, size: int) -> None:
    words = load_lexicon(name).entries
    assert len(words) == size
    folded = [word.casefold() for word in words]
    assert len(set(folded)) == size
    inside = [(a, b) for a, b in itertools.permutations(folded, 2) if a in b]
    assert inside == []
    pattern = {"characters": "[A-Z][a-z]+", "names": "[A-Z][a-z]+", "letters": "[A-Z]"}
    assert all(re.fullmatch(pattern.get(name, "[a-z]+"), word) for word in words)


def test_lexicons_have_the_words_of_the_running_example() -> None:
    assert {"Bob", "Carla"} <= set(load_lexicon("characters").entries)
    assert {"bottle", "cup"} <= set(load_lexicon("containers").entries)
    assert {"beer", "coffee", "tea", "water"} <= set(load_lexicon("drinks").entries)
    assert "unknown" not in load_lexicon("drinks").entries


@pytest.mark.parametrize("name", ["containers", "objects"])
def test_words_after_an_article_begin_with_a_consonant(name: str) -> None:
    assert [word for word in load_lexicon(name).entries if word[0] in "aeiou"] == []


@pytest.mark.slow
def test_words_are_single_tokens_that_differ() -> None:
    from cfgen import load_lm

    tokenizer = load_lm("smollm2-135m").tokenizer

    def tokens(word: str) -> list[int]:
        return list(tokenizer(f" {word}", add_special_tokens=False)["input_ids"])

    for name in LEXICONS:
        words = [*load_lexicon(name).entries, "unknown", "True", "False"]
        assert {word for word in words if len(tokens(word)) > 1} <= MORE_THAN_ONE_TOKEN
        assert len({tokens(word)[0] for word in words}) == len(words)
