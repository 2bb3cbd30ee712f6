"""Tasks: lists of them, and everything one consists of, as people read it and as plain values."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from cfgen.causal import Choice, Distinct, Domain
from cfgen.counterfactuals import Design, Hypothesis
from cfgen.documents import Block, Document, Facts, Heading, Inline, Item, Paragraph, faint, strong
from cfgen.paths import display
from cfgen.tasks import Task


def task_list(found: Sequence[tuple[str, str, str]]) -> Document:
    """Name, description and place of every task."""
    rows = ((strong(name), (text, faint(f"\n{place}"))) for name, text, place in found)
    return Document((Facts(tuple(rows)),))


def task_view(task: Task) -> Document:
    """Everything about a task, to be read from top to bottom."""
    place = f"{display(task.path)}, version {task.version}; model {task.default_model}"
    return Document(
        (
            Paragraph((strong(task.name), f"  {task.description}")),
            Paragraph(faint(place)),
            Heading("Inputs"),
            Facts(tuple(_input_rows(task))),
            Heading("Variables, each computed from those behind the arrow"),
            Facts(tuple(_variable_rows(task))),
            *_requirements(task),
            *_defaults(task),
            Heading("Designs (* is the default)"),
            *_design_items(task),
            Heading("Hypotheses"),
            *_hypothesis_items(task),
            Heading("Templates (* is the default)"),
            Facts(tuple(_template_rows(task))),
        )
    )


def _defaults(task: Task) -> Iterable[Block]:
    """What is meant where an experiment says nothing else."""
    if task.defaults:
        yield Heading("Experiments, if they say nothing else")
        rows = {
            name: _joined(value) if isinstance(value, tuple) else str(value)
            for name, value in task.defaults.items()
        }
        yield Facts(tuple((strong(name), value) for name, value in rows.items()))


def domain_text(domain: Domain) -> str:
    """The values of an input, in words."""
    if isinstance(domain, Distinct):
        return f"{domain.size} different values, each {domain_text(domain.of)}"
    if isinstance(domain, Choice):
        shown = [str(value) for value in domain.values]
        return f"one of {', '.join(shown)}" if len(shown) > 1 else shown[0]
    pool, words = next(iter(domain.pools.items()))
    return f"one of the {len(words)} words of {pool}: {', '.join(words[:3])}, ..."


def _input_rows(task: Task) -> Iterable[tuple[Inline, Inline]]:
    model = task.causal_model
    for name, domain in model.domains.items():
        slots = model.slots[name]
        shown = f"\nshown as {', '.join(slots)}" if slots != (name,) else ""
        default = f"\n{model.defaults[name]} if not given" if name in model.defaults else ""
        yield strong(name), (domain_text(domain), faint(shown), faint(default))


def _requirements(task: Task) -> Iterable[Block]:
    rows = tuple(
        (strong(name), (", ".join(parents), faint(f"\n{doc}" if doc else "")))
        for name, requirement, parents in task.causal_model.program.requirements
        for doc in [first_paragraph(requirement.__doc__)]
    )
    if rows:
        yield Heading("Required of inputs, each of those behind it")
        yield Facts(rows)


def first_paragraph(text: str | None) -> str:
    """The first paragraph of a docstring, in one line."""
    return inspect.cleandoc(text or "").partition("\n\n")[0].replace("\n", " ")


def _variable_rows(task: Task) -> Iterable[tuple[Inline, Inline]]:
    graph = task.causal_model.graph()
    docs = variable_docs(task)
    for name in graph.order:
        if name not in graph.inputs:
            doc = faint(f"\n{docs[name]}") if docs[name] else ""
            yield strong(name), (faint("<- "), ", ".join(graph.parents[name]), doc)


def variable_docs(task: Task) -> dict[str, str]:
    """Variable -> first paragraph of its mechanism's docstring."""
    return {
        name: first_paragraph(mechanism.__doc__)
        for name, mechanism, _ in task.causal_model.program.steps
    }


def _design_items(task: Task) -> Iterable[Block]:
    for design in task.designs.values():
        facts = [("original", _joined(design.original))] if design.original else []
        facts += [("counterfactual", _joined(design.counterfactual))]
        facts += [("tells apart", _joined(("none", *design.contrast)))] if design.contrast else []
        yield _item(_starred(design.name, task.default_design), design.description, facts)


