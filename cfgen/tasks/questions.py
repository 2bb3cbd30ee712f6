"""From a task to the question that design search and certificates answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cfgen.counterfactuals import Hypothesis
from cfgen.counterfactuals.evaluate import Question
from cfgen.tasks.records import TEMPLATE_INPUT, Task


def question_of(
    task: Task, templates: Sequence[str] = (), hypotheses: Sequence[Hypothesis] | None = None
) -> Question:
    """What a task's hypotheses predict, over the inputs that its templates can show.

    Args:
        task: The task.
        templates: Template ids, as in :meth:`Task.template_domain`.
        hypotheses: Those to compare; all of the task's if not given.

    Raises:
        CfgenError: If there is no such template.
    """
    model = task.causal_model
    allowed_inputs = task.template_domain(templates)
    domains = {name: allowed_inputs.get(name, domain) for name, domain in model.domains.items()}
    chosen = tuple(task.hypotheses.values()) if hypotheses is None else tuple(hypotheses)
    allowed = domains.get(TEMPLATE_INPUT, task.templates)
    restricted = {key for name in allowed for key in task.templates[name].supports}
    if not restricted:
        return Question(model.program, chosen, domains)

    def shown(original: Mapping[str, Any], counterfactual: Mapping[str, Any]) -> bool:
        return task.supports(original) and task.supports(counterfactual)

    names = tuple(name for name in domains if name in restricted | {TEMPLATE_INPUT})
    return Question(model.program, chosen, domains, shown, names)
