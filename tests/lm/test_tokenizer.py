"""Tokenizers alone: the same tokens as with their LM, without torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from cfgen.errors import CfgenError
from cfgen.lm import encode_pairs, load_lm, load_tokenizer, wrap_lm
from cfgen.lm.described import difference
from tests.conftest import TINY_WORDS, tiny_tokenizer
from tests.cutters import CUTTERS, SCRIPTS, fast
from tests.families import tiny_model
from tests.sampling import one_in

TEXTS = ["Alice puts it in the box.", " of", "What is it with?\nAnswer:", "", "naïve 東京 🙂"]


def test_a_folder_and_its_file(tiny_folder: Path) -> None:
    from transformers import AutoTokenizer

    reference = AutoTokenizer.from_pretrained(tiny_folder)
    for name in (str(tiny_folder), str(tiny_folder / "tokenizer.json")):
        encode = load_tokenizer(name)
        for text in TEXTS:
            expected = reference(text, return_offsets_mapping=True)
            ids, offsets = encode(text)
            assert list(ids) == expected["input_ids"]
            assert list(offsets) == expected["offset_mapping"]


def test_special_tokens_at_the_end_are_left_out(tiny_folder: Path, tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    backend = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    special = [("<bos>", backend.token_to_id("<bos>")), ("<eos>", backend.token_to_id("<eos>"))]
    backend.post_processor = TemplateProcessing(single="<bos> $A <eos>", special_tokens=special)
    backend.enable_truncation(3)
    backend.enable_padding()
    backend.save(str(tmp_path / "own.json"))
    ids, offsets = load_tokenizer(str(tmp_path / "own.json"))("Alice puts it in the box.")
    assert ids[0] == special[0][1]
    assert special[1][1] not in ids
    assert len(ids) == 8
    assert offsets[0] == (0, 0)
    assert offsets[-1] == (24, 25)


def with_settings(folder: Path, **more: object) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))


SETTINGS: list[dict[str, object]] = [
    {"extra_special_tokens": ["tea"]},
    {"extra_special_tokens": {"tea_token": "tea"}},
    {"additional_special_tokens": ["tea"]},
    {"add_bos_token": True},
    {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True},
    {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": False},
    {"tokenizer_class": "LlamaTokenizer"},
    {"tokenizer_class": None},
    {"bos_token": "tea"},
    {"split_special_tokens": True},
    {"spaces_between_special_tokens": True},
    {"extra_special_tokens": 3},
    {"tokenizer_object": {}},
    {"post_processor": "x"},
    {"added_tokens_decoder": {"9": {"content": "tea", "special": True, "lstrip": True}}},
]


@pytest.mark.parametrize("settings", one_in(3, SETTINGS), ids=str)
@pytest.mark.parametrize("kind", ["words", "bytes"])
def test_the_same_tokens_with_and_without_the_lm(
    build_tiny_lm, tmp_path, kind: str, settings: dict[str, object]
) -> None:
    """Whatever the files beside tokenizer.json say, all verbs read what a run reads."""
    lm = build_tiny_lm(layers=1, kind=kind, vocab_size=320)
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    with_settings(tmp_path, **settings)
    names = (str(tmp_path), str(tmp_path / "tokenizer.json"))
    try:
        loaded = load_lm(str(tmp_path), device="cpu").tokenizer
    except CfgenError:  # whatever a run refuses, the others do
        for name in names:
            with pytest.raises(CfgenError, match="lm-tokenizer"):
                load_tokenizer(name)
        return
    for text in (*TEXTS, "Ann puts tea", " tea"):
        expected = loaded(text, return_offsets_mapping=True)
        for name in names:
            assert list(load_tokenizer(name)(text)[0]) == expected["input_ids"]


FILES = (
    "bytes",
    "bytes, digits by three",
    "bytes, digits alone",
    "bytes behind <s>",
    "metaspace always",
    "metaspace never",
    "llama",
    "unigram",
    "word pieces",
    "words",
    "added, taking spaces in front",
)
CLASSES = (
    "GPT2Tokenizer",
    "LlamaTokenizerFast",
    "Qwen2Tokenizer",
    "GPTNeoXTokenizerFast",
    "GemmaTokenizer",
    "T5Tokenizer",
    "BertTokenizer",
    "CohereTokenizerFast",
    "PreTrainedTokenizerFast",
    None,
)


@pytest.mark.parametrize("kind", one_in(3, FILES))
def test_whatever_class_is_named_the_file_counts(tmp_path: Path, kind: str) -> None:
    """transformers makes some classes anew by rules of their own, which are not the file's."""
    from transformers import AutoTokenizer

    fast(CUTTERS[kind](SCRIPTS)).save_pretrained(tmp_path)
    described = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    texts = (*SCRIPTS, "Ann  has 12345 x²", "the mug.", "½ of it\n\nis")
    refused, rebuilt = [], 0
    for name in CLASSES:
        with_settings(tmp_path, tokenizer_class=name)
        try:
            encode = load_tokenizer(str(tmp_path))
        except CfgenError as error:
            refused.append((name, error.problems[0].hint))
            continue
        for text in texts:
            ids, offsets = encode(text)
            made = described.encode(text)
            assert (list(ids), list(offsets)) == (made.ids, made.offsets), (name, text)
        own = AutoTokenizer.from_pretrained(tmp_path)
        rebuilt += any(own(t)["input_ids"] != described.encode(t).ids for t in texts)
    hint = "check tokenizer_config.json, above all its tokenizer_class"
    assert refused in ([], [("T5Tokenizer", hint)])  # which takes one kind of vocabulary only
    assert rebuilt > 1  # what would have been read, had nobody compared


