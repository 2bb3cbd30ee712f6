"""Load an LM by name, folder, GGUF file or Hub id, and know exactly what it is made of.

Whatever transformers and peft report about weights that they miss, or have no place for, is used up
or refused: an LM that lacks some of its weights answers as fluently as the right one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from cfgen.errors import CfgenError, Problem, did_you_mean
from cfgen.lm.complete import check_absent, check_plain, check_weights, extent_of, named
from cfgen.lm.devices import DEVICES, SPREAD
from cfgen.lm.encoding import SHOWN
from cfgen.lm.facts import dtype_of, input_device
from cfgen.lm.reading import settled
from cfgen.lm.tokenizer import own_tokenizer, padded_left
from cfgen.paths import display
from cfgen.progress import Progress, no_progress
from cfgen.weights import Checkpoint, check_extent, find_checkpoint, linked, quiet

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True, repr=False)
class LM:
    """A language model, ready to run: evaluation mode, no gradients.

    Attributes:
        name: What it was loaded as.
        model: A decoder with a language-model head.
        tokenizer: Its fast tokenizer: gives offsets, pads on the left.
        device: Where token ids go in. The blocks may be elsewhere, each on a device of its own.
        dtype: What they are computed in.
        revision: What exactly it is made of. ``sha256:...`` of the GGUF file for a known LM or a
            file; ``sha256:...`` over configuration, weights, tokenizer and chat templates for a
            folder; for a Hub id, the commit and ``+files:`` with the same over its files. With an
            adapter, ``+adapter:sha256:...`` over its two files at the end.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    device: torch.device
    dtype: torch.dtype
    revision: str

    def __repr__(self) -> str:
        kind = type(self.model).__name__
        return f"LM({self.name}, {kind}, {self.dtype_name} on {self.device})"

    @property
    def dtype_name(self) -> str:
        """What it is computed in, as :func:`load_lm` calls it."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def attention(self) -> str:
        """Which implementation of the attention computes it, as transformers names it."""
        return str(self.model.config._attn_implementation)


def load_lm(
    name: str | Checkpoint,
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
            name wins over a folder. Where an adapter lies beside the weights, ``adapter:`` or
            ``weights:`` in front says whether it is merged. Or what
            :func:`~cfgen.weights.find_checkpoint` has found already.
        device: ``auto`` (cuda, else mps, else cpu), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; or
            ``spread``, over all GPUs there are, and the memory of the CPU for what is left.
        dtype: ``float32``, ``bfloat16`` or ``float16``. An adapter is merged in float32 first.
        accept_license: Say that you accept the terms of a known LM that has some. They are asked
            for before anything is fetched, and the answer is remembered in the cache folder.
        progress: Called as ``progress(step, done, total)`` while something takes long.

    Raises:
        CfgenError: The device or dtype is impossible, nothing has that name, its terms have not
            been accepted, it can't be fetched, or what is there is not a complete LM with a fast
            tokenizer.
    """
    if not isinstance(name, str | Checkpoint):
        message = f"an LM is asked for by its name, not by {type(name).__name__}"
        hint = "give a name (`cfgen models` lists those known), a folder as text, or a Hub id"
        raise CfgenError(Problem("lm-unknown", message, hint=hint))
    place, kind = _device(device), _dtype(dtype)
    found = name
    if isinstance(found, str):
        found = find_checkpoint(found, accept_license=accept_license, progress=progress)
    progress("load", 0, None)
    with linked(found.files) as folder:
        model = _model(found, folder, kind)
        tokenizer = own_tokenizer(found.name, folder)
    model.name_or_path = model.config._name_or_path = str(found.folder)
    tokenizer.name_or_path = str(found.folder)
    try:
        model = _spread(model) if device == SPREAD else model.to(place)
    except torch.OutOfMemoryError as error:
        message = f"{found.name!r} does not fit into the memory of {place}"
        hint = "use --dtype bfloat16, or --device cpu"
        raise CfgenError(Problem("lm-memory", message, hint=hint)) from error
    return LM(found.name, model, tokenizer, input_device(model), kind, found.revision)


def wrap_lm(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, name: str, revision: str
) -> LM:
    """Take an LM that was loaded with transformers, spread over devices or quantised as it may be.

    The model is set to evaluation mode, its weights are frozen, and the tokenizer pads on the left
    and cuts a text in one way only.

    Args:
        model: A causal LM of transformers.
        tokenizer: Its fast tokenizer.
        name: What results call it.
        revision: What exactly it is made of, for the record: a commit, a hash, a date.

    Raises:
        CfgenError: The tokenizer is not a fast one (``lm-tokenizer``).
    """
    if not getattr(tokenizer, "is_fast", False):
        message = f"the tokenizer of {name!r} can't say which characters a token covers"
        hint = "use an LM with a fast tokenizer (tokenizer.json)"
        raise CfgenError(Problem("lm-tokenizer", message, hint=hint))
    _ready(model)
    own = settled(padded_left(tokenizer))
    return LM(name, model, own, input_device(model), dtype_of(model), revision)


