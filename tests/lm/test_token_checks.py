"""The tokens of a prompt are its text, and what libraries say of a tokenizer counts."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from tokenizers import normalizers, processors

from cfgen.counterfactuals import Pair, Side
from cfgen.datasets import Candidates, Split, candidate_pairs
from cfgen.errors import CfgenError
from cfgen.lm import (
    check_text,
    checked_encoder,
    encode_pairs,
    load_lm,
    load_tokenizer,
    locate,
    reads_as,
)
from cfgen.prompts import Prompt, Span
from cfgen.tasks import list_tasks, load_task
from tests.conftest import TINY_WORDS, tiny_tokenizer
from tests.cutters import CUTTERS, SCRIPTS, fast, word_level
from tests.families import tiny_model
from tests.sampling import one_in


def tokenizer_of(kind="words", *, bos=False, normalizer=None):
    tokenizer = tiny_tokenizer(TINY_WORDS.split(), kind)
    backend = tokenizer.backend_tokenizer
    if bos:
        special = [("<bos>", tokenizer.bos_token_id)]
        backend.post_processor = processors.TemplateProcessing("<bos> $A", special_tokens=special)
    if normalizer is not None:
        backend.normalizer = normalizer
    return tokenizer


def pairs_of(*texts):
    """Pairs of prompts with given texts, the same one on both sides."""
    pairs = []
    for text in texts:
        sides = [Side({}, Prompt(text, ()), answer, " ", {}, {}) for answer in ("yes", "no")]
        pairs.append(Pair("id", 0, "t", "d", *sides, {}, {}, False, ()))
    return pairs


def found(tokenizer, pairs, sources=None):
    with pytest.raises(CfgenError) as caught:
        check_text(tokenizer, encode_pairs(tokenizer, pairs), sources)
    return [
        (problem.code, problem.message, problem.where, problem.hint)
        for problem in caught.value.problems
    ]


TEXTS = ("Ann puts tea into the mug.", "The tea is red.\nQuestion: what is it? Answer:", "a\n\nand")


@pytest.mark.parametrize("kind", ["words", "bytes"])
@pytest.mark.parametrize("bos", [False, True])
def test_texts_that_are_kept_pass(kind, bos):
    tokenizer = tokenizer_of(kind, bos=bos)
    pairs = pairs_of(*TEXTS)
    assert check_text(tokenizer, encode_pairs(tokenizer, pairs)) == len(TEXTS)


def test_characters_beyond_ascii_and_their_composition_pass():
    for normalizer in (None, normalizers.NFC(), normalizers.NFKC()):
        tokenizer = tokenizer_of("bytes", normalizer=normalizer)
        pairs = pairs_of("naïve 東京 🙂", "e\u0301te\u0301", "ﬁn")
        assert check_text(tokenizer, encode_pairs(tokenizer, pairs)) == 3


def test_a_beginning_that_is_there_twice():
    sources = {"templates/x/y.jinja": "---\na: b\n---\n<bos>{{ name }} puts tea"}
    ((code, message, where, hint),) = found(
        tokenizer_of(bos=True), pairs_of("<bos>Ann puts tea"), sources
    )
    assert code == "special-token-twice"
    assert message == "a prompt begins with '<bos>' twice: '<bos>Ann puts tea'"
    assert where == "templates/x/y.jinja:4"
    assert "the tokenizer puts it there" in hint
    ((code, _, where, hint),) = found(tokenizer_of(), pairs_of("<bos><bos>Ann puts tea"))
    assert (code, where) == ("special-token-twice", "")
    assert "one '<bos>'" in hint
    tokenizer = tokenizer_of()
    assert check_text(tokenizer, encode_pairs(tokenizer, pairs_of("<bos>Ann puts tea"))) == 1


def test_words_that_the_tokenizer_does_not_know():
    problems = found(
        tokenizer_of(),
        pairs_of("Ann puts gin into the mug.", "Ann puts gin into the vase."),
        {"a.jinja": "one\ninto the vase"},
    )
    assert [(code, message, where) for code, message, where, _ in problems] == [
        ("word-without-token", "the tokenizer has no token for 'gin'", ""),
        ("word-without-token", "the tokenizer has no token for 'vase'", "a.jinja:2"),
    ]
    tokenizer = tokenizer_of()
    written = pairs_of("Ann puts <unk> into the mug.")  # whoever writes it, means it
    assert check_text(tokenizer, encode_pairs(tokenizer, written)) == 1


@pytest.mark.parametrize(
    ("normalizer", "text", "read"),
    [
        (normalizers.Lowercase(), "Ann puts tea", "ann puts tea"),
        (normalizers.Replace("  ", " "), "Ann  puts tea", "Ann puts tea"),
        (normalizers.StripAccents(), "nai\u0308ve tea", "naive tea"),
    ],
)
def test_text_that_gets_lost(normalizer, text, read):
    ((code, message, _, _),) = found(tokenizer_of("bytes", normalizer=normalizer), pairs_of(text))
    assert code == "tokens-not-the-text"
    assert message == f"the tokens of a prompt read {read!r}, not {text!r}"


EVENED = [
    (normalizers.NFKC(), "x² is red", "x2 is red"),
    (normalizers.NFKC(), "the ﬁn", "the fin"),
    (normalizers.NFKC(), "tea\u00a0mug", "tea mug"),
    (normalizers.NFC(), "e\u0301te", "éte"),
    (normalizers.NFD(), "e\u0301te", "éte"),
    (normalizers.Lowercase(), "Ann puts tea", "ann puts tea"),
    (normalizers.StripAccents(), "nai\u0308ve tea", "naive tea"),
    (normalizers.Replace("  ", " "), "Ann  puts tea", "Ann puts tea"),
    (normalizers.Strip(), "Ann puts tea ", "Ann puts tea"),
]
"""What is made one, and two texts that are the same afterwards."""


@pytest.mark.parametrize(("normalizer", "one", "other"), EVENED)
@pytest.mark.parametrize("turned", [False, True])
def test_texts_that_become_the_same_tokens(normalizer, one, other, turned):
    """Whichever comes first, and whether they are in one pair or in two."""
    tokenizer = tokenizer_of("bytes", normalizer=normalizer)
    texts = (other, one) if turned else (one, other)
    (first,), (second,) = (pairs_of(text) for text in texts)
    together = replace(first, counterfactual=second.original)
    expected = found(tokenizer, [first, second])
    assert found(tokenizer, [together]) == expected
    ((code, message, _, hint),) = expected
    assert hint
    if code == "texts-same-tokens":
        assert message == (
            "two texts are the same tokens, so the LM can't tell them apart: "
            f"{min(one, other)!r}, {max(one, other)!r}"
        )
    else:
        assert code == "tokens-not-the-text"


@pytest.mark.parametrize(("normalizer", "one", "other"), EVENED)
def test_answers_that_become_the_same_tokens(normalizer, one, other):
    tokenizer = tokenizer_of("bytes", normalizer=normalizer)
    (pair,) = pairs_of("Question: what? Answer:")
    sides = [replace(pair.original, answer=text.strip()) for text in (one, other)]
    pair = replace(pair, original=sides[0], counterfactual=sides[1])
    if one.strip() == other.strip():
        return
    with pytest.raises(CfgenError) as caught:
        encode_pairs(tokenizer, [pair])
    (problem,) = caught.value.problems
    if problem.code == "answers-collide":
        assert repr(one) in problem.message
        assert repr(other) in problem.message
    else:
        assert problem.code == "tokens-not-the-text"
        assert repr(f" {one}") in problem.message


def test_unknown_words_at_the_beginning_are_no_beginning():
    """Two unknown words are the same special token twice, which the template did not write."""
    for bos in (False, True):
        problems = found(tokenizer_of(bos=bos), pairs_of("gin rum the mug"))
        assert [(code, message) for code, message, *_ in problems] == [
            ("word-without-token", "the tokenizer has no token for 'gin'"),
            ("word-without-token", "the tokenizer has no token for 'rum'"),
        ]


def test_unknown_tokens_that_only_the_file_declares():
    backend = CUTTERS["words, few"](SCRIPTS)
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert tokenizer.unk_token is None
    assert {code for code, *_ in found(tokenizer, pairs_of("Ann gulps"))} == {"word-without-token"}


@pytest.mark.parametrize("kind", ["words", "words, few", "unigram that knows little"])
def test_answers_that_the_tokenizer_does_not_know(kind):
    """Whatever is unknown would count as said whenever the LM says that it does not know a word."""
    tokenizer = fast(CUTTERS[kind](SCRIPTS))
    (pair,) = pairs_of("the")
    pair = replace(pair, original=replace(pair.original, answer="gulps"))
    with pytest.raises(CfgenError) as caught:
        encode_pairs(tokenizer, [pair], {"gulps": ("gulps",), "no": ("the",)})
    assert caught.value.problems[0].code == "word-without-token"
    assert "gulps'" in caught.value.problems[0].message


def test_what_a_tokenizer_cannot_read_is_named():
    tokenizer = fast(word_level(SCRIPTS, unknown=False))
    texts = pairs_of("Ann puts the tea", "Ann gulps the tea")
    with pytest.raises(CfgenError, match=r"can't read 'Ann gulps the tea': .*word-without-token"):
        encode_pairs(tokenizer, texts, {"yes": ("tea",), "no": ("mug",)})


# Tokenizers of all kinds


def world():
    """Pairs of all built-in tasks, and pairs whose prompts are in other scripts."""
    pairs = []
    for name in list_tasks():
        task = load_task(name)
        for design in task.designs.values():
            drawn = Candidates(task, design, task.causal_model.domains, split=Split("cutters"))
            pairs += candidate_pairs(drawn, 3)
    for text in SCRIPTS:
        words = re.finditer(r"\w+", text)
        spans = tuple(Span(f"word_{n}", 0, *word.span()) for n, word in enumerate(words))
        side = Side({}, Prompt(text, spans), "tea", " ", {}, {})
        other = replace(side, answer="mug")
        pairs.append(Pair("id", 0, "t", "d", side, other, {}, {}, False, ()))
    return pairs


WORLD = world()
WORLD_TEXTS = (SCRIPTS[0], *(f"{p.original.prompt.text} {p.original.answer}" for p in WORLD))
REFUSED = {
    "bytes lower": {"tokens-not-the-text"},
    "bytes behind <s> <s>": {"special-token-twice"},
    "bytes, words not cut": {"answer-joins-prompt"},
    "metaspace, words not cut": {"answer-joins-prompt"},
    "metaspace without bytes": {"word-without-token"},
    "unigram that knows little": {"word-without-token"},
    "word pieces, lower": {"tokens-not-the-text"},
    "words, few": {"word-without-token"},
    "words without <unk>": {"word-without-token"},
    "word pieces, not cleaned up": {"tokens-not-the-text"},
    "BPE without <unk>": {"tokens-not-the-text"},
}
"""Those that keep hardly a text, and what is said; others may refuse some texts as well."""


@pytest.mark.parametrize("kind", one_in(6, CUTTERS))
def test_positions_under_tokenizers_of_all_kinds(kind):
    """Tokens are the text, and those of a span read as the span; or it is said that they don't."""
    tokenizer = fast(CUTTERS[kind](WORLD_TEXTS))
    read, refused = 0, set()
    for pair in WORLD:
        try:
            encoded = encode_pairs(tokenizer, [pair])
            check_text(tokenizer, encoded)
        except CfgenError as error:
            refused |= {problem.code for problem in error.problems if problem.hint}
            continue
        for side in (encoded[0].original, encoded[0].counterfactual):
            read += spans_read(tokenizer, side)
            (shown,) = locate(side, "every")
            first, last = shown.context[0], shown.context[-1]
            own = tokenizer.decode(side.ids[first : last + 1]).strip()
            assert reads_as(own, side.prompt.text), side.prompt.text
    assert read or kind in REFUSED
    assert refused >= REFUSED.get(kind, set())