def test_the_tokenizer_of_a_run_is_the_one_of_the_file(tmp_path: Path) -> None:
    """For a Qwen2, transformers passes over the plain class, and cuts texts as Qwen2 does."""
    tokenizer = tiny_tokenizer(TINY_WORDS.split())
    tiny_model("qwen2", vocabulary=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    described = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    own = load_lm(str(tmp_path), device="cpu").tokenizer
    for text in TEXTS:
        assert own(text)["input_ids"] == described.encode(text).ids
        assert list(load_tokenizer(str(tmp_path))(text)[0]) == described.encode(text).ids


BESIDE = [
    ("added_tokens.json", {"brandnew": 400}),
    ("added_tokens.json", {"tea": 5}),
    ("added_tokens.json", {"<bos>": 1}),
    ("added_tokens.json", [1]),
    ("special_tokens_map.json", [1]),
    ("special_tokens_map.json", {"bos_token": "tea"}),
    ("special_tokens_map.json", {"additional_special_tokens": "tea"}),
    ("special_tokens_map.json", {}),
    ("tokenizer_config.json", []),
    ("vocab.json", {"a": 0}),
    ("tokenizer.model", "x"),
]


@pytest.mark.parametrize(("name", "content"), BESIDE, ids=str)
def test_other_files_are_read_or_refused_by_all(tiny_folder: Path, name: str, content) -> None:
    (tiny_folder / name).write_text(json.dumps(content))
    found = []
    for load in (load_tokenizer, lambda folder: load_lm(folder, device="cpu").tokenizer):
        try:
            read = load(str(tiny_folder))
        except CfgenError as error:
            found.append(error.problems[0].code)
            continue
        backend = getattr(read, "backend_tokenizer", None) or read.backend
        found.append([backend.encode(text).ids for text in (*TEXTS, "Ann puts tea", "brandnew")])
    assert found[0] == found[1]


def test_where_a_tokenizer_is_not_what_its_file_says(tiny_folder: Path) -> None:
    from transformers import AutoTokenizer

    file = tiny_folder / "tokenizer.json"
    own = AutoTokenizer.from_pretrained(tiny_folder)
    assert difference(file, own, {}, whole=True) == ""
    own.add_tokens(["loves"])
    assert "different vocabularies: 'loves'" in difference(file, own, {}, whole=True)
    assert difference(file, own, {}, whole=False) == ""
    own.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    own.backend_tokenizer.normalizer = normalizers.NFC()
    found = difference(file, own, {}, whole=False)
    assert "by tokenizer.json and [" in found
    assert "\nnormalizer: none in the file, NFC() in transformers" in found
    assert "\npre_tokenizer: Split(" in found
    assert "in the file, Whitespace() in transformers" in found


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("kind", ["bytes", "bytes with a space in front", "metaspace always"])
def test_settings_may_say_whether_texts_begin_with_a_space(
    tmp_path: Path, kind: str, wanted: bool
) -> None:
    name = "LlamaTokenizer" if kind.startswith("meta") else "GPT2Tokenizer"
    fast(CUTTERS[kind](SCRIPTS)).save_pretrained(tmp_path)
    with_settings(tmp_path, tokenizer_class=name, add_prefix_space=wanted)
    encode = load_tokenizer(str(tmp_path))
    assert (encode("the mug")[0] == encode(" the mug")[0]) is wanted or not wanted
    own = encode.backend.encode("the mug").tokens
    assert own[0].startswith(("Ġ", "▁")) is wanted


@pytest.mark.parametrize("load", [load_tokenizer, lambda name: load_lm(name, device="cpu")])
@pytest.mark.parametrize("settings", [{}, {"add_bos_token": False}], ids=["alone", "with settings"])
def test_what_cuts_at_random_is_switched_off(build_tiny_lm, tmp_path, load, settings) -> None:
    backend = CUTTERS["bytes"](SCRIPTS)
    expected = backend.encode(SCRIPTS[0]).ids
    backend.model.dropout = 0.5
    assert len({tuple(backend.encode(SCRIPTS[0]).ids) for _ in range(20)}) > 1
    build_tiny_lm(layers=1, vocab_size=700).model.save_pretrained(tmp_path)
    fast(backend).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text())["model"]["dropout"] == 0.5
    with_settings(tmp_path, **settings)
    loaded = load(str(tmp_path))
    backend = getattr(loaded, "backend", None) or loaded.tokenizer.backend_tokenizer
    assert {tuple(backend.encode(SCRIPTS[0]).ids) for _ in range(20)} == {tuple(expected)}


