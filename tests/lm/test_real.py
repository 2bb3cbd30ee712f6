"""The real base LM, against the file that it is made from, read in another way."""

from __future__ import annotations

import shutil
import sys
import types
from itertools import pairwise

import numpy as np
import pytest
import regex
import torch
from gguf import GGUFReader
from gguf.quants import dequantize

from cfgen.weights import fetch, load_entries

pytestmark = pytest.mark.slow

TEXTS = (
    "Bob and Carla are working in a busy restaurant. To complete an order, Bob grabs a bottle.",
    "Question: What does Carla believe the cup contains? Answer: coffee",
    "  two spaces,\n\n two lines\t and a tab  ",
    "It's 1234 kg; they'll weigh  56.7 and\n8 more: x² + ½ = ٣",
    "naïve café — “quotes” … 東京 🙂🙂 don't STOP_here",
    "<|im_start|>user\nHello<|im_end|>\n",
)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The GGUF file, fetched from the index as a user does it, but kept as it is."""

    def keep(gguf, folder, *, progress):
        shutil.copy(gguf, folder / "model.gguf")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CFGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(
            sys.modules, "cfgen.weights.conversion", types.SimpleNamespace(convert_gguf=keep)
        )
        folder = fetch(load_entries()["smollm2-135m"])
    yield GGUFReader(folder / "model.gguf")
    shutil.rmtree(folder)


def test_weights_are_those_of_the_file_bit_for_bit(smollm, reader):
    names = {
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "token_embd": "embed_tokens",
        "output_norm": "norm",
    }
    config = smollm.model.config
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    state = dict(smollm.model.state_dict())
    assert state.pop("lm_head.weight") is not None  # tied to the embedding
    assert len(reader.tensors) == len(state) == 272
    for tensor in reader.tensors:
        *block, kind, _ = tensor.name.split(".")
        layer = f"layers.{block[1]}." if block else ""
        values = dequantize(tensor.data, tensor.tensor_type)
        if kind in heads:
            values = values.reshape(heads[kind], -1, 2, values.shape[1]).swapaxes(1, 2)
            values = values.reshape(-1, values.shape[-1])
        ours = state.pop(f"model.{layer}{names[kind]}.weight").numpy()
        assert np.array_equal(ours, values), tensor.name
    assert state == {}


def plain_tokens(text: str, reader: GGUFReader) -> list[int]:
    """Byte-level BPE as its inventors describe it, over the tables of the file."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    ids = {token: index for index, token in enumerate(tokens)}
    ranks = {
        tuple(pair.split(" ")): rank
        for rank, pair in enumerate(reader.fields["tokenizer.ggml.merges"].contents())
    }
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + index) for index, byte in enumerate(others)}
    words = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    out: list[int] = []
    for piece in regex.split(r"(<\|im_start\|>|<\|im_end\|>)", text):
        if piece in ids and piece.startswith("<|"):
            out.append(ids[piece])
            continue
        for part in regex.split(r"(\p{N})", piece):
            for word in regex.findall(words, part):
                symbols = [letters[byte] for byte in word.encode()]
                while len(symbols) > 1:
                    pairs = list(pairwise(symbols))
                    best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
                    if best not in ranks:
                        break
                    at = pairs.index(best)
                    symbols[at : at + 2] = ["".join(best)]
                out += [ids[symbol] for symbol in symbols]
    return out


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_are_those_of_the_file(smollm, reader, text):
    encoded = smollm.tokenizer(text, return_offsets_mapping=True)
    assert encoded["input_ids"] == plain_tokens(text, reader)
    assert smollm.tokenizer.decode(encoded["input_ids"]) == text
    covered = [text[start:end] for start, end in encoded["offset_mapping"]]
    if text.isascii():
        assert "".join(covered) == text


def test_it_speaks(smollm):
    texts = ["The capital of France is", "When Mary and John went out, John gave a drink to"]
    batch = smollm.tokenizer(texts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        said = smollm.model(**batch).logits[:, -1].argmax(-1)
    assert [smollm.tokenizer.decode(token) for token in said] == [" Paris", " Mary"]


def test_what_is_known_about_it(smollm):
    entry = load_entries()["smollm2-135m"]
    size = sum(file.stat().st_size for file in entry.folder.iterdir())
    assert abs(size / entry.size - 1) < 0.01
    assert sum(value.numel() for value in smollm.model.parameters()) == entry.parameters
    assert smollm.revision == f"sha256:{entry.source.gguf.sha256}"
    tokenizer = smollm.tokenizer
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert (tokenizer.pad_token_id, tokenizer.padding_side) == (2, "left")
