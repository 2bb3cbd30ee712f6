"""Which keys every token of a packed forward sees, against a definition by position."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfgen.interventions import Batch, Branch, Row, lay_out, pack
from cfgen.interventions.batches import position_ids
from cfgen.interventions.masks import additive, block_mask, find_owners, without_blocked

LAYERS = 4
HEADS = 3
quick = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=50)


def batch_of(lengths, padding):
    width = max(lengths) + padding
    mask = torch.tensor([[0] * (width - n) + [1] * n for n in lengths])
    return Batch(tuple(lengths), mask * 5, mask, position_ids(mask))


@st.composite
def forwards(draw):
    """Where branches lie, the foundation's batch, and the row of each base in it.

    Tokens of a branch enter at any blocks, in any order of their positions; rows are of unequal
    length, and bases too, of which some have no branch.
    """
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    batch = batch_of(lengths, draw(st.integers(0, 2)))
    bases = [10 + row for row in range(len(lengths))]
    row_of = dict(zip(bases, range(len(lengths)), strict=True))
    branches = []
    for number in range(draw(st.integers(1, 7))):
        base = draw(st.sampled_from(bases))
        length = lengths[row_of[base]]
        tokens = draw(st.sets(st.integers(0, length - 1), min_size=1))
        level = draw(st.integers(0, LAYERS))
        late = draw(st.booleans())
        enters = [(p, draw(st.integers(level, LAYERS)) if late else level) for p in tokens]
        enters.sort(key=lambda item: (item[1], item[0]))
        branches.append(Branch(number, base, length, tuple(enters)))
    budget = draw(st.sampled_from((1, 12, 1000)))
    rows = draw(st.sampled_from(list(pack(branches, LAYERS, budget))))
    return lay_out(rows, LAYERS), batch, row_of


def near(query, key, window):
    return key <= query and (window is None or query - key < window)


def by_definition(forward, layer, window):
    """Row and column -> keys that the token there sees, for all tokens that have entered.

    Of every position that it may look at: the branch's own column if it has entered by then, else
    the base's.
    """
    placement, batch, row_of = forward
    found = {}
    for index, branch in enumerate(placement.branches):
        row, columns = placement.row_of[index], placement.columns[index]
        pad = batch.width - batch.lengths[row_of[branch.base]]
        entered = {position for position, level in branch.enters if level <= layer}
        for query in entered:
            found[row, columns[query]] = {
                (key, batch.width + columns[key] if key in entered else pad + key)
                for key in range(branch.length)
                if near(query, key, window)
            }
    return found


@given(forwards(), st.sampled_from((None, 1, 2, 4)), st.integers(0, LAYERS - 1))
@quick
def test_the_mask_of_a_block(forward, window, layer):
    placement, batch, row_of = forward
    owners = find_owners(placement, batch, row_of)
    present = placement.present[layer]
    seen = block_mask(owners, batch, layer, present, window)
    assert seen.shape == (len(placement.rows), present, batch.width + present)
    expected = by_definition(forward, layer, window)
    for row in range(len(placement.rows)):
        for column in range(present):
            keys = {column for _, column in expected.pop((row, column), ())}
            got = set(seen[row, column].nonzero().flatten().tolist())
            if keys:
                assert got == keys
            else:  # it has not entered: it sees itself, so that its softmax is over something
                assert batch.width + column in got
    assert not expected
    # nobody sees what has not entered
    for index, branch in enumerate(placement.branches):
        row, columns = placement.row_of[index], placement.columns[index]
        for position, level in branch.enters:
            column = columns[position]
            if level > layer and column < present:
                others = [c for c in range(present) if c != column]
                assert not seen[row, others, batch.width + column].any()


@given(forwards(), st.sampled_from((None, 1, 4)), st.data())
@quick
def test_blocked_keys_are_taken_out_for_their_branch_position_and_head(forward, window, data):
    placement, batch, row_of = forward
    layer = data.draw(st.integers(0, LAYERS - 1))
    owners = find_owners(placement, batch, row_of)
    present = placement.present[layer]
    seen = block_mask(owners, batch, layer, present, window)
    before = seen.clone()
    blocked = []
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(placement.branches) - 1))
        length = placement.branches[index].length
        some = st.lists(st.integers(0, length - 1), min_size=1, max_size=3, unique=True)
        head = data.draw(st.sampled_from((None, None, 0, 2)))
        blocked.append((index, tuple(data.draw(some)), tuple(data.draw(some)), head))
    pads = [batch.column(row_of[branch.base], 0) for branch in placement.branches]
    got = without_blocked(seen, blocked, placement, pads, HEADS)
    assert torch.equal(seen, before)
    by_head = any(head is not None for *_, head in blocked)
    assert got.shape == (len(placement.rows), HEADS if by_head else 1, *seen.shape[1:])
    expected = by_definition(forward, layer, window)
    for head in range(got.shape[1]):
        for index, branch in enumerate(placement.branches):
            row, columns = placement.row_of[index], placement.columns[index]
            for query in (position for position, level in branch.enters if level <= layer):
                hidden = {
                    key
                    for which, looking, keys, of_head in blocked
                    if which == index and query in looking and of_head in (None, head)
                    for key in keys
                }
                keys = expected[row, columns[query]]
                left = {column for position, column in keys if position not in hidden}
                assert set(got[row, head, columns[query]].nonzero().flatten().tolist()) == left


def test_owners_of_a_small_forward():
    early = Branch(1, 7, 4, ((1, 0), (3, 0), (0, 2)))
    late = Branch(0, 7, 4, ((3, 2),))
    rows = Row(4, (Branch(2, 4, 1, ((0, 1),)),)), Row(7, (early, late))
    placement = lay_out(rows, 3)
    owners = find_owners(placement, batch_of([1, 4], 1), {4: 0, 7: 1})
    assert placement.columns == ({0: 0}, {1: 0, 3: 1, 0: 2}, {3: 3})
    assert placement.present == (2, 2, 4, 4)
    assert owners.base.tolist() == [0, 1]
    assert owners.owner.tolist() == [[0, 3, 3, 3], [1, 1, 1, 2]]
    assert owners.positions.tolist() == [[0, 0, 0, 0], [1, 3, 0, 3]]
    never = owners.never
    assert never > 3
    assert owners.levels.tolist() == [[1, never, never, never], [0, 0, 2, 2]]
    assert owners.replaces.tolist() == [
        [never, never, never, never, 1],
        [never, 2, 0, never, 0],
        [never, never, never, never, 2],
        [0, 0, 0, 0, 0],
    ]


def test_a_small_mask_by_hand():
    """The base's token 0 is seen until the branch has its own; 2 always; padding never."""
    branch = Branch(0, 7, 4, ((1, 0), (3, 0), (0, 2)))
    placement, batch = lay_out((Row(7, (branch,)),), 3), batch_of([4], 1)
    owners = find_owners(placement, batch, {7: 0})

    def at(layer, window=None):
        present = placement.present[layer]
        return block_mask(owners, batch, layer, present, window)[0].int().tolist()

    assert at(0) == [[0, 1, 0, 0, 0, 1, 0], [0, 1, 0, 1, 0, 1, 1]]
    assert at(1) == at(0)
    assert at(2) == [
        [0, 0, 0, 0, 0, 1, 0, 1],
        [0, 0, 0, 1, 0, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ]
    assert at(2, 2) == [
        [0, 0, 0, 0, 0, 1, 0, 1],
        [0, 0, 0, 1, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ]
    seen = torch.tensor([at(2)]).bool()
    some = [(0, (3, 0), (1, 2), 1), (0, (1,), (0,), None)]
    hidden = without_blocked(seen, some, placement, [1], 2)
    assert hidden[0, 0].int().tolist() == [[0, 0, 0, 0, 0, 1, 0, 0], *at(2)[1:]]
    assert hidden[0, 1].int().tolist() == [
        [0, 0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 1, 1],
        at(2)[2],
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_added_to_scores(dtype):
    seen = torch.tensor([[True, False]])
    added = additive(seen, dtype)
    assert added.dtype == dtype
    assert added.tolist() == [[0.0, torch.finfo(dtype).min]]
