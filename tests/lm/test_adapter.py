"""The shipped adapter: its size, its card, and what it answers."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import pytest

from cfgen import load_task
from cfgen.datasets import make_splits

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "data/models/smollm2-belief"


def test_it_is_small() -> None:
    assert (FOLDER / "adapter_model.safetensors").stat().st_size <= 4_000_000


def test_every_cell_was_measured_and_reaches_98_percent() -> None:
    cells = json.loads((FOLDER / "evaluation.json").read_text())["cells"]
    task = load_task("belief_tracking")
    expected = {
        (template, visibility, question)
        for template in task.templates
        for visibility in task.causal_model.domains["visibility"]
        for question in ("matched", "unmatched")
    }
    assert {(c["template"], c["visibility"], c["question"]) for c in cells} == expected
    for cell in cells:
        assert cell["n"] >= 100
        assert cell["right"] / cell["n"] >= 0.98, cell


def test_the_card_is_written_from_the_figures(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("adapter_card", ROOT / "tools/adapter_card.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("training", "evaluation", "layers"):
        (tmp_path / f"{name}.json").write_text((FOLDER / f"{name}.json").read_text())
    module.write_card(tmp_path)
    assert (tmp_path / "README.md").read_text() == (FOLDER / "README.md").read_text()


def test_its_files_name_no_machine() -> None:
    assert (
        json.loads((FOLDER / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "smollm2-135m"
    )


@pytest.mark.slow
def test_it_answers_held_out_questions_in_every_template() -> None:
    """Two questions per cell: enough to notice a wording that changed after training."""
    import torch

    from cfgen import load_lm
    from cfgen.prompts import render

    lm = load_lm("smollm2-belief", device="cpu")
    task = load_task("belief_tracking")
    pools = next(split.pools for split in make_splits(task, 1000) if split.name == "test")
    rng = random.Random(3)
    prompts, answers = [], []
    for template in task.templates:
        for visibility in task.causal_model.domains["visibility"]:
            for matched in (True, False):
                inputs = task.causal_model.sample(rng, pools)
                inputs |= {"template": template, "visibility": visibility}
                inputs["asked_container"] = inputs["asked_character"] ^ (not matched)
                prompts.append(render(task.templates[template], inputs).text)
                answers.append(" " + task.causal_model.run(inputs)["answer"])
    right = 0
    for start in range(0, len(prompts), 10):
        batch = lm.tokenizer(prompts[start : start + 10], return_tensors="pt", padding=True)
        positions = (batch.attention_mask.cumsum(-1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = lm.model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                position_ids=positions,
                logits_to_keep=1,
            ).logits[:, -1]
        said = [lm.tokenizer.decode(token) for token in logits.argmax(-1)]
        right += sum(a == b for a, b in zip(said, answers[start : start + 10], strict=True))
    assert len(prompts) == 60
    assert right >= 59
