"""Pairs with all candidate answers behind their prompts, on tokenizers of several kinds."""

from __future__ import annotations

import pytest

from cfgen.errors import CfgenError
from cfgen.lm import NOT_AN_ANSWER, encode_pairs, locate
from tests.lm.test_tokens import bpe, pair, side

WORLD = {
    "zh": ("问题：他喝什么？答案：", ["茶", "水", "牛奶", "果汁", "咖啡"]),
    "ar": ("السؤال: ماذا يشرب؟ الجواب:", ["شاي", "ماء", "حليب", "قهوة"]),
    "emoji": ("Answer:", ["🍎", "🍏", "🍐", "🫖"]),
}
ENGLISH = ["the cat sat on the mat and then the other cat sat there: Answer: x = 10"] * 4
BYTES = bpe(ENGLISH, False, True, size=300)
WORDS = bpe([*ENGLISH, *(f"{a} {' '.join(b)}" for a, b in WORLD.values())], False, False, size=420)


def answered(*answers, text="Ann has the", prefix=" "):
    """Pairs with these answers, and another one in each counterfactual."""
    others = [*answers[1:], answers[0]]
    return [
        pair(side(text, one, prefix=prefix), side(text, other, prefix=prefix))
        for one, other in zip(answers, others, strict=True)
    ]


@pytest.mark.parametrize("tokenizer", [BYTES, WORDS], ids=["bytes", "words"])
@pytest.mark.parametrize("prefix", ["", " "])
@pytest.mark.parametrize("language", WORLD)
def test_answers_of_all_scripts_are_told_apart(tokenizer, language, prefix):
    text, answers = WORLD[language]
    encoded = encode_pairs(tokenizer, answered(*answers, text=text, prefix=prefix))
    for each in encoded:
        tree, prompt = each.original_tree, each.original
        own = tokenizer(text)["input_ids"]
        assert prompt.ids == (*own, *tree.fed)
        assert (prompt.fed, prompt.unfed) == (len(tree.fed), len(own))
        assert locate(prompt, "last")[0].tokens == (len(prompt.ids) - 1,)
        for answer in answers:
            said = tokenizer(text + prefix + answer)["input_ids"][len(prompt.ids) :]
            assert tree.label(said) == {answer}
    shared = "".join(tokenizer.decode(encoded[0].original_tree.fed).split("\ufffd"))
    assert all((prefix + answer).startswith(shared) for answer in answers)


def test_the_first_byte_that_all_share_is_fed():
    apples = answered("🍎", "🍏", text="Answer:", prefix=" ")
    tree = encode_pairs(BYTES, apples)[0].original_tree
    assert BYTES.convert_ids_to_tokens(tree.fed)[0] == "Ġ"
    assert len(tree.fed) == 1 + 3  # the space, and three of the four bytes
    assert tree.depth == 1


def test_what_is_fed_stands_for_no_text_and_is_the_last_token():
    encoded = encode_pairs(BYTES, answered("1", "2", text="x ="))[0].original
    (found,) = locate(encoded, "last")
    assert BYTES.convert_ids_to_tokens(encoded.ids)[-1] == "Ġ"
    assert (found.tokens, found.text) == ((len(encoded) - 1,), "=")
    assert encoded.offsets[-1] == (3, 3)
    assert BYTES.decode([encoded.ids[token] for token in found.context]).strip() == "="
    assert locate(encoded, "every")[0].tokens == tuple(range(len(encoded)))


def test_an_offset_does_not_reach_what_is_fed():
    original = side("x = y", "1", x="y")
    other = side("x = y", "2", x="y")
    encoded = encode_pairs(BYTES, [pair(original, other)])[0].original
    assert encoded.fed == 1
    with pytest.raises(CfgenError, match=r"'x\+1' is 1 tokens past.*position-past-end"):
        locate(encoded, "x+1")


def test_answers_are_tokenised_behind_each_prompt(tiny_lm):
    original, counterfactual = side("Ann has the", "tea"), side("Ben asks:", "milk", prefix="")
    (encoded,) = encode_pairs(
        tiny_lm.tokenizer, [pair(original, counterfactual, x="juice", y=None)]
    )
    decode = tiny_lm.tokenizer.decode

    def shown(tree):
        return {next(iter(answers)): decode(path) for path, answers in tree.leaves.items()}

    assert shown(encoded.original_tree) == {"tea": " tea", "milk": " milk", "juice": " juice"}
    assert shown(encoded.counterfactual_tree) == {"tea": "tea", "milk": "milk", "juice": "juice"}


