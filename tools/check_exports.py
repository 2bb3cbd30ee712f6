"""Check that every export says to the tool it is for what cfgen says itself.

A few pairs are exported with ``cfgen.datasets.export`` and read as users of each tool read them.
pyvene, nnsight and TransformerLens then swap the last token at one layer, at the exported positions
of the exported tokens, and must come to the logits and answers of the engine. causalab and MIB are
on no package index: of those, the columns that their loaders read are checked; how MIB parses
``metadata`` is each of its tasks' own. Needs ``pip install -e '.[bench]'``::

    python tools/check_exports.py
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from datasets import disable_progress_bars, load_dataset
from torch import Tensor

from cfgen import load_lm
from cfgen.datasets import NEED_TOKENS, TOOLS, export, recipe, write_dataset
from cfgen.interventions import Copy, Edit, Question, Run, choose_engine
from cfgen.lm import LM, Place, load_tokenizer

MODEL, LAYER, PAIRS = "smollm2-135m", 25, 6
TASK, DESIGN = "ioi", "fresh_names"
TOLERANCE = 1e-3
"""How far logits may be apart; other kernels round in another order."""
Row = dict[str, Any]


def expected(lm: LM, rows: list[Row]) -> Tensor:
    """Logits by cfgen, from the prompts of the dataset alone (pairs, vocabulary)."""
    sides = [row[side]["prompt"] for row in rows for side in ("original", "counterfactual")]
    prompts = [tuple(lm.tokenizer(text)["input_ids"]) for text in sides]
    place, runs = Place("resid_post", LAYER), []
    for original, other in zip(prompts[::2], prompts[1::2], strict=True):
        value = Copy(Run(other), (len(other) - 1,))
        runs.append(Run(original).with_(Edit(place, (len(original) - 1,), value)))
    question = Question(vocabulary=True)
    found = choose_engine(lm).outcomes(runs, question=question, verified=len(runs))
    assert found.vocabulary is not None
    return found.vocabulary


def by_pyvene(lm: LM, rows: list[Row]) -> Tensor:
    import pyvene

    place = pyvene.RepresentationConfig(LAYER, "block_output", "pos", 1)
    config = pyvene.IntervenableConfig([place], pyvene.VanillaIntervention)
    model, found = pyvene.IntervenableModel(config, lm.model), []
    for row in rows:
        base, source = ({"input_ids": _ids(row[f"{s}_input_ids"])} for s in ("base", "source"))
        last = row["positions"]["last"]
        where = {"sources->base": (last["source"][0], last["base"][0])}
        _, output = model(base=base, sources=[source], unit_locations=where)
        found.append(output.logits[0, -1])
    return torch.stack(found)


def by_nnsight(lm: LM, rows: list[Row]) -> Tensor:
    import nnsight

    model: Any = nnsight.NNsight(lm.model)
    found = []
    for base, source, to, of in _tokens(rows):
        with model.trace(input_ids=source):
            value = model.model.layers[LAYER].output[:, of].clone().save()
        with model.trace(input_ids=base):
            model.model.layers[LAYER].output[:, to] = value
            logits = model.output.logits[0, -1].save()
        found.append(logits)
    return torch.stack(found)


def by_transformer_lens(lm: LM, rows: list[Row]) -> Tensor:
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.utilities import get_act_name

    bridge = TransformerBridge.boot_transformers(
        lm.name, hf_model=lm.model, tokenizer=lm.tokenizer, device="cpu", dtype=lm.dtype
    )
    name, found = get_act_name("resid_post", LAYER), []
    for base, source, to, of in _tokens(rows):
        _, cache = bridge.run_with_cache(source, names_filter=[name])
        hook = partial(_write, to, cache[name][:, of])
        found.append(bridge.run_with_hooks(base, fwd_hooks=[(name, hook)])[0, -1])
    return torch.stack(found)


def _write(to: list[int], new: Tensor, value: Tensor, hook: Any) -> Tensor:
    value[:, to] = new
    return value


def _tokens(rows: list[Row]) -> Iterator[tuple[Tensor, Tensor, list[int], list[int]]]:
    """Tokens of both prompts, (1, tokens) each, and the last token's position in either."""
    for row in rows:
        last = row["positions"]["last"]
        to, of = last["prompt"], last["counterfactual_prompt"]
        yield _ids(row["tokens"]), _ids(row["counterfactual_tokens"]), to, of


