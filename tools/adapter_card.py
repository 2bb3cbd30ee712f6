"""The adapter's card, written from the figures that training and evaluation left beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cfgen.stats import rate

HEADER = """\
---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
library_name: peft
tags: [interpretability, belief-tracking, lora]
---

# smollm2-belief

SmolLM2-135M-Instruct with a rank-16 LoRA adapter on the query, key, value and output projections of
all 30 blocks, which teaches it to answer who believes what a container holds. The base model alone
goes on with a line break instead (`cfgen run belief_tracking --model smollm2-135m -n 16` keeps none
of the 16 pairs), so there is no mechanism to look for in it. The adapter is
trained on answers alone: nothing in training says how the answer is to be found, so what the layer
table shows is what the network came to do by itself.

Written by `make adapter`; every figure below is from that command. It is a model for studying
interventions on a laptop, not one that understands beliefs: it knows the wordings of this task and
nothing else was checked.
"""


def write_card(folder: Path) -> None:
    """Write ``README.md`` from ``training.json``, ``evaluation.json`` and ``layers.json``."""
    training, evaluation, layers = (
        json.loads((folder / f"{name}.json").read_text())
        for name in ("training", "evaluation", "layers")
    )
    sections = [HEADER, _training(training), _evaluation(evaluation), _layers(layers)]
    (folder / "README.md").write_text("\n".join(sections), encoding="utf-8", newline="\n")


def _training(training: dict[str, Any]) -> str:
    curve = training["curve"]
    shown = [point for point in curve if point["step"] <= 100 or point["step"] % 50 == 0]
    rows = [[p["step"], f"{p['loss']:.4f}", f"{p['accuracy']:.3f}", p["n"]] for p in shown]
    intro = (
        f"{curve[-1]['step']} batches of {training['batch']} stories, each seen once, with words that"
        " are not in the test split; cross-entropy on the answer's first token; seed"
        f" {training['seed']}. Means over the ten batches up to the one named (all points are in"
        " `training.json`)."
    )
    return f"## Training\n\n{intro}\n\n" + _table(["batch", "loss", "accuracy", "n"], rows)


def _evaluation(evaluation: dict[str, Any]) -> str:
    cells = evaluation["cells"]
    words = ", ".join(f"{count} {pool}" for pool, count in evaluation["words"].items())
    templates = list(dict.fromkeys(cell["template"] for cell in cells))
    columns = list(dict.fromkeys((cell["visibility"], cell["question"]) for cell in cells))
    found = {(c["template"], c["visibility"], c["question"]): c for c in cells}
    rows = [
        [f"{visibility}, {question}"]
        + [f"{found[t, visibility, question]['right']}" for t in templates]
        for visibility, question in columns
    ]
    worst = min(cells, key=lambda cell: cell["right"] / cell["n"])
    low = rate(worst["right"], worst["n"])
    total = rate(sum(c["right"] for c in cells), sum(c["n"] for c in cells))
    intro = (
        f"Questions answered right of {cells[0]['n']} in each cell, with words that occur in no"
        f" training story ({words}). A *matched* question asks for a container that the asked person"
        " filled; an *unmatched* one asks for the other container, which is `unknown` unless the"
        f" person could see it being filled. All cells: {total.value:.4f} [{total.low:.4f},"
        f" {total.high:.4f}], n {total.n}. Lowest cell: {low.value:.2f} [{low.low:.2f},"
        f" {low.high:.2f}], n {low.n}."
    )
    return f"\n## Held-out questions\n\n{intro}\n\n" + _table(
        ["visibility, question", *templates], rows
    )


def _layers(layers: dict[str, Any]) -> str:
    names = list(dict.fromkeys(cell["hypothesis"] for cell in layers["cells"]))
    found = {(cell["layer"], cell["hypothesis"]): cell for cell in layers["cells"]}
    depth = sorted({cell["layer"] for cell in layers["cells"]})
    rows = []
    for layer in depth:
        cells = [found[layer, name] for name in names]
        shown = [f"{c['iia']:.2f} [{c['low']:.2f}, {c['high']:.2f}]" for c in cells]
        otherwise = layers["otherwise"][str(layer)]
        rows.append([layer, *shown, ", ".join(f"{said} {count}" for said, count in otherwise)])
    intro = (
        "Interchange of the residual stream after one block, at the last token:"
        f" {layers['n']} decisive `{layers['design']}` pairs of held-out words, {layers['kept']} of"
        " them kept (both prompts answered right). Share of kept pairs whose answer is the one each"
        " hypothesis predicts, with 95 % Wilson intervals; `none` is the control (nothing happened),"
        " *says else* what it says in the remaining pairs, with counts."
    )
    return f"\n## What each layer does\n\n{intro}\n\n" + _table(
        ["layer", *names, "says else"], rows
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]) + "\n"
