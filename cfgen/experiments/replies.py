"""Units of replies: what is computed, stored, resumed and sent elsewhere as one.

A unit is some runs, what is asked after each, and everything that its numbers depend on, as one
digest. Whether it was computed now, by an earlier command or by another machine makes no difference
to what comes out: it is executed by itself, in shapes that nothing before it can have changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import torch

from cfgen.experiments.digests import digest_of
from cfgen.experiments.units import Units, cost_of
from cfgen.interventions import Budget, Cost, Engine, Question, Reply, Run, Work, read_answers
from cfgen.lm import AnswerTree
from cfgen.progress import Progress

FORMAT = 1
"""Of what a digest says; another number makes all units new."""
EVERYTHING = Question(said=True, normaliser=True, ranks=True, kl=True)
"""What is asked after a swap, so that another measure needs no run."""
SAID = Question(said=True, normaliser=False)
"""What is asked of a prompt where nothing is swapped."""
REPLIES = pa.schema(
    [
        pa.field("said", pa.list_(pa.int32()), nullable=False),
        pa.field("answers", pa.list_(pa.string()), nullable=False),
        pa.field("log_probabilities", pa.list_(pa.float64()), nullable=False),
        pa.field("ranks", pa.list_(pa.int32()), nullable=False),
        pa.field("kl", pa.float64()),
        pa.field("changed", pa.bool_(), nullable=False),
    ]
)
"""Columns of a unit; one row per run."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Some runs, and what is asked after each.

    Attributes:
        described: What the runs are, in a form that JSON has.
        runs: Makes them.
        trees: For each, how its answers are told apart.
        wanted: For each, the answers whose log-probabilities and ranks are wanted.
        question: What else is to be known.
        verified: How many of them are executed again on the reference engine.
    """

    described: Any
    runs: Callable[[], Sequence[Run]]
    trees: Sequence[AnswerTree]
    wanted: Sequence[Sequence[str]]
    question: Question
    verified: int = 0

    def digest(self, identity: Mapping[str, Any]) -> str:
        """Hash of all that the replies depend on.

        Of a tree, that is what is fed, where the LM has to be asked again, and which tokens make
        the wanted answers: what else might have been answered there makes no difference.

        Args:
            identity: Of the LM and the engine, see :class:`Workbench`.
        """
        read: dict[int, Any] = {}
        rows = []
        for tree, wanted in zip(self.trees, self.wanted, strict=True):
            if id(tree) not in read:
                read[id(tree)] = [tree.fed, list(tree.children)]
            rows.append([read[id(tree)], {one: tree.tracked(one) for one in wanted}])
        asked = asdict(self.question)
        return digest_of([identity, self.described, rows, asked, self.verified])


@dataclass(frozen=True, slots=True)
class Workbench:
    """What units are computed with.

    Attributes:
        engine: How runs are executed.
        units: Where units are, and are put.
        report: Called with progress.
        identity: All that the numbers of any run depend on, besides the run itself.
    """

    engine: Engine
    units: Units
    report: Progress
    identity: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "identity", _identity(self.engine))

    def replies(self, unit: Unit) -> tuple[list[Reply], Work]:
        """What the LM answers after the runs of a unit, and what that took when it was computed.

        Raises:
            CfgenError: As :func:`cfgen.interventions.read_answers`, or the unit can't be stored.
        """
        digest = unit.digest(self.identity)
        found = self.units.get(digest)
        if found is None:
            # a budget of its own: how far an earlier unit had to shrink is no business of this one
            alone = replace(self.engine, budget=Budget(self.engine.budget.tokens))
            replies, work = read_answers(
                alone, unit.runs(), unit.trees, unit.wanted, unit.question, verified=unit.verified
            )
            self.units.put(digest, _table(replies), cost_record(work))
            return replies, work
        return _replies(found, unit.trees), work_of(cost_of(found))

    def table(
        self, described: Any, make: Callable[[], pa.Table], *, due: bool = False
    ) -> pa.Table | None:
        """A unit of something else than replies: computed, or found.

        Args:
            described: What its numbers hang on, besides the LM and how it is run.
            make: Computes it.
            due: Whether it is too late to compute anything.

        Returns:
            The unit; None if it is not there and it is too late.
        """
        digest = digest_of([self.identity, described])
        if self.units.get(digest) is None:
            if due:
                return None
            self.units.put(digest, make(), {})
        return self.units.get(digest)

    def has(self, unit: Unit) -> bool:
        """Whether a unit is there already."""
        return self.units.get(unit.digest(self.identity)) is not None


def _identity(engine: Engine) -> dict[str, Any]:
    lm = engine.lm
    return {
        "format": FORMAT,
        "versions": {name: version(name) for name in ("cfgen", "torch", "transformers")},
        "revision": lm.revision,
        "device": lm.device.type,
        "dtype": str(lm.dtype),
        "attention": lm.attention,
        "threads": torch.get_num_threads(),
        "engine": engine.name,
        "batch_size": engine.batch_size,
        "budget": engine.budget.tokens,
    }


def cost_record(work: Work) -> dict[str, Any]:
    """Work in a form that JSON has."""
    plain = {each.name: getattr(work, each.name) for each in fields(work)}
    counters = {name: dict(sorted(plain[name].items())) for name in ("filled", "whole")}
    costs = {name: asdict(plain[name]) for name in ("clean", "edited")}
    return {**plain, **counters, **costs}


def work_of(cost: Mapping[str, Any]) -> Work:
    """Work as it was before it was written down."""
    counters = {name: Counter(cost[name]) for name in ("filled", "whole")}
    costs = {name: Cost(**cost[name]) for name in ("clean", "edited")}
    return Work(**{**cost, **counters, **costs})


def _table(replies: Sequence[Reply]) -> pa.Table:
    rows = [
        {
            "said": reply.said,
            "answers": list(reply.log_probabilities),
            "log_probabilities": list(reply.log_probabilities.values()),
            "ranks": [reply.ranks[one] for one in reply.log_probabilities if reply.ranks],
            "kl": reply.kl,
            "changed": reply.changed,
        }
        for reply in replies
    ]
    return pa.Table.from_pylist(rows, schema=REPLIES)


def _replies(table: pa.Table, trees: Sequence[AnswerTree]) -> list[Reply]:
    replies = []
    for row, tree in zip(table.to_pylist(), trees, strict=True):
        said, answers = tuple(row["said"]), row["answers"]
        replies.append(
            Reply(
                said=said,
                right=(tree.label(said) or frozenset()) if said else frozenset(),
                log_probabilities=dict(zip(answers, row["log_probabilities"], strict=True)),
                ranks=dict(zip(answers, row["ranks"], strict=False)),  # none where not asked
                kl=row["kl"],
                changed=row["changed"],
            )
        )
    return replies
