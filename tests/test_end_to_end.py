"""The main job on the real LM, against a plain PyTorch loop that shares nothing with the engine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

pytestmark = pytest.mark.slow

LAYERS = (19, 21, 24)
N = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from cfgen.cli.main import app

    out = tmp_path_factory.mktemp("runs") / "restate"
    layers = ",".join(map(str, LAYERS))
    command = ["run", "belief_tracking", "--design", "restate", "-n", str(N), "--layers", layers]
    result = CliRunner().invoke(app, [*command, "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out


def test_the_answer_lookback_shows(folder: Path) -> None:
    """The pointer is at the last token before the payload is (Prakash et al. 2025, section 4)."""
    results = json.loads((folder / "results.json").read_text())
    assert (results["model"], results["task"], results["design"]) == (
        "smollm2-belief",
        "belief_tracking",
        "restate",
    )
    assert results["clean_accuracy"] == results["keep_rate"] == 1.0
    cells = {(cell["hypothesis"], cell["layer"]): cell for cell in results["cells"]}
    assert cells["answer_pointer", 21]["value"] == 1.0
    assert cells["answer_payload", 21]["value"] == 0.0
    assert cells["answer_pointer", 24]["value"] == 0.0
    assert cells["answer_payload", 24]["value"] == 1.0
    assert {cell["n"] for cell in cells.values()} == {N}


def test_a_plain_loop_gives_the_same_answers(folder: Path) -> None:
    """One prompt at a time, no padding, hooks written out here, only the written files read."""
    import torch

    from cfgen import load_lm

    lm = load_lm("smollm2-belief", device="cpu")
    blocks = lm.model.model.layers
    written = {
        (row["pair_id"], row["layer"]): row["said"]
        for row in pq.read_table(folder / "outputs.parquet").to_pylist()
    }
    pairs = pq.read_table(folder / "pairs.parquet").to_pylist()
    assert len(written) == len(pairs) * len(LAYERS) == N * len(LAYERS)

    def answer(prompt: str) -> str:
        ids = lm.tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            return lm.tokenizer.decode(lm.model(ids).logits[0, -1].argmax())

    for pair in pairs:
        kept: dict[int, torch.Tensor] = {}
        readers = [
            blocks[layer].register_forward_hook(
                lambda _module, _given, output, layer=layer, kept=kept: kept.update(
                    {layer: output[0, -1].clone()}
                )
            )
            for layer in LAYERS
        ]
        answer(pair["counterfactual"]["prompt"])
        for reader in readers:
            reader.remove()
        for layer in LAYERS:

            def overwrite(_module, _given, output, value=kept[layer]):
                output = output.clone()
                output[0, -1] = value
                return output

            writer = blocks[layer].register_forward_hook(overwrite)
            said = answer(pair["original"]["prompt"])
            writer.remove()
            assert said == written[pair["id"], layer]
