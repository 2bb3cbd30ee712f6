"""What an LM and its prompts must be before anything is computed, and logits before they count."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from cfgen.errors import CfgenError, Problem
from cfgen.lm.encoding import SHOWN
from cfgen.lm.facts import LMFacts, dtype_of, short_text
from cfgen.lm.load import LM

_RANGES = "float32 and bfloat16 hold numbers up to 3e38, float16 only up to 65504"


def check_lm(lm: LM) -> None:
    """Check that an LM is fit to run: in evaluation mode, and with numbers that are numbers.

    Args:
        lm: The LM.

    Raises:
        CfgenError: It is in training mode (``lm-in-training``), can't be run (``lm-cannot-run``),
            or says something that is no number about a short text (``logits-not-finite``).
    """
    training = next((name for name, part in lm.model.named_modules() if part.training), None)
    if training is not None:
        part = f"its module {training!r}" if training else "it"
        message = f"{lm.name!r} is not in evaluation mode: {part} is in training mode"
        hint = "call model.eval() first; in training, dropout makes every forward another one"
        raise CfgenError(Problem("lm-in-training", message, hint=hint))
    ids = short_text(lm.model)
    try:
        with torch.inference_mode():
            logits: Tensor = lm.model(input_ids=ids, use_cache=False).logits
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever modules make of a configuration that is not theirs
        message = f"{lm.name!r} can't be run: it fails on a text of {ids.shape[-1]} tokens"
        hint = (
            "an entry of config.json does not fit the others or the weights: compare it with the "
            "one that the LM came with"
        )
        detail = "\n".join(f"{type(error).__name__}: {error}".splitlines()[:SHOWN])
        raise CfgenError(Problem("lm-cannot-run", message, hint=hint, detail=detail)) from error
    check_finite(logits[0], lm.model, ids)


def check_finite(logits: Tensor, model: nn.Module, ids: Tensor | None = None) -> None:
    """Check that logits are numbers, and if they are not, find out where that begins.

    Args:
        logits: What the model said (..., vocabulary).
        model: The model.
        ids: The text that it said that about (rows, columns), if nothing was edited in it; a short
            one that is made up if left out.

    Raises:
        CfgenError: Some are infinite or no number (``logits-not-finite``).
    """
    # a sum is finite only if all its terms are, and takes no memory
    if bool(logits.sum(dim=-1, dtype=torch.float32).isfinite().all()):
        return
    if bool(logits.isfinite().all()):
        return
    kind = type(model).__name__
    weights = next((n for n, w in model.named_parameters() if not _is_finite(w)), None)
    if weights is not None:
        message = f"the logits of {kind} are not finite, because its weights are not: {weights!r}"
        hint = "get the LM again from where it came from, or from before its training failed"
        raise CfgenError(Problem("logits-not-finite", message, hint=hint))
    dtype = str(dtype_of(model)).removeprefix("torch.")
    first = _first_not_finite(model, short_text(model) if ids is None else ids)
    if first is None and ids is None:
        message = f"the logits of {kind} are not finite ({dtype}), but are where nothing is edited"
        hint = "write smaller values"
    elif first is None:
        message = f"the logits of {kind} are not finite ({dtype}), though what its modules give is"
        hint = "config.json scales or caps logits by a number that can't be, such as 0: correct it"
    else:
        message = f"the logits of {kind} are not finite: {first!r} is the first to exceed {dtype}"
        hint = "its weights are finite, so they don't fit its configuration: get the LM again"
    if dtype == "float16":
        hint = f"use --dtype bfloat16 or float32: {_RANGES}"
    raise CfgenError(Problem("logits-not-finite", message, hint=hint))


def check_prompts(
    lm: LM, facts: LMFacts, prompts: Mapping[int, Sequence[int]], answer_tokens: int = 1
) -> None:
    """Check that an LM can read prompts.

    Args:
        lm: The LM.
        facts: What is true of it.
        prompts: Number of each, for messages -> its token ids.
        answer_tokens: How many tokens the LM is to say.

    Raises:
        CfgenError: A prompt has no token (``prompt-without-token``), something that is no token id
            or one that the embedding has no row for (``token-beyond-vocabulary``), or is, with all
            of the answer but its last token, longer than the LM's context
            (``prompt-beyond-context``).
    """
    problems = list(_unreadable(lm, facts, prompts))
    longest = max(map(len, prompts.values()), default=0)
    limit, more = facts.positions, max(answer_tokens, 1) - 1
    if limit is not None and longest + more > limit:
        answer = f" and an answer of {answer_tokens}" if more else ""
        message = f"a prompt has {longest} tokens{answer}, but the LM takes at most {limit}"
        hint = "use a shorter template, or an LM with a longer context"
        problems.append(Problem("prompt-beyond-context", message, hint=hint))
    if problems:
        raise CfgenError(problems)


def check_known(lm: LM, facts: LMFacts, tokens: Collection[int]) -> None:
    """Check that an LM can say tokens, such as the first ones of answers.

    Args:
        lm: The LM.
        facts: What is true of it.
        tokens: Their ids.

    Raises:
        CfgenError: It has no such token, as it may know fewer than its tokenizer
            (``token-beyond-vocabulary``).
    """
    wrong = [token for token in tokens if not _is_id(token, facts.vocabulary)]
    problems = [_unknown(lm, facts, token) for token in wrong]
    if problems:
        raise CfgenError(problems[:SHOWN])


def count_problems(**amounts: object) -> list[Problem]:
    """Problems (``bad-amount``) of arguments that are not whole numbers from 1 on.

    Args:
        **amounts: Name of the argument -> what it was given; None if it was left out.
    """
    return [
        Problem(
            "bad-amount",
            f"{name} is {amount!r}, which is not a whole number from 1 on",
            hint="use 1 or more",
        )
        for name, amount in amounts.items()
        if amount is not None and not (_is_integer(amount) and int(str(amount)) >= 1)
    ]


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unreadable(lm: LM, facts: LMFacts, prompts: Mapping[int, Sequence[int]]) -> Iterator[Problem]:
    """The first problem of each kind that prompts have, as ids."""
    empty = next((index for index, ids in prompts.items() if not len(ids)), None)
    if empty is not None:
        hint = "give it some text"
        yield Problem("prompt-without-token", f"prompt {empty} has no token", hint=hint)
    for index, ids in prompts.items():
        wrong = next((token for token in ids if not _is_id(token, facts.vocabulary)), None)
        if wrong is not None:
            yield _unknown(lm, facts, wrong, f"prompt {index}: ")
            return


def _is_id(token: object, vocabulary: int) -> bool:
    return isinstance(token, int) and not isinstance(token, bool) and 0 <= token < vocabulary


def _unknown(lm: LM, facts: LMFacts, token: object, where: str = "") -> Problem:
    count = len(lm.tokenizer)
    named, hint = "", "give token ids as whole numbers, such as lm.tokenizer(text).input_ids"
    if _is_integer(token) and facts.vocabulary <= int(str(token)) < count:
        named = f" ({lm.tokenizer.convert_ids_to_tokens(token)!r})"
        hint = f"its tokenizer has {count} tokens: use words without the ones that it can't read"
    message = f"{where}{token!r}{named} is none of the {facts.vocabulary} tokens of {lm.name!r}"
    return Problem("token-beyond-vocabulary", message, hint=hint)


def _is_finite(weight: Tensor) -> bool:
    if weight.device.type == "meta" or not weight.is_floating_point():
        return True  # elsewhere while it is not needed, or quantised
    return bool(weight.isfinite().all())


def _first_not_finite(model: nn.Module, ids: Tensor) -> str | None:
    """The module that is the first to give something that is no finite number."""
    found: list[str] = []

    def look(name: str) -> Any:
        def after(_module: Any, _given: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            if not found and isinstance(tensor, Tensor) and not _is_finite(tensor):
                found.append(name)

        return after

    with ExitStack() as hooks, torch.inference_mode():
        for name, module in model.named_modules():
            if name:
                hooks.callback(module.register_forward_hook(look(name)).remove)
        model(input_ids=ids, use_cache=False)
    return found[0] if found else None
