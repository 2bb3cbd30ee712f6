"""Options of the command line that set fields of an experiment; nothing is imported for them."""

from __future__ import annotations

from collections.abc import Mapping

FLAGS: Mapping[str, str] = {
    "method": "--method",
    "dataset": "--dataset",
    "pairs": "--pairs",
    "design": "--design",
    "n": "-n",
    "kept": "--kept",
    "seed": "--seed",
    "split": "--split",
    "splits": "--splits",
    "templates": "--template",
    "balance": "--balance",
    "reuse_prompts": "--reuse-prompts",
    "tokenizers": "--tokenizer",
    "models": "--model",
    "chat": "--chat",
    "hypotheses": "--hypothesis",
    "sweep.layers": "--sweep",
    "sweep.over": "--layers",
    "sweep.heads": "--heads",
    "sweep.positions": "--position",
    "sweep.component": "--component",
    "ablation": "--ablation",
    "keys": "--keys",
    "receivers": "--receiver",
    "mlps": "--mlps",
    "corrupt": "--corrupt",
    "noise": "--noise",
    "draws": "--draws",
    "steps": "--steps",
    "selection": "--selection",
    "edges": "--edges",
    "exact": "--exact",
    "nodes": "--nodes",
    "measures": "--measure",
    "engine.name": "--engine",
    "engine.device": "--device",
    "engine.dtype": "--dtype",
    "engine.batch_size": "--batch-size",
    "engine.verify": "--verify",
}
"""Field -> option of the command line that sets it."""