def _model(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Read the weights from a folder with links to them, merge the adapter, and freeze them."""
    model: PreTrainedModel
    check_plain(checkpoint, folder)
    with quiet() as notes, _translated(checkpoint, folder, notes):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        check_extent(config, *extent_of(checkpoint))
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32 if checkpoint.adapter else dtype,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are named; they are refused below
        )
        check_weights(checkpoint, model, report)
        if checkpoint.adapter is not None:
            model = _merged(checkpoint, model, checkpoint.adapter)
    return _ready(model.to(dtype))


def _ready(model: PreTrainedModel) -> PreTrainedModel:
    """Set a model to evaluation mode, freeze it, and let its head take slices as they are."""
    head = model.get_output_embeddings()
    if head is not None:
        head.register_forward_pre_hook(_contiguous)
    return model.eval().requires_grad_(False)


def _spread(model: PreTrainedModel) -> PreTrainedModel:
    """Put the blocks of a model on all GPUs, whole ones; what does not fit stays on the CPU."""
    from accelerate import dispatch_model, infer_auto_device_map
    from accelerate.utils import get_balanced_memory

    whole = list(model._no_split_modules or ())
    memory = get_balanced_memory(model, no_split_module_classes=whole)
    places = infer_auto_device_map(model, max_memory=memory, no_split_module_classes=whole)
    if "disk" in places.values():
        message = "the LM does not fit into the memory of all GPUs and the CPU together"
        raise CfgenError(Problem("lm-memory", message, hint="use --dtype bfloat16"))
    spread: PreTrainedModel = dispatch_model(model, places)
    return spread


def _contiguous(_module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
    """Hand the head a copy of the few positions it is asked for.

    On a slice, torch multiplies with one copy of the whole head per prompt, which on a CPU takes
    longer than all blocks together.
    """
    return (given[0].contiguous(),)


def _merged(checkpoint: Checkpoint, model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Add a LoRA adapter to the weights; all of its own have to be in its file, and no others."""
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict

    config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise ValueError(f"an adapter of the kind {config.peft_type} can't be merged")
    config.inference_mode = True
    # low_cpu_mem_usage: no weights are drawn first, so that nobody's random numbers move on
    adapted = get_peft_model(model, config, low_cpu_mem_usage=True)
    _untie(model)
    weights = load_peft_weights(str(folder), device="cpu", use_safetensors=True)
    weights = {key: value.float() for key, value in weights.items()}
    result = set_peft_model_state_dict(adapted, weights, low_cpu_mem_usage=True)
    if result.unexpected_keys:
        raise ValueError(
            f"the adapter has weights for {named(result.unexpected_keys)}, which isn't there"
        )
    # the base's weights are missing, too; those of an adapter, and modules that it replaces as a
    # whole, have its name in theirs
    check_absent(checkpoint, (key for key in result.missing_keys if ".default" in key))
    merged: PreTrainedModel = adapted.merge_and_unload()
    return merged


def _untie(model: PreTrainedModel) -> None:
    """Give a head that shares the embedding's weights its own, if an adapter changes either.

    An adapter is trained beside the shared weights, and changes what it was put on only. Merged
    into them it would change both.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    ends = (model.get_output_embeddings(), model.get_input_embeddings())
    if not any(isinstance(end, BaseTunerLayer | AuxiliaryTrainingWrapper) for end in ends):
        return
    head, embedding = (getattr(end, "original_module", end) for end in ends)
    head, embedding = (
        end.get_base_layer() if isinstance(end, BaseTunerLayer) else end
        for end in (head, embedding)
    )
    if head is not None and head.weight is embedding.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        model.config.tie_word_embeddings = False


@contextmanager
def _translated(checkpoint: Checkpoint, folder: Path, notes: list[str]) -> Iterator[None]:
    """Say what the libraries can't load, in their words, with the folder as the user knows it."""
    try:
        yield
    except CfgenError:
        raise
    except Exception as error:  # whatever the libraries make of files that they don't expect
        named = display(checkpoint.folder)
        places = [named, *([display(checkpoint.adapter)] if checkpoint.adapter else [])]
        message = f"{checkpoint.name!r} can't be loaded from {' and '.join(places)}"
        hint = "it must be a causal LM that transformers knows, with weights as safetensors"
        kind = type(error).__name__
        words = f"{kind}: {error}" if len(str(error).split()) < 2 else str(error)
        if "report" in words:  # it names the weights in a log line, and raises without them
            words = "\n".join([words, *notes])
        detail = "\n".join(words.replace(str(folder), named).splitlines()[: 2 * SHOWN])
        raise CfgenError(Problem("lm-unreadable", message, hint=hint, detail=detail)) from error


def _device(name: str) -> torch.device:
    """Resolve a device's name, checking that it is there."""
    if name == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
        return torch.device(best)
    if name == SPREAD and torch.cuda.is_available():
        return torch.device("cuda")
    kind, _, index = name.partition(":")
    there = {
        "cpu": not index,
        "cuda": torch.cuda.is_available() and _is_index(index, torch.cuda.device_count()),
        "mps": _has_mps() and not index,
        SPREAD: False,
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
        raise CfgenError(Problem("lm-dtype", message, hint=did_you_mean(str(name), DTYPES)))
    return DTYPES[name]
