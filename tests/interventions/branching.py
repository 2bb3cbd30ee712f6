"""Random prompts and interventions, run on both engines and compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from random import Random

import torch
from torch import Tensor

from cfgen.interventions import (
    Branch,
    Constant,
    Edit,
    EngineTally,
    FromPrompt,
    check_branches,
    choose_engine,
    open_chunk,
    packed,
    reference,
    run_chunk,
)
from cfgen.lm import COMPONENTS, LM, Place, find_layout
from tests.families import tiny_model
from tests.lm.families.by_hand import BEFORE_BLOCKS, HEADWISE

FLOAT32 = 1e-4
"""How far apart logits may be, as a share of their standard deviation (or 1, if that is less)."""
WINDOW = 8
"""Of the tiny models that slide."""
PATTERN = "attn_pattern"
VOCABULARY = 96
FIRST_WORD = 4
"""Token ids below are special."""

Prompts = list[tuple[int, ...]]


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
    return LM(name, model, None, torch.device("cpu"), dtype, "seed:0")


@cache
def layout_of(name: str):
    return find_layout(lm_of(name).model)


def text(rng: Random, length: int) -> tuple[int, ...]:
    return tuple(rng.randrange(FIRST_WORD, VOCABULARY) for _ in range(length))


def shape_of(layout, place: Place, length: int) -> tuple[int, ...]:
    """Of one token's value at a place."""
    name, heads = place.component, layout.heads_of(place.component)
    if name == "mlp_neuron":
        return (len(place.neurons) or layout.neurons,)
    if name in HEADWISE:
        last = length if name == PATTERN else layout.head_width
        return (last,) if place.head is not None else (heads, last)
    if name == "embed":
        return (layout.module(layout.family.embed).weight.shape[1],)
    return (layout.width,)


def components_of(layout) -> list[str]:
    """The components that both engines can write."""
    rows = (COMPONENTS[name] for name in layout.components)
    return [row.name for row in rows if not (row.recomputed or row.read_only)]


def places_of(layout) -> Iterator[Place]:
    """Every component in every layer: whole, one head, some neurons."""
    for name in components_of(layout):
        for layer in range(1 if name in BEFORE_BLOCKS else layout.layers):
            yield Place(name, layer)
            for head in range(layout.heads_of(name)):
                yield Place(name, layer, head=head)
            if name == "mlp_neuron":
                yield Place(name, layer, neurons=(3, 0, 7))


def given(layout, place: Place, positions: Sequence[int], length: int, seed: int) -> Constant:
    generator = torch.Generator().manual_seed(seed)
    shape = (len(positions), *shape_of(layout, place, length))
    values = torch.randn(shape, generator=generator)
    return Constant(values.softmax(-1) if place.component == PATTERN else values)


# Both engines


def run(
    lm: LM,
    prompts: Sequence[Sequence[int]],
    branches: Sequence[Branch],
    engine: str,
    *,
    batch_size: int = 16,
    token_budget: int | None = None,
    fill: bool = True,
    padding: int = 0,
) -> tuple[Tensor, EngineTally, Tensor]:
    """Logits (branches, vocabulary), the tally, and logits of unchanged prompts."""
    chosen = choose_engine(lm, engine, batch_size=batch_size, token_budget=token_budget)
    check_branches(chosen.layout, prompts, branches)
    indexed = dict(enumerate(branches))
    chunk = open_chunk(chosen, prompts, indexed, fill=fill, padding=padding)
    rows: dict[int, Tensor] = {}
    for answered in run_chunk(chosen, chunk):
        assert rows.keys().isdisjoint(answered.indices)
        assert torch.equal(answered.tokens[:, 0], answered.logits.argmax(-1).cpu())
        rows |= dict(zip(answered.indices, answered.logits, strict=True))
    assert rows.keys() == indexed.keys()
    clean = torch.stack([chunk.clean.after(branch.prompt) for branch in branches])
    return torch.stack([rows[index] for index in indexed]), chosen.tally, clean


def off(expected: Tensor, got: Tensor) -> Tensor:
    """By how much logits (rows, vocabulary) differ, in standard deviations or in 1 (rows,)."""
    scale = expected.std(-1).clamp(min=1)
    return (expected - got).abs().amax(-1) / scale


