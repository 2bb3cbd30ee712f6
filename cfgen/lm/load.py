"""Load an LM by name, folder, GGUF file or Hub id, and know exactly which weights it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.paths import display
from cfgen.weights import Progress, Weights, find_weights, no_progress, quiet

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class LM:
    """A language model, ready to run: evaluation mode, no gradients.

    Attributes:
        name: What it was loaded as.
        model: A decoder with a language-model head.
        tokenizer: Its fast tokenizer: gives offsets, pads on the left.
        device: Where the weights are.
        dtype: What they are computed in.
        revision: Which weights exactly: ``sha256:...`` of the GGUF file they came from for a known
            LM or a file (with ``+adapter:sha256:...`` for one with an adapter), the commit for a
            Hub id, ``sha256:...`` over configuration and weights for a folder.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    device: torch.device
    dtype: torch.dtype
    revision: str


def load_lm(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "float32",
    accept_license: bool = False,
    progress: Progress = no_progress,
) -> LM:
    """Load an LM, fetching it first if it isn't here.

    Only safetensors are read and no code that comes with a model is run.

    Args:
        name: A known name (``cfgen models`` lists them), a local folder (``./folder``), a GGUF
            file (``gguf:FILE``), or a Hub id (``owner/name``, ``owner/name@revision``); a known
            name wins over a folder.
        device: ``auto`` (cuda, else mps, else cpu), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        dtype: ``float32``, ``bfloat16`` or ``float16``. An adapter is merged in float32 first.
        accept_license: Say that you accept the terms of a known LM that has some. They are asked
            for before anything is fetched, and the answer is remembered in the cache folder.
        progress: Called as ``progress(step, done, total)`` while something takes long.

    Raises:
        CfgenError: The device or dtype is impossible, nothing has that name, its terms have not
            been accepted, it can't be fetched, or what is there is not a complete LM with a fast
            tokenizer.
    """
    place, kind = _device(device), _dtype(dtype)
    weights = find_weights(name, accept_license=accept_license, progress=progress)
    progress("load", 0, None)
    with quiet():
        model = _model(name, weights, kind)
        tokenizer = _tokenizer(name, weights.folder)
    try:
        model.to(place)
    except torch.OutOfMemoryError as error:
        message = f"{name!r} does not fit into the memory of {place}"
        hint = "use --dtype bfloat16, or --device cpu"
        raise CfgenError(Problem("lm-memory", message, hint=hint)) from error
    return LM(name, model, tokenizer, place, kind, weights.revision)


def _model(name: str, weights: Weights, dtype: torch.dtype) -> PreTrainedModel:
    """Read the weights, merge the adapter, and freeze them."""
    model: PreTrainedModel
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            weights.folder,
            dtype=torch.float32 if weights.adapter else dtype,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
        absent = sorted(report["missing_keys"]) + sorted(
            str(key) for key in report["mismatched_keys"]
        )
        if not absent and weights.adapter is not None:
            model, absent = _merged(model, weights.adapter)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _unreadable(name, weights, error) from error
    if absent:
        message = f"{name!r} lacks {len(absent)} of its weights, which would be random numbers"
        detail = "\n".join(absent[:5])
        hint = f"get {display(weights.folder)} again from where it came from"
        raise CfgenError(Problem("lm-incomplete", message, hint=hint, detail=detail))
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(_contiguous)
    return model.to(dtype).eval().requires_grad_(False)


def _contiguous(_module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
    """Hand the head a copy of the few positions it is asked for.

    On a slice, torch multiplies with one copy of the whole head per prompt, which on a CPU takes
    longer than all blocks together.
    """
    return (given[0].contiguous(),)


def _merged(model: PreTrainedModel, folder: Path) -> tuple[PreTrainedModel, list[str]]:
    """Add a LoRA adapter to the weights; returns which of its weights its file lacks, too."""
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict

    config = PeftConfig.from_pretrained(str(folder))
    config.inference_mode = True
    # low_cpu_mem_usage: no weights are drawn first, so that nobody's random numbers move on
    adapted = get_peft_model(model, config, low_cpu_mem_usage=True)
    weights = load_peft_weights(str(folder), device="cpu", use_safetensors=True)
    weights = {key: value.float() for key, value in weights.items()}
    result = set_peft_model_state_dict(adapted, weights, low_cpu_mem_usage=True)
    absent = [key for key in result.missing_keys if "lora_" in key]
    if result.unexpected_keys:
        raise ValueError(
            f"the adapter has weights for {result.unexpected_keys[0]}, which isn't there"
        )
    merged: PreTrainedModel = adapted.merge_and_unload()
    return merged, absent


def _unreadable(name: str, weights: Weights, error: Exception) -> CfgenError:
    folders = [display(folder) for folder in (weights.folder, weights.adapter) if folder]
    message = f"{name!r} can't be loaded from {' and '.join(folders)}"
    hint = "it must be a causal LM that transformers knows, with weights as safetensors"
    detail = "\n".join(str(error).splitlines()[:6])
    return CfgenError(Problem("lm-unreadable", message, hint=hint, detail=detail))


def _tokenizer(name: str, folder: Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer, set to pad on the left with a token that exists."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _unreadable(name, Weights(folder, ""), error) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or not tokenizer.is_fast:
        message = f"the tokenizer of {name!r} can't say which characters a token covers"
        hint = "use an LM with a fast tokenizer (tokenizer.json)"
        raise CfgenError(Problem("lm-tokenizer", message, hint=hint))
    if tokenizer.pad_token_id is None:  # padding is masked, so any token will do
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    tokenizer.padding_side = "left"
    return tokenizer


def _device(name: str) -> torch.device:
    """Resolve a device's name, checking that it is there."""
    if name == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
        return torch.device(best)
    kind, _, index = name.partition(":")
    there = {
        "cpu": not index,
        "cuda": torch.cuda.is_available() and _is_index(index, torch.cuda.device_count()),
        "mps": _has_mps() and not index,
    }
    if kind not in there:
        hint = did_you_mean(name, DEVICES)
        raise CfgenError(Problem("lm-device", f"there is no device called {name!r}", hint=hint))
    if not there[kind]:
        message = f"this machine (or this build of torch) has no device {name!r}"
        hint = "use --device auto, which takes the best there is"
        raise CfgenError(Problem("lm-device", message, hint=hint))
    return torch.device(name)


def _is_index(text: str, count: int) -> bool:
    return not text or (text.isdecimal() and int(text) < count)


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        message = f"{name!r} is not a dtype to run an LM in"
        raise CfgenError(Problem("lm-dtype", message, hint=did_you_mean(name, DTYPES)))
    return DTYPES[name]