def spans_read(tokenizer, side):
    """How many spans of a prompt have tokens that read as the span, nothing else being in them."""
    count = 0
    for span in side.prompt.spans:
        (found,) = locate(side, f"{span.name}[{span.mention}].all")
        text = side.prompt.text[span.start : span.end].strip()
        read = tokenizer.decode([side.ids[token] for token in found.tokens]).strip()
        first, last = found.tokens[0], found.tokens[-1]
        assert found.tokens == tuple(range(first, last + 1))
        assert locate(side, f"{span.name}[{span.mention}]")[0].tokens == (last,)
        covered = side.prompt.text[side.offsets[first][0] : side.offsets[last][1]].strip()
        assert text in covered
        if covered == text:
            count += 1
            assert reads_as(read, text)
        else:  # a token that reaches beyond the span: a run, which decodes it, refuses the span
            assert not reads_as(read, text)
    return count


# What transformers says while it loads one


def mistral_folder(folder, version="4.50.0", settings=()):
    """An LM whose tokenizer is as large, and whose files are as old, as those that are wrong."""
    words = [*TINY_WORDS.split(), *(f"w{number}" for number in range(50_100))]
    tokenizer = tiny_tokenizer(words)
    model = tiny_model("mistral", vocabulary=len(tokenizer), num_hidden_layers=1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    changes = {"config.json": {"transformers_version": version}}
    changes["tokenizer_config.json"] = dict(settings)
    for name, entries in changes.items():
        file = folder / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))
    return str(folder)