def test_a_name_of_two_tokens_is_read_as_far_as_needed(build_tiny_lm):
    tokenizer = build_tiny_lm("Ann has the tea-pot tea-cup tea milk").tokenizer
    encoded = encode_pairs(tokenizer, answered("tea-pot", "tea-cup", "tea", "milk"))
    tree = encoded[0].original_tree
    tea, hyphen, pot, milk = tokenizer.convert_tokens_to_ids([" tea", "-", "pot", " milk"])
    assert tuple(tree.children) == ((), (tea,), (tea, hyphen))
    assert tree.label([milk]) == {"milk"}
    assert tree.label([tea, milk]) == {"tea"}
    assert tree.label([tea, hyphen]) is None
    assert tree.label([tea, hyphen, pot]) == {"tea-pot"}
    assert tree.label([tea, hyphen, milk]) == NOT_AN_ANSWER


def test_all_pairs_have_the_same_candidates(tiny_lm):
    encoded = encode_pairs(tiny_lm.tokenizer, answered("tea", "milk", "juice"))
    trees = {
        id(tree) for each in encoded for tree in (each.original_tree, each.counterfactual_tree)
    }
    assert len(trees) == 1
    assert encoded[0].original_tree.answers == ("tea", "milk", "juice")


def test_an_answer_may_have_several_texts_and_a_text_several_answers(tiny_lm):
    candidates = {"tea": ("tea", "milk"), "milk": ("milk", "juice"), "water": ("water",)}
    (encoded, _) = encode_pairs(tiny_lm.tokenizer, answered("tea", "milk"), candidates)
    ids = tiny_lm.tokenizer.convert_tokens_to_ids
    tree = encoded.original_tree
    assert tree.label([ids(" milk")]) == {"tea", "milk"}
    assert tree.label([ids(" juice")]) == {"milk"}
    assert tree.tracked("tea") == tuple(sorted([(ids(" tea"),), (ids(" milk"),)]))


def test_an_answer_that_is_no_candidate_is_named(tiny_lm):
    given = pair(side("Ann has the", "tea"), side("Ann has the", "milk"), x="juise")
    with pytest.raises(CfgenError, match=r"(?s)'juise'.*did you mean 'juice'") as caught:
        encode_pairs(tiny_lm.tokenizer, [given], {a: (a,) for a in ("tea", "milk", "juice")})
    (problem,) = caught.value.problems
    assert problem.code == "answer-not-a-candidate"
    assert "the prediction of 'x' in pair id" in problem.message


def test_answers_with_the_same_texts_are_named(tiny_lm):
    same = {"tea": ("tea",), "milk": ("milk",), "cha": ("tea",)}
    with pytest.raises(CfgenError, match=r"'tea', 'cha' are the same tokens.*answers-collide"):
        encode_pairs(tiny_lm.tokenizer, answered("tea", "milk"), same)


def test_sides_without_an_answer_are_read_all_the_same(tiny_lm):
    given = [pair(side("Ann has the"), side("Ben has the", "tea"))]
    (encoded,) = encode_pairs(tiny_lm.tokenizer, given)
    assert encoded.original_tree.answers == encoded.counterfactual_tree.answers == ("tea",)
    (encoded,) = encode_pairs(tiny_lm.tokenizer, [pair(side("Ann has the"))])
    assert encoded.original_tree.label([1]) == NOT_AN_ANSWER
    assert encoded.original.fed == 0


@pytest.mark.slow
def test_digits_on_a_real_tokenizer(smollm):
    """SmolLM2 writes every digit as a token of its own, behind a space that is one too."""
    tokenizer = smollm.tokenizer
    numbers = [str(number) for number in (3, 17, 1, 170, 99)]
    (encoded, *_) = encode_pairs(tokenizer, answered(*numbers, text="Ann: 12 + 5 ="))
    tree = encoded.original_tree
    assert tokenizer.decode(tree.fed) == " "
    assert tokenizer.decode(encoded.original.ids) == "Ann: 12 + 5 = "
    digit = {number: tokenizer.convert_tokens_to_ids(str(number)) for number in range(10)}
    assert tuple(tree.children) == ((), (digit[1],), (digit[1], digit[7]))
    assert tree.label([digit[1], digit[7], digit[0]]) == {"170"}
    assert tree.label([digit[1], digit[7], digit[5]]) == {"17"}
    assert tree.label([digit[1], digit[9]]) == {"1"}
    assert tree.label([digit[9]]) == {"99"}
    assert tree.label([digit[4]]) == NOT_AN_ANSWER
    years = [f"17{year}" for year in (13, 32, 56)]
    (encoded, *_) = encode_pairs(tokenizer, answered(*years, text="The war lasted from 1711 to"))
    assert tokenizer.decode(encoded.original_tree.fed) == " 17"
    assert encoded.original_tree.depth == 1
