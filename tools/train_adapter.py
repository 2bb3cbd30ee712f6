"""Train the LoRA adapter that teaches a small pretrained LM to answer belief questions.

Four steps, of which each needs the ones before it: train; evaluate on held-out words; swap the last
token's activations at every layer; write the card from what came out.

Stories come from the task's own causal model and templates, with words that are not in the ``test``
split, so that none of its names, containers and drinks is ever seen. One seed, a fixed number of
batches; the same machine gives the same adapter.

    python tools/train_adapter.py                       # all of it, into data/models/
    python tools/train_adapter.py --steps layers card   # some of it
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from adapter_card import write_card
from peft import LoraConfig, get_peft_model
from transformers import get_cosine_schedule_with_warmup

from cfgen import load_lm, load_task
from cfgen.causal import Pools
from cfgen.counterfactuals import NONE
from cfgen.datasets import FRACTIONS, draw_pairs, make_splits, recipe, task_source
from cfgen.experiments import Experiment, Inquiry, MemoryStore, RunRecord, run_experiment
from cfgen.lm import LM
from cfgen.prompts import render
from cfgen.tasks import Task

TASK = "belief_tracking"
BASE = "smollm2-135m"
RANK, ALPHA, TARGETS = 16, 32, ["q_proj", "k_proj", "v_proj", "o_proj"]
BATCH, RATE, WARMUP = 16, 1e-3, 20
QUESTIONS = ("matched", "unmatched")
STEPS = ("train", "evaluate", "layers", "card")
OUT = Path(__file__).resolve().parent.parent / "data" / "models" / "smollm2-belief"


@dataclass(frozen=True)
class Story:
    """A prompt, what answers it, and the cell of the evaluation that it belongs to."""

    cell: tuple[str, str, str]  # template, visibility, question
    prompt: str
    answer: str  # with its leading space


def stories(
    task: Task, pools: Pools, rng: random.Random, cells: Iterator[tuple[str, str, str]]
) -> Iterator[Story]:
    """Draw a story for each cell: everything that the cell leaves open is random."""
    model = task.causal_model
    for cell in cells:
        template, visibility, question = cell
        inputs = model.sample(rng, pools)
        inputs |= {"template": template, "visibility": visibility}
        asked = inputs["asked_character"]
        inputs["asked_container"] = asked if question == "matched" else 1 - asked
        wording = task.templates[template]
        answer = wording.answer_prefix + model.program.run(inputs)[model.output]
        yield Story(cell, render(wording, inputs).text, answer)


def all_cells(task: Task) -> list[tuple[str, str, str]]:
    """Every combination of template, visibility and kind of question."""
    visibilities = list(task.causal_model.domains["visibility"])
    return [(t, v, q) for t in task.templates for v in visibilities for q in QUESTIONS]


def training_cells(task: Task, rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """Cells for batches without end: a batch has one template, so that it needs little padding.

    Without visibility sentences comes as often as with them, since that is the paper's first
    setting and the default one here.
    """
    visibilities = list(task.causal_model.domains["visibility"])
    weights = [3 if visibility == "none" else 1 for visibility in visibilities]
    templates: list[str] = []
    while True:
        if not templates:
            templates = rng.sample(list(task.templates), len(task.templates))
        template = templates.pop()
        for visibility in rng.choices(visibilities, weights, k=BATCH):
            yield template, visibility, rng.choice(QUESTIONS)


def encode(lm: LM, batch: list[Story]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Prompts padded on the left, and the first token of each answer.

    Returns:
        Model inputs of shape (stories, tokens), targets of shape (stories,).
    """
    prompts = [story.prompt for story in batch]
    joined = [lm.tokenizer(story.prompt + story.answer).input_ids for story in batch]
    lengths = [len(lm.tokenizer(prompt).input_ids) for prompt in prompts]
    targets = torch.tensor([ids[n] for ids, n in zip(joined, lengths, strict=True)])
    inputs = lm.tokenizer(prompts, return_tensors="pt", padding=True)
    positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    return {**inputs, "position_ids": positions}, targets