@pytest.mark.parametrize("load", [load_tokenizer, lambda name: load_lm(name, device="cpu")])
def test_a_tokenizer_that_cuts_wrongly_is_refused(tmp_path, load):
    name = mistral_folder(tmp_path)
    with pytest.raises(CfgenError) as caught:
        load(name)
    (problem,) = caught.value.problems
    assert problem.code == "lm-tokenizer-wrong"
    assert "incorrect regex pattern" in problem.detail
    assert "fix_mistral_regex" in problem.hint


@pytest.mark.parametrize("load", [load_tokenizer, lambda name: load_lm(name, device="cpu")])
@pytest.mark.parametrize(
    ("version", "settings"), one_in(2, [("5.0.0", {}), ("4.50.0", {"fix_mistral_regex": True})])
)
def test_what_was_mended_or_is_newer_is_taken(tmp_path, load, version, settings):
    load(mistral_folder(tmp_path, version, settings))


@pytest.mark.parametrize(
    ("normalizer", "texts", "code"),
    [
        (None, ["Ann puts zyxw"], "word-without-token"),
        (normalizers.Replace("mug", "tea"), ["Ann puts the mug"], "tokens-not-the-text"),
        (normalizers.NFKC(), ["Ann puts tea", "Ann puts te\uff41"], "texts-same-tokens"),
    ],
)
def test_an_encoder_that_checks_refuses_what_a_run_would(tmp_path, normalizer, texts, code):
    tokenizer_of(normalizer=normalizer).save_pretrained(tmp_path)
    encode = checked_encoder(load_tokenizer(str(tmp_path)))
    for text in texts[:-1]:
        encode(text)
        encode(text)  # the same text again is no other
    with pytest.raises(CfgenError, match=code):
        encode(texts[-1])


def test_an_encoder_that_checks_gives_what_the_tokenizer_gives(tmp_path):
    tokenizer_of("bytes", bos=True).save_pretrained(tmp_path)
    plain = load_tokenizer(str(tmp_path))
    assert [checked_encoder(plain)(text) for text in TEXTS] == [plain(text) for text in TEXTS]
