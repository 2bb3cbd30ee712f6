"""From the last states to outcomes: what of the vocabulary is projected, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cfgen.interventions.outcomes import Outcomes, Work, most_likely
from cfgen.interventions.question import Question


@dataclass(frozen=True, slots=True)
class Head:
    """Which tokens the LM's head projects to.

    Attributes:
        tokens: Ids of those that are tracked, in ascending order; None for the whole vocabulary.
    """

    tokens: tuple[int, ...] | None

    @contextmanager
    def projecting(self, model: Any) -> Iterator[None]:
        """Have the LM's head compute only these logits, in the forward that is run inside.

        What the LM does to logits behind its head, such as a soft cap, it does number by number,
        so they come out as in the whole.
        """
        head = model.get_output_embeddings()
        if self.tokens is None or not isinstance(head, nn.Linear) or head.weight.is_meta:
            yield
            return
        index = torch.tensor(self.tokens, device=head.weight.device)
        weight = head.weight[index]
        bias = None if head.bias is None else head.bias[index]
        module: Any = head
        former = module.__dict__.get("forward")  # others may have put their own there
        module.forward = lambda states: nn.functional.linear(states, weight, bias)
        try:
            yield
        finally:
            if former is None:
                del module.forward
            else:
                module.forward = former

    def log_odds(self, logits: Tensor, right: Sequence[int], wrong: Sequence[int]) -> Tensor:
        """How much likelier some tokens are than others, in nats.

        Args:
            logits: After prompts (..., projected tokens).
            right: Ids any of which counts for the one.
            wrong: Ids any of which counts for the other.

        Returns:
            ``log p(right) - log p(wrong)``, whose gradient can be taken (...).
        """
        sides = (self.columns(tokens, logits.shape[-1]) for tokens in (right, wrong))
        one, other = (logits[..., columns].logsumexp(dim=-1) for columns in sides)
        return one - other

    def columns(self, tokens: Sequence[int], width: int) -> list[int]:
        """Columns of some tokens in logits of so many columns."""
        if self.tokens is None or width != len(self.tokens):
            return list(tokens)
        place = {token: column for column, token in enumerate(self.tokens)}
        return [place[token] for token in tokens]


@dataclass(slots=True)
class Answer:
    """What is known of the token after one run.

    Attributes:
        logits: Of its tracked tokens, float32 (tracked,).
        said: The likeliest token, or -1.
        normaliser: Float32 (), if asked for.
        ranks: (tracked,), if asked for.
        kl: Float32 (), if asked for.
        row: All that was projected, float32 (projected tokens,), where it is kept.
    """

    logits: Tensor
    said: int
    normaliser: Tensor | None
    ranks: Tensor | None
    kl: Tensor | None
    row: Tensor | None


@dataclass(slots=True)
class Readout:
    """Takes what is asked for out of logits as they come, so that these need not be kept.

    Attributes:
        question: What is asked for.
        head: What was projected.
        tracked: Number of a step -> its tracked tokens.
        gradients: Whether what is taken keeps the graph.
        answers: Number of a step -> what is known of it.
    """

    question: Question
    head: Head
    tracked: Mapping[int, tuple[int, ...]]
    gradients: bool
    answers: dict[int, Answer] = field(default_factory=dict)

    def take(
        self,
        numbers: Sequence[int],
        logits: Tensor,
        cleans: Sequence[Tensor] | None,
        kept: Sequence[bool],
    ) -> None:
        """Take what is asked for.

        Args:
            numbers: Steps.
            logits: Of the token after each, float32 (steps, projected tokens).
            cleans: Logits of each one's clean run (projected tokens,), if the divergence is asked.
            kept: Of which all logits are kept.
        """
        question = self.question
        if not numbers:
            return
        said = most_likely(logits).tolist() if question.said else [-1] * len(numbers)
        normalisers = kl = ranks = None
        if question.normaliser or question.kl:
            totals = logits.logsumexp(dim=-1)  # (steps,)
            normalisers = self._out(totals) if question.normaliser else None
            kl = self._out(_divergence(cleans, logits, totals)) if cleans is not None else None
        # All rows at once: on a GPU each single number that is asked for has to be waited for.
        columns = [
            self.head.columns(self.tracked.get(number, ()), logits.shape[-1]) for number in numbers
        ]
        most = max(map(len, columns))
        index = torch.tensor([[*own, *[0] * (most - len(own))] for own in columns]).long()
        found = logits.gather(1, index.view(len(numbers), most).to(logits.device))
        if question.ranks:
            # counted in 32 bits, which takes a third of the time
            above = (logits > found[:, [t]] for t in range(most))
            likelier = [one.sum(dim=-1, dtype=torch.int32) for one in above]
            ranks = torch.stack(likelier, dim=1).long().cpu() if most else index  # (steps, tracked)
        found = self._out(found)  # (steps, tracked)
        for row, number in enumerate(numbers):
            count = len(columns[row])
            self.answers[number] = Answer(
                logits=found[row, :count],
                said=said[row],
                normaliser=None if normalisers is None else normalisers[row],
                ranks=None if ranks is None else ranks[row, :count],
                kl=None if kl is None else kl[row],
                row=self._out(logits[row]).clone() if kept[row] else None,
            )

    def _out(self, tensor: Tensor) -> Tensor:
        return tensor if self.gradients else tensor.cpu()

    def outcomes(
        self,
        numbers: Sequence[int],
        tracked: Sequence[Sequence[int]],
        changed: Sequence[bool],
        work: Work,
    ) -> Outcomes:
        """What is known of some steps, each with the tokens that it is to be asked for.

        Args:
            numbers: Steps, perhaps repeatedly.
            tracked: Tracked tokens of each; among those of the step.
            changed: Whether any edit of each changed anything.
            work: What it took.
        """
        question = self.question
        answers = [self.answers[number] for number in numbers]
        most = max((len(tokens) for tokens in tracked), default=0)
        picks = []
        for number, tokens in zip(numbers, tracked, strict=True):
            place = {token: i for i, token in enumerate(self.tracked.get(number, ()))}
            picks.append([place[token] for token in tokens])

        def wide(tensors: Sequence[Tensor], fill: float) -> Tensor:
            rows = [
                nn.functional.pad(tensor[pick], (0, most - len(pick)), value=fill)
                for tensor, pick in zip(tensors, picks, strict=True)
            ]
            return torch.stack(rows) if rows else torch.empty(0, most)

        def stacked(name: str, wanted: bool) -> Tensor | None:
            return torch.stack([getattr(a, name) for a in answers]) if wanted and answers else None

        said = torch.tensor([answer.said for answer in answers]) if question.said else None
        ranks = [answer.ranks for answer in answers if answer.ranks is not None]
        return Outcomes(
            logits=wide([answer.logits for answer in answers], -torch.inf),
            said=said,
            normaliser=stacked("normaliser", question.normaliser),
            ranks=wide(ranks, -1) if question.ranks else None,
            kl=stacked("kl", question.kl),
            vocabulary=stacked("row", question.vocabulary),
            changed=torch.tensor(list(changed), dtype=torch.bool),
            work=work,
        )


def _divergence(cleans: Sequence[Tensor], logits: Tensor, totals: Tensor) -> Tensor:
    """KL(clean || run), in nats, of runs many of which have the same clean one.

    Args:
        cleans: Logits of each one's clean run (vocabulary,), the same tensor where it is the same.
        logits: Of the runs (rows, vocabulary).
        totals: Log of the sum over the vocabulary, of each (rows,).

    Returns:
        (rows,).
    """
    alike: dict[int, list[int]] = {}
    for row, clean in enumerate(cleans):
        alike.setdefault(id(clean), []).append(row)
    found = torch.zeros_like(totals)
    for rows in alike.values():
        clean = cleans[rows[0]].to(logits)
        total = clean.logsumexp(dim=-1)
        mine = logits if len(rows) == len(logits) else logits[rows]
        # log p_clean - log p, weighted: two passes over the vocabulary instead of one for each step
        found[rows] = (clean - mine) @ (clean - total).exp() - total + totals[rows]
    return found