def assert_equal(branches: Sequence[Branch], expected: Tensor, got: Tensor) -> None:
    """Logits agree, and so does the most likely token, unless the two first are as close."""
    apart = off(expected, got)
    wrong = [f"{apart[i]:.2g}: {branches[i]}" for i in (apart > FLOAT32).nonzero().flatten()]
    assert not wrong, "\n".join(wrong[:5]) + f"\n({len(wrong)} of {len(branches)})"
    best = expected.topk(2).values
    clear = best[:, 0] - best[:, 1] > 2 * FLOAT32 * expected.std(-1).clamp(min=1)
    assert torch.equal(expected.argmax(-1)[clear], got.argmax(-1)[clear])


def compare(
    lm: LM, prompts: Prompts, branches: Sequence[Branch], **options
) -> tuple[int, EngineTally]:
    """Run on both engines; they must agree.

    Returns:
        How many branches change the logits, and the packed engine's tally.
    """
    padding = options.pop("padding", 0)
    expected, _, clean = run(lm, prompts, branches, "reference", batch_size=64)
    got, tally, packed_clean = run(lm, prompts, branches, "packed", padding=padding, **options)
    assert tally.engine == "packed"
    assert_equal(branches, clean, packed_clean)
    assert_equal(branches, expected, got)
    return int((off(clean, expected) > 1e-3).sum()), tally


# Answers of several tokens

Said = Mapping[int, tuple[list[int], Tensor]]
"""Branch -> the tokens said, and the logits that each is the best of (steps, vocabulary)."""


def say(lm: LM, prompts: Prompts, branches: Sequence[Branch], engine: str, steps: int, **options):
    """Let the LM say several tokens after each branch."""
    chosen = choose_engine(lm, engine, answer_tokens=steps, **options)
    chunk = open_chunk(chosen, prompts, dict(enumerate(branches)))
    module, name = (packed, "run_forward") if engine == "packed" else (reference, "run_batch")
    found: dict[int, tuple[list[int], Tensor]] = {}
    seen = {}
    with recorded(lm, module, name, seen):
        for answered in run_chunk(chosen, chunk):
            for index, tokens in zip(answered.indices, answered.tokens.tolist(), strict=True):
                found[index] = tokens, seen[index]
    return found


@contextmanager
def recorded(lm: LM, module, name: str, seen: dict[int, Tensor]) -> Iterator[None]:
    """Note the logits of every step of a function that runs branches."""
    outputs: list[Tensor] = []
    former = getattr(module, name)

    def noting(*arguments, **keywords):
        outputs.clear()
        answered = former(*arguments, **keywords)
        by_step = [logits[0] if logits.shape[0] == 1 else logits[:, -1] for logits in outputs]
        by_step = [logits.view(len(answered.indices), -1) for logits in by_step]
        for row, index in enumerate(answered.indices):
            seen[index] = torch.stack([logits[row] for logits in by_step])
        return answered

    handle = lm.model.register_forward_hook(lambda *given: outputs.append(given[-1].logits))
    setattr(module, name, noting)
    try:
        yield
    finally:
        setattr(module, name, former)
        handle.remove()


def assert_same_answers(expected: Said, got: Said, steps: int) -> int:
    """Tokens and logits of every step are the same, up to one where two tokens are tied.

    Returns:
        How many steps were compared.
    """
    assert expected.keys() == got.keys()
    compared = 0
    for index, (tokens, logits) in expected.items():
        others, other_logits = got[index]
        assert len(tokens) == len(others) == len(logits) == len(other_logits) == steps
        for step in range(steps):
            apart = off(logits[step][None], other_logits[step][None])
            assert apart.item() <= FLOAT32, (index, step, apart)
            compared += 1
            first, second = logits[step].topk(2).values
            if first - second <= 2 * FLOAT32 * logits[step].std().clamp(min=1):
                break
            assert tokens[step] == others[step], (index, step)
    return compared


# Random interventions


def swap(place: Place, prompt: int, to: Sequence[int], source: int, of: Sequence[int]) -> Branch:
    return Branch(prompt, (Edit(place, tuple(to), FromPrompt(source, tuple(of))),))


def numbers_of(layout, edit: Edit) -> set[tuple]:
    """Every number that an edit overwrites, heads and neurons told apart."""
    place, layer = edit.place, edit.place.layer
    heads = layout.heads_of(place.component)
    units = range(heads) if heads else range(layout.neurons if "neuron" in place.component else 1)
    if place.head is not None:
        units = (place.head,)
    units = place.neurons or units
    return {(place.component, layer, p, unit) for p in edit.positions for unit in units}


