"""Running all checks on a task."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from cfgen.errors import CfgenError
from cfgen.lint.determinism import check_determinism
from cfgen.lint.findings import Finding, Report, from_error, split_allowed, tidied
from cfgen.lint.pairs import (
    check_answers,
    check_candidates,
    check_designs,
    check_separated,
    check_shortcuts,
    check_spans,
    check_trivial,
)
from cfgen.lint.requirements import check_requirements
from cfgen.lint.sample import Sample, draw_sample
from cfgen.lint.structure import (
    check_files,
    check_inputs,
    check_lexicons,
    check_model,
    check_parents,
    check_shown,
    check_sites,
)
from cfgen.lint.tokens import (
    Tokens,
    check_alignment,
    check_answer_tokens,
    check_lengths,
    check_prompt_tokens,
    check_word_tokens,
)
from cfgen.lint.wording import (
    check_ambiguity,
    check_branches,
    check_partials,
    check_rendering,
    check_supports,
)
from cfgen.prompts import Encode
from cfgen.tasks import Task, find_task, load_task

ON_TASKS = (
    check_inputs,
    check_parents,
    check_shown,
    check_lexicons,
    check_sites,
    check_model,
    check_requirements,
    check_rendering,
    check_ambiguity,
    check_branches,
    check_supports,
    check_partials,
    check_determinism,
)
"""Checks of a task as it is written."""

ON_PAIRS = (
    check_spans,
    check_designs,
    check_trivial,
    check_separated,
    check_answers,
    check_candidates,
    check_shortcuts,
)
"""Checks of the pairs that it makes."""

ON_TOKENS = (
    check_prompt_tokens,
    check_answer_tokens,
    check_word_tokens,
    check_lengths,
    check_alignment,
)
"""Checks of the pairs as a tokenizer has them."""


def lint_task(
    name: str | os.PathLike[str], tokenizers: Mapping[str, Encode] | None = None
) -> Report:
    """Check everything that can be checked about a task.

    Args:
        name: ``my_task``, or a path that ends in ``.py``.
        tokenizers: Name -> tokenizer to look at prompts with.

    Raises:
        CfgenError: There is no such task. What is wrong with a task that there is, is found, not
            raised.
    """
    named = tokenizers or {}
    path = find_task(name)
    try:
        task = load_task(path)
    except CfgenError as error:
        findings = tidied([*from_error(error), *check_files(path)])
        return Report(path.stem, path, tuple(findings), tokenizers=(*named,), loaded=False)
    found = tidied(_findings(task, named))
    left, allowed = split_allowed(found, task.allow, task.where)
    return Report(task.name, task.path, (*tidied(left),), (*allowed,), (*named,))


def _findings(task: Task, tokenizers: Mapping[str, Encode]) -> Iterator[Finding]:
    yield from check_files(task.path)
    for check in ON_TASKS:
        yield from check(task)
    sample: Sample = draw_sample(task)
    yield from sample.findings
    for look in ON_PAIRS:
        yield from look(task, sample)
    for name, tokenizer in tokenizers.items():
        tokens = Tokens(name, tokenizer, {})
        for compare in ON_TOKENS:
            yield from compare(task, sample, tokens)