def last_logits(model: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Logits behind the last prompt token, shape (stories, vocabulary)."""
    return model(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1].float()


def train(lm: LM, task: Task, pools: Pools, *, steps: int, seed: int) -> tuple[Any, list[dict]]:
    """Train the adapter; returns the adapted model and the training curve."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # one order of summation, so the same adapter every time
    rng = random.Random(seed)
    config = LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    model = get_peft_model(lm.model, config, autocast_adapter_dtype=False)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, WARMUP, steps)
    stream = stories(task, pools, rng, training_cells(task, rng))
    curve, losses, right = [], [], []
    start = time.perf_counter()
    for step in range(1, steps + 1):
        inputs, targets = encode(lm, [next(stream) for _ in range(BATCH)])
        logits = last_logits(model, inputs)
        loss = torch.nn.functional.cross_entropy(logits, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        right.append((logits.argmax(-1) == targets).float().mean().item())
        if step % 10 == 0 or step == steps:
            point = {
                "step": step,
                "loss": round(sum(losses) / len(losses), 4),
                "accuracy": round(sum(right) / len(right), 4),
                "n": len(losses) * BATCH,
            }
            curve.append(point)
            print(f"{time.perf_counter() - start:7.0f} s  {point}", flush=True)
            losses, right = [], []
    return model, curve


def evaluate(lm: LM, task: Task, pools: Pools, *, n: int, seed: int) -> list[dict]:
    """Share of held-out questions answered right, per cell."""
    torch.set_num_threads(2)
    rng = random.Random(seed)
    results = []
    for cell in all_cells(task):
        batch = list(stories(task, pools, rng, iter([cell] * n)))
        right = 0
        for first in range(0, n, 25):
            inputs, targets = encode(lm, batch[first : first + 25])
            with torch.inference_mode():
                right += int((last_logits(lm.model, inputs).argmax(-1) == targets).sum())
        results.append(
            dict(zip(("template", "visibility", "question"), cell, strict=True))
            | {"right": right, "n": n}
        )
        print(results[-1], flush=True)
    return results


def layer_table(lm: LM, task: Task, *, n: int, seed: int) -> dict[str, Any]:
    """Interchange at the last token, every layer, decisive pairs of the default design."""
    made = recipe(task, n, seed=seed)
    pairs = {pair.id: pair for pair in draw_pairs(made)}
    names = (*made.design.contrast, NONE)
    sites = {name: task.hypothesis(name).site for name in made.design.contrast}
    source = task_source(made)
    inquiry = Inquiry(Experiment(task=task.name, n=n, seed=seed), source, lambda _: source, sites)
    found = run_experiment(lm, inquiry, MemoryStore())
    assert isinstance(found, RunRecord)  # nothing was left to others
    otherwise: dict[int, Counter[str]] = {layer: Counter() for layer in found.layers}
    for output in found.outputs:
        predictions = pairs[output.pair_id].predictions
        if output.said.strip() not in {predictions[name] for name in names}:
            otherwise[output.layer][output.said.strip()] += 1
    return {
        "design": made.design.name,
        "n": len(found.pairs),
        "kept": len(found.behaviour.kept),
        "cells": [asdict(cell) for cell in found.cells],
        "otherwise": {layer: said.most_common(3) for layer, said in otherwise.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--updates", type=int, default=400, help="batches to train on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--questions", type=int, default=100, help="held-out questions per cell")
    parser.add_argument("--pairs", type=int, default=64, help="pairs of the layer table")
    options = parser.parse_args()
    task = load_task(TASK)
    pools = {split.name: split.pools for split in make_splits(task, 1000, FRACTIONS)}
    if "train" in options.steps:
        base = load_lm(BASE, device="cpu", dtype="bfloat16")
        seen = {pool: pools["validation"][pool] + words for pool, words in pools["train"].items()}
        model, curve = train(base, task, seen, steps=options.updates, seed=options.seed)
        model.save_pretrained(OUT)
        tidy(OUT)
        write("training.json", {"seed": options.seed, "batch": BATCH, "curve": curve})
    if "evaluate" in options.steps:
        adapted = load_lm(OUT.name, device="cpu")
        cells = evaluate(adapted, task, pools["test"], n=options.questions, seed=options.seed + 1)
        words = {pool: len(found) for pool, found in pools["test"].items()}
        write("evaluation.json", {"words": words, "cells": cells})
    if "layers" in options.steps:
        adapted = load_lm(OUT.name, device="cpu")
        write("layers.json", layer_table(adapted, task, n=options.pairs, seed=options.seed))
    if "card" in options.steps:
        write_card(OUT)


def tidy(folder: Path) -> None:
    """Name the base instead of the folder it was loaded from; drop the card that peft makes."""
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "adapter_model.safetensors").chmod(0o644)
    config = json.loads((folder / "adapter_config.json").read_text())
    config |= {"base_model_name_or_path": BASE, "target_modules": sorted(TARGETS)}
    write("adapter_config.json", config)


def write(name: str, content: Mapping[str, Any]) -> None:
    (OUT / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
