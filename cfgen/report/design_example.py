"""A worked example of a design: one pair of inputs, and what is predicted for it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cfgen.counterfactuals import ALL, NONE, Predictor, kind_of, output_text
from cfgen.counterfactuals.evaluate import Question, inputs_of
from cfgen.counterfactuals.goals import Goal
from cfgen.counterfactuals.judging import Judged


def example_of(question: Question, goal: Goal, judged: Judged) -> dict[str, Any] | None:
    """A pair that a design makes, one that tells apart as much as possible.

    Returns:
        Its inputs (those that matter), and hypothesis -> prediction and kind; None if no pair of
        the design can be shown.
    """
    settled = judged.settled
    place = _best_case(goal, judged)
    if place is None:
        return None
    befores, afters, before, after = settled.cases
    sides = [
        inputs_of(question, settled.atoms, settled.names, state, {})
        for state in (befores[before[place]], afters[after[place]])
    ]
    program = question.program
    said = Predictor(program, question.hypotheses)(*(program.run(side) for side in sides))
    texts = {name: output_text(value) for name, value in said.items()}
    named = dict.fromkeys(
        (NONE, ALL, *(goal.contrast or (n for two in goal.required for n in two)))
    )
    return {
        "original": {name: sides[0][name] for name in settled.names},
        "counterfactual": {name: sides[1][name] for name in settled.names},
        "predictions": {name: texts[name] for name in named},
        "kinds": {name: kind_of(texts[name], texts[NONE], texts[ALL]) for name in named},
    }


def _best_case(goal: Goal, judged: Judged) -> int | None:
    outputs, labels = judged.columns.outputs, judged.labels
    columns = [[labels.index(name) for name in couple] for couple in goal.required]
    best: tuple[int, int] | None = None
    for place, chance in enumerate(judged.chances):
        if chance:
            count = sum(outputs[place, one] != outputs[place, other] for one, other in columns)
            if best is None or count > best[0]:
                best = (count, place)
    return None if best is None else best[1]


def example_words(example: Mapping[str, Any]) -> list[str]:
    """The example as sentences."""
    first, second = example["original"], example["counterfactual"]
    changed = {name: value for name, value in second.items() if value != first[name]}
    said, kinds = example["predictions"], example["kinds"]
    groups: dict[tuple[str, str], list[str]] = {}
    for name, text in said.items():
        if name not in (NONE, ALL):
            groups.setdefault((_answer(text), kinds[name]), []).append(name)
    endings = {
        "original": "as if nothing were swapped",
        "counterfactual": "the counterfactual's answer",
        "third": "a third answer",
    }
    return [
        f"Original: {_values(first)}. Answer: {_answer(said[NONE])}.",
        f"Counterfactual: the same, but {_values(changed) or 'for nothing'}. "
        f"Answer: {_answer(said[ALL])}.",
        *(
            f"Swapping {' or '.join(names)} gives {text}, {endings[kind]}."
            for (text, kind), names in groups.items()
        ),
    ]


def _values(inputs: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{name} {', '.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in inputs.items()
    )


def _answer(text: str | None) -> str:
    return "(none)" if text is None else text
