"""Tiny LMs, runs on them, and how outcomes of two engines are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from random import Random

import torch
from torch import Tensor

from cfgen.errors import CfgenError
from cfgen.interventions import (
    Constant,
    Copy,
    Edit,
    Engine,
    Outcomes,
    Question,
    Run,
    choose_engine,
)
from cfgen.lm import COMPONENTS, LM, Layout, Place, find_layout
from tests.families import tiny_model

FLOAT32 = 1e-4
"""How far apart logits may be, as a share of their standard deviation (or 1, if that is less)."""
WINDOW = 8
"""Of the tiny models that slide."""
PATTERN = "attn_pattern"
VOCABULARY = 96
FIRST_WORD = 4
"""Token ids below are special."""

EVERYTHING = Question(vocabulary=True)


@cache
def lm_of(name: str, dtype: torch.dtype = torch.float32, **config) -> LM:
    """A tiny LM that all tests share: it must be left as it is.

    Args:
        name: One of ``tests.families.ALL``.
        dtype: Of its weights.
        **config: Further entries of its configuration; pairs stand for a dictionary.
    """
    config = {k: dict(v) if isinstance(v, tuple) else v for k, v in config.items()}
    model = tiny_model(name, vocabulary=VOCABULARY, **config).to(dtype)
    return LM(name, model, _Tokenizer(), torch.device("cpu"), dtype, "seed:0")  # type: ignore[arg-type]


class _Tokenizer:
    def __len__(self) -> int:
        return 96

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


@cache
def layout_of(name: str) -> Layout:
    return find_layout(lm_of(name).model)


def text(rng: Random, length: int) -> tuple[int, ...]:
    """A prompt of random words."""
    return tuple(rng.randrange(FIRST_WORD, VOCABULARY) for _ in range(length))


def places_of(
    layout: Layout, layers: Sequence[int] | None = None, heads: int | None = None
) -> Iterator[Place]:
    """Every component that can be written: whole, each of some heads, some neurons."""
    for name in layout.components:
        row = COMPONENTS[name]
        if row.read_only:
            continue
        chosen = range(layout.layers) if layers is None else layers
        for layer in (0,) if row.before_blocks else chosen:
            yield Place(name, layer)
            for head in range(layout.heads_of(name))[-heads if heads else None :]:
                yield Place(name, layer, head=head)
            if row.by_neuron:
                yield Place(name, layer, neurons=(3, 0, 7))


def numbers(layout: Layout, place: Place, count: int, length: int, seed: int) -> Tensor:
    """Random numbers for some positions (positions, *shape); those of a pattern add up to one."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(count, *layout.shape_of(place, length), generator=generator)
    return found.softmax(-1) if place.component == PATTERN else found


def zeros(layout: Layout, place: Place, count: int, length: int = 0) -> Constant:
    return Constant(torch.zeros(count, *layout.shape_of(place, length)))


def swap(place: Place, run: Run, to: Sequence[int], source: Run, of: Sequence[int] = ()) -> Run:
    """A run with what another has."""
    return run.with_(Edit(place, tuple(to), Copy(source, tuple(of or to))))


def engine_of(lm: LM, name: str = "packed", **options) -> Engine:
    """An engine; ``budget`` is its tokens per forward."""
    budget = options.pop("budget", None)
    return replace(choose_engine(lm, name, token_budget=budget), **options)


def outcomes(lm: LM, runs: Sequence[Run], name: str = "packed", **options) -> Outcomes:
    """All logits of runs."""
    found = engine_of(lm, name, **options).outcomes(runs, question=EVERYTHING)
    assert found.vocabulary is not None
    assert found.said is not None
    assert torch.equal(found.said, found.vocabulary.argmax(-1))
    return found


def logits_of(lm: LM, runs: Sequence[Run], name: str = "packed", **options) -> Tensor:
    """All logits of runs (runs, vocabulary)."""
    found = outcomes(lm, runs, name, **options).vocabulary
    assert found is not None
    return found


def off(expected: Tensor, got: Tensor) -> Tensor:
    """By how much logits (rows, vocabulary) differ, in standard deviations or in 1 (rows,)."""
    scale = expected.std(-1).clamp(min=1)
    return (expected - got).abs().amax(-1) / scale


def assert_equal(runs: Sequence[object], expected: Tensor, got: Tensor) -> None:
    """Logits agree, and so does the most likely token, unless the two first are as close."""
    assert len(runs) == len(expected) == len(got)
    apart = off(expected, got)
    wrong = [f"{apart[i]:.2g}: {runs[i]}" for i in (~(apart <= FLOAT32)).nonzero().flatten()]
    assert not wrong, "\n".join(wrong[:5]) + f"\n({len(wrong)} of {len(runs)})"
    best = expected.topk(2).values
    clear = best[:, 0] - best[:, 1] > 2 * FLOAT32 * expected.std(-1).clamp(min=1)
    assert torch.equal(expected.argmax(-1)[clear], got.argmax(-1)[clear])


def compare(lm: LM, runs: Sequence[Run], **options) -> tuple[int, Outcomes]:
    """Execute runs on both engines; they must agree.

    Returns:
        How many differ from their prompt's clean run, and what the packed engine says.
    """
    cleans = [Run(run.prompt) for run in runs]
    both = [*runs, *cleans]
    expected = logits_of(lm, both, "reference", batch_size=64, budget=1 << 14)
    found = outcomes(lm, both, **options)
    assert found.vocabulary is not None
    assert_equal(both, expected, found.vocabulary)
    clean = expected[len(runs) :]
    return int((off(clean, expected[: len(runs)]) > 1e-3).sum()), found


def codes(caught) -> list[str]:
    """What problems an error has."""
    error = caught.value
    assert isinstance(error, CfgenError)
    return [problem.code for problem in error.problems]


def hooks_of(lm: LM) -> int:
    """How many hooks are on an LM's modules."""
    modules = list(lm.model.modules())
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)
