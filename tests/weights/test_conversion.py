"""A tiny Llama, written as GGUF with 4-bit weights, must come out as the model it says it is."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cfgen.errors import CfgenError
from cfgen.lm import load_lm
from cfgen.weights import fetch, load_entries
from cfgen.weights.conversion import convert_gguf
from tests.weights.gguf_files import (
    GEMMA_LAYERS,
    LAYERS,
    SPECIAL,
    VOCABULARY,
    small_gemma3,
    write_gemma3,
    write_llama,
)


@pytest.fixture(scope="module")
def small(small_llama, tmp_path_factory):
    """The folder it was converted to, the same model built directly, and the GGUF file."""
    model, file = small_llama
    folder = tmp_path_factory.mktemp("converted")
    steps: list[tuple[str, int, int | None]] = []
    convert_gguf(file, folder, progress=lambda *step: steps.append(step))
    return folder, model, file, steps


def test_weights_are_those_of_the_file_bit_for_bit(small):
    folder, model, _, _ = small
    converted = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    assert converted.dtype == torch.float32
    state, expected = converted.state_dict(), model.state_dict()
    assert state.keys() == expected.keys()
    assert [key for key in state if not torch.equal(state[key], expected[key])] == []
    assert converted.lm_head.weight is converted.model.embed_tokens.weight
    ids = torch.tensor([[5, 17, 99, 200, 44]])
    assert torch.equal(converted(ids).logits, model(ids).logits)


def test_config_is_that_of_an_ordinary_model(small):
    folder, _, _, _ = small
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert not {"quantization_config", "_name_or_path", "_model_name_or_path"} & config.keys()
    assert (config["rope_parameters"]["rope_theta"], config["max_position_embeddings"]) == (
        1e4,
        128,
    )
    generation = json.loads((folder / "generation_config.json").read_text())
    assert [generation[f"{token}_token_id"] for token in ("bos", "eos", "pad")] == [1, 2, 2]


def test_progress_counts_the_tensors(small):
    steps = small[3]
    tensors = LAYERS * 9 + 2
    assert steps == [
        ("convert", 0, None),
        *(("convert", done, tensors) for done in range(tensors + 1)),
        ("save", 0, None),
    ]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (" tea cup", ["Ġtea", "Ġ", "cup"]),
        ("tea 12", ["t", "ea", "Ġ", "1", "2"]),
        ("a  12", ["a", "ĠĠ", "1", "2"]),  # GPT-2 would give the second space to the number
        ("a  tea", ["a", "Ġ", "Ġtea"]),
        ("<|im_end|>cup", ["<|im_end|>", "cup"]),
    ],
)
def test_tokens_and_their_places(small, text, tokens):
    tokenizer = AutoTokenizer.from_pretrained(small[0])
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert encoded.tokens() == tokens  # nothing in front, nothing behind
    assert tokenizer.decode(encoded["input_ids"]) == text
    offsets = encoded["offset_mapping"]
    assert "".join(text[start:end] for start, end in offsets) == text
    assert [text[a:b].replace(" ", "Ġ") for a, b in offsets] == tokens


def test_tokenizer_settings(small):
    tokenizer = AutoTokenizer.from_pretrained(small[0])
    assert tokenizer.is_fast
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == tuple(
        SPECIAL[index] for index in (1, 2, 2)
    )
    assert tokenizer.model_max_length == 128
    assert len(tokenizer) == len(VOCABULARY)


def test_words_cut_in_an_unknown_way_are_refused(small, tmp_path):
    write_llama(tmp_path / "model.gguf", small[1], cut="scissors")
    with pytest.raises(ValueError, match="cuts words as 'scissors'"):
        convert_gguf(tmp_path / "model.gguf", tmp_path)


def test_from_the_index_to_a_running_model(small, open_shop, capfd):
    shop = open_shop(small[2].read_bytes())
    lm = load_lm("small", device="cpu")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    ids = torch.tensor([[5, 17, 99]])
    assert torch.equal(lm.model(ids).logits, small[1](ids).logits)
    entry = load_entries()["small"]
    assert lm.revision == f"sha256:{entry.source.gguf.sha256}"
    assert [path.name for path in (shop.cache / "models").iterdir()] == [entry.folder.name]


def test_a_file_that_is_no_gguf(open_shop):
    shop = open_shop(b"This is not a model." * 100)
    with pytest.raises(CfgenError) as caught:
        fetch(load_entries()["small"])
    assert [problem.code for problem in caught.value.problems] == ["lm-convert"]
    assert shop.left() == []


# Gemma 3.


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    """The folder that a small Gemma 3 was converted to, and the same model built directly."""
    model = small_gemma3()
    place, folder = tmp_path_factory.mktemp("gguf"), tmp_path_factory.mktemp("converted")
    write_gemma3(place / "model.gguf", model)
    convert_gguf(place / "model.gguf", folder)
    return folder, model


def test_gemma3_is_the_model_it_was_written_from(gemma):
    folder, model = gemma
    converted = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    state, expected = converted.state_dict(), model.state_dict()
    assert state.keys() == expected.keys()
    assert [key for key in state if not torch.equal(state[key], expected[key])] == []
    assert converted.lm_head.weight is converted.model.embed_tokens.weight
    ids = torch.arange(2, 42)[None]  # longer than the window
    assert torch.equal(converted(ids).logits, model(ids).logits)
    config = converted.config
    assert (config.model_type, config.sliding_window) == ("gemma3_text", 8)
    assert [kind == "full_attention" for kind in config.layer_types] == [
        layer == 5 for layer in range(GEMMA_LAYERS)
    ]
    rope = config.rope_parameters
    assert rope["full_attention"]["rope_theta"] == 1e6
    assert rope["sliding_attention"]["rope_theta"] == 1e4


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (" tea cup", ["▁tea", "▁cup"]),
        ("tea  cup\n\ncup", ["t", "ea", "▁▁", "cup", "\n\n", "cup"]),
        ("tec!", ["t", "e", "c", "<0x21>"]),
    ],
)
def test_gemma3_tokens_begin_with_one_mark(gemma, text, tokens):
    tokenizer = AutoTokenizer.from_pretrained(gemma[0])
    encoded = tokenizer(text, return_offsets_mapping=True)
    assert encoded.tokens() == ["<bos>", *tokens]
    assert tokenizer.decode(encoded["input_ids"], skip_special_tokens=True) == text
    offsets = encoded["offset_mapping"]
    assert offsets[0] == (0, 0)
    assert "".join(text[start:end] for start, end in offsets) == text


def test_how_attention_is_scaled_must_follow_from_the_file(tmp_path):
    write_gemma3(tmp_path / "model.gguf", small_gemma3(head_dim=128))
    with pytest.raises(ValueError, match="attention is scaled"):
        convert_gguf(tmp_path / "model.gguf", tmp_path)
