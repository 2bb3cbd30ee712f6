"""The reference engine: plain forward hooks on whole prompts, no cleverness.

Every intervention is a row of a batch; the whole row goes through the whole LM, and hooks overwrite
what is edited. Nothing is reused between interventions, so that it is easy to see that it is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

from cfgen.interventions.answers import Answers, Cost, most_likely
from cfgen.interventions.batches import Batch, make_batch, within_memory
from cfgen.interventions.clean import forward
from cfgen.interventions.edits import Branch
from cfgen.interventions.engine import Engine
from cfgen.interventions.values import Values
from cfgen.interventions.writes import Target, check_targets, make_writes, writing
from cfgen.lm import check_finite


def run_all(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    values: Values,
    branches: Mapping[int, Branch],
    padding: int = 0,
) -> Iterator[Answers]:
    """Run interventions, batch by batch in the order given.

    Args:
        engine: The LM, how much of it may be run at once, and how many tokens it says.
        prompts: Token ids of the prompts.
        values: What was read from the prompts that values are taken from.
        branches: Index -> intervention.
        padding: How much to pad the longest prompt of a batch.

    Yields:
        What the LM says, a batch at a time.
    """
    order = list(branches)
    done = 0
    while done < len(order):

        def attempt(tokens: int, start: int = done) -> Answers:
            next_ones = order[start:][: engine.batch_size]
            longest = max(len(prompts[branches[index].prompt]) for index in next_ones)
            rows = max(1, tokens // (longest + padding))
            some = {index: branches[index] for index in next_ones[:rows]}
            return run_batch(engine, prompts, values, some, padding)

        answered = within_memory(engine.tally.budget, attempt)
        done += len(answered.indices)
        yield answered


def run_batch(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    values: Values,
    branches: Mapping[int, Branch],
    padding: int = 0,
) -> Answers:
    """Run interventions, one per row.

    Each token that the LM says costs a forward over the whole of prompt and answer, with the edits
    made again.

    Args:
        engine: The LM, and how many tokens it says, greedily.
        prompts: Token ids of the prompts.
        values: What was read from the prompts that values are taken from.
        branches: Index -> intervention.
        padding: How much to pad the longest prompt.

    Returns:
        What the LM says.

    Raises:
        CfgenError: An edit did not fire exactly once (``edit-did-not-fire``), or would have been
            written over another token (``edit-off-target``).
    """
    lm, layout = engine.lm, engine.layout
    texts = [list(prompts[branch.prompt]) for branch in branches.values()]
    cost, first, said = Cost(), None, []
    for _ in range(engine.answer_tokens):
        batch = make_batch(lm, texts, padding)
        targets = list(_targets(batch, prompts, branches.values()))
        check_targets(batch.input_ids, targets)
        with writing(layout, make_writes(targets, values, lm.device)):
            logits = forward(lm, batch)
        check_finite(logits, lm.model, batch.input_ids)
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
