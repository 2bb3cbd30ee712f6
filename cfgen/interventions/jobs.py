"""Run any number of interventions: chunk by chunk, with a sample of them verified."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cfgen.interventions.edits import Branch, check_branches
from cfgen.interventions.engine import BATCH_SIZE, choose_engine, open_chunk, run_chunk
from cfgen.interventions.tally import Tally
from cfgen.interventions.verification import VERIFIED, Sample, verify
from cfgen.lm import LM


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of interventions.

    Attributes:
        tokens: What the LM says greedily after each (branches, answer tokens).
        logit: Logit of the first of those, float32 (branches,).
        logits: Of the token after the prompt, float32 (branches, vocabulary), if asked for.
        tally: How they were run, and what that took.
        verified: How many were run again on the reference engine, and came out the same.
    """

    tokens: Tensor
    logit: Tensor
    logits: Tensor | None
    tally: Tally
    verified: int


def run_branches(
    lm: LM,
    prompts: Sequence[Sequence[int]],
    branches: Sequence[Branch],
    *,
    engine: str = "auto",
    batch_size: int = BATCH_SIZE,
    token_budget: int | None = None,
    answer_tokens: int = 1,
    verified: int = VERIFIED,
    seed: int = 0,
    keep_logits: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Run interventions on an LM.

    Args:
        lm: The LM.
        prompts: Token ids of the prompts, those that values are taken from included.
        branches: The interventions.
        engine: ``auto``, ``packed`` or ``reference``.
        batch_size: Whole prompts per forward.
        token_budget: Tokens per packed forward; None for the device's default.
        answer_tokens: How many tokens to let the LM say, greedily.
        verified: How many interventions to run again on the reference engine.
        seed: Of the choice of those.
        keep_logits: Whether to return all logits; they take branches x vocabulary x 4 bytes.
        progress: Called as ``progress(done, total)`` with numbers of interventions.

    Returns:
        What the LM says, in the order of ``branches``.

    Raises:
        CfgenError: The interventions are impossible (see
            :func:`cfgen.interventions.edits.check_branches`), the engine is (see
            :func:`cfgen.interventions.engine.choose_engine`), or a check failed.
    """
    chosen = choose_engine(
        lm,
        engine,
        batch_size=batch_size,
        token_budget=token_budget,
        answer_tokens=answer_tokens,
    )
    check_branches(chosen.layout, prompts, branches)
    of_prompt: dict[int, list[int]] = {}
    for index, branch in enumerate(branches):
        of_prompt.setdefault(branch.prompt, []).append(index)
    sample = Sample(verified, random.Random(seed))
    tokens = torch.zeros(len(branches), answer_tokens, dtype=torch.long)
    logit = torch.zeros(len(branches))
    logits: list[Tensor] = [torch.empty(0)] * len(branches) if keep_logits else []
    edited, done = list(of_prompt), 0
    for group in chosen.chunks([len(prompts[prompt]) for prompt in edited]):
        some = sorted(index for number in group for index in of_prompt[edited[number]])
        chunk = open_chunk(chosen, prompts, {index: branches[index] for index in some})
        for answered in run_chunk(chosen, chunk):
            where = list(answered.indices)
            tokens[where] = answered.tokens
            logit[where] = answered.logits.gather(1, answered.tokens[:, :1].to(lm.device))[
                :, 0
            ].cpu()
            if keep_logits:
                for index, row in zip(where, answered.logits.cpu(), strict=True):
                    logits[index] = row
            sample.add(chunk, answered)
            done += len(where)
            if progress:
                progress(done, len(branches))
    stacked = torch.stack(logits) if logits else None
    return Outcome(tokens, logit, stacked, chosen.tally, verify(chosen, sample))
