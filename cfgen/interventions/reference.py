"""The reference engine: plain forward hooks on whole prompts, no cleverness.

Every intervention is a row of a batch; the whole row goes through the whole LM, and hooks overwrite
what is edited. Nothing is reused between interventions, so that it is easy to see that it is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

from cfgen.interventions.answers import Answers, Cost, most_likely
from cfgen.interventions.batches import Batch, Budget, make_batch, within_memory
from cfgen.interventions.clean import forward
from cfgen.interventions.edits import Branch
from cfgen.interventions.values import Values
from cfgen.interventions.writes import Target, check_targets, make_writes, writing
from cfgen.lm import LM, Layout


def run_all(
    lm: LM,
    layout: Layout,
    prompts: Sequence[Sequence[int]],
    values: Values,
    branches: Mapping[int, Branch],
    budget: Budget,
    *,
    batch_size: int,
    answer_tokens: int = 1,
    padding: int = 0,
) -> Iterator[Answers]:
    """Run interventions, batch by batch in the order given.

    Args:
        lm: The LM.
        layout: Where everything is in it.
        prompts: Token ids of the prompts.
        values: What was read from the prompts that values are taken from.
        branches: Index -> intervention.
        budget: Tokens per forward.
        batch_size: Rows per forward at most.
        answer_tokens: How many tokens to let the LM say, greedily.
        padding: How much to pad the longest prompt of a batch.

    Yields:
        What the LM says, a batch at a time.
    """
    order = list(branches)
    done = 0
    while done < len(order):

        def attempt(tokens: int, start: int = done) -> Answers:
            longest = max(len(prompts[branches[i].prompt]) for i in order[start:][:batch_size])
            rows = max(1, min(batch_size, tokens // (longest + padding)))
            some = {index: branches[index] for index in order[start : start + rows]}
            return run_batch(
                lm,
                layout,
                prompts,
                values,
                some,
                answer_tokens=answer_tokens,
                padding=padding,
            )

        answered = within_memory(budget, attempt)
        done += len(answered.indices)
        yield answered


def run_batch(
    lm: LM,
    layout: Layout,
    prompts: Sequence[Sequence[int]],
    values: Values,
    branches: Mapping[int, Branch],
    *,
    answer_tokens: int = 1,
    padding: int = 0,
) -> Answers:
    """Run interventions, one per row.

    Args:
        lm: The LM.
        layout: Where everything is in it.
        prompts: Token ids of the prompts.
        values: What was read from the prompts that values are taken from.
        branches: Index -> intervention.
        answer_tokens: How many tokens to let the LM say, greedily; each costs a forward over the
            whole of prompt and answer, with the edits made again.
        padding: How much to pad the longest prompt.

    Returns:
        What the LM says.

    Raises:
        CfgenError: An edit did not fire exactly once (``edit-did-not-fire``), or would have been
            written over another token (``edit-off-target``).
    """
    texts = [list(prompts[branch.prompt]) for branch in branches.values()]
    cost, first, said = Cost(), None, []
    for _ in range(answer_tokens):
        batch = make_batch(lm, texts, padding)
        targets = list(_targets(batch, prompts, branches.values()))
        check_targets(batch.input_ids, targets)
        with writing(layout, make_writes(targets, values, lm.device)):
            logits = forward(lm, batch)
        first = logits if first is None else first
        said.append(most_likely(logits).cpu())  # (branches,)
        texts = [[*text, int(token)] for text, token in zip(texts, said[-1], strict=True)]
        passes = len(texts) * batch.width * layout.layers
        cost += Cost(1, passes, sum(batch.lengths) * layout.layers, len(targets))
    assert first is not None
    return Answers(tuple(branches), first, torch.stack(said, dim=1), cost)


def _targets(
    batch: Batch, prompts: Sequence[Sequence[int]], branches: Iterable[Branch]
) -> Iterator[Target]:
    for row, branch in enumerate(branches):
        ids = prompts[branch.prompt]
        keys = range(batch.column(row, 0), batch.column(row, len(ids)))
        for edit in branch.edits:
            columns = tuple(batch.column(row, position) for position in edit.positions)
            tokens = tuple(ids[position] for position in edit.positions)
            yield Target(edit, row, columns, tokens, keys)
