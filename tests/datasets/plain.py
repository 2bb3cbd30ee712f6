"""Rows of a dataset in the plainest way: one candidate after the other, each by itself.

A row uses nothing of :mod:`cfgen.datasets` but the balanced draw; every prediction is an
interchange on the causal model, every prompt a rendered template. Only :func:`all_pairs` chooses
among candidates that were made in the package's own way.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

from cfgen.causal import CausalModel
from cfgen.counterfactuals import Hypothesis, Pair, draw_inputs
from cfgen.datasets import Candidates, DatasetRecipe, Split, candidate_pairs
from cfgen.datasets.drawing import balanced_draw
from cfgen.prompts import render
from cfgen.tasks import Task

Inputs = dict[str, Any]


def all_pairs(recipe: DatasetRecipe) -> Iterator[tuple[Split, list[Pair]]]:
    """All pairs of a dataset as records: of each split the first that repeat no prompt."""
    seen: set[str] = set()
    for candidates in recipe.candidates():
        chosen: list[Pair] = []
        for start in itertools.count(0, 100):
            for pair in candidate_pairs(candidates, 100, start):
                texts = {pair.original.prompt.text, pair.counterfactual.prompt.text}
                if len(texts) == 2 and not texts & seen and len(chosen) < candidates.split.rows:
                    seen |= texts
                    chosen.append(pair)
            if len(chosen) == candidates.split.rows:
                break
        yield candidates.split, chosen


def plain_row(candidates: Candidates, index: int) -> dict[str, Any]:
    """One candidate, as a row of the dataset has it."""
    return label(candidates.task, candidates.design, *draw(candidates, index), index)


def draw(candidates: Candidates, index: int) -> tuple[Inputs, Inputs]:
    design, domains = candidates.design, candidates.domains
    key = candidates.key + str(index)
    seed = hashlib.blake2b(key.encode(), digest_size=8).digest()
    rng = random.Random(int.from_bytes(seed, "big"))
    if candidates.balance:
        pair = balanced_draw(design, domains, candidates.key)(index, rng)
    else:
        pair = draw_inputs(design, domains, rng)
    while not all(map(candidates.task.supports, pair)):
        pair = draw_inputs(design, domains, rng)
    return pair


def label(
    task: Task, design: Any, original: Inputs, counterfactual: Inputs, index: int
) -> dict[str, Any]:
    model = task.causal_model
    own, other = (
        answer(model.run(original)[model.output]),
        answer(model.run(counterfactual)[model.output]),
    )
    said = {"none": own, "all": other}
    for name, hypothesis in task.hypotheses.items():
        said[name] = predicted(model, hypothesis, original, counterfactual)
    sides = [side(task, inputs) for inputs in (original, counterfactual)]
    parts = [task.name, *said, *(one["prompt"] for one in sides), *map(str, said.values())]
    rivals = [said["none"], *(said[name] for name in design.contrast)]
    return {
        "id": hashlib.blake2b("\0".join(parts).encode(), digest_size=10).hexdigest(),
        "index": index,
        "task": task.name,
        "design": design.name,
        "original": sides[0],
        "counterfactual": sides[1],
        "predictions": said,
        "kinds": {
            name: "original" if text == own else "counterfactual" if text == other else "third"
            for name, text in said.items()
        },
        "decisive": len(rivals) > 1 and len(set(rivals)) == len(rivals),
    }


def predicted(
    model: CausalModel, hypothesis: Hypothesis, original: Inputs, counterfactual: Inputs
) -> str | None:
    sources = {name: (counterfactual, taken) for name, taken in hypothesis.sources.items()}
    return answer(model.interchange(original, sources, hold=hypothesis.hold)[model.output])


def side(task: Task, inputs: Inputs) -> dict[str, Any]:
    setting = task.causal_model.run(inputs)
    template = task.templates[inputs.get("template", next(iter(task.templates)))]
    prompt, text = render(template, setting), answer(setting[task.causal_model.output])
    types = task.causal_model.types  # worked out anew at every look
    return {
        "prompt": prompt.text,
        "answer": text,
        "completion": None if text is None else template.answer_prefix + text,
        "variables": {name: stored(types[name], value) for name, value in setting.items()},
        "spans": [span._asdict() for span in prompt.spans],
    }


def answer(output: Any) -> str | None:
    return None if output is None else str(output)


def stored(kind: object, value: Any) -> Any:
    """A value as Arrow gives it back: as JSON where no type is declared, tuples as lists."""
    if kind is object:
        return json.dumps(value)
    return json.loads(json.dumps(value))
