"""Which branches go together, and where their tokens lie."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from cfgen.interventions import Reach, Row, lay_out, pack
from cfgen.interventions.packing import ROW_TOKENS

LAYERS = 5


def branch(index, prompt, level, tokens):
    return Reach(index, prompt, level, tuple(tokens), ())


@st.composite
def jobs(draw):
    """Branches, the lengths of their prompts, a budget."""
    lengths = dict(enumerate(draw(st.lists(st.integers(1, 200), min_size=1, max_size=5))))
    branches = []
    for index in range(draw(st.integers(1, 40))):
        prompt = draw(st.sampled_from(sorted(lengths)))
        start = draw(st.integers(0, lengths[prompt] - 1))
        step = draw(st.integers(1, 3))
        tokens = sorted({*range(start, lengths[prompt], step), lengths[prompt] - 1})
        branches.append(branch(index, prompt, draw(st.integers(0, LAYERS)), tokens))
    return branches, lengths, draw(st.integers(1, 3000))


@given(jobs())
def test_every_branch_is_in_one_row_of_its_prompt(job):
    branches, lengths, budget = job
    rows = [row for forward in pack(branches, lengths, LAYERS, budget) for row in forward]
    packed = [(row.prompt, each) for row in rows for each in row.branches]
    assert sorted(each.index for _, each in packed) == [each.index for each in branches]
    assert all(each is branches[each.index] for _, each in packed)
    assert all(prompt == each.prompt for prompt, each in packed)


@given(jobs())
def test_the_budget_is_kept_where_that_is_possible(job):
    branches, lengths, budget = job
    for forward in pack(branches, lengths, LAYERS, budget):
        assert forward
        size = len(forward) * max(row.width for row in forward)
        alone = len(forward) == len(forward[0].branches) == 1
        assert size <= budget or alone
        for row in forward:
            room = max(ROW_TOKENS, lengths[row.prompt])
            assert row.width == sum(len(each.tokens) for each in row.branches) <= room


@given(jobs())
def test_rows_and_forwards_are_in_the_order_of_entry(job):
    branches, lengths, budget = job
    forwards = list(pack(branches, lengths, LAYERS, budget))
    for row in (row for forward in forwards for row in forward):
        assert all(a.level <= b.level for a, b in pairwise(row.branches))
    begins = [row.branches[0].level for forward in forwards for row in forward]
    assert begins == sorted(begins)


@given(jobs())
def test_columns_are_disjoint_and_enter_in_time(job):
    branches, lengths, budget = job
    for forward in pack(branches, lengths, LAYERS, budget):
        columns = lay_out(forward, LAYERS)
        assert columns.rows == forward
        assert columns.width == columns.present[LAYERS] == max(row.width for row in forward)
        assert len(columns.present) == LAYERS + 1
        assert all(1 <= a <= b for a, b in pairwise(columns.present))
        ends_by = [0] * (LAYERS + 1)
        for row, starts in zip(forward, columns.starts, strict=True):
            taken = []
            for each, start in zip(row.branches, starts, strict=True):
                taken += range(start, start + len(each.tokens))
                for level in range(each.level, LAYERS + 1):
                    ends_by[level] = max(ends_by[level], taken[-1] + 1)
            assert taken == list(range(row.width))
        # no column is there before it has to be
        assert list(columns.present[:-1]) == [max(1, end) for end in ends_by[:-1]]


def rows_of(*rows):
    """Rows, each (prompt, [(level, count of tokens), ...])."""
    index = 0
    found = []
    for prompt, branches in rows:
        made = []
        for level, count in branches:
            made.append(branch(index, prompt, level, range(count)))
            index += 1
        found.append(Row(prompt, tuple(made)))
    return tuple(found)


def test_columns_of_two_rows():
    rows = rows_of((0, [(0, 2), (1, 3), (3, 4)]), (1, [(1, 4), (4, 1)]))
    columns = lay_out(rows, 4)
    assert columns.starts == ((0, 2, 5), (0, 4))
    assert columns.present == (2, 5, 5, 9, 9)
    assert columns.width == 9


def test_a_row_without_early_branches_is_empty_until_they_enter():
    assert lay_out(rows_of((0, [(3, 1)]), (1, [(4, 2)])), 4).present == (1, 1, 1, 1, 2)


def test_branches_of_a_prompt_share_rows_up_to_their_room():
    branches = [branch(i, 0, i % 3, range(40, 60)) for i in range(13)]
    rows = [row for forward in pack(branches, {0: 60}, LAYERS, 2048) for row in forward]
    assert 3 <= len(rows) <= 5  # 13 times 20 tokens in rows of 128
    rows = [row for forward in pack(branches, {0: 200}, LAYERS, 2048) for row in forward]
    assert 2 <= len(rows) <= 4


def test_a_sweep_of_the_last_token_goes_in_one_forward():
    branches = [branch(8 * level + p, p, level, [49]) for level in range(5) for p in range(8)]
    (forward,) = pack(branches, dict.fromkeys(range(8), 50), LAYERS, 2048)
    assert [len(row.branches) for row in forward] == [5] * 8
    assert lay_out(forward, LAYERS).present == (1, 2, 3, 4, 5, 5)


def test_a_small_budget_gives_small_forwards():
    branches = [branch(i, i % 2, 0, range(10)) for i in range(4)]
    lengths = {0: 10, 1: 10}
    sizes = {
        budget: [sum(len(row.branches) for row in f) for f in pack(branches, lengths, 5, budget)]
        for budget in (1, 10, 20, 39, 40, 100)
    }
    assert sizes[1] == sizes[10] == [1] * 4
    assert sizes[20] == sizes[39] == [2, 2]
    assert sizes[40] == sizes[100] == [4]


def test_nothing_to_pack():
    assert list(pack([], {}, LAYERS, 100)) == []
