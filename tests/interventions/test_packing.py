"""Which branches go together, and where their tokens lie."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cfgen.interventions import Branch, Row, lay_out, pack
from cfgen.interventions.packing import EMPTY, ROW_TOKENS

LAYERS = 5
quick = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=30)


def branch(number, base, level, tokens, length=200):
    """A branch whose tokens all enter before one block."""
    return Branch(number, base, length, tuple((token, level) for token in tokens))


@st.composite
def jobs(draw):
    """Branches whose tokens enter at various blocks, and a budget."""
    lengths = dict(enumerate(draw(st.lists(st.integers(1, 200), min_size=1, max_size=5))))
    branches = []
    for number in range(draw(st.integers(1, 20))):
        base = draw(st.sampled_from(sorted(lengths)))
        start = draw(st.integers(0, lengths[base] - 1))
        tokens = range(start, lengths[base], draw(st.integers(1, 3)))
        level, step = draw(st.integers(0, LAYERS)), draw(st.integers(0, 2))
        enters = [(token, min(LAYERS, level + step * (i % 3))) for i, token in enumerate(tokens)]
        enters.sort(key=lambda item: (item[1], item[0]))
        branches.append(Branch(number, base, lengths[base], tuple(enters)))
    return branches, draw(st.integers(1, 3000))


@given(jobs())
@quick
def test_every_branch_is_in_one_row_of_its_base(job):
    branches, budget = job
    rows = [row for forward in pack(branches, LAYERS, budget) for row in forward]
    packed = [(row.base, each) for row in rows for each in row.branches]
    assert sorted(each.number for _, each in packed) == [each.number for each in branches]
    assert all(each is branches[each.number] for _, each in packed)
    assert all(base == each.base for base, each in packed)


@given(jobs())
@quick
def test_the_budget_is_kept_where_that_is_possible(job):
    branches, budget = job
    for forward in pack(branches, LAYERS, budget):
        assert forward
        size = len(forward) * max(row.width for row in forward)
        alone = len(forward) == len(forward[0].branches) == 1
        assert size <= budget or alone
        for row in forward:
            room = max(ROW_TOKENS, row.branches[0].length)
            assert row.width == sum(len(each.enters) for each in row.branches) <= room


@given(jobs())
@quick
def test_forwards_are_in_the_order_of_entry(job):
    branches, budget = job
    forwards = list(pack(branches, LAYERS, budget))
    for row in (row for forward in forwards for row in forward):
        assert row.first == min(each.level for each in row.branches)
        assert [level for level, *_ in row.tokens] == sorted(level for level, *_ in row.tokens)
    begins = [min(row.first for row in forward) for forward in forwards]
    assert begins == sorted(begins)


@given(jobs())
@quick
def test_columns_are_disjoint_and_enter_in_time(job):
    branches, budget = job
    for forward in pack(branches, LAYERS, budget):
        placement = lay_out(forward, LAYERS)
        assert placement.rows == forward
        assert placement.width == placement.present[LAYERS] == max(row.width for row in forward)
        assert len(placement.present) == LAYERS + 1
        assert all(1 <= a <= b for a, b in pairwise(placement.present))
        least = [0] * (LAYERS + 1)
        number = 0
        for index, row in enumerate(forward):
            taken, entered = [], [0] * (LAYERS + 1)
            for each in row.branches:
                assert placement.branches[number] is each
                assert placement.row_of[number] == index
                columns = placement.columns[number]
                assert columns.keys() == {position for position, _ in each.enters}
                taken += columns.values()
                for position, level in each.enters:
                    for block in range(level, LAYERS + 1):
                        assert columns[position] < placement.present[block]
                        entered[block] += 1
                number += 1
            assert sorted(taken) == list(range(row.width))
            least = [max(pair) for pair in zip(least, entered, strict=True)]
        # no column is there before it has to be
        assert list(placement.present) == [max(1, end) for end in least]


@given(jobs())
@quick
def test_little_of_a_forward_that_is_not_small_is_empty(job):
    branches, budget = job
    for forward in pack(branches, LAYERS, budget):
        placement = lay_out(forward, LAYERS)
        passes = len(forward) * sum(placement.present)
        needed = sum(LAYERS + 1 - level for b in placement.branches for _, level in b.enters)
        if passes > (1 + EMPTY) * needed and len(forward) > 1:
            # it was small, before the last row came
            before = lay_out(forward[:-1], LAYERS)
            assert (len(forward) - 1) * before.width < budget / 4


def rows_of(*rows):
    """Rows, each (base, [(level, count of tokens), ...])."""
    number = 0
    found = []
    for base, branches in rows:
        made = []
        for level, count in branches:
            made.append(branch(number, base, level, range(count)))
            number += 1
        found.append(Row(base, tuple(made)))
    return tuple(found)


def test_columns_of_two_rows():
    rows = rows_of((0, [(0, 2), (1, 3), (3, 4)]), (1, [(1, 4), (4, 1)]))
    placement = lay_out(rows, 4)
    assert [list(columns.values()) for columns in placement.columns] == [
        [0, 1],
        [2, 3, 4],
        [5, 6, 7, 8],
        [0, 1, 2, 3],
        [4],
    ]
    assert placement.present == (2, 5, 5, 9, 9)
    assert placement.width == 9


def test_columns_of_branches_whose_tokens_enter_in_turn():
    """Those that enter earlier lie before those of other branches that enter later."""
    one = Branch(0, 0, 9, ((4, 0), (1, 2), (2, 2)))
    two = Branch(1, 0, 9, ((3, 1), (0, 4)))
    placement = lay_out((Row(0, (one, two)),), 4)
    assert placement.columns == ({4: 0, 1: 2, 2: 3}, {3: 1, 0: 4})
    assert placement.present == (1, 2, 4, 4, 5)


def test_a_row_without_early_branches_is_empty_until_they_enter():
    assert lay_out(rows_of((0, [(3, 1)]), (1, [(4, 2)])), 4).present == (1, 1, 1, 1, 2)


def test_branches_of_a_base_share_rows_up_to_their_room():
    branches = [branch(i, 0, i % 3, range(40, 60), 60) for i in range(13)]
    rows = [row for forward in pack(branches, LAYERS, 2048) for row in forward]
    assert 3 <= len(rows) <= 5  # 13 times 20 tokens in rows of 128
    branches = [branch(i, 0, i % 3, range(40, 60), 200) for i in range(13)]
    rows = [row for forward in pack(branches, LAYERS, 2048) for row in forward]
    assert 2 <= len(rows) <= 4


def test_a_sweep_of_the_last_token_goes_in_one_forward():
    branches = [branch(8 * level + p, p, level, [49], 50) for level in range(5) for p in range(8)]
    (forward,) = pack(branches, LAYERS, 2048)
    assert [len(row.branches) for row in forward] == [5] * 8
    assert lay_out(forward, LAYERS).present == (1, 2, 3, 4, 5, 5)


def test_a_small_budget_gives_small_forwards():
    branches = [branch(i, i % 2, 0, range(10), 10) for i in range(4)]
    sizes = {
        budget: [sum(len(row.branches) for row in f) for f in pack(branches, 5, budget)]
        for budget in (1, 10, 20, 39, 40, 100)
    }
    assert sizes[1] == sizes[10] == [1] * 4
    assert sizes[20] == sizes[39] == [2, 2]
    assert sizes[40] == sizes[100] == [4]


def test_nothing_to_pack():
    assert list(pack([], LAYERS, 100)) == []
