"""GGUF to safetensors, once, so that every later load takes a fraction of a second."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    modeling_gguf_pytorch_utils,
)

from cfgen.lm.cache import Progress, no_progress
from cfgen.lm.quiet import quiet

# What a 4-bit file holds is scale * code + offset with float16 scales and offsets. Of the 135M
# weights of a Q4_1 file, 18 % are exact in bfloat16 and 52 % in float16; float32 is what it is
# evaluated in anyway, so the copy in float32 is the one that changes nothing. It is twice as large
# (0.54 GB), and loads in 0.1 s because it is memory-mapped.
DTYPE = torch.float32


def convert_gguf(gguf: Path, folder: Path, *, progress: Progress = no_progress) -> None:
    """Write the model and the tokenizer of a GGUF file as a folder that transformers loads.

    Args:
        gguf: The file.
        folder: An existing folder for ``config.json``, ``model.safetensors`` (float32),
            ``tokenizer.json`` and their like.
        progress: Called with ``convert`` and how many tensors are done.

    Raises:
        OSError: A file can't be read or written.
        ValueError: transformers doesn't know the architecture, the file is not GGUF, or it names
            a way of cutting text into words that isn't known here.
    """
    with quiet(), _tensors_counted(progress):
        loaded = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=DTYPE, local_files_only=True
        )
        model = _savable(loaded)
        tokenizer = AutoTokenizer.from_pretrained(
            gguf.parent, gguf_file=gguf.name, local_files_only=True
        )
        _cut_as_trained(tokenizer, gguf)
        # GGUF has no place for the longest input, so that the tokenizer thinks there is none.
        tokenizer.model_max_length = model.config.max_position_embeddings
        progress("save", 0, None)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _savable(loaded: PreTrainedModel) -> PreTrainedModel:
    """Build the same model without the mark of quantization, which forbids saving."""
    entries = loaded.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        entries.pop(key, None)
    config = type(loaded.config).from_dict(entries)
    with torch.device("meta"):  # no memory, no random numbers: every weight is assigned below
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=DTYPE)
    model.load_state_dict(loaded.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig.from_model_config(config)
    return model


def _cut_as_trained(tokenizer: PreTrainedTokenizerFast, gguf: Path) -> None:
    """Cut text into words as the file says its byte-level BPE was trained.

    transformers takes the merges from the file but not this; it always cuts as GPT-2 does. The
    digits of ``smollm`` stand alone, even after two spaces.
    """
    if _text_field(gguf, "tokenizer.ggml.model") != "gpt2":
        return
    cut = _text_field(gguf, "tokenizer.ggml.pre")
    as_gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
    ways = {
        "gpt-2": as_gpt2,
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), as_gpt2]),
    }
    if cut not in ways:
        raise ValueError(f"its tokenizer cuts words as {cut!r}, not as one of {sorted(ways)}")
    tokenizer.backend_tokenizer.pre_tokenizer = ways[cut]


def _text_field(gguf: Path, key: str) -> str:
    """Value of a text field of a GGUF file, empty if there is none.

    The format is: length of the key (64 bits), key, type (32 bits, 8 is text), length, text; the
    public reader of it takes seconds, for all the other fields.
    """
    mark = struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", 8)
    with gguf.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        start = content.find(mark)
        if start < 0:
            return ""
        start += len(mark)
        (length,) = struct.unpack("<Q", content[start : start + 8])
        return content[start + 8 : start + 8 + length].decode()


@contextmanager
def _tensors_counted(progress: Progress) -> Iterator[None]:
    """Report the tensors that transformers widens, in place of the bar it would draw itself."""

    def counted(tensors: Iterable[Any], **_: Any) -> Iterator[Any]:
        listed = list(tensors)
        for done, tensor in enumerate(listed):
            progress("convert", done, len(listed))
            yield tensor
        progress("convert", len(listed), len(listed))

    progress("convert", 0, None)
    drawn = modeling_gguf_pytorch_utils.tqdm
    modeling_gguf_pytorch_utils.tqdm = counted
    try:
        yield
    finally:
        modeling_gguf_pytorch_utils.tqdm = drawn
