"""What a search runs, counted before it is begun; nothing here needs torch or the LM.

Which circuits are run hangs on what all pairs say of their edges, so that nothing can be measured
before; but how many there are does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from cfgen.circuits.completeness import GREEDY_NODES, GREEDY_PAIRS, GREEDY_POOL, RANDOM_SETS
from cfgen.circuits.curve import PERCENT
from cfgen.circuits.searching import EXACT_PAIRS, RANKINGS
from cfgen.experiments import Experiment


@dataclass(frozen=True, slots=True)
class RunCount:
    """A step of a search.

    Attributes:
        step: What is done, for people.
        pairs: In how many pairs, at most: if all are kept, and have no prompt in common.
        each: Forwards of a prompt in each of them, at most.
    """

    step: str
    pairs: int
    each: int

    @property
    def forwards(self) -> int:
        """Forwards of a prompt in all, at most."""
        return self.pairs * self.each


def planned_runs(experiment: Experiment) -> tuple[RunCount, ...]:
    """Count what a search runs, step by step.

    Args:
        experiment: What is asked, with ``method: circuit``.
    """
    choosing = experiment.n - experiment.n // 2
    judging, nodes = experiment.n - choosing, experiment.nodes
    sizes = len({*PERCENT, experiment.edges} - {100.0})
    pool = min(nodes, GREEDY_POOL)
    tried = sum(pool - number for number in range(min(GREEDY_NODES, pool)))
    sets = RANDOM_SETS + 2 if nodes else 0  # no node left out, and those that were looked for
    return (
        RunCount("prompts unchanged", experiment.n, 2),
        # what senders give in both, then gradients, each of which is about two forwards more
        RunCount("edges scored", choosing, 2 + 3 * experiment.steps),
        # the ends in two ways, the circuits of all rankings, and what is left without one
        RunCount("circuits of growing size", judging, 4 + len(RANKINGS) * sizes + 1),
        RunCount("circuits without single nodes", judging, nodes),
        RunCount("completeness, nodes looked for", min(choosing, GREEDY_PAIRS), 2 * tried),
        RunCount("completeness", judging, 2 * sets),
        RunCount(
            "edges run exactly",
            min(choosing, EXACT_PAIRS) if experiment.exact else 0,
            experiment.exact + 2,
        ),
    )
