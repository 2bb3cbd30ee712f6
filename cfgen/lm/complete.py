"""Whether an LM has all of its weights, each once, and no others.

An LM that lacks some of its weights, or has others, answers as fluently as the right one. So
whatever loading reports is used up or refused, and what it leaves out is looked for in the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import PreTrainedModel

from cfgen.errors import CfgenError, Problem
from cfgen.lm.encoding import SHOWN
from cfgen.paths import display
from cfgen.weights import Checkpoint, read_settings


def check_weights(checkpoint: Checkpoint, model: PreTrainedModel, report: dict[str, Any]) -> None:
    """Check what was loaded against the files.

    Args:
        checkpoint: The files.
        model: What transformers made of them.
        report: What it says about that.

    Raises:
        CfgenError: Weights are missing or of another shape (``lm-incomplete``), have no place in
            the model, or are there twice (``lm-leftover``), or are whole numbers
            (``lm-quantised``).
    """
    heads = _heads(checkpoint)
    _check_report(checkpoint, heads, report)
    _check_once(checkpoint, heads, model)
    _check_numbers(checkpoint, heads, model, report["unexpected_keys"])


def check_plain(checkpoint: Checkpoint, folder: Path) -> None:
    """Check that weights are not quantised: libraries would unpack them into other numbers.

    Raises:
        CfgenError: They are (``lm-quantised``).
    """
    config = folder / "config.json"
    entries = read_settings(config) if config.is_file() else {}
    method = entries.get("quantization_config")
    if not method:
        return
    kind = method.get("quant_method", "") if isinstance(method, dict) else str(method)
    message = f"the weights of {checkpoint.name!r} are quantised ({kind or 'of an unknown kind'})"
    hint = (
        "use the LM that it was made from; or load it with transformers and give it to wrap_lm, "
        "which runs on the reference engine"
    )
    raise CfgenError(Problem("lm-quantised", message, hint=hint))


@dataclass(frozen=True, slots=True)
class TensorHead:
    """What the head of a file says of a tensor in it.

    Attributes:
        name: Its name.
        file: The file.
        dtype: Of what kind its numbers are.
        shape: Its shape.
    """

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]

    @property
    def is_mask(self) -> bool:
        """Whether it is a causal mask, or what is put where one hides: constants, not weights."""
        square = len(self.shape) == 4 and self.shape[:2] == (1, 1)
        if self.name.endswith(".masked_bias"):
            return self.shape in ((), (1,))
        return self.name.endswith(".bias") and square and self.shape[2] == self.shape[3]


def _heads(checkpoint: Checkpoint) -> list[TensorHead]:
    """All tensors of the weights, file by file."""
    found = []
    for name, file in checkpoint.files:
        if name.endswith(".safetensors"):
            with safe_open(file, framework="pt") as tensors:
                for key in tensors.keys():  # noqa: SIM118  (it is no mapping)
                    part = tensors.get_slice(key)
                    found.append(TensorHead(key, file, part.get_dtype(), tuple(part.get_shape())))
    return found


def extent_of(checkpoint: Checkpoint) -> tuple[int, int]:
    """How many tensors the weights have, and how many numbers."""
    heads = _heads(checkpoint)
    return len(heads), sum(prod(head.shape) for head in heads)


def _check_report(
    checkpoint: Checkpoint, heads: Sequence[TensorHead], report: dict[str, Any]
) -> None:
    """Check that every weight of the model was in the files, and every one of them in the model.

    transformers leaves out of its report what the architecture declares to be no loss: tied heads,
    buffers that are computed. The masks in old files are none either, and not always declared.

    Raises:
        CfgenError: Some are missing or of another shape (``lm-incomplete``), or have no place in
            the model (``lm-leftover``).
    """
    shapes = [f"{key}: {list(one)}, not {list(two)}" for key, one, two in report["mismatched_keys"]]
    check_absent(checkpoint, [*report["missing_keys"], *shapes])
    unexpected = sorted(report["unexpected_keys"])
    masks = {head.name for head in heads if head.is_mask}
    over = [key for key in unexpected if not any(key.endswith(mask) for mask in masks)]
    if over:
        message = (
            f"{checkpoint.name!r} has {len(over)} weights without a place in the model that its "
            "config.json describes, which would be left out"
        )
        hint = "check config.json (number of layers, biases), or save the model anew"
        detail = named(over)
        raise CfgenError(Problem("lm-leftover", message, hint=hint, detail=detail))


def _check_once(
    checkpoint: Checkpoint, heads: Sequence[TensorHead], model: PreTrainedModel
) -> None:
    """Check that no weight is there twice: in two files, or in a head that is to be the embedding.

    transformers takes the last of several, whatever the index says, and does not tie what differs.

    Raises:
        CfgenError: One is, with other numbers (``lm-leftover``).
    """
    places: dict[str, list[Path]] = {}
    for each in heads:
        places.setdefault(each.name, []).append(each.file)
    twice = sorted(name for name, files in places.items() if not _same(name, files))
    if twice:
        message = f"{checkpoint.name!r} has {len(twice)} weights in two files, which differ"
        hint = "keep the files that belong together, as model.safetensors.index.json lists them"
        raise CfgenError(Problem("lm-leftover", message, hint=hint, detail=named(twice)))
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    tied = getattr(model.config.get_text_config(decoder=True), "tie_word_embeddings", False)
    own = head is not None and head.weight is not embedding.weight
    if tied and own and not torch.equal(head.weight, embedding.weight):
        message = (
            f"the config.json of {checkpoint.name!r} says that the head is the embedding, but the "
            "weights have another head"
        )
        hint = (
            'if it was trained with a head of its own, set "tie_word_embeddings": false; if not, '
            "save the model anew without it"
        )
        raise CfgenError(Problem("lm-leftover", message, hint=hint))


def _same(key: str, files: Sequence[Path]) -> bool:
    """Whether a tensor is the same in several files."""
    if len(files) == 1:
        return True
    first, *others = (_tensor(file, key) for file in files)
    return all(torch.equal(first, other) for other in others)


def _tensor(file: Path, key: str) -> torch.Tensor:
    with safe_open(file, framework="pt") as tensors:
        tensor: torch.Tensor = tensors.get_tensor(key)
    return tensor


def _check_numbers(
    checkpoint: Checkpoint,
    heads: Sequence[TensorHead],
    model: PreTrainedModel,
    over: Iterable[str],
) -> None:
    """Check that no weight is a whole number: such stand for others, by scales nobody named.

    Buffers may be: masks, numbers of positions.

    Raises:
        CfgenError: Some are (``lm-quantised``).
    """
    buffers = {name for name, _ in model.named_buffers()} | set(over)
    whole = sorted(
        head.name
        for head in heads
        if not head.dtype.startswith(("F", "BF")) and head.name not in buffers and not head.is_mask
    )
    if whole:
        message = (
            f"{checkpoint.name!r} has {len(whole)} weights that are whole numbers, which stand for "
            "others, and its config.json does not say how"
        )
        hint = "use the LM that it was made from"
        raise CfgenError(Problem("lm-quantised", message, hint=hint, detail=named(whole)))


def check_absent(checkpoint: Checkpoint, absent: Iterable[str]) -> None:
    """Raise a CfgenError (``lm-incomplete``) if weights are absent, with their names."""
    names = sorted(absent)
    if names:
        message = (
            f"{checkpoint.name!r} lacks {len(names)} of its weights, which would be random numbers"
        )
        hint = f"get {display(checkpoint.folder)} again from where it came from"
        raise CfgenError(Problem("lm-incomplete", message, hint=hint, detail=named(names)))


def named(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = f"\nand {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "\n".join(names[:SHOWN]) + more
