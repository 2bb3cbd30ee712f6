"""Experiments at random, right ones all of them."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

from cfgen.experiments import EngineOptions, Experiment, SiteOptions, SweepOptions

TRICKY = ["no", "on", "~", "null", "true", "1e3", "7", "2024-01-01", "a: b", "- x", "#", "'", '"']
TRICKY += [
    "*a",
    "[x]",
    "{x}",
    " x ",
    "\n",
    "\t",
    "x\r\ny",
    "\x85",
    "\u2028",
    "%x",
    "!x",
    "a #b",
    "=",
]
TEXTS = st.text(min_size=1, max_size=8) | st.sampled_from(TRICKY)
LISTS = st.lists(TEXTS, min_size=1, max_size=3, unique=True).map(tuple)
POSITIONS = st.lists(
    st.sampled_from(["last", "item_1[0]", "story/item_1.all", "item_1[0]+1"]),
    min_size=1,
    unique=True,
).map(tuple)
SITES = st.builds(
    SiteOptions,
    positions=st.none() | POSITIONS,
    frozen=st.none() | POSITIONS,
    align=st.sampled_from([None, "slot", "word"]),
    head=st.none() | st.integers(0, 99),
    neurons=st.none() | st.lists(st.integers(0, 99), min_size=1, unique=True).map(tuple),
)
SWEEPS = st.builds(
    SweepOptions,
    layers=st.sampled_from([None, "each", "up_to", "window(3)"]),
    over=st.sampled_from([None, "5", "0,5,10-12"]),
    heads=st.none()
    | st.just("all")
    | st.lists(st.integers(0, 9), min_size=1, unique=True).map(tuple),
    neurons=st.none()
    | st.just("all")
    | st.lists(st.integers(0, 9), min_size=1, unique=True).map(tuple),
    positions=st.none() | st.just("every") | POSITIONS,
)
ENGINES = st.builds(
    EngineOptions,
    name=st.sampled_from(["auto", "packed", "reference"]),
    device=st.sampled_from(["auto", "cuda:1", "spread"]),
    dtype=st.sampled_from(["float32", "bfloat16"]),
    batch_size=st.integers(1, 10**9),
    verify=st.integers(0, 99),
)
COMMON: dict[str, Any] = {
    "n": st.integers(1, 10**12),
    "kept": st.booleans(),
    "models": LISTS,
    "chat": st.booleans(),
    "generate": st.integers(0, 1000),
    "hypotheses": st.dictionaries(TEXTS, st.none() | SITES, max_size=3),
    "sweep": SWEEPS,
    "measures": st.lists(st.sampled_from(["iia", "kl", "rank"]), min_size=1, unique=True).map(
        tuple
    ),
    "engine": ENGINES,
}
NUMBERS = st.floats(-1e9, 1e9) | st.integers(-9, 9).map(float)
ABLATIONS = st.builds(
    Experiment,
    task=st.just("t"),
    method=st.just("ablation"),
    ablation=st.just("clamp"),
    value=st.lists(NUMBERS, min_size=1, max_size=3).map(tuple),
) | st.builds(
    Experiment,
    task=st.just("t"),
    method=st.just("ablation"),
    ablation=st.just("add"),
    strength=st.lists(NUMBERS, min_size=1, max_size=3, unique=True).map(tuple),
    vector=st.none() | TEXTS,
    together=st.just(()) | st.just(("3-5", "7")),
)
NAMES = TEXTS.filter(lambda text: not re.search(r"[/\\]", text))
EXPERIMENTS = (
    st.builds(
        Experiment,
        task=NAMES,
        design=st.none() | TEXTS,
        seed=st.integers(0, 10**12),
        split=st.sampled_from(["train", "validation", "test"]),
        splits=st.sampled_from(["80/10/10", "1/1/1"]),
        templates=LISTS,
        balance=st.booleans(),
        tokenizers=LISTS,
        **COMMON,
    )
    | ABLATIONS
    | st.builds(Experiment, dataset=TEXTS, split=st.sampled_from(["train", "test"]), **COMMON)
    | st.builds(
        Experiment, pairs=TEXTS, columns=st.dictionaries(TEXTS, TEXTS, max_size=2), **COMMON
    )
)
