"""Prompts as messages of a chat."""

from __future__ import annotations

import pytest

from cfgen.errors import CfgenError
from cfgen.lm import encode_pairs, locate
from tests.conftest import TINY_WORDS, tiny_tokenizer
from tests.lm.test_tokens import pair, side

PLAIN = (
    "{% for m in messages %}{{ m['role'] ~ ':\n' ~ m['content'] ~ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)


def chatting(template=PLAIN):
    tokenizer = tiny_tokenizer([*TINY_WORDS.split(), "user", "assistant"])
    tokenizer.chat_template = template
    return tokenizer


ASKED = pair(
    side("Ann has tea. What does Ann have?", "tea", drink="tea"),
    side("Ben has milk. What does Ben have?", "milk", drink="milk"),
)


def test_a_prompt_is_the_users_message():
    tokenizer = chatting()
    (encoded,) = encode_pairs(tokenizer, [ASKED], chat=True)
    text = "user:\nAnn has tea. What does Ann have?\nassistant:\n"
    assert encoded.original.prompt.text == text
    assert list(encoded.original.ids) == tokenizer(text)["input_ids"]
    assert encoded.pair is ASKED


def test_spans_go_along_with_their_words():
    tokenizer = chatting()
    (encoded,) = encode_pairs(tokenizer, [ASKED], chat=True)
    (drink,) = locate(encoded.original, "drink")
    assert tokenizer.decode([encoded.original.ids[token] for token in drink.tokens]) == " tea"
    (last,) = locate(encoded.original, "last")
    assert tokenizer.decode([encoded.original.ids[token] for token in last.tokens]) == "\n"
    assert last.text == ""


def test_the_answer_follows_without_a_space():
    tokenizer = chatting()
    (encoded,) = encode_pairs(tokenizer, [ASKED], chat=True)
    tree = encoded.original_tree
    assert {tokenizer.decode(path): set(right) for path, right in tree.leaves.items()} == {
        "tea": {"tea"},
        "milk": {"milk"},
    }


def test_special_tokens_are_the_templates_own():
    from tokenizers.processors import TemplateProcessing

    tokenizer = chatting("{{ '<bos>' ~ messages[0]['content'] ~ '<eos>' }}")
    ends = [("<bos>", tokenizer.bos_token_id), ("<eos>", tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=ends
    )
    (encoded,) = encode_pairs(tokenizer, [ASKED], chat=True)
    tokens = tokenizer.convert_ids_to_tokens(encoded.original.ids)
    assert [tokens.count(name) for name, _ in ends] == [1, 1]
    assert (tokens[0], tokens[-1]) == ("<bos>", "<eos>")


def test_without_chat_nothing_is_wrapped():
    (encoded,) = encode_pairs(chatting(), [ASKED])
    assert encoded.original.prompt is ASKED.original.prompt


@pytest.mark.parametrize(
    ("template", "code"),
    [
        (None, "no-chat-template"),
        ("{{ messages[0]['content'] | upper }}", "chat-changes-prompt"),
        ("{{ messages[0]['content'] ~ messages[0]['content'] }}", "chat-changes-prompt"),
        ("{{ raise_exception('no users here') }}", "chat-template-failed"),
        ("{{ messages[3]['content'].nothing() }}", "chat-template-failed"),
        ("{% if %}", "chat-template-failed"),
    ],
)
def test_templates_that_will_not_do(template, code):
    with pytest.raises(CfgenError, match=code) as caught:
        encode_pairs(chatting(template), [ASKED], chat=True)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].hint.startswith("run without --chat")


@pytest.mark.parametrize(
    "date",
    [
        "{{ date_string }}",
        "{{ strftime_now('%d %b %Y') }}",
        "{% set f = strftime_now %}{{ f('%Y') }}",
    ],
)
def test_a_prompt_does_not_change_from_day_to_day(date):
    (encoded,) = encode_pairs(chatting(date + "{{ '\n' }}" + PLAIN), [ASKED], chat=True)
    assert encoded.original.prompt.text.startswith("26 Jul 2024\nuser:\n")


def test_a_template_keeps_the_line_break_that_it_begins_with():
    (encoded,) = encode_pairs(chatting("\n" + PLAIN), [ASKED], chat=True)
    assert encoded.original.prompt.text.startswith("\nuser:\n")


@pytest.mark.slow
def test_the_chat_template_of_a_real_lm(smollm):
    tokenizer = smollm.tokenizer
    (encoded,) = encode_pairs(tokenizer, [ASKED], chat=True)
    for asked, prompt in (
        (ASKED.original, encoded.original),
        (ASKED.counterfactual, encoded.counterfactual),
    ):
        messages = [{"role": "user", "content": asked.prompt.text}]
        own = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        assert list(prompt.ids) == list(own["input_ids"] if hasattr(own, "keys") else own)
        assert tokenizer.decode(prompt.ids).endswith("<|im_end|>\n<|im_start|>assistant\n")
        (drink,) = locate(prompt, "drink")
        assert tokenizer.decode([prompt.ids[t] for t in drink.tokens]).strip() == asked.answer
    answers = [tokenizer.decode(path) for path in encoded.original_tree.leaves]
    assert all(answer and not answer.startswith(" ") for answer in answers)
