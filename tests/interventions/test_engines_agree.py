"""The packed engine against the reference: every kind of value at every place of every LM."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import torch

import cfgen.interventions
from cfgen.interventions import (
    HERE,
    Add,
    Affine,
    Block,
    Constant,
    Copy,
    Edit,
    Mix,
    Question,
    Read,
    Rotate,
    Run,
    Value,
    agree,
)
from cfgen.lm import COMPONENTS, Place, find_layout
from tests.families import ALL
from tests.interventions.tiny import (
    PATTERN,
    WINDOW,
    assert_equal,
    compare,
    engine_of,
    hooks_of,
    layout_of,
    lm_of,
    logits_of,
    numbers,
    off,
    outcomes,
    places_of,
    swap,
    text,
)
from tests.sampling import one_in

SLIDING = ("mistral", "gemma2", "gemma3", "phi3", "olmo3", "starcoder2")


def ragged():
    """Prompts with and without a beginning in common, longer and shorter than the windows."""
    rng = Random(1)
    prompts = [text(rng, length) for length in (10, 24, 17, 17, 1, 12)]
    prompts[3] = prompts[2][:6] + prompts[3][6:]
    return [Run(prompt) for prompt in prompts]


CASES = ((2, (16,), 3, (16,)), (3, (9, 7), 2, (7, 9)), (1, (1, 2, 23), 0, (3, 9, 0)))
"""Prompt, positions that are overwritten, prompt and positions that are read."""
MORE_CASES = (*CASES, (0, (4,), 1, (7,)), (4, (0,), 5, (3,)))


def orthonormal(size, rank, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(size, rank, generator=generator)).Q


def values(layout, place, run, to, source, of):
    """A value of every kind for one edit, by name."""
    length = len(run.prompt)
    shape = layout.shape_of(place, length)
    size = torch.Size(shape).numel()
    copy = Copy(source, of)
    given = numbers(layout, place, len(to), length, size)
    found: dict[str, Value] = {"Copy": copy, "Constant": Constant(given), "Add": Add(given)}
    matrix = torch.eye(size) - orthonormal(size, 1) @ orthonormal(size, 1).T
    found["Affine"] = Affine(matrix, torch.full((size,), 0.1))
    found["Rotate"] = Rotate(orthonormal(size, min(3, size)), copy)
    found["Rotate, weighted"] = Rotate(torch.eye(size), copy, torch.linspace(0, 1, size))
    found["Mix"] = Mix(((0.5, HERE), (0.25, Read(source, of)), (-0.5, Read(source))))
    if any(position >= len(source.prompt) for position in to):
        found["Mix"] = Mix(((0.5, HERE), (0.25, Read(source, of))))
    if place.component == PATTERN:
        found["Block"] = Block((0,) if to[0] else (1,))
    return found


def every_kind(layout, cases=CASES, layers=None, heads=None):
    """Every kind of value at every place, in turn over the cases."""
    runs, kinds = [], Counter()
    prompts = ragged()
    for number, place in enumerate(places_of(layout, layers, heads)):
        run, to, source, of = cases[number % len(cases)]
        if place.component == PATTERN:
            run, to, source, of = CASES[number % 2]
        for kind, value in values(layout, place, prompts[run], to, prompts[source], of).items():
            runs.append(prompts[run].with_(Edit(place, to, value)))
            kinds[kind] += 1
    return runs, kinds


KINDS = ("Copy", "Constant", "Add", "Affine", "Rotate", "Rotate, weighted", "Mix", "Block")


def test_no_kind_of_value_is_left_out():
    """Of the language, in its face, on its page, and here."""
    names = {kind.__name__ for kind in Value.__subclasses__()}
    assert names == {kind.partition(",")[0] for kind in KINDS}
    assert names <= set(cfgen.interventions.__all__)
    page = (Path(__file__).parents[2] / "docs/engines.md").read_text(encoding="utf-8")
    assert names == set(re.findall(r"(?m)^\| `(\w+)\(", page))


@pytest.mark.parametrize("name", ALL)
def test_every_kind_of_value_in_every_component(name):
    """Seven kinds (one of them in two ways), about 150 runs for each of 21 LMs."""
    runs, kinds = every_kind(layout_of(name), layers=(2,), heads=1)
    assert len(runs) > 100
    assert set(kinds) == set(KINDS)
    check_every_kind(name, runs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_every_kind_of_value_at_every_place(name):
    """In the first two blocks, all heads, about 500 runs for each of 21 LMs."""
    runs, _ = every_kind(layout_of(name), MORE_CASES[::-1], layers=(0, 1))
    assert len(runs) > 300
    check_every_kind(name, runs)


def check_every_kind(name, runs):
    changed, found = compare(lm_of(name), runs)
    assert changed > 0.7 * len(runs)
    work = found.work
    assert work.run + work.filled.total() + work.whole.total() >= len(runs)
    assert {reason.split()[0] for reason in work.whole} <= {"q_in", "k_in", "v_in", "mlp_in"}


@pytest.mark.parametrize("name", ALL)
def test_small_batches_with_padding_and_nothing_filled(name):
    runs, _ = every_kind(layout_of(name), MORE_CASES, heads=1)
    runs = runs[::17]
    options = {"padding": 3, "batch_size": 2, "budget": 64, "fill": False}
    changed, found = compare(lm_of(name), runs, **options)
    assert changed > 0.7 * len(runs)  # one head may matter little
    assert found.work.run + found.work.whole.total() >= len(runs)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "gptj", "olmo3"])
def test_bfloat16_agrees_within_its_tolerance(name):
    runs, _ = every_kind(layout_of(name), heads=1)
    runs = runs[::7]
    lm = lm_of(name, torch.bfloat16)
    expected, got = (logits_of(lm, runs, engine) for engine in ("reference", "packed"))
    assert bool(agree(expected, got, torch.bfloat16).all())
    # the tolerance tells a wrong number from a rounded one
    clean = logits_of(lm, [Run(run.prompt) for run in runs])
    assert int((~agree(clean, expected, torch.bfloat16)).sum()) > len(runs) / 8


VARIANTS = {
    "gemma2, eager": ("gemma2", {"attn_implementation": "eager"}),
    "gpt2, eager": ("gpt2", {"attn_implementation": "eager"}),
    "llama, eager": ("llama", {"attn_implementation": "eager"}),
    "qwen2, sliding": ("qwen2", {"use_sliding_window": True, "sliding_window": 8}),
    "qwen3, some sliding": (
        "qwen3",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
    ),
    "smollm3, sliding": ("smollm3", {"use_sliding_window": True, "sliding_window": 8}),
    "mistral, all seen": ("mistral", {"sliding_window": None}),
    "mistral, two seen": ("mistral", {"sliding_window": 2}),
    "llama, one key head": ("llama", {"num_key_value_heads": 1}),
    "llama, one block": ("llama", {"num_hidden_layers": 1}),
    "llama, stretched": (
        "llama",
        {"rope_parameters": (("rope_type", "linear"), ("factor", 4.0), ("rope_theta", 10000.0))},
    ),
}


@pytest.mark.parametrize("variant", one_in(2, VARIANTS))
def test_variants_of_architectures(variant):
    name, config = VARIANTS[variant]
    lm = lm_of(name, **config)
    runs, _ = every_kind(find_layout(lm.model), MORE_CASES, heads=1)
    blocked_all = "two seen" in variant  # a key that is blocked may be all that is seen
    runs = [r for r in runs if not (blocked_all and isinstance(r.edits[0].value, Block))][::9]
    changed, _ = compare(lm, runs, batch_size=3)
    assert changed > 0.4 * len(runs)


def test_windows_matter_in_these_tests():
    """Prompts are so long that a sliding window, ignored, would show."""
    prompts = ragged()[:4]
    assert len(prompts[0].prompt) > WINDOW
    for name in SLIDING:
        got = logits_of(lm_of(name), prompts)
        all_seen = logits_of(lm_of(name, sliding_window=512), prompts, "reference")
        assert bool((off(all_seen, got) > 0.01).all()), name


# Graphs of runs

SOME = ("llama", "gpt2", "gemma3", "gptj", "opt", "cohere")


def noised(run, positions, layout, seed=0, place=None):
    place = place or Place("embed")
    given = numbers(layout, place, len(positions), len(run.prompt), seed)
    return run.with_(Edit(place, tuple(positions), Add(given)))


@pytest.mark.parametrize("name", ALL)
def test_edited_sources_and_edited_bases(name):
    layout, prompts = layout_of(name), ragged()
    runs = []
    for place in places_of(layout, (1,), 1):
        a, b = prompts[2], prompts[3]
        source = noised(b, (4, 9), layout)
        deeper = swap(Place("resid_post", 0), source, [7], noised(a, (3,), layout, 1), [3])
        corrupted = noised(a, (2, 3, 6), layout, 2)
        runs += [
            swap(place, a, [8, 16], source),
            swap(place, a, [16], deeper, [10]) if place.component != PATTERN else a,
            swap(place, corrupted, [6], a),
            swap(place, corrupted, [6, 12], deeper),
            swap(place, swap(Place("v", 0), corrupted, [5], source), [9], corrupted),
        ]
    changed, found = compare(lm_of(name), runs)
    assert changed > 0.9 * len(runs)
    assert found.work.edited.passes > 0


@pytest.mark.parametrize("name", SOME)
def test_sums_of_places_of_the_run_itself(name):
    """What comes by earlier in the run, at any position before or behind, changed by it or not."""
    a, b = ragged()[2:4]
    width = ["attn_out", "mlp_out", "resid_post"]
    runs = []
    for component in width:
        for read in ("resid_pre", *width):
            for layer, earlier in ((1, 0), (3, 1), (3, 2)):
                for to, of in (((9,), (7,)), ((16, 9), (9, 16))):
                    own = Read(None, of, Place(read, earlier))
                    other = Read(b, of, Place(read, earlier))
                    mix = Mix(((1.0, HERE), (-1.0, own), (1.0, other)))
                    edit = Edit(Place(component, layer), to, mix)
                    change = Edit(Place("resid_post", 0), (7,), Copy(b, (7,)))
                    runs += [a.with_(edit), a.with_(change, edit), a.with_(edit, change)]
                    runs += [a.with_(change).with_(edit)]
    heads = Mix(((1.0, HERE), (0.5, Read(None, None, Place("head_out", 0, 1)))))
    runs.append(a.with_(Edit(Place("head_out", 2, 3), (9,), heads)))
    runs.append(a.with_(Edit(Place("head_out", 2, 0), (12,), heads)))
    changed, _ = compare(lm_of(name), runs)
    assert changed > 0.9 * len(runs)


@pytest.mark.parametrize("name", SOME)
def test_edits_within_one_block_at_one_token(name):
    """Each has to see what the others before it wrote, and to replace what comes before it."""
    rng, layout, runs = Random(4), layout_of(name), []
    a, b, c = (Run(text(rng, 11)) for _ in range(3))
    rows = [COMPONENTS[name] for name in layout.components]
    inside = [
        row.name for row in rows if not (row.before_blocks or row.recomputed or row.read_only)
    ]
    for layer in (0, 2, 3):
        for to in (5, 10):
            some = [
                Edit(Place(component, layer), (to,), Copy((b, c)[i % 2]))
                for i, component in enumerate(inside)
            ]
            for _ in range(6):
                chosen = rng.sample(some, rng.randint(2, len(some)))
                restored = [Edit(e.place, e.positions, Copy(a)) for e in chosen[::2]]
                runs.append(a.with_(*chosen))
                runs.append(a.with_(*restored, *chosen[1::2]))
                runs.append(a.with_(*chosen).with_(*restored))
    compare(lm_of(name), runs)
    compare(lm_of(name), runs, fill=False)


@pytest.mark.parametrize("name", SOME)
def test_several_edits_at_one_place(name):
    """In every order, whole and in part, of several kinds."""
    layout, (a, b) = layout_of(name), ragged()[2:4]
    runs = []
    for place in places_of(layout, (2,), 2):
        if place.component in ("pos_embed", PATTERN):
            continue
        whole = Place(place.component, place.layer)
        edits = [
            Edit(whole, (9, 12), Copy(b)),
            Edit(place, (12, 3), Add(numbers(layout, place, 2, 17, 1))),
            Edit(place, (12,), Mix(((0.5, HERE), (0.5, Read(b))))),
            Edit(whole, (3, 9), Constant(numbers(layout, whole, 2, 17, 2))),
        ]
        for chosen in (edits, edits[::-1], edits[1:3], edits[:2], edits[2:]):
            runs += [a.with_(*chosen), a.with_(chosen[0]).with_(*chosen[1:])]
    changed, _ = compare(lm_of(name), runs)
    assert changed > 0.9 * len(runs)


def test_what_enters_a_block_is_written_after_what_left_the_one_before():
    rng = Random(0)
    a, b, c = (Run(text(rng, 9)) for _ in range(3))
    for to in (3, 8):
        for layer in range(3):
            left = Edit(Place("resid_post", layer), (to,), Copy(b))
            enters = Edit(Place("resid_pre", layer + 1), (to,), Copy(c))
            restored = Edit(Place("resid_pre", layer + 1), (to,), Copy(a))
            pairs = [(left, enters), (enters, left), (left, restored), (restored, left)]
            runs = [a.with_(*pair) for pair in pairs] + [a.with_(enters), a.with_(left), a]
            compare(lm_of("llama"), runs, fill=False)
            compare(lm_of("llama"), runs)
            got = logits_of(lm_of("llama"), runs)
            # one tensor: what is written last stands
            assert_equal(runs[:4], got[[4, 5, 6, 5]], got[:4])


def test_a_restored_block_input_undoes_a_change_of_the_embedding():
    rng = Random(0)
    a, b = (Run(text(rng, 9)) for _ in range(2))
    for name in ("llama", "gpt2"):
        edits = (
            Edit(Place("embed"), (2, 8), Copy(b)),
            Edit(Place("resid_pre", 0), (2, 8), Copy(a)),
        )
        runs = [a.with_(*edits), a.with_(*edits[::-1]), a.with_(edits[0]), a]
        compare(lm_of(name), runs)
        got = logits_of(lm_of(name), runs)
        assert_equal(runs[:2], got[[3, 3]], got[:2])
        assert off(got[3:], got[2:3]).item() > 0.01


@pytest.mark.parametrize("name", ALL)
def test_tokens_of_one_run_enter_at_different_blocks(name):
    """Also such that those that enter later are looked at by those before."""
    rng = Random(3)
    a, b = (Run(text(rng, 17)) for _ in range(2))
    runs = []
    for first, second in ((0, 2), (1, 3), (0, 3), (2, 3)):
        for p, q in ((3, 9), (9, 3), (3, 16), (16, 3), (15, 16)):
            early = Edit(Place("resid_post", first - 1), (p,), Copy(b))
            if not first:
                early = Edit(Place("embed"), (p,), Copy(b))
            late = Edit(Place("v", second), (q,), Copy(b))
            stops = [Edit(Place("attn_out", k), tuple(range(17)), Copy(a)) for k in range(4)]
            runs += [a.with_(early, late), a.with_(early, late, *stops[:second])]
            runs += [a.with_(early, late, *stops[:first])]
    compare(lm_of(name), runs)


@pytest.mark.parametrize("name", ALL)
def test_a_forward_with_nothing_but_edits_behind_the_last_block(name):
    rng = Random(2)
    prompts = [Run(text(rng, n)) for n in (6, 12, 1)]
    runs = [
        swap(Place("resid_post", 3), run, [len(run.prompt) - 1], prompts[(i + 1) % 3], [0])
        for i, run in enumerate(prompts)
    ]
    changed, found = compare(lm_of(name), runs)
    assert changed == 3
    assert found.work.edited.required == 0


@pytest.mark.parametrize("name", ALL)
def test_prompts_of_one_token(name):
    rng = Random(10)
    one, other = (Run(text(rng, 1)) for _ in range(2))
    places = [p for p in places_of(layout_of(name), (0, 2), 1) if p.component != PATTERN]
    runs = [swap(place, one, [0], other) for place in places]
    runs += [swap(place, one, [0], one) for place in places]
    changed, found = compare(lm_of(name), runs)
    # positions are the same, queries and keys of one token matter not, neurons may be silent
    quiet = ("pos_embed", "q", "k", "q_in", "k_in", "mlp_neuron")
    assert changed >= sum(place.component not in quiet for place in places)
    assert found.work.filled.total() + found.work.whole.total() >= len(places)


def test_widths_that_other_sizes_have_too():
    """A batch may be as wide as the vocabulary, the heads or the neurons."""
    for width in (2, 4, 8, 12, 32, 48, 96):
        rng = Random(width)
        a, b = (Run(text(rng, width)) for _ in range(2))
        runs = [
            swap(Place("v", 1), a, [0], b),
            swap(Place("resid_pre", 2), b, [width - 1], a),
            swap(Place("embed"), b, [width - 2], a),
        ]
        for name in ("llama", "gptj", "gpt2"):
            compare(lm_of(name), runs)


def test_patterns_over_keys_of_which_only_some_are_in_the_run():
    """Also one that looks ahead, and one whose run holds positions in between."""
    rng = Random(8)
    a, b, c = Run(text(rng, 14)), Run(text(rng, 14)), Run(text(rng, 20))
    generator = torch.Generator().manual_seed(1)
    runs = []
    for layer in (0, 2, 3):
        for head in (None, 0, 3):
            place = Place(PATTERN, layer, head=head)
            shape = (2, 14) if head is not None else (2, 4, 14)
            anything = Edit(place, (6, 13), Constant(torch.rand(shape, generator=generator)))
            held = [Edit(Place("resid_post", k), (8, 9), Copy(a)) for k in range(4)]
            change = Edit(Place("resid_post", 0), (2,), Copy(c))
            blocks = Edit(place, (13, 9), Block((2, 5)))
            runs += [
                swap(place, a, [4, 13], b),
                swap(place, a, [4], b, [11]),
                a.with_(anything),
                a.with_(anything, change, *held),
                a.with_(anything, blocks),
                a.with_(blocks, anything),
                a.with_(blocks, change, *held),
                swap(place, a, [4, 13], a.with_(anything, change)),
            ]
    for name in ("llama", "gptj", "gemma2"):
        for options in ({}, {"padding": 2}, {"fill": False}):
            changed, _ = compare(lm_of(name), runs, **options)
            assert changed > 0.7 * len(runs)


def test_the_same_runs_in_any_order_and_any_company_come_out_the_same():
    runs, _ = every_kind(layout_of("gemma3"), heads=1)
    runs = runs[::11]
    lm = lm_of("gemma3")
    together = logits_of(lm, runs)
    order = Random(0).sample(range(len(runs)), len(runs))
    again = logits_of(lm, [runs[i] for i in order])
    assert_equal(runs, together[order], again)
    alone = torch.cat([logits_of(lm, [run]) for run in runs])
    assert_equal(runs, together, alone)
    assert hooks_of(lm) == 0


def test_equal_runs_are_executed_once():
    lm = lm_of("llama")
    rng = Random(0)
    a, b = (Run(text(rng, 9)) for _ in range(2))
    once = outcomes(lm, [swap(Place("v", 1), a, [2], b)])
    copies = [
        swap(Place("v", 1), Run(tuple(a.prompt)), [2], Run(tuple(b.prompt))) for _ in range(3)
    ]
    for engine in ("packed", "reference"):
        many = outcomes(lm, copies, engine)
        assert many.work.run == 1
        assert len(many) == 3
        assert many.vocabulary is not None
        assert once.vocabulary is not None
        assert_equal(copies, once.vocabulary.expand(3, -1), many.vocabulary)


def test_a_verified_call_says_so():
    lm = lm_of("llama")
    runs, _ = every_kind(layout_of("llama"), heads=1)
    found = engine_of(lm).outcomes(runs[::9], verified=8)
    assert found.work.verified == 8
    assert engine_of(lm, "reference").outcomes(runs[::99], verified=8).work.verified == 0


@pytest.mark.parametrize("name", SOME)
def test_the_same_edit_made_again_upon_a_run_that_has_it_once(name):
    """What is added twice is there twice, also where the base has it already."""
    engines = [engine_of(lm_of(name), engine) for engine in ("packed", "reference")]
    width = engines[0].layout.width
    once = Run((9, 20, 31, 42, 53, 64)).with_(
        Edit(Place("resid_post", 1), (2,), Add(torch.linspace(-1, 1, width)[None]))
    )
    runs = [once, once.with_(*once.edits), Run(once.prompt, (*once.edits, *once.edits))]
    question = Question(vocabulary=True)
    packed, plain = (engine.outcomes(runs, question=question).vocabulary for engine in engines)
    assert packed is not None
    assert plain is not None
    assert torch.allclose(packed, plain, atol=1e-3)
    assert (plain[0] - plain[1]).abs().max() > 1e-2
    assert torch.allclose(plain[1], plain[2], atol=1e-3)
