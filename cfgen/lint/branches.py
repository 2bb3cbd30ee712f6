"""Which branches of a template are ever taken: templates are rendered, and say it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from cfgen.causal import CausalModel, Choice
from cfgen.errors import CfgenError
from cfgen.lint.finding import Finding
from cfgen.paths import display
from cfgen.prompts import Template, render, unreached_branches
from cfgen.tasks import TEMPLATE_INPUT, Task

MOST = 4000
"""Combinations of inputs that a template is run on at most."""


def check_branches(task: Task) -> Iterable[Finding]:
    """Branches of templates that no input leads into."""
    for template in task.templates.values():
        tried = 0
        for inputs in inputs_for(task.causal_model, template):
            with suppress(CfgenError):  # check_rendering says it, of the same inputs
                render(template, inputs)
                tried += 1
        for branch in unreached_branches(template) if tried else ():
            yield Finding(
                "branch-never-taken",
                f"{branch.what} is never reached: not for any of {tried:,} inputs tried",
                f"{display(template.paths[branch.file])}:{branch.line}",
                "mend the condition, add the value to the input's domain, or drop the branch",
                template.id,
            )


def inputs_for(model: CausalModel, template: Template) -> Iterator[dict[str, Any]]:
    """Inputs for one template: every combination of what is not a word, and words at random.

    Combinations beyond :data:`MOST` are drawn at random, always the same ones.
    """
    rng = random.Random(0)
    domains = dict(model.domains)
    if TEMPLATE_INPUT in domains:
        domains[TEMPLATE_INPUT] = Choice((template.id,))
    for name, values in template.supports.items():
        possible = tuple(v for v in values if domains[name].problem_with(v) is None)
        if possible:
            domains[name] = Choice(possible)
    listed = {name: domain for name, domain in domains.items() if not domain.pools}
    total = 1
    for domain in listed.values():
        total *= domain.count()
    combinations: Iterable[tuple[Any, ...]] = itertools.product(*listed.values())
    if total > MOST:
        combinations = (tuple(d.sample(rng) for d in listed.values()) for _ in range(MOST))
    for combination in combinations:
        words = {name: domain.sample(rng) for name, domain in domains.items() if domain.pools}
        yield {**words, **dict(zip(listed, combination, strict=True))}
