"""Which keys every token sees, against a list of what each key stands for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfgen.interventions import Batch, Reach, Row, lay_out, pack
from cfgen.interventions.batches import position_ids
from cfgen.interventions.masks import answer_mask, find_owners, prompt_mask
from cfgen.lm import LM, find_facts, find_layout
from tests.interventions.branching import lm_of

LAYERS = 3
quick = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=80)


def batch_of(lengths, padding):
    width = max(lengths) + padding
    mask = torch.tensor([[0] * (width - n) + [1] * n for n in lengths])
    return Batch(tuple(lengths), mask * 5, mask, position_ids(mask))


@st.composite
def forwards(draw):
    """Columns of a forward, the originals' batch, and the row of each prompt in it."""
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    batch = batch_of(lengths, draw(st.integers(0, 2)))
    prompts = [10 + row for row in range(len(lengths))]
    row_of = dict(zip(prompts, range(len(lengths)), strict=True))
    branches = []
    for index in range(draw(st.integers(1, 7))):
        prompt = draw(st.sampled_from(prompts))
        last = lengths[row_of[prompt]] - 1
        tokens = {*draw(st.sets(st.integers(0, last))), last}
        level = draw(st.integers(0, LAYERS))
        branches.append(Reach(index, prompt, level, tuple(sorted(tokens)), ()))
    budget = draw(st.sampled_from((1, 12, 1000)))
    packed = list(pack(branches, {p: lengths[row_of[p]] for p in prompts}, LAYERS, budget))
    rows = draw(st.sampled_from(packed))
    return lay_out(rows, LAYERS), batch, row_of


def keys_of_original(batch, row):
    """(column, position) of the original's tokens."""
    pad = batch.width - batch.lengths[row]
    return [(pad + position, position) for position in range(batch.lengths[row])]


def own_columns(columns, r, b):
    start = columns.starts[r][b]
    tokens = columns.rows[r].branches[b].tokens
    return [(start + i, token) for i, token in enumerate(tokens)]


def near(query, key, window):
    return key <= query and (window is None or query - key < window)


def seen_in(mask):
    assert set(mask.unique().tolist()) <= {0.0, torch.finfo(mask.dtype).min}
    assert mask.shape[1] == 1
    return mask[:, 0] == 0


@given(forwards(), st.sampled_from((None, 1, 2, 4)))
@quick
def test_the_mask_of_prompts(forward, window):
    columns, batch, row_of = forward
    owners = find_owners(columns, batch, row_of)
    seen = seen_in(prompt_mask(owners, batch, window, torch.float32))
    assert seen.shape == (len(columns.rows), columns.width, batch.width + columns.width)
    for r, row in enumerate(columns.rows):
        expected = [{batch.width + c} for c in range(columns.width)]  # padding sees itself
        for b, branch in enumerate(row.branches):
            for column, position in own_columns(columns, r, b):
                keys = {
                    key
                    for key, before in keys_of_original(batch, row_of[row.prompt])
                    if before not in branch.tokens and near(position, before, window)
                }
                keys |= {
                    batch.width + key
                    for key, before in own_columns(columns, r, b)
                    if near(position, before, window)
                }
                expected[column] = keys
        for column, keys in enumerate(expected):
            assert set(seen[r, column].nonzero().flatten().tolist()) == keys


@given(forwards(), st.sampled_from((None, 1, 2, 4)), st.integers(1, 6), st.integers(0, LAYERS - 1))
@quick
def test_the_mask_of_answers(forward, window, steps, layer):
    columns, batch, row_of = forward
    owners = find_owners(columns, batch, row_of)
    count = max(len(row.branches) for row in columns.rows)
    total = sum(len(row.branches) for row in columns.rows)
    owner = torch.full((len(columns.rows), count), total)
    positions = torch.zeros_like(owner)
    number = 0
    for r, row in enumerate(columns.rows):
        for b in range(len(row.branches)):
            owner[r, b], number = number, number + 1
            positions[r, b] = batch.lengths[row_of[row.prompt]] + steps - 1
    present = columns.present[layer]
    mask = answer_mask(
        owners, batch, (owner, positions), steps, layer, present, window, torch.float32
    )
    seen = seen_in(mask)
    answers = batch.width + present
    assert seen.shape == (len(columns.rows), count, answers + steps * count)
    for r, row in enumerate(columns.rows):
        for b, branch in enumerate(row.branches):
            length = batch.lengths[row_of[row.prompt]]
            position = length + steps - 1
            entered = branch.level <= layer
            keys = {
                key
                for key, before in keys_of_original(batch, row_of[row.prompt])
                if not (entered and before in branch.tokens) and near(position, before, window)
            }
            if entered:
                keys |= {
                    batch.width + key
                    for key, before in own_columns(columns, r, b)
                    if near(position, before, window)
                }
            keys |= {
                answers + step * count + b
                for step in range(steps)
                if near(position, length + step, window)
            }
            assert set(seen[r, b].nonzero().flatten().tolist()) == keys
        for b in range(len(row.branches), count):  # padding sees something, but no prompt
            assert seen[r, b].any()
            assert not seen[r, b, batch.width : answers].any()


def test_owners_of_a_small_forward():
    early = Reach(1, 7, 0, (1, 3), ())
    late = Reach(0, 7, 2, (3,), ())
    rows = Row(4, (Reach(2, 4, 1, (0,), ()),)), Row(7, (early, late))
    owners = find_owners(lay_out(rows, 3), batch_of([1, 4], 1), {4: 0, 7: 1})
    assert owners.base.tolist() == [0, 1]
    assert owners.owner.tolist() == [[0, 3, 3], [1, 1, 2]]
    assert owners.positions.tolist() == [[0, 0, 0], [1, 3, 3]]
    assert owners.levels.tolist() == [1, 0, 2, 0]
    assert [each.tolist() for each in owners.last] == [[0, 1, 1], [0, 1, 2]]
    assert owners.replaced.int().tolist() == [
        [0, 0, 0, 0, 1],
        [0, 0, 1, 0, 1],
        [0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1],
    ]


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("llama", {}, (None,) * 4),
        ("gpt2", {}, (None,) * 4),
        ("mistral", {}, (8,) * 4),
        ("mistral", {"sliding_window": None}, (None,) * 4),
        ("phi3", {}, (8,) * 4),
        ("gemma3", {}, (8, None, 8, None)),
        ("qwen2", {"sliding_window": 8}, (None,) * 4),
        (
            "qwen2",
            {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
            (None, None, 8, 8),
        ),
    ],
)
def test_windows_are_those_of_the_masks(name, config, expected):
    lm: LM = lm_of(name, **config)
    facts = find_facts(find_layout(lm.model))
    assert (facts.windows, facts.odd) == (expected, ())