def _hypothesis_items(task: Task) -> Iterable[Block]:
    for hypothesis in task.hypotheses.values():
        facts = _hypothesis_facts(hypothesis)
        yield _item(strong(hypothesis.name), hypothesis.description, facts)


def _item(title: Inline, description: str, facts: Iterable[tuple[str, str]]) -> Block:
    """A title with a description and facts below."""
    rows = tuple((faint(name), value) for name, value in facts)
    return Item(title, (Paragraph(description), Facts(rows)))


def _hypothesis_facts(hypothesis: Hypothesis) -> Iterable[tuple[str, str]]:
    yield (
        "interchanges",
        ", ".join(
            name if name == source else f"{name} from {source}"
            for name, source in hypothesis.sources.items()
        ),
    )
    if hypothesis.hold:
        yield "holds", ", ".join(hypothesis.hold)
    site = hypothesis.site
    yield "at", ", ".join(site.positions) + (" (swapped by word)" if site.align == "word" else "")
    if site.frozen:
        yield "frozen", ", ".join(site.frozen)
    modes = {"each": "one layer at a time", "up_to": "all layers up to L at once"}
    layers = modes.get(site.layers, f"a {site.layers} of layers around L at once")
    yield "in", f"{site.component}{site.part}, {layers}"
    if hypothesis.design:
        yield "with design", hypothesis.design
    if hypothesis.reference:
        yield "reference", hypothesis.reference


def _template_rows(task: Task) -> Iterable[tuple[Inline, Inline]]:
    for template in task.templates.values():
        limits = (
            faint(f"\nonly for {name}: {', '.join(map(str, values))}")
            for name, values in template.supports.items()
        )
        yield _starred(template.id, task.default_template), (template.description, *limits)


def _starred(name: str, default: str | None) -> Inline:
    return strong(f"{name} *" if name == default else name)


def _joined(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


# As plain values


def task_record(task: Task) -> dict[str, Any]:
    """Everything about a task as plain values for JSON."""
    model = task.causal_model
    graph = model.graph()
    docs = variable_docs(task)
    return {
        "name": task.name,
        "description": task.description,
        "path": str(task.path),
        "version": task.version,
        "content_hash": task.content_hash,
        "default_design": task.default_design,
        "default_model": task.default_model,
        "default_template": task.default_template,
        "defaults": dict(task.defaults),
        "inputs": [_input_record(task, name) for name in graph.inputs],
        "variables": [
            {"name": name, "parents": list(graph.parents[name]), "description": docs[name]}
            for name in graph.order
            if name not in graph.inputs
        ],
        "requirements": [
            {"name": name, "inputs": list(inputs), "description": first_paragraph(rule.__doc__)}
            for name, rule, inputs in model.program.requirements
        ],
        "output": graph.output,
        "graph": {"mermaid": graph.mermaid(), "dot": graph.dot()},
        "designs": [_design_record(design) for design in task.designs.values()],
        "hypotheses": [_hypothesis_record(each) for each in task.hypotheses.values()],
        "templates": [
            {
                "id": template.id,
                "description": template.description,
                "shows": list(template.shows),
                "supports": {name: list(values) for name, values in template.supports.items()},
                "answer_prefix": template.answer_prefix,
            }
            for template in task.templates.values()
        ],
    }


def _input_record(task: Task, name: str) -> dict[str, Any]:
    model = task.causal_model
    domain = model.domains[name]
    return {
        "name": name,
        "domain": domain_text(domain),
        "count": domain.count(),
        "slots": list(model.slots[name]),
        "required": name not in model.defaults,
        "default": model.defaults.get(name),
    }


def _design_record(design: Design) -> dict[str, Any]:
    return {
        "name": design.name,
        "description": design.description,
        "original": [str(edit) for edit in design.original],
        "counterfactual": [str(edit) for edit in design.counterfactual],
        "contrast": list(design.contrast),
    }


def _hypothesis_record(hypothesis: Hypothesis) -> dict[str, Any]:
    site = hypothesis.site
    return {
        "name": hypothesis.name,
        "description": hypothesis.description,
        "interchange": hypothesis.sources,
        "hold": list(hypothesis.hold),
        "site": {
            "positions": list(site.positions),
            "frozen": list(site.frozen),
            "align": site.align,
            "layers": site.layers,
            "component": site.component,
            "head": site.head,
            "neurons": list(site.neurons),
        },
        "design": hypothesis.design,
        "reference": hypothesis.reference,
    }
