"""GGUF to safetensors, once, so that every later load takes a fraction of a second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
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
        ValueError: transformers doesn't know the architecture, or the file is not GGUF.
    """
    with quiet(), _tensors_counted(progress):
        loaded = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=DTYPE, local_files_only=True
        )
        model = _savable(loaded)
        tokenizer = AutoTokenizer.from_pretrained(
            gguf.parent, gguf_file=gguf.name, local_files_only=True
        )
        # GGUF has no place for the longest input, so that the tokenizer thinks there is none.
        tokenizer.model_max_length = model.config.max_position_embeddings
        progress("save", 0, None)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _savable(loaded: PreTrainedModel) -> PreTrainedModel:
    """Build the same model without the mark of quantization, which forbids saving."""
    entries = loaded.config.to_dict()
    for key in ("quantization_config", "_name_or_path"):
        entries.pop(key, None)
    config = type(loaded.config).from_dict(entries)
    with torch.device("meta"):  # no memory, no random numbers: every weight is assigned below
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=DTYPE)
    model.load_state_dict(loaded.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig.from_model_config(config)
    return model


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
