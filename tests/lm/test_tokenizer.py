"""Tokenizers alone: the same tokens as with their LM, without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cfgen.errors import CfgenError
from cfgen.lm import load_tokenizer

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
