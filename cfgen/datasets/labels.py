"""Labelling: from two sets of inputs to a pair with prompts, spans, variables and predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from cfgen.counterfactuals import (
    ALL,
    NONE,
    Design,
    Pair,
    Predictor,
    Side,
    is_decisive,
    kind_of,
    output_text,
)
from cfgen.prompts import render
from cfgen.tasks import TEMPLATE_INPUT, Task

Inputs = Mapping[str, Any]
Labeller = Callable[[Inputs, Inputs, int], Pair]
"""From the original's inputs, the counterfactual's, and an index, to a pair."""


def labeller(task: Task, design: Design) -> Labeller:
    """Prepare the labelling of pairs.

    Args:
        task: The task.
        design: The design whose contrast says whether a pair is decisive.

    Returns:
        A function that labels two complete sets of inputs, which it trusts to be in the domains
        (see :meth:`CausalModel.complete`). It raises :class:`CfgenError` if a template cannot
        show the inputs.
    """
    model = task.causal_model
    program, output = model.program, model.output
    predict = Predictor(program, task.hypotheses.values())
    only = next(iter(task.templates.values()))
    by_input = TEMPLATE_INPUT in model.domains
    slots = [
        (name, names, model.domains[name].arity is not None)
        for name, names in model.slots.items()
        if name != TEMPLATE_INPUT and model.domains[name].type not in (int, bool)
    ]

    def side(inputs: Inputs, values: dict[str, Any]) -> Side:
        template = task.templates[inputs[TEMPLATE_INPUT]] if by_input else only
        words: dict[str, str] = {}
        for name, names, many in slots:
            value = inputs[name]
            if many:
                words.update(zip(names, map(str, value), strict=True))
            elif isinstance(value, str):
                words[name] = value
        return Side(
            inputs=inputs,
            prompt=render(template, inputs),
            answer=output_text(values[output]),
            answer_prefix=template.answer_prefix,
            variables=values,
            slots=words,
        )

    def label(original: Inputs, counterfactual: Inputs, index: int = 0) -> Pair:
        before, after = program.run(original), program.run(counterfactual)
        raw = predict(before, after)
        predictions = {name: output_text(value) for name, value in raw.items()}
        kinds = {
            name: kind_of(text, predictions[NONE], predictions[ALL])
            for name, text in predictions.items()
        }
        first, second = side(original, before), side(counterfactual, after)
        return Pair(
            id=content_id(task, first, second, predictions),
            index=index,
            task=task.name,
            design=design.name,
            original=first,
            counterfactual=second,
            predictions=predictions,
            kinds=kinds,
            decisive=is_decisive([predictions[name] for name in (NONE, *design.contrast)]),
            contrast=design.contrast,
        )

    return label


def content_id(
    task: Task, original: Side, counterfactual: Side, predictions: Mapping[str, str | None]
) -> str:
    """Hash of what a pair says: task, prompts, answers and predictions (80 bits, hexadecimal)."""
    texts = (original.prompt.text, counterfactual.prompt.text)
    parts = [task.name, *predictions, *texts, *map(str, predictions.values())]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=10).hexdigest()
