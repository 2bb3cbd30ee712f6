from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cfgen.counterfactuals import Pair, Side, Site
from cfgen.errors import CfgenError
from cfgen.lm import PromptTokens, aligned_tokens, encode_pairs, locate, token_names
from cfgen.prompts import Prompt, Span, tokens_over


def side(text, answer=None, prefix=" ", **spans):
    found = [
        Span(name, 0, text.index(word), text.index(word) + len(word))
        for name, word in spans.items()
    ]
    return Side(
        {},
        Prompt(text, tuple(sorted(found, key=lambda s: (s.start, -s.end)))),
        answer,
        prefix,
        {},
        {},
    )


def pair(original, counterfactual=None, **predictions):
    return Pair(
        "id", 0, "t", "d", original, counterfactual or original,
        {"none": original.answer, "all": (counterfactual or original).answer, **predictions},
        {}, True, (),
    )  # fmt: skip


def bpe(texts, add_prefix_space, trim_offsets, size=400):
    """A byte-level BPE trained on some texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend)


CORPUS = ["the cat sat on the mat, and then the other cat sat there; x = 10 é ü 漢字 🙂"] * 4
TOKENIZERS = [bpe(CORPUS, False, True), bpe(CORPUS, False, False), bpe([], False, True)]


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=["trimmed", "untrimmed", "bytes"])
@settings(max_examples=150, deadline=None)
@given(
    before=st.text(alphabet="the cat,é漢🙂\n", max_size=12),
    word=st.text(alphabet="thecat10é漢🙂", min_size=1, max_size=6),
    after=st.text(alphabet="the cat,.é漢🙂\n", max_size=12),
)
def test_tokens_of_a_span_cover_it_and_no_token_more_than_needed(tokenizer, before, word, after):
    text = f"{before} {word} {after}."
    start = len(before) + 1
    prompt = Prompt(text, (Span("item_1", 0, start, start + len(word)),))
    original = Side({}, prompt, None, " ", {}, {})
    encoded = encode_pairs(tokenizer, [pair(original)])[0].original
    (found,) = locate(encoded, "item_1.all")
    first, last = found.tokens[0], found.tokens[-1]
    assert found.tokens == tuple(range(first, last + 1))
    assert tokenizer.decode([encoded.ids[token] for token in found.tokens]).strip() == word
    rest = [encoded.ids[token] for token in range(len(encoded)) if token not in found.tokens]
    assert len(tokenizer.decode(rest)) <= len(text) - len(word)
    assert (
        tokenizer.decode([encoded.ids[t] for t in range(first)]).rstrip() == text[:start].rstrip()
    )


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="the cat é漢🙂\n", min_size=1, max_size=20).filter(str.strip))
def test_last_is_the_last_token_and_reads_as_the_end_of_the_prompt(text):
    prompt = Prompt(text.strip(), ())
    tokenizer = TOKENIZERS[0]
    encoded = encode_pairs(tokenizer, [pair(Side({}, prompt, None, " ", {}, {}))])[0].original
    (found,) = locate(encoded, "last")
    assert found.tokens == (len(encoded) - 1,)
    assert tokenizer.decode([encoded.ids[token] for token in found.context]).strip() == found.text
    assert prompt.text.endswith(found.text)


def test_an_offset_counts_tokens_after_the_slot(tiny_lm):
    original = side("Ann puts the tea into the mug. Then Answer:", item_1="tea")
    encoded = encode_pairs(tiny_lm.tokenizer, [pair(original)])[0].original
    (base,), (later,) = locate(encoded, "item_1"), locate(encoded, "item_1+2")
    assert later.tokens == (base.tokens[-1] + 2,)
    assert later.text == "tea into the"
    assert tiny_lm.tokenizer.decode([encoded.ids[later.tokens[0]]]) == " the"
    with pytest.raises(CfgenError, match="position-past-end"):
        locate(encoded, "item_1+20")


def test_first_last_and_all_tokens_of_a_span(build_tiny_lm):
    tokenizer = build_tiny_lm("Ann tea-pot-lid puts the into", kind="words").tokenizer
    original = side("Ann puts the tea-pot into the tea-pot", item_1="tea-pot")
    encoded = encode_pairs(tokenizer, [pair(original)])[0].original
    (whole,) = locate(encoded, "item_1.all")
    assert [tokenizer.decode([encoded.ids[t]]) for t in whole.tokens] == [" tea", "-", "pot"]
    for part, tokens in (("first", whole.tokens[:1]), ("last", whole.tokens[-1:])):
        (found,) = locate(encoded, f"item_1.{part}")
        assert (found.tokens, found.context, found.text) == (tokens, whole.tokens, "tea-pot")
    assert locate(encoded, "item_1")[0].tokens == whole.tokens[-1:]
    assert locate(encoded, "item_1+1")[0].tokens == (whole.tokens[-1] + 1,)


def test_every_is_all_of_the_prompt_special_tokens_included():
    encoded = PromptTokens(Prompt("a b", ()), (1, 5, 6), ((0, 0), (0, 1), (1, 3)))
    (found,) = locate(encoded, "every")
    assert (found.tokens, found.context, found.text) == ((0, 1, 2), (1, 2), "a b")


def tokens_of(text, *spans, special=0):
    """A prompt of one token per word, with tokens of its own in front."""
    offsets = [(m.start(), m.end()) for m in re.finditer(r"\S+", text)]
    return PromptTokens(
        Prompt(text, spans),
        tuple(range(special + len(offsets))),
        tuple([(0, 0)] * special + offsets),
    )


def test_tokens_are_named_after_what_they_belong_to_or_come_behind():
    text = "so Ann Lee gave it to Ann Lee now"
    names = Span("name", 0, 3, 10), Span("name", 1, 22, 29)
    phrase = Span("phrase", 0, 0, 18)
    assert token_names(tokens_of(text, phrase, *names, special=1)) == (
        "start", "start+1", "name[0]-1", "name[0]", "name[0]+1", "name[0]+2", "name[0]+3",
        "name[1]-1", "name[1]", "last",
    )  # fmt: skip
    assert token_names(tokens_of("a b c", special=1)) == ("start", "start+1", "start+2", "last")


@given(st.data())
def test_names_of_tokens_are_unique_and_those_of_positions_land_there(data):
    words = data.draw(st.lists(st.sampled_from(["a", "bb", "ccc"]), min_size=2, max_size=12))
    text = " ".join(words)
    starts = [m.start() for m in re.finditer(r"\S+", text)]
    cut = st.integers(0, len(words) - 1)
    spans, seen = [], {}
    for at in sorted(data.draw(st.sets(cut, max_size=4))):
        name = data.draw(st.sampled_from(["x", "y"]))
        end = min(len(words) - 1, at + data.draw(st.integers(0, 2)))
        spans.append(Span(name, seen.get(name, 0), starts[at], starts[end] + len(words[end])))
        seen[name] = seen.get(name, 0) + 1
    encoded = tokens_of(text, *spans)
    names = token_names(encoded)
    assert len(set(names)) == len(names) == len(encoded)
    for token, name in enumerate(names):
        overlapping = any(
            a is not b and a.start < b.end and b.start < a.end for a in spans for b in spans
        )
        if not overlapping and not name.startswith("start") and "-" not in name:
            (span,) = locate(encoded, name)
            assert span.tokens == (token,)


def test_a_token_is_given_that_of_the_same_name_or_none():
    text, other = "so Ann gave tea to Ben now", "so Ben Lee gave some tea to Ann now"
    spans = Span("one", 0, 3, 6), Span("drink", 0, 12, 15), Span("two", 0, 19, 22)
    others = Span("one", 0, 3, 10), Span("drink", 0, 21, 24), Span("two", 0, 28, 31)
    original, counterfactual = tokens_of(text, *spans), tokens_of(other, *others)
    slots = {"one": "Ann", "drink": "tea", "two": "Ben"}
    crossed = {"one": "Ben", "drink": "tea", "two": "Ann"}
    sides = (
        Side({}, original.prompt, "x", " ", {}, slots),
        Side({}, counterfactual.prompt, "y", " ", {}, crossed),
    )
    found = aligned_tokens(pair(*sides), original, counterfactual, Site())
    moved = {
        name: tuple(span.tokens[0] for span in spans)
        for name, spans in found.items()
        if isinstance(spans, tuple)
    }
    # between the first two mentions there are one and two words, so that these have no counterpart
    assert moved == {
        "start": (0, 0), "one[0]": (1, 2), "drink[0]": (3, 5), "drink[0]+1": (4, 6),
        "two[0]": (5, 7), "last": (6, 8),
    }  # fmt: skip
    assert "same number of tokens" in str(found["one[0]+1"])
    by_word = aligned_tokens(pair(*sides), original, counterfactual, Site(align="word"))
    assert by_word["one[0]"][1].tokens == (7,)
    assert by_word["two[0]"][1].tokens == (2,)
    held = aligned_tokens(pair(*sides), original, counterfactual, Site(frozen=("drink",)))
    assert str(held["drink[0]"]) == "it is frozen"


def test_a_span_without_a_token_is_an_error():
    encoded = PromptTokens(Prompt("a b", (Span("x", 0, 1, 2),)), (5, 6), ((0, 1), (2, 3)))
    with pytest.raises(CfgenError, match="span-without-token"):
        locate(encoded, "x")
    assert tokens_over(encoded.offsets, 0, 3) == (0, 1)


def test_special_tokens_in_front_stay_and_those_at_the_end_go(tiny_lm):
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny_lm.tokenizer.__class__(
        tokenizer_object=tiny_lm.tokenizer.backend_tokenizer.__class__.from_str(
            tiny_lm.tokenizer.backend_tokenizer.to_str()
        ),
        bos_token="<bos>",
        eos_token="<eos>",
    )
    ends = [("<bos>", tokenizer.bos_token_id), ("<eos>", tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=ends
    )
    original = side("Ann has the", "tea", item_1="Ann")
    encoded = encode_pairs(tokenizer, [pair(original)])[0]
    assert tokenizer.convert_ids_to_tokens(encoded.original.ids) == ["<bos>", "Ann", " has", " the"]
    assert {tokenizer.decode(path) for path in encoded.original_tree.leaves} == {" tea"}
    assert locate(encoded.original, "item_1")[0].tokens == (1,)


def test_many_pairs_stay_in_order(tiny_lm):
    names = ["Ann", "Ben", "Cid"] * 400
    pairs = [
        dataclasses.replace(pair(side(f"{name} has the", "tea")), index=i)
        for i, name in enumerate(names)
    ]
    encoded = encode_pairs(tiny_lm.tokenizer, pairs)
    assert [each.pair.index for each in encoded] == list(range(1200))
    assert [tiny_lm.tokenizer.decode([each.original.ids[0]]) for each in encoded] == names


def test_a_tokenizer_that_joins_prompt_and_answer_is_an_error():
    tokenizer = bpe(["abab abab"] * 9, False, True, size=300)
    with pytest.raises(
        CfgenError, match=r"'ab a' and the answer 'bab'.*answer-joins-prompt"
    ) as caught:
        encode_pairs(tokenizer, [pair(side("ab a", "bab", prefix=""))] * 3)
    assert len(caught.value.problems) == 1


def test_an_empty_answer_or_prompt_is_an_error(tiny_lm):
    with pytest.raises(CfgenError, match="answer-without-token"):
        encode_pairs(tiny_lm.tokenizer, [pair(side("Ann has", "", prefix=""))])
    with pytest.raises(CfgenError, match="prompt-without-token"):
        encode_pairs(tiny_lm.tokenizer, [pair(side(""))])


def test_a_slow_tokenizer_is_an_error():
    with pytest.raises(CfgenError, match="slow-tokenizer"):
        encode_pairs(SimpleNamespace(is_fast=False), [])
