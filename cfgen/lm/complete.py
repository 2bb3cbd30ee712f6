"""Whether an LM has all of its weights, each once, and no others.

An LM that lacks some of its weights, or has others, answers as fluently as the right one. So
whatever loading reports is used up or refused, and what it leaves out is looked for in the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    _check_report(checkpoint, report)
    _check_once(checkpoint, model)
    _check_numbers(checkpoint, model, report["unexpected_keys"])


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


def _check_report(checkpoint: Checkpoint, report: dict[str, Any]) -> None:
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
    masks = _masks(checkpoint) if unexpected else set()
    over = [key for key in unexpected if not any(key.endswith(mask) for mask in masks)]
    if over:
        message = (
            f"{checkpoint.name!r} has {len(over)} weights without a place in the model that its "
            "config.json describes, which would be left out"
        )
        hint = "check config.json (number of layers, biases), or save the model anew"
        detail = named(over)
        raise CfgenError(Problem("lm-leftover", message, hint=hint, detail=detail))


def _check_once(checkpoint: Checkpoint, model: PreTrainedModel) -> None:
    """Check that no weight is there twice: in two files, or in a head that is to be the embedding.

    transformers takes the last of several, whatever the index says, and does not tie what differs.

    Raises:
        CfgenError: One is, with other numbers (``lm-leftover``).
    """
    twice = sorted(key for key, files in _places(checkpoint).items() if not _same(key, files))
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


def _places(checkpoint: Checkpoint) -> dict[str, list[Path]]:
    """Name of a tensor -> the files that it is in."""
    found: dict[str, list[Path]] = {}
    for file in _files(checkpoint):
        for key, _ in _dtypes(file):
            found.setdefault(key, []).append(file)
    return found


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


def _files(checkpoint: Checkpoint) -> list[Path]:
    return [file for name, file in checkpoint.files if name.endswith(".safetensors")]


def _check_numbers(checkpoint: Checkpoint, model: PreTrainedModel, over: Iterable[str]) -> None:
    """Check that no weight is a whole number: such stand for others, by scales nobody named.

    Buffers may be: masks, numbers of positions.

    Raises:
        CfgenError: Some are (``lm-quantised``).
    """
    buffers = {name for name, _ in model.named_buffers()} | set(over) | _masks(checkpoint)
    whole = sorted(
        key
        for file in _files(checkpoint)
        for key, dtype in _dtypes(file)
        if not dtype.startswith(("F", "BF")) and key not in buffers
    )
    if whole:
        message = (
            f"{checkpoint.name!r} has {len(whole)} weights that are whole numbers, which stand for "
            "others, and its config.json does not say how"
        )
        hint = "use the LM that it was made from"
        raise CfgenError(Problem("lm-quantised", message, hint=hint, detail=named(whole)))


def _dtypes(file: Path) -> Iterator[tuple[str, str]]:
    """Name of every tensor in a file, and of what kind of numbers it is."""
    with safe_open(file, framework="pt") as tensors:
        for key in tensors.keys():  # noqa: SIM118  (it is no mapping)
            yield key, tensors.get_slice(key).get_dtype()


def extent_of(checkpoint: Checkpoint) -> tuple[int, int]:
    """How many tensors the weights have, and how many numbers."""
    shapes = []
    for file in _files(checkpoint):
        with safe_open(file, framework="pt") as tensors:
            keys = tensors.keys()
            shapes += [tensors.get_slice(key).get_shape() for key in keys]
    return len(shapes), sum(map(prod, shapes))


def _masks(checkpoint: Checkpoint) -> set[str]:
    """Tensors that are causal masks, and what is put where they hide: constants, not weights."""
    names = set()
    for file in _files(checkpoint):
        with safe_open(file, framework="pt") as tensors:
            for key in tensors.keys():  # noqa: SIM118  (it is no mapping)
                shape = tensors.get_slice(key).get_shape()
                square = len(shape) == 4 and shape[:2] == [1, 1] and shape[2] == shape[3]
                if (key.endswith(".bias") and square) or (
                    key.endswith(".masked_bias") and shape in ([], [1])
                ):
                    names.add(key)
    return names


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
