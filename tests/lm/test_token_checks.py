"""The tokens of a prompt are its text, and what libraries say of a tokenizer counts."""

from __future__ import annotations

import json

import pytest
from tokenizers import normalizers, processors

from cfgen.counterfactuals import Pair, Side
from cfgen.errors import CfgenError
from cfgen.lm import check_text, encode_pairs, load_lm, load_tokenizer
from cfgen.prompts import Prompt
from tests.conftest import TINY_WORDS, tiny_tokenizer
from tests.families import tiny_model


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
    ("version", "settings"), [("5.0.0", {}), ("4.50.0", {"fix_mistral_regex": True})]
)
def test_what_was_mended_or_is_newer_is_taken(tmp_path, load, version, settings):
    load(mistral_folder(tmp_path, version, settings))