def test_what_cuts_at_random_is_refused_where_it_comes_from_outside(build_tiny_lm) -> None:
    lm = build_tiny_lm(layers=1)
    for model, name in (
        (models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], dropout=0.1), "dropout"),
        (models.Unigram([("<unk>", 0.0), ("a", -1.0)], 0, alpha=0.5, nbest_size=4), "alpha"),
    ):
        tokenizer = fast(Tokenizer(models.BPE()))
        tokenizer.backend_tokenizer.model = model
        with pytest.raises(CfgenError, match=rf"(?s)at random: its {name} is 0.*wrap_lm") as caught:
            encode_pairs(tokenizer, [])
        assert caught.value.problems[0].code == "tokenizer-samples"
        wrap_lm(lm.model, tokenizer, name="it", revision="1")
        assert encode_pairs(tokenizer, []) == []


def test_a_class_that_does_not_fit(tiny_folder: Path) -> None:
    with_settings(tiny_folder, tokenizer_class="BertJapaneseTokenizer")
    for load in (load_tokenizer, load_lm):
        with pytest.raises(CfgenError, match=r"tokenizer_class.*|lm-tokenizer"):
            load(str(tiny_folder))
    (tiny_folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(CfgenError, match="is not JSON"):
        load_tokenizer(str(tiny_folder))


def test_no_torch_is_imported(run_python: Callable[[str], str], tiny_folder: Path) -> None:
    said = run_python(
        "import sys\nfrom cfgen.lm import load_tokenizer\n"
        f"print(len(load_tokenizer({str(tiny_folder)!r})('Alice puts it')[0]))\n"
        "print(*(name for name in ('torch', 'transformers') if name in sys.modules))"
    )
    assert said == "3\n\n"


def test_what_is_no_tokenizer(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "wrong.json").write_text("{}")
    with pytest.raises(CfgenError, match="is not a tokenizer"):
        load_tokenizer(str(tmp_path / "wrong.json"))
    (tiny_folder / "tokenizer.json").unlink()
    with pytest.raises(CfgenError, match=r"has no tokenizer.json"):
        load_tokenizer(str(tiny_folder))
    with pytest.raises(CfgenError, match="lm-unknown"):
        load_tokenizer("smolm2-135m")
    with pytest.raises(CfgenError, match="there is no folder"):
        load_tokenizer("./nowhere")


@pytest.mark.slow
def test_the_real_one_has_the_tokens_of_its_lm(smollm) -> None:
    encode = load_tokenizer("smollm2-135m")
    for text in TEXTS:
        expected = smollm.tokenizer(text, return_offsets_mapping=True)
        assert list(encode(text)[0]) == expected["input_ids"]
        assert list(encode(text)[1]) == expected["offset_mapping"]