def _ids(tokens: list[int]) -> Tensor:
    return torch.tensor([tokens])


def check_causalab(rows: list[Row], source: list[Row]) -> None:
    """``input`` and a list ``counterfactual_inputs``: dicts of variables with the text."""
    for row, pair in zip(rows, source, strict=True):
        (other,) = row["counterfactual_inputs"]
        for given, side in ((row["input"], pair["original"]), (other, pair["counterfactual"])):
            texts = {"raw_input": side["prompt"], "raw_output": side["completion"]}
            _same(given, {**side["variables"], **texts})


def check_mib(rows: list[Row], source: list[Row]) -> None:
    """The prompt's columns, and the same ones in each column named ``..._counterfactual``."""
    for row, pair in zip(rows, source, strict=True):
        (name,) = (key for key in row if key.endswith("_counterfactual"))
        for given, side in ((row, pair["original"]), (row[name], pair["counterfactual"])):
            wanted = {"prompt": side["prompt"], "answer": side["answer"]}
            _same({key: given[key] for key in wanted}, wanted)
            _same(given["metadata"], side["variables"])
            _same(given["template"], side["variables"].get("template", ""))


def check_jsonl(rows: list[Row], source: list[Row]) -> None:
    """The dataset's own columns, and the label."""
    for row, pair in zip(rows, source, strict=True):
        _same(row, {**pair, "label": row["label"]})


def _same(found: Any, wanted: Any) -> None:
    if found != wanted:
        raise ValueError(f"{found!r} should be {wanted!r}")


RUN: dict[str, Callable[[LM, list[Row]], Tensor]] = {
    "pyvene": by_pyvene,
    "nnsight": by_nnsight,
    "transformer_lens": by_transformer_lens,
}
READ: dict[str, Callable[[list[Row], list[Row]], None]] = {
    "causalab": check_causalab,
    "mib": check_mib,
    "jsonl": check_jsonl,
}


NOT_RUN = {
    "causalab": "; only the columns were checked, the tool was not run",
    "mib": "; only the columns were checked, the tool and its parsers of metadata were not run",
}
"""What can't be said of tools that are on no package index."""


def check(tool: str, rows: list[Row], source: list[Row], wanted: Tensor) -> str:
    """What was found to agree; raises ValueError where something does not."""
    if tool in READ:
        READ[tool](rows, source)
        return f"{len(rows)} pairs load and are those of the dataset{NOT_RUN.get(tool, '')}"
    with torch.inference_mode():
        found = RUN[tool](load_lm(MODEL, device="cpu"), rows)  # tools leave hooks behind
    _same(found.argmax(-1).tolist(), wanted.argmax(-1).tolist())
    apart = (found - wanted).abs().max().item()
    if not apart <= TOLERANCE:
        raise ValueError(f"same answers, but logits differ by up to {apart:.2g}")
    return f"{len(rows)} answers are those of cfgen; logits differ by at most {apart:.1e}"


def main() -> int:
    missing = [tool for tool in RUN if find_spec(tool) is None]
    if missing:
        names = ", ".join(missing)
        sys.exit(f"not installed: {names}; get them with: pip install -e '.[bench]'")
    disable_progress_bars()
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = recipe(TASK, PAIRS, design=DESIGN, fractions={"train": 1.0})
        write_dataset(made, folder / "dataset")
        cache = str(folder / "cache")
        source = list(load_dataset(str(folder / "dataset"), cache_dir=cache)["train"])
        wanted, tokenizer = expected(load_lm(MODEL, device="cpu"), source), load_tokenizer(MODEL)
        for tool in TOOLS:
            try:
                given = (MODEL, tokenizer) if tool in NEED_TOKENS else None
                label = export(folder / "dataset", tool, folder / tool, tokenizer=given).label
                file = str(folder / tool / "train.jsonl")
                rows = list(load_dataset("json", data_files=file, cache_dir=cache)["train"])
                for row, pair in zip(rows, source, strict=True):
                    _same((row["id"], row["label"]), (pair["id"], pair["predictions"][label]))
                found = check(tool, rows, source, wanted)
            except Exception as error:  # a tool may fail in any way; the next one is still checked
                found, wrong = f"WRONG: {type(error).__name__}: {error}", wrong + 1
            print(f"{tool:<17}{found}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
