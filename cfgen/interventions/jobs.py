"""Run any number of interventions, and run a random few of them again on the reference engine.

A job is run chunk by chunk. The same must come out of what is run again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cfgen.errors import CfgenError, Problem
from cfgen.interventions.answers import TOLERANCE, Answers
from cfgen.interventions.chunks import BranchChunk, open_chunk, run_chunk
from cfgen.interventions.clean import run_within
from cfgen.interventions.edits import Branch, Edit, FromPrompt, check_branches
from cfgen.interventions.engine import BATCH_SIZE, Engine, EngineTally, choose_engine
from cfgen.interventions.reference import run_all
from cfgen.interventions.values import needed
from cfgen.lm import LM, check_prompts

VERIFIED = 8
"""How many interventions are run again if nothing else is said."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An intervention and what came out of it.

    Attributes:
        prompts: Token ids of the prompts that it counts in.
        branch: The intervention.
        tokens: What the LM said.
        logit: Of the first of those tokens.
    """

    prompts: Sequence[Sequence[int]]
    branch: Branch
    tokens: tuple[int, ...]
    logit: float


@dataclass(slots=True)
class Reservoir:
    """A uniform sample of all interventions of a run, drawn while it goes (reservoir sampling).

    Attributes:
        size: How many to draw.
        rng: What draws.
        seen: How many have gone by.
        drawn: Those that are in the sample now.
    """

    size: int
    rng: random.Random
    seen: int = 0
    drawn: list[Trial] = field(default_factory=list)

    def add(self, chunk: BranchChunk, answered: Answers) -> None:
        """Let what an engine has answered go by."""
        for row, index in enumerate(answered.indices):
            self.seen += 1
            slot = self.seen - 1 if self.seen <= self.size else self.rng.randrange(self.seen)
            if slot >= self.size:
                continue
            tokens = tuple(answered.tokens[row].tolist())
            logit = float(answered.logits[row, tokens[0]])
            trial = Trial(chunk.prompts, chunk.branches[index], tokens, logit)
            self.drawn[slot : slot + 1] = [trial]


def verify(engine: Engine, sample: Reservoir) -> int:
    """Run a sample of interventions on the reference engine.

    The first token is compared by its logits, within the tolerance of the LM's dtype. Further
    tokens of an answer have to be the same where the LM is computed in float32 or finer.

    Args:
        engine: The one that they were run on.
        sample: The interventions.

    Returns:
        How many were compared; 0 if they were run on the reference engine.

    Raises:
        CfgenError: Something else came out (``engines-disagree``).
    """
    if engine.name == "reference" or not sample.drawn:
        return 0
    prompts, branches = _joined(sample.drawn)
    sources = sorted({prompt for branch in branches.values() for prompt in branch.sources})
    reads = needed(edit for branch in branches.values() for edit in branch.edits)
    clean = run_within(engine, prompts, reads, sources)
    again = run_all(engine, prompts, clean.values, branches)
    for answered in again:
        for row, index in enumerate(answered.indices):
            trial, logits = sample.drawn[index], answered.logits[row]
            off = _off(trial, logits, answered.tokens[row].tolist(), engine.lm.dtype)
            if off:
                raise CfgenError(_problem(engine, trial, off))
    return len(sample.drawn)


def _off(trial: Trial, logits: torch.Tensor, tokens: Sequence[int], dtype: torch.dtype) -> str:
    allowed = TOLERANCE[dtype] * float(logits.std())
    there = float(logits[trial.tokens[0]])
    if not max(abs(there - trial.logit), float(logits.max()) - there) <= allowed:  # nor for nan
        return f"the logit of token {trial.tokens[0]} is {trial.logit:.4f}, not {there:.4f}"
    fine = dtype in (torch.float32, torch.float64)
    if fine and tokens[0] == trial.tokens[0] and tuple(tokens) != trial.tokens:
        return f"the tokens said are {list(trial.tokens)}, not {list(tokens)}"
    return ""


def _problem(engine: Engine, trial: Trial, off: str) -> Problem:
    edits = "; ".join(
        f"{e.place.component} of layer {e.place.layer} at {', '.join(map(str, e.positions))}"
        for e in trial.branch.edits
    )
    return Problem(
        "engines-disagree",
        f"the {engine.name} engine gives another outcome than the reference: {off} ({edits})",
        hint="run with --engine reference, and please report this LM",
        detail=engine.lm.tokenizer.decode(list(trial.prompts[trial.branch.prompt])),
    )


def _joined(sample: Sequence[Trial]) -> tuple[list[tuple[int, ...]], dict[int, Branch]]:
    """The prompts of all, each once, and the interventions in terms of them."""
    number: dict[tuple[int, ...], int] = {}

    def renumbered(trial: Trial, prompt: int) -> int:
        return number.setdefault(tuple(trial.prompts[prompt]), len(number))

    def edit(trial: Trial, one: Edit) -> Edit:
        if not isinstance(one.value, FromPrompt):
            return one
        prompt = renumbered(trial, one.value.prompt)
        return replace(one, value=replace(one.value, prompt=prompt))

    branches = {}
    for index, trial in enumerate(sample):
        prompt = renumbered(trial, trial.branch.prompt)
        branches[index] = Branch(prompt, tuple(edit(trial, one) for one in trial.branch.edits))
    return list(number), branches


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
    tally: EngineTally
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
        CfgenError: The LM can't read the prompts (see :func:`cfgen.lm.check_prompts`), the
            interventions are impossible (see
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
    used = sorted({prompt for one in branches for prompt in (one.prompt, *one.sources)})
    check_prompts(lm, chosen.facts, {prompt: prompts[prompt] for prompt in used}, answer_tokens)
    of_prompt: dict[int, list[int]] = {}
    for index, branch in enumerate(branches):
        of_prompt.setdefault(branch.prompt, []).append(index)
    sample = Reservoir(verified, random.Random(seed))
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
