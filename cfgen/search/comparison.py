"""What is compared: hypotheses of a causal model, over pairs of inputs that can be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cfgen.causal import Domain, Program
from cfgen.counterfactuals import ALL, NONE, Design, Hypothesis, InputEdit
from cfgen.tasks import TEMPLATE_INPUT, Task

Inputs = Mapping[str, Any]
SupportTest = Callable[[Inputs, Inputs], bool]
"""Whether some template can show a pair of inputs."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What hypotheses are compared, and over which inputs.

    Attributes:
        program: The causal model.
        hypotheses: The hypotheses; ``none`` and ``all`` are always there as well.
        domains: Input -> domain that it is drawn from.
        shown: Which pairs a template can show; None if all can.
        shown_by: Inputs that this depends on.
    """

    program: Program
    hypotheses: tuple[Hypothesis, ...]
    domains: Mapping[str, Domain]
    shown: SupportTest | None = None
    shown_by: tuple[str, ...] = ()

    def occurs(self, original: Inputs, counterfactual: Inputs) -> bool:
        """Whether a pair meets all requirements, and a template can show it."""
        if any(map(self.program.broken, (original, counterfactual))):
            return False
        return self.shown is None or self.shown(original, counterfactual)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of everything that predicts, in the order of columns."""
        return (NONE, ALL, *(hypothesis.name for hypothesis in self.hypotheses))

    def inputs_that_matter(self, design: Design | None = None) -> tuple[str, ...]:
        """Inputs that some prediction depends on; the others only change the wording.

        Args:
            design: Under it an input also matters if a mattering one is taken from it.
        """
        graph = self.program.graph
        wanted = {graph.output, *self.shown_by}
        wanted.update(*(parents for *_, parents in self.program.requirements))
        for hypothesis in self.hypotheses:
            wanted |= {*hypothesis.sources, *hypothesis.sources.values(), *hypothesis.hold}
        names = wanted.union(*(graph.ancestors(name) for name in wanted if name in graph.order))
        edits = edits_of(design)
        for _ in edits:  # so often, since what is taken may itself be taken from elsewhere
            names |= {name for edit in edits if edit.input in names for name in edit.reads}
        return tuple(name for name in graph.inputs if name in names)

    def constants(self, design: Design | None) -> frozenset[str]:
        """Texts that a design's edits name; they stand for themselves."""
        named = (edit.constants(self.domains[edit.input]) for edit in edits_of(design))
        return frozenset[str]().union(*named)


def edits_of(design: Design | None) -> tuple[InputEdit, ...]:
    """All edits of a design; none where there is no design."""
    return () if design is None else (*design.original, *design.counterfactual)


def comparison_of(
    task: Task, templates: Sequence[str] = (), hypotheses: Sequence[Hypothesis] | None = None
) -> Comparison:
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
        return Comparison(model.program, chosen, domains)

    def shown(original: Inputs, counterfactual: Inputs) -> bool:
        return not any(task.template_of(s).unsupported(s) for s in (original, counterfactual))

    names = tuple(name for name in domains if name in restricted | {TEMPLATE_INPUT})
    return Comparison(model.program, chosen, domains, shown, names)
