"""GGUF to safetensors, once, so that every later load takes a fraction of a second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    modeling_gguf_pytorch_utils,
)

from cfgen.progress import Progress, no_progress
from cfgen.weights.extent import check_extent
from cfgen.weights.gguf import GgufHeader, read_header
from cfgen.weights.hub import quiet

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
        ValueError: transformers doesn't know the architecture, the file is not whole, or it has
            something that transformers would leave out or get wrong without saying so.
    """
    header = read_header(gguf)
    with quiet(), _tensors_counted(progress):
        config = AutoConfig.from_pretrained(
            gguf.parent, gguf_file=gguf.name, local_files_only=True, trust_remote_code=False
        )
        check_extent(config, len(header.tensors), sum(header.tensors.values()))
        loaded, report = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            dtype=DTYPE,
            local_files_only=True,
            output_loading_info=True,
        )
        _check_weights(loaded, report, header)
        model = _savable(loaded)
        tokenizer = AutoTokenizer.from_pretrained(
            gguf.parent, gguf_file=gguf.name, local_files_only=True
        )
        _cut_as_trained(tokenizer, header)
        # GGUF has no place for the longest input, so that the tokenizer thinks there is none.
        tokenizer.model_max_length = model.config.max_position_embeddings
        progress("save", 0, None)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _check_weights(loaded: PreTrainedModel, report: dict[str, Any], header: GgufHeader) -> None:
    """Check that every number of the file is in the model, and every one of the model in the file.

    transformers drops tensors that it has no place for, makes up those that are missing, and
    passes over how positions are scaled.
    """
    absent = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if absent:
        raise ValueError(f"{len(absent)} of its weights are missing, such as {absent[0]}")
    scaling = header.fields.get(f"{header.architecture}.rope.scaling.type", "none")
    if scaling != "none" and header.architecture != "gpt-oss":
        raise ValueError(f"its positions are scaled ({scaling}), which transformers leaves out")
    scalar = getattr(loaded.config, "query_pre_attn_scalar", None)
    if scalar not in (None, getattr(loaded.config, "head_dim", None)):
        raise ValueError(f"how its attention is scaled is not in the file, and {scalar} a guess")
    there, taken = sum(header.tensors.values()), sum(p.numel() for p in loaded.parameters())
    if there != taken:
        scaled = [name for name in header.tensors if name.startswith("rope_")]
        why = f", such as {scaled[0]}" if scaled else ""
        raise ValueError(
            f"it holds {there:,} numbers{why}, of which transformers' model has {taken:,}"
        )


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


def _cut_as_trained(tokenizer: PreTrainedTokenizerFast, header: GgufHeader) -> None:
    """Cut text into words as the file says its vocabulary was trained.

    transformers takes the merges of a byte-level BPE from the file and knows some ways to cut by
    name, but cuts as GPT-2 does for all the others. The digits of ``smollm`` stand alone, even
    after two spaces.
    """
    backend = tokenizer.backend_tokenizer
    if header.fields["tokenizer.ggml.model"] != "gpt2":
        marked = backend.encode("a", add_special_tokens=False).tokens[:1] != ["a"]
        wanted = header.fields.get("tokenizer.ggml.add_space_prefix", marked)
        if marked != wanted:
            raise ValueError("its tokenizer puts no space in front, and that of transformers does")
        return
    cut = str(header.fields.get("tokenizer.ggml.pre", ""))
    as_gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
    single = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), as_gpt2])
    if cut in ("gpt-2", "phi-2", "olmo", "mpt"):
        backend.pre_tokenizer = as_gpt2
    elif cut in ("smollm", "starcoder", "refact", "command-r"):
        backend.pre_tokenizer = single
    elif "Split(" not in repr(backend.pre_tokenizer):  # transformers knows no way either
        raise ValueError(f"its tokenizer cuts words as {cut!r}, which is not known here")


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