def random_prompts(rng: Random, count: int = 5, longest: int = 20) -> Prompts:
    """Prompts of all lengths from 1; some begin like others, some are the same as others."""
    prompts: Prompts = []
    for _ in range(count):
        kind = rng.choice(("new", "new", "changed", "same", "short", "begins alike"))
        if not prompts or kind == "new":
            prompts.append(text(rng, rng.randint(1, longest)))
        elif kind == "short":
            prompts.append(text(rng, 1))
        else:
            old = rng.choice(prompts)
            cut = rng.randrange(len(old)) if kind != "same" else len(old)
            new = len(old) - cut if kind == "changed" else rng.randint(1, longest)
            prompts.append(old[:cut] + text(rng, new if kind != "same" else 0))
    return prompts


def random_place(rng: Random, layout) -> Place:
    name = rng.choice(components_of(layout))
    layer = 0 if name in BEFORE_BLOCKS else rng.randrange(layout.layers)
    if layout.heads_of(name) and rng.random() < 0.6:
        return Place(name, layer, head=rng.randrange(layout.heads_of(name)))
    if name == "mlp_neuron" and rng.random() < 0.6:
        some = rng.sample(range(layout.neurons), rng.randint(1, 4))
        return Place(name, layer, neurons=tuple(some))
    return Place(name, layer)


def random_edit(rng: Random, layout, prompts: Prompts, prompt: int, place: Place) -> Edit:
    length = len(prompts[prompt])
    to = rng.sample(range(length), rng.randint(1, min(3, length)))
    if rng.random() < 0.25:
        return Edit(place, tuple(to), given(layout, place, to, length, rng.randrange(1000)))
    like = place.component == PATTERN
    sources = [i for i, p in enumerate(prompts) if len(p) == length or not like]
    source = prompt if rng.random() < 0.2 else rng.choice(sources)
    of = [rng.randrange(len(prompts[source])) for _ in to]
    if rng.random() < 0.5:
        of = [min(position, len(prompts[source]) - 1) for position in to]
    return Edit(place, tuple(to), FromPrompt(source, tuple(of)))


def random_edits(rng: Random, layout, prompts: Prompts, prompt: int) -> list[Edit]:
    """Edits as sweeps have them; some may overlap."""
    edit = random_edit(rng, layout, prompts, prompt, random_place(rng, layout))
    kind = rng.choice(("none", "one", "one", "several", "layers", "boundary", "frozen", "frozen"))
    place = edit.place
    if kind == "none":
        return []
    if kind == "several":
        more = (random_place(rng, layout) for _ in range(rng.randint(1, 4)))
        return [edit, *(random_edit(rng, layout, prompts, prompt, each) for each in more)]
    if kind == "layers" and place.component not in BEFORE_BLOCKS:
        swept = range(rng.randint(0, place.layer), place.layer + 1)
        return [replace(edit, place=replace(place, layer=k)) for k in swept]
    if kind == "boundary":  # what leaves a block, and what enters the next
        layer = rng.randrange(layout.layers)
        both = [Place("resid_post", layer), Place("resid_pre", min(layer + 1, layout.layers - 1))]
        rng.shuffle(both)
        edits = [random_edit(rng, layout, prompts, prompt, each) for each in both]
        at = edits[0].positions[:1]
        return [_at(edit, at) for edit in edits]
    if kind == "frozen":
        length = len(prompts[prompt])
        held = tuple(rng.sample(range(length), rng.randint(1, length)))
        name = rng.choice(("resid_post", "resid_post", "resid_pre", "attn_out", "mlp_out"))
        own = FromPrompt(prompt, held)
        return [edit, *(Edit(Place(name, k), held, own) for k in range(layout.layers))]
    return [edit]


def _at(edit: Edit, positions: tuple[int, ...]) -> Edit:
    value = edit.value
    if isinstance(value, FromPrompt):
        return Edit(edit.place, positions, FromPrompt(value.prompt, value.positions[:1]))
    return Edit(edit.place, positions, Constant(value.values[:1]))


def random_branch(rng: Random, layout, prompts: Prompts) -> Branch:
    prompt = rng.randrange(len(prompts))
    taken: set[tuple] = set()
    edits = []
    for edit in random_edits(rng, layout, prompts, prompt):
        numbers = numbers_of(layout, edit)
        if taken.isdisjoint(numbers):
            taken |= numbers
            edits.append(edit)
    return Branch(prompt, tuple(edits))


def random_branches(rng: Random, layout, prompts: Prompts, count: int = 12) -> list[Branch]:
    return [random_branch(rng, layout, prompts) for _ in range(count)]
