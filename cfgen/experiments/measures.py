"""Measures: numbers from what the LM answers after a swap.

A measure is a function of a reply and of the answers that matter, and says what has to be known of
the token after a run for it. What several measures need together is asked for once
(:func:`question_of`): where none needs the whole vocabulary, only the tokens of those answers are
projected.

To add one: a function of a :class:`Judgement`, and its row in :data:`MEASURES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from cfgen.interventions import NOTHING, Question

if TYPE_CHECKING:
    from cfgen.interventions import Reply
    from cfgen.lm import PairTokens


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is judged: a reply, next to the answers that matter.

    Attributes:
        reply: What the LM answers after a swap.
        predicted: What a hypothesis says that it answers; None if it says nothing.
        original: The answer of the original; None if it has none.
        counterfactual: The answer of the counterfactual; None if it has none.
    """

    reply: Reply
    predicted: str | None
    original: str | None
    counterfactual: str | None

    @property
    def rival(self) -> str | None:
        """What a prediction is told apart from; None if there is no other answer.

        It is the original's answer, or, where that is what is predicted, the counterfactual's.
        """
        return rival_of(self.predicted, self.original, self.counterfactual)


def rival_of(predicted: str | None, *sides: str | None) -> str | None:
    """The first answer of the sides of a pair that is another than what is predicted, if any is."""
    return next((one for one in sides if one not in (None, predicted)), None)


def judge(pair: PairTokens, hypothesis: str, reply: Reply) -> Judgement:
    """Put a reply after a swap in a pair's original next to the answers that matter."""
    one = pair.pair
    predicted = one.predictions.get(hypothesis)
    return Judgement(reply, predicted, one.original.answer, one.counterfactual.answer)


@dataclass(frozen=True, slots=True)
class Measure:
    """A number from a reply.

    Attributes:
        name: What it is called.
        meaning: What it is called in a report, with its unit.
        of: Gives the number; None if the case has none, such as without a prediction.
        needs: What has to be asked of each run.
        answers: Whether it takes log-probabilities or ranks of answers.
        share: Whether it is 0 or 1 of every case, so that its average is a share.
        low_is_good: Whether a lower number speaks for a hypothesis.
        ratio: Whether it is a ratio, so that differences of it are taken as shares.
    """

    name: str
    meaning: str
    of: Callable[[Judgement], float | None]
    needs: Question
    answers: bool
    share: bool = False
    low_is_good: bool = False
    ratio: bool = False


def iia(case: Judgement) -> float | None:
    """Whether the LM says what is predicted: 1 or 0.

    Its mean is the interchange intervention accuracy (Geiger et al., 2021, section 3).
    """
    if case.predicted is None:
        return None
    return float(case.predicted in case.reply.right)


def logit_difference(case: Judgement) -> float | None:
    """How much likelier the predicted answer is than its rival, ``log p - log p(rival)``, in nats.

    The rival is the original's answer; where that is predicted, the counterfactual's. Of answers
    that are told by one token, this is the difference of their logits (Wang et al., 2023).
    Infinite where one of the two has probability 0, and no number where both have.
    """
    if case.predicted is None or case.rival is None:
        return None
    own, other = _log(case, case.predicted), _log(case, case.rival)
    return None if own == other == -math.inf else own - other


def odds(case: Judgement) -> float | None:
    """How many times as likely the predicted answer is as its rival: ``p / p(rival)``.

    The ratio that effects of mediation are shares of (Vig et al., 2020, section 4). Infinite where
    the rival has probability 0, and no number where both have.
    """
    difference = logit_difference(case)
    if difference is None:
        return None
    return math.exp(difference) if difference < _LARGEST else math.inf


def probability(case: Judgement) -> float | None:
    """Probability of the predicted answer, given the prompt and what was fed, 0 to 1.

    The sum over the texts that are this answer (Zhang and Nanda, 2024, section 2).
    """
    return None if case.predicted is None else math.exp(_log(case, case.predicted))


def log_probability(case: Judgement) -> float | None:
    """Natural logarithm of the probability of the predicted answer, in nats: 0 at most.

    The log-likelihood of the answer (Li et al., 2016, section 3).
    """
    return None if case.predicted is None else _log(case, case.predicted)


def log_odds(case: Judgement) -> float | None:
    """``log (p / (1 - p))`` of the probability p of the predicted answer, in nats.

    The logit of statistics: unlike a probability it does not flatten near 0 and 1. Infinite there.
    """
    if case.predicted is None:
        return None
    log = min(_log(case, case.predicted), 0.0)  # rounding may leave a sum above 1
    if log == 0.0:
        return math.inf
    # log(1 - exp(x)) by the branch that keeps the digits (Mächler, 2012)
    rest = math.log(-math.expm1(log)) if log > -math.log(2) else math.log1p(-math.exp(log))
    return log - rest


def rank(case: Judgement) -> float | None:
    """How many tokens are likelier than the likeliest with which the predicted answer goes on.

    Read where answers are first told apart; 0 is best. Tokens that are as likely don't count.
    """
    if case.predicted is None:
        return None
    return float(case.reply.ranks[case.predicted])


def kl(case: Judgement) -> float | None:
    """Divergence of the distribution of the next token from that of the original's clean run.

    ``sum p_clean (log p_clean - log p)`` over the vocabulary, in nats, where answers are first told
    apart; 0 where nothing changed (Conmy et al., 2023). The same for all predictions.
    """
    return case.reply.kl


def _log(case: Judgement, answer: str) -> float:
    return case.reply.log_probabilities[answer]


_LARGEST = 709.0
"""Beyond this, the exponential function is no longer a number of 64 bits."""
_RANKS = replace(NOTHING, ranks=True)
_NORMALISER = replace(NOTHING, normaliser=True)
MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            name="iia",
            meaning="interchange intervention accuracy",
            of=iia,
            needs=replace(NOTHING, said=True),
            answers=False,
            share=True,
        ),
        Measure("logit_difference", "logit difference, nats", logit_difference, NOTHING, True),
        Measure("odds", "odds of the answer against its rival", odds, NOTHING, True, ratio=True),
        Measure("probability", "probability", probability, _NORMALISER, True),
        Measure("log_probability", "log-probability, nats", log_probability, _NORMALISER, True),
        Measure("log_odds", "log odds, nats", log_odds, _NORMALISER, True),
        Measure("rank", "rank, 0 is best", rank, _RANKS, True, low_is_good=True),
        Measure("kl", "KL divergence, nats", kl, replace(NOTHING, kl=True), answers=False),
    )
}
"""Name -> measure."""


def question_of(measures: Iterable[Measure]) -> Question:
    """All that some measures need to be asked of each run."""
    needs = [measure.needs for measure in measures]
    return Question(
        **{one.name: any(getattr(need, one.name) for need in needs) for one in fields(Question)}
    )
