"""Checks of what a causal model requires of its inputs: that it rules something out, and not all.

Inputs are drawn with few words of each lexicon at a time, so that words meet themselves and each
other far more often than in whole lexicons: `giver != receiver` would hardly ever be broken there.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cfgen.errors import CfgenError
from cfgen.lint.findings import Finding
from cfgen.tasks import Task

DRAWS = 4000
"""Inputs that requirements are asked about."""
FEW_WORDS = 4
"""Words of a lexicon that are drawn from at a time, if its inputs need no more."""
RARE = 0.01
"""Share of all inputs below which every draw takes hundreds of tries."""


def check_requirements(task: Task) -> Iterable[Finding]:
    """Requirements that every input meets, and those that hardly any does."""
    program, name = task.causal_model.program, task.causal_model.name
    places = task.causal_model.places
    if not program.requirements:
        return
    try:
        broken = [program.broken(inputs) for inputs in _inputs(task)]
        met = [not program.broken(inputs) for inputs in _inputs(task, few_words=False)]
    except CfgenError:
        return  # what a draw of pairs says as well, with the inputs
    counts = Counter(rule for each in broken for rule in each)
    for rule, _, parents in program.requirements:
        if not counts[rule]:
            yield Finding(
                "requirement-idle",
                f"requirement {rule!r} held for all {DRAWS:,} inputs that were tried, so it seems "
                "to rule nothing out",
                places[rule],
                f"drop it, or see whether it compares what {', '.join(parents)} can be",
                rule,
            )
    share = sum(met) / DRAWS
    if 0 < share < RARE:
        yield Finding(
            "requirement-rare",
            f"only {share:.2%} of inputs meet what causal model {name!r} requires",
            places[program.requirements[0][0]],
            "choose domains whose values meet it more often, so that drawing is quick",
            name,
        )


def _inputs(task: Task, *, few_words: bool = True) -> Iterator[Mapping[str, Any]]:
    """Inputs whether or not they meet the requirements, always the same ones."""
    rng, domains = random.Random(0), task.causal_model.domains
    pools = {pool: words for domain in domains.values() for pool, words in domain.pools.items()}
    least = max([FEW_WORDS, *(domain.arity or 1 for domain in domains.values() if domain.pools)])
    for _ in range(DRAWS):
        drawn = domains
        if few_words:
            few = {n: tuple(rng.sample(w, min(len(w), least))) for n, w in pools.items()}
            drawn = {name: domain.restrict(few) for name, domain in domains.items()}
        yield {name: domain.sample(rng) for name, domain in drawn.items()}
