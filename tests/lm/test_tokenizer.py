"""Tokenizers alone: the same tokens as with their LM, without torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cfgen.errors import CfgenError
from cfgen.lm import load_lm, load_tokenizer
from cfgen.lm.tokenizer import check_alone
from tests.conftest import TINY_WORDS, tiny_tokenizer
from tests.families import tiny_model

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
    from tokenizers import Tokenizer
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
    {"added_tokens_decoder": {"9": {"content": "tea", "special": True, "lstrip": True}}},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
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
    loaded = load_lm(str(tmp_path), device="cpu").tokenizer
    for text in (*TEXTS, "Ann puts tea", " tea"):
        expected = loaded(text, return_offsets_mapping=True)
        for name in names:
            assert list(load_tokenizer(name)(text)[0]) == expected["input_ids"]


def test_a_tokenizer_that_disagrees_with_its_lm(tiny_folder: Path) -> None:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    files = tuple((file.name, file) for file in sorted(tiny_folder.glob("*.json")))
    own = AutoTokenizer.from_pretrained(tiny_folder)
    check_alone("it", files, own)
    own.add_tokens(["loves"])
    with pytest.raises(CfgenError, match="different vocabularies"):
        check_alone("it", files, own)
    own.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    with pytest.raises(CfgenError, match=r"not what its tokenizer.json says.*'Ann|save_pretrained"):
        check_alone("it", files, own)
    own.save_pretrained(tiny_folder)
    check_alone("it", files, AutoTokenizer.from_pretrained(tiny_folder))


def test_a_tokenizer_that_transformers_makes_anew_for_an_architecture(tmp_path: Path) -> None:
    """For a Qwen2, transformers passes over the plain class, and cuts texts as Qwen2 does."""
    tokenizer = tiny_tokenizer(TINY_WORDS.split())
    tiny_model("qwen2", vocabulary=len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(CfgenError, match=r"not what its tokenizer.json says"):
        load_lm(str(tmp_path))


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
